package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A failed says what the error of a copy has to tell: which end failed, in which
// direction ("read" or "write"), and of what class the error is.
type failed struct {
	end   ztest.Stream
	op    string
	class error
}

// checkFailed holds err to contract 1: its class by errors.Is, its concrete type,
// the end that it names, and Timeout, also through a PartialError.
func checkFailed(t testing.TB, err error, want failed) {
	t.Helper()
	if !errors.Is(err, want.class) {
		t.Errorf("error %v is not %v", err, want.class)
		return
	}
	inner := err
	if partial, ok := err.(*zerocopy.PartialError); ok {
		inner = partial.Err
	}
	switch end := want.end.(type) {
	case *os.File:
		if e, ok := inner.(*fs.PathError); !ok || e.Op != want.op || e.Path != end.Name() {
			t.Errorf("error %T %v, want a *fs.PathError %q of %s", inner, inner, want.op, end.Name())
		}
	case net.Conn:
		e, ok := inner.(*net.OpError)
		if !ok || e.Op != want.op || !strings.HasPrefix(e.Net, end.LocalAddr().Network()) || e.Source != end.LocalAddr() || e.Addr != end.RemoteAddr() {
			t.Errorf("error %T %v, want a *net.OpError %q of %v->%v", inner, inner, want.op, end.LocalAddr(), end.RemoteAddr())
		}
	}
	var timeout net.Error
	late := want.class == os.ErrDeadlineExceeded || want.class == syscall.EAGAIN
	if is := errors.As(err, &timeout) && timeout.Timeout(); is != late {
		t.Errorf("Timeout() is %v of %v", is, err)
	}
}

// A scene is a copy that is going to fail.
type scene struct {
	t    *testing.T
	r    route
	src  *ztest.Source
	dst  *ztest.Dest
	c    *tracked
	from io.Reader
	to   io.Writer

	limit  *io.LimitedReader // nil without one
	hook   *hookedWriter
	ctx    context.Context
	cancel context.CancelCauseFunc
	*copying
}

// unbounded is the N of a limit that is there to be counted down.
const unbounded = 1 << 40

// newScene makes the ends of a copy and what stands around them.
func newScene(t *testing.T, r route, limited bool, content []byte, src, dst []ztest.Option) *scene {
	s := &scene{t: t, r: r, c: r.set(track(t, nil))}
	s.src, s.dst = ztest.NewSource(t, r.src, content, src...), ztest.NewDest(t, r.dst, dst...)
	s.from, s.to = r.reader(s.src), s.dst.Writer
	if limited {
		s.limit = &io.LimitedReader{R: s.from, N: unbounded}
		s.from = s.limit
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	t.Cleanup(func() { s.cancel(nil) })
	if r.hidden {
		s.to = struct{ io.Writer }{s.to}
		s.c.BufferPool = smallBuffers{} // several make up any content
	}
	return s
}

// smallBuffers do not grow. They are no larger than the last bytes of a stream before which
// a hook is to be called, however much each read of the ones before has found.
type smallBuffers struct{}

func (smallBuffers) Get() []byte { return make([]byte, hookChunk) }
func (smallBuffers) Put([]byte)  {}

// start begins the copy.
func (s *scene) start() { s.copying = s.c.begin(s.t, s.ctx, s.to, s.from) }

// awaitFullForGood waits until the copy waits for its destination, and nothing has
// happened for a while: a destination can be full for a moment, until what is on its
// way has arrived; then the copy goes on. The while is counted in looks and not in
// time, of which the whole process may have been given none.
func (s *scene) awaitFullForGood() {
	s.t.Helper()
	calls, received, looks := -1, int64(-1), 0
	ztest.Eventually(s.t, ztest.Patience, "a copy that waits for its destination", func() bool {
		_, writable, err := ztest.Poll(s.dst.Writer)
		if k, n := s.c.count(), s.dst.Received(); k != calls || n != received || writable || err != nil {
			calls, received, looks = k, n, 0
		}
		looks++
		return looks > 100
	})
	s.AwaitParkedToWrite()
}

// hookChunk is the most that moves between two calls of a hook: several make up any
// content, and a buffer of 32 KiB would be more.
const hookChunk = 30_000

// A hookedWriter calls at once it has taken that many bytes and there is more to
// come: the next bytes have been taken from the source and not been written.
type hookedWriter struct {
	io.Writer
	hidden bool
	at     int64
	call   func()
	moved  int64
}

// hookAt makes the scene's destination call f when it has taken at bytes.
func (s *scene) hookAt(at int64, f func()) {
	s.hook = &hookedWriter{Writer: s.dst.Writer, hidden: s.r.hidden, at: at, call: f}
	s.to = s.hook
}

func (h *hookedWriter) before() error {
	if h.call != nil && h.moved >= h.at {
		f := h.call
		h.call = nil
		f()
	}
	return nil
}

func (h *hookedWriter) count(n int64) error { h.moved += n; return nil }

func (h *hookedWriter) Write(p []byte) (int, error) {
	h.before()
	n, err := h.Writer.Write(p)
	h.count(int64(n))
	return n, err
}

func (h *hookedWriter) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: h, Writer: h.Writer, Chunk: hookChunk, Before: h.before, Moved: h.count}, !h.hidden
}

