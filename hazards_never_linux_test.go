package zerocopy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH16NoSendfileFromStreams: sendfile refuses pipes and sockets as its source,
// so it is not tried there; they are spliced without a refusal on the way.
func TestH16NoSendfileFromStreams(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(200_000)
	for _, from := range []ztest.Kind{ztest.Pipe, ztest.FIFO, ztest.Unix, ztest.TCP4, ztest.SockFile} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.SockFile} {
			t.Run(fmt.Sprintf("%s→%s", from, to), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, from, content), ztest.NewDest(t, to)
				src.AwaitQueued(1)
				if to != ztest.Pipe { // since Linux 5.12 that would work
					rawFD(t, src.Reader, func(in int) error {
						rawFD(t, dst.Writer, func(out int) error {
							if n, err := syscall.Sendfile(out, in, nil, 1000); err != syscall.EINVAL {
								t.Errorf("sendfile itself: %d, %v, want EINVAL", n, err)
							}
							return nil
						})
						return nil
					})
				}
				c := track(t, nil)
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
				if k := c.count("sendfile"); k > 0 || mechanisms(c.report) != "splice" {
					t.Errorf("%d calls of sendfile: %v", k, c.report)
				}
			})
		}
	}
}

// TestH16KernelTLSSource: the kernel's TLS gives one record a splice, and refuses
// with EINVAL where a record is not data, for which a plain read says EIO. The
// answers are injected: a TLS socket looks like any TCP connection.
func TestH16KernelTLSSource(t *testing.T) {
	t.Parallel()
	const record = 16 << 10
	content := ztest.Pattern(2).Bytes(40 * record)
	for _, tt := range []struct {
		name, why string
		control   int   // the splice that meets a control record, 0 for none
		read      error // of the plain read there; nil lets it go on
	}{
		{"data", "records alone: all of it is spliced", 0, nil},
		{"control first", "refused before a byte came", 1, syscall.EIO},
		{"control later", "refused amid the stream", 9, syscall.EIO},
		{"no splice", "a protocol that does not splice is read", 3, nil},
	} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe} {
			t.Run(fmt.Sprintf("%s/%s", tt.name, to), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, to)
				drains, refused := 0, false
				c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
					drain := false
					rawFD(t, src.Reader, func(fd int) error { drain = call.In == fd; return nil })
					switch {
					case call.Name == "splice" && drain:
						if drains++; tt.control > 0 && drains >= tt.control {
							refused = true
							return 0, syscall.EINVAL, true
						}
						call.N = min(call.N, record)
					case call.Name == "read" && drain && refused && tt.read != nil:
						return 0, tt.read, true
					}
					return 0, nil, false
				})
				n, err := c.within(t, dst.Writer, src.Reader)
				if tt.read == nil {
					checkWhole(t, dst, n, err, content)
				} else {
					var failed *net.OpError
					if !errors.Is(err, tt.read) || !errors.As(err, &failed) || failed.Op != "read" {
						t.Errorf("%s: %v", tt.why, err)
					}
					ztest.Equal(t, "received", dst.Finish(), content[:n])
					checkRest(t, src, n, err)
				}
				if spliced := c.report.Bytes(zerocopy.Splice); tt.control != 1 && spliced == 0 || tt.control == 0 && spliced != n {
					t.Errorf("%s: %v", tt.why, c.report)
				}
			})
		}
	}
}

// A contradiction is a copy whose every call of a mechanism says EAGAIN while both
// of its ends are ready: no edge will come that could end a wait for them.
var contradictions = []struct {
	src, dst ztest.Kind
	call     string
	nth      int // from which call on; drain and pump take turns
}{
	{ztest.TCP4, ztest.TCP4, "splice", 1},  // the drain: a socket in a BPF sockmap
	{ztest.TCP4, ztest.TCP4, "splice", 2},  // the pump
	{ztest.TCP4, ztest.TCP4, "splice", 9},  // amid the stream
	{ztest.TCP4, ztest.TCP4, "splice", 10}, // amid the stream, the other end
	{ztest.Unix, ztest.PTY, "splice", 2},
	{ztest.TCP4, ztest.Pipe, "splice", 1},
	{ztest.TCP4, ztest.Pipe, "splice", 3},
	{ztest.Pipe, ztest.TCP4, "splice", 1},
	{ztest.Pipe, ztest.Unix, "splice", 4},
	{ztest.Pipe, ztest.Pipe, "splice", 1},
	{ztest.Pipe, ztest.File, "splice", 2}, // a file that says EAGAIN: FUSE may
	{ztest.TCP4, ztest.File, "splice", 2},
	{ztest.File, ztest.TCP4, "sendfile", 1},
	{ztest.File, ztest.Unix, "sendfile", 2},
	{ztest.File, ztest.File, "copy_file_range", 1},
	{ztest.Zero, ztest.TCP4, "sendfile", 1},
}

