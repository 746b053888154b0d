package guest

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/pages"
)

// bulk sends size bytes to a peer that reads them as they come.
func bulk(t *T, device string, size int64, o pages.Options) {
	client, server := t.Pair(device)
	s := newStream(t, client, o)
	start := time.Now()
	s.finish(t, server, new(checker), size)
	st := s.Stats()
	t.Logf("%v; %d completion messages, %d times ENOBUFS, in %v", st, st.Completions, st.NoBuffer, time.Since(start).Round(time.Millisecond))
	switch device {
	case "vmxnet3":
		s.mustLend(t)
		// All but what fills the send queue until the kernel does not enlarge it.
		if st.Lent < size/2 {
			t.Errorf("%d of %d bytes were lent, want most", st.Lent, size)
		}
	case "lo", "veth", "tun":
		if st.Reason != zerocopy.ReasonCopied {
			t.Errorf("%v, want the reason %v", st, zerocopy.ReasonCopied)
		}
	}
	t.Must(s.Close())
}

// bulkLoss has packets lost, so that the kernel sends again from lent memory.
func bulkLoss(t *T) {
	l, err := t.net.near.link.LinkByName("vmxnet3")
	t.Must(err)
	lossy := netlink.NewNetem(
		netlink.QdiscAttrs{LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		netlink.NetemQdiscAttrs{Loss: 3, Limit: 1000}) // per cent, packets
	before := t.retransmitted()
	t.Must(t.net.near.link.QdiscAdd(lossy))
	t.Cleanup(func() { t.net.near.link.QdiscDel(lossy) })
	bulk(t, "vmxnet3", 8<<20, tight)
	again := t.retransmitted() - before
	t.Logf("%d segments were sent again", again)
	if again == 0 {
		t.Errorf("no segment was sent again, want some")
	}
}

// retransmitted returns how many segments were sent again by the clients' namespace.
func (t *T) retransmitted() (n int) {
	var text []byte
	var err error
	t.net.near.do(func() { text, err = os.ReadFile("/proc/thread-self/net/snmp") })
	t.Must(err)
	// Two lines with Tcp: have the names and the values.
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] != "Tcp:":
		case names == nil:
			names = fields
		default:
			n, err = strconv.Atoi(fields[slices.Index(names, "RetransSegs")])
			t.Must(err)
		}
	}
	return n
}