// settled checks what holds after every copy, whatever ended it: n is what the
// destination got, what was taken from the source is Written and Unwritten, and the
// source stands behind it. lossy says that the destination's peer is gone and has
// perhaps not got all that was accepted.
func (s *scene) settled(lossy bool) (left []byte) {
	s.t.Helper()
	s.Wait()
	n, content := s.n, s.src.Content
	left = unwritten(s.t, n, s.err)
	if n+int64(len(left)) > int64(len(content)) {
		s.t.Fatalf("%d written, %d left over of %d", n, len(left), len(content))
	}
	ztest.Equal(s.t, "Unwritten", left, content[n:][:len(left)])
	stored := s.src.Kind == ztest.File
	if stored && len(left) > 0 {
		s.t.Errorf("%d bytes of a file are handed back", len(left))
	}
	if s.limit != nil {
		if took := unbounded - s.limit.N; took != n+int64(len(left)) {
			s.t.Errorf("N went down by %d, but %d were written and %d are left over", took, n, len(left))
		}
	}
	if at := s.src.Pos(); stored && at >= 0 && at != map[bool]int64{false: n, true: 0}[s.r.section] {
		s.t.Errorf("the file stands at %d after %d bytes", at, n)
	}
	if p := s.c.pipes.Stats(); p.Open != p.Idle {
		s.t.Errorf("a pipe is still borrowed: %+v", p)
	}
	if lossy {
		got := s.received()
		if int64(len(got)) > n || !bytes.HasPrefix(content, got) {
			s.t.Errorf("received %d bytes, n = %d: %s", len(got), n, ztest.Diff(got, content[:min(len(got), len(content))]))
		}
	}
	return left
}

// received is what has come to the destination, at its end.
func (s *scene) received() []byte { return s.dst.Finish() }

// completes resends what is left over, copies on and demands that all of the stream
// has arrived: at the same destination if it still works, else at another.
func (s *scene) completes(left []byte, again bool) {
	s.t.Helper()
	s.src.Reader.SetReadDeadline(time.Time{})
	s.src.End()
	dst, had := s.dst, int64(0)
	if again {
		s.dst.Writer.SetWriteDeadline(time.Time{})
		s.dst.Resume()
	} else {
		dst, had = ztest.NewDest(s.t, s.r.dst), s.n
	}
	if n, err := dst.Writer.Write(left); n != len(left) || err != nil {
		s.t.Errorf("resending %d bytes: %d, %v", len(left), n, err)
	}
	n, err := s.c.within(s.t, dst.Writer, s.from)
	if all := s.n + int64(len(left)) + n; err != nil || all != int64(len(s.src.Content)) {
		s.t.Errorf("copying on: %d in all of %d, %v", all, len(s.src.Content), err)
	}
	ztest.Equal(s.t, "what arrived in all", dst.Finish(), s.src.Content[had:])
}