// TestH17ReadyButEAGAIN: where poll says ready and the call EAGAIN, plain reads and
// writes go on, and the copy neither waits for ever nor spins.
func TestH17ReadyButEAGAIN(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(3).Bytes(3 << 20)
	for _, tt := range contradictions {
		for _, polled := range []int{-1, sys.Readable | sys.Writable} {
			t.Run(fmt.Sprintf("%s→%s/%s %d/poll=%d", tt.src, tt.dst, tt.call, tt.nth, polled), func(t *testing.T) {
				t.Parallel()
				content := content
				if tt.dst == ztest.PTY {
					content = content[:200_000]
				}
				src, dst := ztest.NewSource(t, tt.src, content, ztest.NoEOF()), ztest.NewDest(t, tt.dst)
				var c *tracked
				c = track(t, func(call *sys.Call, nth int) (int, error, bool) {
					switch {
					case call.Name == tt.call && nth >= tt.nth:
						return 0, syscall.EAGAIN, true
					case call.Name == "poll" && polled >= 0 && c.count(tt.call) >= tt.nth:
						return polled, nil, true
					}
					return 0, nil, false
				})
				src.End()
				n, err := c.within(t, dst.Writer, limited(src))
				checkWhole(t, dst, n, err, src.Content)
				// A probe is 512 bytes and a buffer 32 KiB, each of a few calls; what
				// comes in small pieces takes more.
				if k := c.moves(); k > 100*len(content)/(32<<10)+1000 {
					t.Errorf("%d system calls for %d bytes: %v", k, len(content), c.report)
				}
			})
		}
	}
}

// TestH17NeverReady: the call says EAGAIN and poll, rightly, not ready. The copy
// sleeps without a call more, until it is ended from outside.
func TestH17NeverReady(t *testing.T) {
	t.Parallel()
	for _, tt := range contradictions {
		if tt.call == "copy_file_range" || tt.dst == ztest.File {
			continue // nothing that could be waited for
		}
		for _, end := range []string{"close", "deadline", "cancel"} {
			t.Run(fmt.Sprintf("%s→%s/%s %d/%s", tt.src, tt.dst, tt.call, tt.nth, end), func(t *testing.T) {
				t.Parallel()
				content := ztest.Pattern(4).Bytes(1 << 20)
				src, dst := ztest.NewSource(t, tt.src, content, ztest.NoEOF()), ztest.NewDest(t, tt.dst)
				var c *tracked
				never := false
				c = track(t, func(call *sys.Call, nth int) (int, error, bool) {
					switch {
					case call.Name == tt.call && nth >= tt.nth:
						never = true
						return 0, syscall.EAGAIN, true
					case never && (call.Name == "poll" || call.Name == "FIONREAD"):
						return 0, nil, true
					case never && call.Name == "read":
						return 0, syscall.EAGAIN, true
					}
					return 0, nil, false
				})
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				r := c.begin(t, ctx, dst.Writer, src.Reader)
				r.AwaitParked()
				want := os.ErrDeadlineExceeded
				switch end {
				case "close":
					want = os.ErrClosed
					src.Reader.Close()
					dst.Writer.Close()
				case "deadline":
					src.Reader.SetReadDeadline(time.Unix(1, 0))
					dst.Writer.SetWriteDeadline(time.Unix(1, 0))
				case "cancel":
					want = errors.New("enough")
					cancel(want)
				}
				r.Wait()
				if !errors.Is(r.err, want) && !(end == "close" && errors.Is(r.err, net.ErrClosed)) {
					t.Errorf("ended with %v, want %v", r.err, want)
				}
				if k := c.moves(); k > 2*tt.nth+12 {
					t.Errorf("%d system calls", k)
				}
			})
		}
	}
}

// TestH17TTYSource: a terminal is read as os reads it. Between keys it costs
// nothing.
func TestH17TTYSource(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]ztest.Option{{ztest.Manual()}, {ztest.Manual(), ztest.OtherEnd()}} {
		t.Run(fmt.Sprint(len(opts)), func(t *testing.T) {
			t.Parallel()
			src, dst := ztest.NewSource(t, ztest.PTY, nil, opts...), ztest.NewDest(t, ztest.TCP4)
			c := track(t, nil)
			r := c.begin(t, nil, dst.Writer, src.Reader)
			for range 20 {
				r.AwaitParked()
				src.Feed([]byte("key\n"))
				dst.AwaitReceived(int64(len(src.Content)))
			}
			r.AwaitParked()
			if k := c.moves(); k > 0 {
				t.Errorf("%d calls that a terminal is not fit for", k)
			}
			src.Reader.Close()
			r.Wait()
			if !errors.Is(r.err, os.ErrClosed) || r.n != 80 {
				t.Errorf("copied %d, %v", r.n, r.err)
			}
			if _, ok := c.reason(zerocopy.ReasonDevice); !ok {
				t.Errorf("no reason: %v", c.report)
			}
			ztest.Equal(t, "received", dst.Finish(), src.Content)
		})
	}
}
