package zerocopy_test

import (
	"bytes"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A feed is what the peer of a TCP connection sends: ordinary bytes where it is
// positive, one urgent byte where it is 0.
type feed []int

// send has the peer of src send f and returns the ordinary bytes among it.
func (f feed) send(t testing.TB, src *ztest.Source) []byte {
	t.Helper()
	from := len(src.Content)
	for _, n := range f {
		if n == 0 {
			if err := src.FeedUrgent([]byte{0xee}); err != nil {
				t.Fatal(err)
			}
			continue
		}
		b := make([]byte, n)
		ztest.Pattern(1).Fill(b, int64(len(src.Content)))
		src.Feed(b)
	}
	return src.Content[from:]
}

// bytes is how many bytes f is on the wire.
func (f feed) bytes() (n int64) {
	for _, k := range f {
		n += int64(max(k, 1))
	}
	return n
}

// marked are streams with urgent data. The kernel keeps one mark at a time: of
// several that have arrived unread, only the last one's byte is urgent and the
// others stay in the stream, so what is right is what plain reads see.
var marked = []struct {
	name, why string
	feed      feed
	splices   int64 // bytes that splice can move at least
}{
	{"start", "splice answers EAGAIN before it has moved a byte", feed{0, 50_000}, 10_000},
	{"middle", "the case in which io.Copy returns 1000 and nil", feed{1000, 0, 3000}, 1000},
	{"end", "after the last byte nothing but the mark and the end follow", feed{4000, 0}, 4000},
	{"alone", "a stream of nothing but an urgent byte is empty", feed{0}, 0},
	{"beside the end", "one byte behind the mark", feed{1000, 0, 1}, 1000},
	{"several", "each of them, were it read in between, a stop", feed{1000, 0, 1000, 0, 1000, 0, 1000}, 3000},
	{"in a row", "no byte between the marks", feed{500, 0, 0, 0, 500}, 500},
	{"short pieces", "more marks than a mechanism is allowed to find nothing in a row", feed{9, 0, 9, 0, 9, 0, 9, 0, 9, 0, 9, 0, 9}, 9},
}

// plainly reads what a peer that sends f and closes leaves to plain reads.
func (f feed) plainly(t testing.TB, kind ztest.Kind) []byte {
	t.Helper()
	src := ztest.NewSource(t, kind, nil, ztest.Manual())
	defer src.Close()
	f.send(t, src)
	awaitAll(t, src, f.bytes())
	return src.Rest()
}

// awaitAll waits until n bytes have arrived at src.
func awaitAll(t testing.TB, src *ztest.Source, n int64) {
	t.Helper()
	ztest.Eventually(t, ztest.Patience, "arrival", func() bool {
		got, err := ztest.Arrived(src.Reader)
		return err != nil || got >= n
	})
}

// TestH01UrgentMark: at the mark splice says EAGAIN where poll says readable, and
// 0 after a FIN with bytes still queued. Everything has arrived before the copy.
func TestH01UrgentMark(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	for _, kind := range []ztest.Kind{ztest.TCP4, ztest.TCP6} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.File, ztest.PTY, ztest.SockFile} {
			for _, tt := range marked {
				for _, fin := range []bool{true, false} {
					few.Run(fmt.Sprintf("%s→%s/%s/fin=%v", kind, to, tt.name, fin), func(t *testing.T) {
						want := tt.feed.plainly(t, kind)
						src := ztest.NewSource(t, kind, nil, ztest.Manual())
						dst := ztest.NewDest(t, to)
						tt.feed.send(t, src)
						awaitAll(t, src, tt.feed.bytes())
						c := track(t, nil)
						var n int64
						var err error
						if fin {
							src.End()
							n, err = c.within(t, dst.Writer, src.Reader)
						} else {
							// The copy has to find everything, and then to wait.
							r := c.begin(t, nil, dst.Writer, src.Reader)
							awaitAt(t, dst, int64(len(want)))
							r.AwaitParked()
							if k := c.moves(); k > 600 {
								t.Errorf("%d system calls before the wait for the end", k)
							}
							src.End()
							r.Wait()
							n, err = r.n, r.err
						}
						checkWhole(t, dst, n, err, want)
						if k := c.moves(); k > 600 {
							t.Errorf("%s: %d system calls", tt.why, k)
						}
						if got := c.report.Bytes(zerocopy.Splice); got < tt.splices {
							t.Errorf("%s: splice moved %d bytes, want %d at least: %v", tt.why, got, tt.splices, c.report)
						}
					})
				}
			}
		}
	}
}

