package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH22SourceEndsDuringPump: a source that is closed or expires while the copy
// waits for the destination. What is on the way is delivered, and nothing more is
// taken, though there is more.
func TestH22SourceEndsDuringPump(t *testing.T) {
	t.Parallel()
	for _, w := range destinationWaits {
		for _, what := range []string{closing, expired} {
			t.Run(w.String()+"/"+what, func(t *testing.T) {
				t.Parallel()
				w.forDestination(t, nil).endSource(t, what)
			})
		}
	}
}

// endSource ends the source of a copy that waits for its destination, lets that go on,
// and demands what TestH22SourceEndsDuringPump says.
func (r *waiting) endSource(t testing.TB, what string) {
	t.Helper()
	if !act(t, what, r.src.Reader) {
		return
	}
	r.dst.Resume()
	r.Wait()
	checkError(t, r.err, what, "read")
	if r.n >= waitSize || len(unwritten(t, r.n, r.err)) > 0 {
		t.Errorf("copied %d of %d, %v", r.n, waitSize, r.err)
	}
	ztest.Equal(t, "received", r.dst.Finish(), r.src.Content[:r.n])
	if what != closing {
		checkRest(t, r.src, r.n, r.err)
	}
}

// TestH22DestinationEndsDuringSourceWait is the other way round: what comes after
// the end of the destination is not lost.
func TestH22DestinationEndsDuringSourceWait(t *testing.T) {
	t.Parallel()
	for _, w := range sourceWaits {
		for _, what := range []string{closing, expired} {
			t.Run(w.String()+"/"+what, func(t *testing.T) {
				t.Parallel()
				r := w.forSource(t, nil)
				if !act(t, what, r.dst.Writer) {
					return
				}
				r.src.Feed(ztest.Pattern(3).Bytes(5000))
				r.Wait()
				checkError(t, r.err, what, "write")
				if r.n != 100_000 {
					t.Errorf("copied %d", r.n)
				}
				checkRest(t, r.src, r.n, r.err)
			})
		}
	}
}

// TestH22Context: the context ends every wait at once, with its cause, and
// whichever end has a deadline is left with one that has passed.
func TestH22Context(t *testing.T) {
	t.Parallel()
	for i, w := range append(append([]wait(nil), sourceWaits...), destinationWaits...) {
		start := w.forDestination
		name := "destination/"
		if i < len(sourceWaits) {
			start, name = w.forSource, "source/"
		}
		t.Run(name+w.String(), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			r := start(t, ctx)
			cause := errors.New("enough of this")
			cancel(cause)
			r.Wait()
			if !errors.Is(r.err, cause) {
				t.Errorf("ended with %v", r.err)
			}
			r.checkAfterwards(t, cancelled)
		})
	}
}

// TestH23ExpiredWriteDeadline: io.Copy has read 32 KiB of the file before it sees
// that the deadline has passed. Here nothing has moved, of position or N.
func TestH23ExpiredWriteDeadline(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(4).Bytes(1 << 20)
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Pipe, ztest.Unix} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.SockFile, ztest.PTY} {
			for _, w := range []wait{{src: from, dst: to}, {src: from, dst: to, disable: plain}} {
				t.Run(w.String(), func(t *testing.T) {
					t.Parallel()
					c := w.copier(t)
					src, dst := ztest.NewSource(t, from, content), ztest.NewDest(t, to)
					must(t, dst.Writer.SetWriteDeadline(time.Unix(1, 0)))
					limit := &io.LimitedReader{R: src.Reader, N: 500_000}
					outer := &io.LimitedReader{R: limit, N: 600_000}
					n, err := c.within(t, dst.Writer, outer)
					checkError(t, err, expired, "write")
					if n != 0 || limit.N != 500_000 || outer.N != 600_000 || from.Regular() && src.Pos() != 0 {
						t.Errorf("copied %d, N = %d and %d, position %d", n, limit.N, outer.N, src.Pos())
					}
					if len(unwritten(t, n, err)) > 0 {
						t.Error("something was taken from the source")
					}
					checkRest(t, src, n, err)
					// With a new deadline the copy begins where it was.
					src, dst2 := ztest.NewSource(t, from, content), dst
					must(t, dst2.Writer.SetWriteDeadline(time.Time{}))
					n, err = c.within(t, dst2.Writer, src.Reader)
					checkWhole(t, dst2, n, err, content)
				})
			}
		}
	}
	src, dst := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.TCP4)
	must(t, dst.Writer.SetWriteDeadline(time.Unix(1, 0)))
	n, err := io.Copy(dst.Writer, src.Reader)
	t.Logf("io.Copy: n = %d, %v, the file stands at %d", n, err, src.Pos())
}

// TestH23DeadlineInTheMiddle: the position of the source is what was written, at
// whatever point the deadline comes.
func TestH23DeadlineInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, w := range destinationWaits {
		if !w.src.Regular() {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			r := w.forDestination(t, nil)
			act(t, expired, r.dst.Writer)
			r.Wait()
			checkError(t, r.err, expired, "write")
			if r.src.Pos() != r.n || r.n == 0 {
				t.Errorf("copied %d, the file stands at %d", r.n, r.src.Pos())
			}
			if len(unwritten(t, r.n, r.err)) > 0 {
				t.Error("a file's bytes are handed back")
			}
		})
	}
}

