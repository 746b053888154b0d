package broadcast_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var acceptanceBytes = flag.Int64("broadcast.bytes", 64<<20, "how long the stream of TestAcceptance is")

// rss returns the bytes that the process has in memory.
func rss(t testing.TB) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	must(t, err)
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kilo, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	must(t, err)
	return kilo << 10
}

// TestAcceptance: eight viewers and the recording agree on a long stream, of whom one
// stands still for a while, one is killed, and one takes a megabyte a second and does not
// see the end. What the process has in memory and in pipes does not grow with any of it.
//
// As an ordinary test it is short. At full size, where the one that stands still does so
// for 20 s, it is
//
//	go test -v -run '^TestAcceptance$' -timeout 30m ./broadcast -broadcast.bytes 2147483648
func TestAcceptance(t *testing.T) {
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "broadcast.bytes" })
	if !asked { // beside other tests it has a process of its own, since it counts
		t.Parallel()
		if !ztest.Isolated(t) {
			return
		}
	}
	total := *acceptanceBytes
	rest := min(20*time.Second, time.Duration(10*total)) // 20 s for 2 GB
	rec, recorded := recording(t, ztest.File)
	s := newShow(t, ztest.TCP4, recorded)
	few := ztest.Buffers(64 << 10)
	view := func(name string, policy broadcast.Policy, k ztest.Kind, opts ...ztest.Option) *viewer {
		return s.view(k, &broadcast.SinkOptions{Name: name, Policy: policy}, opts...)
	}
	view("tcp, waited for", broadcast.Block, ztest.TCP4)
	view("unix, waited for", broadcast.Block, ztest.Unix)
	view("tcp", broadcast.Demote, ztest.TCP4)
	view("tcp6", broadcast.Demote, ztest.TCP6)
	view("unix", broadcast.Demote, ztest.Unix)
	still := view("stands still", broadcast.Demote, ztest.TCP4, few)
	killed := view("killed", broadcast.Demote, ztest.TCP4)
	slow := view("1 MB/s", broadcast.Demote, ztest.TCP4, few, ztest.Pieces(100_000), ztest.Slow(100*time.Millisecond))
	before := rss(t)
	var most, pipes atomic.Int64
	began := time.Now()
	s.run(t.Context())
	watch := ztest.Go(t, "watch", func() {
		for {
			most.Store(max(most.Load(), rss(t)))
			pipes.Store(max(pipes.Load(), s.pipes.Stats().Bytes))
			select {
			case <-s.task.Done():
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	bounds := s.bounds(4 << 20)
	s.feed(total / 8)
	still.Stall()
	s.feed(total / 8)
	still.awaitState(broadcast.Recorded) // 8 MiB are more than it may lag
	resume := time.AfterFunc(rest, still.Resume)
	defer resume.Stop()
	killed.await(1)
	killed.Reset()
	s.feed(total - s.fed)
	s.awaitTaken()
	fed := time.Since(began)
	ztest.Eventually(t, rest+10*ztest.Patience, "the viewer that stood still to catch up", func() bool { return still.sink.Stats().Lag == 0 })
	must(t, slow.sink.Close())
	s.end()
	watch.Wait()
	bounds.Wait()
	debug.FreeOSMemory()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d bytes in %.1f s (%.2f GB/s), all seen after %.1f s; one stood still for %v\n", total, fed.Seconds(),
		float64(total)/fed.Seconds()/1e9, time.Since(began).Seconds(), rest)
	fmt.Fprintf(&out, "in memory %.1f MiB before, %.1f at most, %.1f after; in pipes %.1f MiB at most\n",
		float64(before)/(1<<20), float64(most.Load())/(1<<20), float64(rss(t))/(1<<20), float64(pipes.Load())/(1<<20))
	if s.err != nil {
		t.Errorf("Run: %v", s.err)
	}
	for _, v := range s.viewers {
		switch v {
		case killed:
			err := v.sink.Wait()
			gone := errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
			if n, diff := v.got.has(); !gone || diff != "" || n > v.sink.Stats().Position {
				t.Errorf("%v: %d bytes: %s", v.sink.Stats(), n, diff)
			}
		case slow:
			if st := v.check(); st.Err != broadcast.ErrClosed || st.Position >= total || st.Position == 0 {
				t.Errorf("%v", st)
			}
		default:
			v.whole()
		}
		fmt.Fprintf(&out, "  %v\n", v.sink.Stats())
	}
	if st := still.sink.Stats(); st.Demotions == 0 || st.Recorded == 0 {
		t.Errorf("never fell back: %v", st)
	}
	want := sha256.New()
	for p, off := make([]byte, 1<<20), int64(0); off < total; off += int64(len(p)) {
		p = p[:min(int64(len(p)), total-off)]
		s.pattern.Fill(p, off)
		want.Write(p)
	}
	f, err := os.Open(rec.Name())
	must(t, err)
	defer f.Close()
	sum, n, err := ztest.SumReader(f)
	must(t, err)
	if n != total || sum != hex.EncodeToString(want.Sum(nil)) {
		t.Errorf("the recording has %d bytes with SHA-256 %s", n, sum)
	}
	fmt.Fprintf(&out, "  recording: %d bytes, SHA-256 %s", n, sum)
	t.Log(out.String())
	s.requireKernel()
	if grown := most.Load() - before; grown > 32<<20 {
		t.Errorf("the process has grown by %d bytes", grown)
	}
}
