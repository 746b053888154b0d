package engine

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// How a SocketLender begins and ends.

// TestH14Copies: a device counts as one that copies once it has said so of nearly all, and
// not for a few of many.
func TestH14Copies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		copied func(n int) bool
		stops  bool
	}{
		"all":          {func(int) bool { return true }, true},
		"none":         {func(int) bool { return false }, false},
		"one":          {func(n int) bool { return n == 0 }, false},
		"one of three": {func(n int) bool { return n%3 == 0 }, false},
		"nine of ten":  {func(n int) bool { return n%10 != 0 }, true},
		"from then on": {func(n int) bool { return n > 20 }, true},
	} {
		n := 0
		var mu sync.Mutex
		calls := &sys.Calls{Complete: func(fd int) (sys.Completion, bool, error) {
			c, ok, err := (*sys.Calls)(nil).Completion(fd)
			mu.Lock()
			defer mu.Unlock()
			if c.Copied = err == nil && ok && tt.copied(n); err == nil && ok {
				n++
			}
			return c, ok, err
		}}
		d := ztest.NewDest(t, ztest.TCP4, ztest.Into(io.Discard))
		l := lender(t, calls, d.Writer)
		p := memory(t, 5, 64<<10)
		for n < 100 && l.Err == nil {
			sendAll(t, l, p)
			await(t, l)
		}
		if (l.Err == ErrCopied) != tt.stops || l.Err != nil && l.Err != ErrCopied {
			t.Errorf("%s: %v after %d completions", name, l.Err, n)
		}
		l.Close()
		next := lender(t, calls, d.Writer)
		if next.Err != l.Err {
			t.Errorf("%s: the next: %v", name, next.Err)
		}
	}
}

// TestH14Open: what keeps a socket from being lent anything is told at once, and sends are
// copied then.
func TestH14Open(t *testing.T) {
	t.Parallel()
	const notSentLowWater = 25 // TCP_NOTSENT_LOWAT
	marked := ztest.NewDest(t, ztest.TCP4)
	raw, err := marked.Writer.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowWater, 100_000) })
	}
	if err != nil {
		t.Fatal(err)
	}
	strange := ztest.NewDest(t, ztest.TCP4)
	if raw, err = strange.Writer.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { err = (*sys.Calls)(nil).SetZerocopy(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	busy := ztest.NewDest(t, ztest.TCP4)
	first := lender(t, nil, busy.Writer)
	for _, tt := range []struct {
		name string
		d    *ztest.Dest
		want error
	}{
		{"TCP_NOTSENT_LOWAT", marked, ErrNotSentLowWater}, {"SO_ZEROCOPY is set", strange, ErrLentElsewhere}, {"busy", busy, ErrLentElsewhere},
	} {
		l := lender(t, nil, tt.d.Writer)
		if l.Err != tt.want || l.Held() != 0 {
			t.Errorf("%s: %v", tt.name, l.Err)
		}
		p := memory(t, 6, 100_000)
		if lent := sendAll(t, l, p); lent != 0 {
			t.Errorf("%s: %d bytes were lent", tt.name, lent)
		}
		l.Close() // and the first is not disturbed
		ztest.Equal(t, tt.name, tt.d.Finish(), p)
	}
	if first.Err != nil {
		t.Error(first.Err)
	}

	d := ztest.NewDest(t, ztest.TCP4)
	for _, call := range []string{"SO_MEMINFO", "SO_COOKIE", "SO_ZEROCOPY?", "SO_ZEROCOPY", "TCP_NOTSENT_LOWAT"} {
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) { return 0, syscall.ENOPROTOOPT, c.Name == call }}
		l := lender(t, calls, d.Writer)
		if l.Err != syscall.ENOPROTOOPT {
			t.Errorf("%s: %v", call, l.Err)
		}
		l.Close()
	}
	d.Writer.Close()
}