// TestH01SignalAtTheMark: at the mark a read says EAGAIN, too, to a thread with a
// signal pending (tcp_recvmsg). The copy asks again before it waits, for nothing else
// would wake it: all that will come has come.
func TestH01SignalAtTheMark(t *testing.T) {
	t.Parallel()
	for _, fin := range []bool{true, false} {
		src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
		feed{1000}.send(t, src)
		// Not by FeedUrgent, which would have the copy woken.
		rawFD(t, src.Peer(), func(fd int) error { return syscall.Sendto(fd, []byte{0xee}, syscall.MSG_OOB, nil) })
		feed{3000}.send(t, src)
		awaitAll(t, src, 4001)
		if fin {
			src.End()
		}
		disturbed := false
		c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
			if call.Name != "read" || disturbed {
				return 0, nil, false
			}
			disturbed = true
			return 0, syscall.EAGAIN, true
		})
		r := c.begin(t, nil, dst.Writer, src.Reader)
		dst.AwaitReceived(4000)
		src.End()
		r.Wait()
		checkWhole(t, dst, r.n, r.err, src.Content)
		if !disturbed || c.count("read") < 2 {
			t.Errorf("fin=%v: no read was disturbed: %v", fin, c.calls)
		}
	}
}

// TestH01UrgentMarkIoCopy is the comparison: what io.Copy makes of the same.
func TestH01UrgentMarkIoCopy(t *testing.T) {
	t.Parallel()
	for _, tt := range marked {
		src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
		dst := ztest.NewDest(t, ztest.TCP4)
		want := tt.feed.plainly(t, ztest.TCP4)
		tt.feed.send(t, src)
		awaitAll(t, src, tt.feed.bytes())
		src.End()
		n, err := io.Copy(dst.Writer, src.Reader)
		t.Logf("%s: io.Copy returns %d of %d bytes, %v", tt.name, n, len(want), err)
	}
}

// TestH01UrgentMarkInBulk: one mark amid many chunks costs one stop and not the
// fast path.
func TestH01UrgentMarkInBulk(t *testing.T) {
	t.Parallel()
	const half = 3 << 20
	for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
		t.Run(string(to), func(t *testing.T) {
			t.Parallel()
			src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
			dst := ztest.NewDest(t, to)
			c := track(t, nil)
			r := c.begin(t, nil, dst.Writer, src.Reader)
			feed{half, 0, half}.send(t, src) // of two marks the first could go unread
			src.End()
			r.Wait()
			checkWhole(t, dst, r.n, r.err, src.Content)
			if by := c.report.Bytes(zerocopy.Splice); by < 2*half*9/10 {
				t.Errorf("splice moved %d bytes of %d: %v", by, 2*half, c.report)
			}
		})
	}
}

// TestH01UrgentMarkWhileWaiting: the mark comes when the copy waits already, and
// bytes come behind it later.
func TestH01UrgentMarkWhileWaiting(t *testing.T) {
	t.Parallel()
	for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
		for _, disable := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
			t.Run(fmt.Sprintf("%s/%v", to, disable), func(t *testing.T) {
				t.Parallel()
				src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
				dst := ztest.NewDest(t, to)
				c := track(t, nil)
				c.Disable = disable
				r := c.begin(t, nil, dst.Writer, src.Reader)
				for range 5 {
					r.AwaitParked()
					before := c.moves()
					feed{0}.send(t, src) // nothing but the mark
					sent := feed{700}.send(t, src)
					awaitAt(t, dst, int64(len(src.Content)))
					r.AwaitParked()
					if k := c.moves() - before; k > 300 {
						t.Errorf("%d system calls for %d bytes", k, len(sent))
					}
				}
				src.End()
				r.Wait()
				checkWhole(t, dst, r.n, r.err, bytes.Clone(src.Content))
			})
		}
	}
}
