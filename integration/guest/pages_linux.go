package guest

import (
	"errors"
	"net"
	"os"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/pages"
)

// pagesPrograms are about a pages.Writer to a TCP connection over devices that do not
// copy, where what it has lent is held until the peer acknowledges it.
func pagesPrograms() []Program {
	return []Program{
		{"pages/bulk", func(t *T) { bulk(t, "vmxnet3", 64<<20, large) }},
		{"pages/bulk-tight", func(t *T) { bulk(t, "vmxnet3", 16<<20, tight) }},
		{"pages/bulk-loss", bulkLoss},
		{"pages/bulk-virtio", func(t *T) { bulk(t, "virtio", 8<<20, tight) }},
		{"pages/bulk-lo", func(t *T) { bulk(t, "lo", 8<<20, large) }},
		{"pages/bulk-veth", func(t *T) { bulk(t, "veth", 8<<20, large) }},
		{"pages/bulk-tun", func(t *T) { bulk(t, "tun", 8<<20, large) }},
		{"pages/read", func(t *T) { pagesRead(t, "vmxnet3") }},
		{"pages/read-virtio", func(t *T) { pagesRead(t, "virtio") }},
		{"pages/stall", func(t *T) { stall(t, large, "Commit") }},
		{"pages/stall-small", func(t *T) { stall(t, small, "Next") }},
		{"pages/partition", partition},
		{"pages/drip", drip},
		{"pages/close", closeEarly},
		{"pages/close-next", closeNext},
		{"pages/close-conn", closeConn},
		{"pages/reset", reset},
	}
}

var (
	// large buffers wait in Commit for room in the send queue.
	large = pages.Options{Size: 64 << 10}
	// small ones are all lent before the send queue is full, so Next waits for them.
	small = pages.Options{Size: 4 << 10, Memory: 8 << 10, LendFrom: 4 << 10}
	// tight ones are needed again while what they were lent for is on its way.
	tight = pages.Options{Size: 32 << 10, Memory: 64 << 10}
)

// A stream sends the pattern by a pages.Writer.
type stream struct {
	*pages.Writer
	conn   *net.TCPConn
	offset int64  // of what is committed next
	in     string // the method that the last error of send is from
}

func newStream(t *T, conn *net.TCPConn, o pages.Options) *stream {
	w, err := pages.NewWriter(conn, &o)
	t.Must(err)
	t.Cleanup(func() { w.Close() })
	return &stream{Writer: w, conn: conn}
}

// send commits buffers until the stream has end bytes or there is an error. Each
// buffer is overwritten with something else first, so that one that the kernel still
// holds spoils what arrives.
func (s *stream) send(end int64) error {
	for s.offset < end {
		buf, err := s.Next()
		if err != nil {
			s.in = "Next"
			return err
		}
		spoil(buf)
		n := int(min(int64(len(buf)), end-s.offset))
		fill(buf[:n], s.offset)
		s.offset += int64(n) // after a timeout the rest is sent by the next call
		if err := s.Commit(n); err != nil {
			s.in = "Commit"
			return err
		}
	}
	return nil
}

// sendUntilStalled sends until nothing more finds room for a while, and leaves
// the connection without a deadline.
func (s *stream) sendUntilStalled(t *T) {
	t.Must(s.conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond)))
	if err := s.send(1 << 40); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("sending to a peer that does not read: %v, want the deadline's error", err)
	}
	t.Must(s.conn.SetWriteDeadline(time.Time{}))
	st := s.Stats()
	t.Logf("stalled in %s after %d KiB, %d KiB are held", s.in, st.Bytes>>10, st.Held>>10)
	if st.Held == 0 || st.Lent == 0 {
		t.Errorf("nothing is held while the peer does not read: %+v", st)
	}
}

// mustLend looks whether the Writer has lent, and would go on.
func (s *stream) mustLend(t *T) {
	if st := s.Stats(); st.Mechanism != zerocopy.MsgZerocopy || st.Reason != zerocopy.ReasonNone || st.Lent == 0 {
		t.Errorf("%v, want it to lend", st)
	}
}

// within calls f, and reports a failure if that takes longer.
func within(t *T, limit time.Duration, what string, f func() error) error {
	start := time.Now()
	err := f()
	if took := time.Since(start); took > limit {
		t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
	return err
}

// finish sends up to size, and wants all of it to arrive at a reader that goes on with
// c, and to be given back.
func (s *stream) finish(t *T, server *net.TCPConn, c *checker, size int64) {
	received := make(chan error, 1)
	go func() {
		err := receive(server, c, size-c.offset)
		if err != nil {
			server.Close() // and the sender with it
		}
		received <- err
	}()
	err := s.send(size)
	if err == nil {
		err = s.Wait()
	}
	if err != nil {
		server.Close()
		t.Fatalf("sending: %v; receiving: %v", err, <-received)
	}
	t.Must(<-received)
	if st := s.Stats(); st.Held != 0 || st.Abandoned != 0 {
		t.Errorf("after Wait: %d bytes held, %d abandoned", st.Held, st.Abandoned)
	}
}