// TestH14Forget: what is known of a socket goes with its connection.
func TestH14Forget(t *testing.T) {
	t.Parallel()
	cookie := func() uint64 {
		d := ztest.NewDest(&shortLived{TB: t, t: t}, ztest.TCP4)
		end, _ := Inspect(nil, d.Writer, false)
		l := NewSocketLender(nil, end)
		if l.Err != nil {
			t.Fatal(l.Err)
		}
		l.Close()
		d.Close()
		return l.cookie
	}()
	known := func() bool {
		loans.Lock()
		defer loans.Unlock()
		return loans.m[cookie] != nil
	}
	if !known() {
		t.Error("is not known")
	}
	ztest.Eventually(t, ztest.Patience, "forgotten", func() bool {
		runtime.GC()
		return !known()
	})
}

// shortLived is a test whose cleanups do not keep what they clean.
type shortLived struct {
	testing.TB
	t *testing.T
}

func (s *shortLived) Cleanup(func()) {}

// TestSocketFile: a connection that is an *os.File lends and is forgotten as well.
func TestSocketFile(t *testing.T) {
	t.Parallel()
	d := ztest.NewDest(t, ztest.TCP4)
	f, err := d.Writer.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l := lender(t, fullCopies(), f)
	p := memory(t, 7, 300_000)
	if lent := sendAll(t, l, p); lent < len(p)/2 || l.Err != nil {
		t.Errorf("%d bytes were lent: %v", lent, l.Err)
	}
	await(t, l)
	same := lender(t, nil, d.Writer) // by the cookie
	if same.Err != ErrLentElsewhere {
		t.Errorf("the connection of a file that is lent to: %v", same.Err)
	}
	ztest.Equal(t, "content", d.Finish(), p)
}

// TestVmspliceEnds: a PipeLender's waits and refusals, which package pages sees as they are.
func TestVmspliceEnds(t *testing.T) {
	t.Parallel()
	p := memory(t, 8, 256<<10)
	r, w := ztest.FilePair(t, ztest.Pipe)
	end, _ := Inspect(nil, w, false)
	l := NewPipeLender(nil, end)
	n, handled, err := l.Vmsplice(p)
	if n != 64<<10 || !handled || err != nil {
		t.Errorf("%d, %v, %v", n, handled, err)
	}
	if b, err := l.Buffered(); b != n || err != nil {
		t.Errorf("%d bytes in the pipe, %v", b, err)
	}
	w.SetWriteDeadline(time.Unix(1, 0))
	if n, handled, err := l.Vmsplice(p); n != 0 || !handled || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %d, %v, %v", n, handled, err)
	}
	if _, err := l.Buffered(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	w.SetWriteDeadline(time.Time{})
	r.Close()
	if n, handled, err := l.Vmsplice(p); n != 0 || handled || err != syscall.EPIPE {
		t.Errorf("nobody reads: %d, %v, %v", n, handled, err)
	}
	if _, err := l.Buffered(); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("nobody reads: %v", err)
	}
	w.Close()
	if n, handled, err := l.Vmsplice(p); n != 0 || !handled || !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %d, %v, %v", n, handled, err)
	}
	if _, err := l.Buffered(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}

	for _, errno := range []error{syscall.EINVAL, syscall.ENOSYS, syscall.EPERM} {
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) { return 0, errno, c.Name == "vmsplice" }}
		r, w := ztest.FilePair(t, ztest.Pipe)
		end, _ := Inspect(nil, w, false)
		if n, handled, err := NewPipeLender(calls, end).Vmsplice(p); n != 0 || handled || err != errno {
			t.Errorf("%v: %d, %v, %v", errno, n, handled, err)
		}
		w.Write(p[:10])
		src, _ := Inspect(nil, r, true)
		taker, b := NewPipeTaker(calls, src), make([]byte, 10)
		if n, handled, err := taker.Take(b, true); n != 0 || handled || err != errno {
			t.Errorf("%v: %d, %v, %v", errno, n, handled, err)
		}
		if n, handled, err := taker.Take(b, false); n != 10 || !handled || err != nil {
			t.Errorf("read after %v: %d, %v, %v", errno, n, handled, err)
		}
		ztest.Equal(t, "content", b, p[:10])
	}
}
