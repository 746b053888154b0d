package zerocopy_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// awaitExpired waits until the deadline of end has passed, for "read" or "write".
func awaitExpired(t testing.TB, end ztest.Stream, op string) {
	t.Helper()
	raw, err := end.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	call := raw.Read
	if op == "write" {
		call = raw.Write
	}
	ztest.Eventually(t, ztest.Patience, op+" deadline in the past", func() bool {
		return errors.Is(call(func(uintptr) bool { return true }), os.ErrDeadlineExceeded)
	})
}

// An arming wrapper gives each wait for its end a deadline, as an idle timeout does.
// It is one that nobody lives to see: that it passes is the test's to say.
type arming struct {
	ztest.Stream
}

func (a *arming) arm(set func(time.Time) error) func() error {
	return func() error { return set(time.Now().Add(time.Hour)) }
}

func (a *arming) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: a, Reader: a.Stream, Before: a.arm(a.SetReadDeadline)}, true
}

func (a *arming) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: a, Writer: a.Stream, Before: a.arm(a.SetWriteDeadline)}, true
}

// TestIdleTimeoutIsOfItsEnd: the time that a copy waits for one end is no idling of
// the other. Before is asked again after such a wait.
func TestIdleTimeoutIsOfItsEnd(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		if !r.src.Stream() || !r.dst.Stream() {
			continue
		}
		t.Run("destination waited for/"+r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, r, false, ztest.Pattern(8).Bytes(1<<20), []ztest.Option{ztest.Buffers(small)},
				[]ztest.Option{ztest.StallAfter(5000), ztest.Buffers(small)})
			s.from = &arming{s.src.Reader}
			s.src.AwaitQueued(small)
			s.start()
			s.awaitFullForGood()
			s.src.Reader.SetReadDeadline(past) // the time is up
			awaitExpired(t, s.src.Reader, "read")
			s.dst.Resume()
			s.Wait()
			checkWhole(t, s.dst, s.n, s.err, s.src.Content)
		})
		t.Run("source waited for/"+r.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, r, false, nil, []ztest.Option{ztest.Manual()}, nil)
			s.to = &arming{s.dst.Writer}
			s.src.Feed([]byte("at first "))
			s.start()
			s.dst.AwaitReceived(9)
			s.AwaitParked()
			s.dst.Writer.SetWriteDeadline(past) // the time is up
			awaitExpired(t, s.dst.Writer, "write")
			s.src.Feed([]byte("and later"))
			ztest.Eventually(t, ztest.Patience, "all of it, or an end", func() bool { return s.dst.Received() >= 18 || ended(s.Done()) })
			s.src.End()
			s.Wait()
			checkWhole(t, s.dst, s.n, s.err, []byte("at first and later"))
		})
	}
}

// A moving wrapper calls once something has moved.
type moving struct {
	ztest.Stream
	moved func()
}

func (m *moving) call(int64) error {
	if f := m.moved; f != nil {
		m.moved = nil
		f()
	}
	return nil
}

func (m *moving) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: m, Reader: m.Stream, Moved: m.call}, true
}

func (m *moving) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: m, Writer: m.Stream, Moved: m.call}, true
}

// TestContextOutlivesDeadlines: a context that has ended ends the copy, although a
// callback sets the deadlines anew, by which it would have ended.
func TestContextOutlivesDeadlines(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		if !r.src.Stream() || !r.dst.Stream() {
			continue
		}
		for _, full := range []bool{false, true} {
			t.Run(map[bool]string{false: "source waited for/", true: "destination waited for/"}[full]+r.name, func(t *testing.T) {
				t.Parallel()
				var stall []ztest.Option
				if full {
					stall = []ztest.Option{ztest.StallAfter(100), ztest.Buffers(small)}
				}
				s := newScene(t, r, false, ztest.Pattern(9).Bytes(1<<20), []ztest.Option{ztest.NoEOF()}, stall)
				rearm := func() {
					s.cancel(errCause)
					awaitExpired(t, s.src.Reader, "read")
					awaitExpired(t, s.dst.Writer, "write")
					s.src.Reader.SetReadDeadline(time.Time{})
					s.dst.Writer.SetWriteDeadline(time.Time{})
				}
				s.from, s.to = &moving{Stream: s.src.Reader, moved: rearm}, &moving{Stream: s.dst.Writer}
				if full {
					s.from, s.to = &moving{Stream: s.src.Reader}, &moving{Stream: s.dst.Writer, moved: rearm}
				}
				s.start()
				left := s.settled(false)
				if !errors.Is(s.err, errCause) {
					t.Errorf("%d, %v", s.n, s.err)
				}
				s.completes(left, true)
			})
		}
	}
}

// TestResetIsNotForgotten: a copy that ends before it has looked at its source, since
// the destination takes nothing, leaves the source's reset to whoever reads next. A
// socket tells it but once.
func TestResetIsNotForgotten(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.TCP6, ztest.Unix, ztest.SockFile} {
		src := ztest.NewSource(t, from, nil, ztest.NoEOF())
		dst := ztest.NewDest(t, ztest.TCP4)
		src.Reset()
		ztest.Eventually(t, ztest.Patience, "reset", func() bool { readable, _, err := ztest.Poll(src.Reader); return readable || err != nil })
		dst.Writer.SetWriteDeadline(past)
		if _, err := zerocopy.Copy(dst.Writer, src.Reader); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", from, err)
		}
		dst.Writer.SetWriteDeadline(time.Time{})
		_, err := zerocopy.Copy(dst.Writer, src.Reader)
		checkFailed(t, err, failed{src.Reader, "read", syscall.ECONNRESET})
	}
}
