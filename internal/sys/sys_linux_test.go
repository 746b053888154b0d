package sys_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func TestMain(m *testing.M) { ztest.Main(m, nil) }

// with runs f on the descriptor of c.
func with(t *testing.T, c syscall.Conn, f func(fd int)) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { f(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// An interceptor sees each call, may lower its length, answer in its place, and
// interrupt it, which nobody else sees.
func TestIntercept(t *testing.T) {
	t.Parallel()
	r, w := ztest.FilePair(t, ztest.Pipe)
	w.Write([]byte("intercepted"))
	nth := 0
	calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		nth++
		if c.Name != "read" || c.N != 20 || c.Out != -1 {
			t.Errorf("%+v", *c)
		}
		switch nth {
		case 1:
			return 0, syscall.EINTR, true
		case 2:
			c.N = 5
			return 0, nil, false
		case 3:
			return 17, syscall.EPERM, true
		}
		return 7, nil, true
	}}
	b := make([]byte, 20)
	with(t, r, func(fd int) {
		if n, err := calls.Read(fd, b); n != 5 || err != nil || string(b[:n]) != "inter" || nth != 2 {
			t.Errorf("lowered, after an EINTR: %d, %v, %q, %d calls", n, err, b, nth)
		}
		if n, err := calls.Read(fd, b); n != 0 || err != syscall.EPERM {
			t.Errorf("an error has no count: %d, %v", n, err)
		}
		if n, err := calls.Read(fd, b); n != 7 || err != nil {
			t.Errorf("answered: %d, %v", n, err)
		}
		if n, err := (*sys.Calls)(nil).Read(fd, b); string(b[:n]) != "cepted" || err != nil {
			t.Errorf("the kernel: %q, %v", b[:n], err)
		}
	})
}

// The end of a stream is seen without taking anything, and a pending error stays.
func TestPeekEnd(t *testing.T) {
	t.Parallel()
	var kernel *sys.Calls
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.TCP6, ztest.Unix, ztest.SockFile} {
		peek := func(src *ztest.Source) (end bool) {
			with(t, src.Reader, func(fd int) { end, _ = kernel.PeekEnd(fd) })
			return end
		}
		src := ztest.NewSource(t, k, nil, ztest.Manual())
		if peek(src) {
			t.Errorf("%s: open and empty is an end", k)
		}
		src.Feed([]byte("x"))
		src.End()
		src.AwaitQueued(1)
		if peek(src) {
			t.Errorf("%s: bytes before the end are an end", k)
		}
		src.Reader.Read(make([]byte, 1))
		ztest.Eventually(t, ztest.Patience, "end", func() bool { return peek(src) })

		src = ztest.NewSource(t, k, nil, ztest.NoEOF())
		src.Reset()
		ztest.Eventually(t, ztest.Patience, "reset", func() bool { readable, _, err := ztest.Poll(src.Reader); return readable || err != nil })
		if peek(src) {
			t.Errorf("%s: a reset is an end", k)
		}
		if _, err := src.Reader.Read(make([]byte, 1)); err == nil || err.Error() == "EOF" {
			t.Errorf("%s: the reset is gone: %v", k, err)
		}
	}
}

// Readiness is told a side; an error or a hangup counts as ready.
func TestPoll(t *testing.T) {
	t.Parallel()
	var kernel *sys.Calls
	ask := func(f *os.File) (ready int) {
		with(t, f, func(fd int) { ready, _ = kernel.Poll(fd) })
		return ready
	}
	r, w := ztest.FilePair(t, ztest.Pipe)
	if got := ask(r); got != 0 {
		t.Errorf("empty pipe: %b", got)
	}
	if got := ask(w); got != sys.Writable {
		t.Errorf("its write end: %b", got)
	}
	w.Write([]byte("x"))
	if got := ask(r); got != sys.Readable {
		t.Errorf("with a byte: %b", got)
	}
	r.Close()
	if got := ask(w); got&sys.Writable == 0 {
		t.Errorf("nobody reads: %b", got)
	}
	a, b := ztest.FilePair(t, ztest.SockFile)
	if got := ask(a); got != sys.Writable {
		t.Errorf("socket: %b", got)
	}
	b.Close()
	if got := ask(a); got&sys.Readable == 0 {
		t.Errorf("peer gone: %b", got)
	}
}