// TestH24Chunks: no call but a clone is asked for more than 2 MiB, and between two
// calls others get the locks of both ends.
func TestH24Chunks(t *testing.T) {
	t.Parallel()
	const most = 2 << 20
	content := ztest.Pattern(5).Bytes(9 << 20)
	for _, w := range []wait{
		{src: ztest.File, dst: ztest.TCP4}, {src: ztest.File, dst: ztest.Unix}, {src: ztest.Zero, dst: ztest.TCP4},
		{src: ztest.TCP4, dst: ztest.TCP4}, {src: ztest.Pipe, dst: ztest.TCP4}, {src: ztest.Pipe, dst: ztest.File},
		{src: ztest.TCP4, dst: ztest.File}, {src: ztest.Tmpfs, dst: ztest.File},
	} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			src, dst := ztest.NewSource(t, w.src, content), ztest.NewDest(t, w.dst)
			c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
				if call.N > most && (call.Name == "splice" || call.Name == "sendfile") {
					t.Errorf("%s is asked for %d bytes", call.Name, call.N)
				}
				return 0, nil, false
			})
			n, err := c.within(t, dst.Writer, limited(src))
			checkWhole(t, dst, n, err, src.Content)
			if k := c.count("splice", "sendfile"); k < len(content)/most {
				t.Errorf("%d calls for %d bytes", k, len(content))
			}
		})
	}
}

// TestH24SourceIsFreeDuringSendfile: while sendfile waits for its destination, the
// file can be read, sought and closed by others.
func TestH24SourceIsFreeDuringSendfile(t *testing.T) {
	t.Parallel()
	for _, w := range destinationWaits {
		if !w.src.Regular() {
			continue
		}
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			r := w.forDestination(t, nil)
			f := r.src.Reader.(*os.File)
			ztest.Within(t, ztest.Patience, "use of the source", func() {
				p := make([]byte, 1000)
				_, err := f.ReadAt(p, 5000)
				must(t, err)
				ztest.Pattern(2).Check(t, p, 5000)
				raw, err := f.SyscallConn()
				must(t, err)
				must(t, raw.Read(func(uintptr) bool { return true })) // its read lock
				must(t, f.Close())
			})
			r.dst.Resume()
			r.Wait()
			checkError(t, r.err, closing, "read")
		})
	}
}

// TestH24NumberReused: a descriptor closed during a wait leaves its number to the
// next one that is opened. The copy must not touch that.
func TestH24NumberReused(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	src := func(r *waiting) ztest.Stream { return r.src.Reader }
	dst := func(r *waiting) ztest.Stream { return r.dst.Writer }
	for _, w := range sourceWaits {
		t.Run(fmt.Sprintf("source wait/%s/source", w), func(t *testing.T) {
			reuse(t, w.forSource(t, nil), src, func(*waiting) {})
		})
		t.Run(fmt.Sprintf("source wait/%s/destination", w), func(t *testing.T) {
			reuse(t, w.forSource(t, nil), dst, func(r *waiting) { r.src.Feed(make([]byte, 1000)) })
		})
	}
	for _, w := range destinationWaits {
		t.Run(fmt.Sprintf("destination wait/%s/destination", w), func(t *testing.T) {
			reuse(t, w.forDestination(t, nil), dst, func(*waiting) {})
		})
		t.Run(fmt.Sprintf("destination wait/%s/source", w), func(t *testing.T) {
			reuse(t, w.forDestination(t, nil), src, func(r *waiting) { r.dst.Resume() })
		})
	}
}

// reuse closes an end of r, gives its number to a file, and ends r's wait.
func reuse(t *testing.T, r *waiting, end func(*waiting) ztest.Stream, release func(*waiting)) {
	t.Helper()
	var was int
	rawFD(t, end(r), func(fd int) error { was = fd; return nil })
	act(t, closing, end(r))
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(was), syscall.F_GETFD, 0); e != syscall.EBADF {
		t.Errorf("descriptor %d is not closed", was)
	}
	content := bytes.Repeat([]byte("mine"), 1000)
	mine := newFile(t, ztest.File)
	_, err := mine.Write(content)
	must(t, err)
	rawFD(t, mine, func(fd int) error {
		if fd == was { // the lowest free number was it
			return nil
		}
		t.Cleanup(func() { syscall.Close(was) })
		return syscall.Dup3(fd, was, syscall.O_CLOEXEC)
	})
	release(r)
	r.Wait()
	if r.err == nil {
		t.Error("the copy has not noticed")
	}
	got, err := os.ReadFile(mine.Name())
	must(t, err)
	ztest.Equal(t, "the file that has the number now", got, content)
	if at, err := mine.Seek(0, io.SeekCurrent); at != int64(len(content)) || err != nil {
		t.Errorf("it stands at %d, %v", at, err)
	}
}
