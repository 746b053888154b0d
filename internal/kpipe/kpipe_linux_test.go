package kpipe_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func TestMain(m *testing.M) { ztest.Main(m, kpipe.Shared.CloseIdle) }

// answering returns calls of which the named ones have the given results; counted
// are all.
func answering(answers map[string]any, seen map[string]int) *sys.Calls {
	return &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		if seen != nil {
			seen[c.Name]++
		}
		switch a := answers[c.Name].(type) {
		case int:
			return a, nil, true
		case syscall.Errno:
			return 0, a, true
		}
		return 0, nil, false
	}}
}

func openPipes(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && len(target) > 5 && target[:5] == "pipe:" {
			n++
		}
	}
	return n
}

// A pipe is nonblocking and close-on-exec from birth (H10), has the size that was
// asked for, and carries bytes.
func TestGet(t *testing.T) {
	var pool kpipe.Pool
	defer pool.CloseIdle()
	p, err := pool.Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.Size < 1<<20 {
		t.Errorf("%d bytes", p.Size)
	}
	for _, fd := range []int{p.R, p.W} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
		if err != nil {
			t.Fatal(err)
		}
		var pos, flags int
		if _, err := fmt.Sscanf(string(b), "pos: %d\nflags: %o", &pos, &flags); err != nil {
			t.Fatalf("%v in %q", err, b)
		}
		if flags&syscall.O_NONBLOCK == 0 || flags&syscall.O_CLOEXEC == 0 {
			t.Errorf("flags %#o", flags)
		}
	}
	syscall.Write(p.W, []byte("through"))
	b := make([]byte, 10)
	if n, err := syscall.Read(p.R, b); string(b[:max(n, 0)]) != "through" || err != nil {
		t.Errorf("%q, %v", b[:max(n, 0)], err)
	}
	if _, err := syscall.Read(p.R, b); err != syscall.EAGAIN {
		t.Errorf("read of an empty pipe: %v", err)
	}
	pool.Put(p)
}

// An empty pipe is used again; one with bytes in it is closed and never seen again.
func TestPutAndDiscard(t *testing.T) {
	var pool kpipe.Pool
	before := openPipes(t)
	seen := map[string]int{}
	calls := answering(nil, seen)
	p, _ := pool.Get(calls)
	syscall.Write(p.W, []byte("residue"))
	pool.Discard(p)
	if s := pool.Stats(); s != (kpipe.Stats{Created: 1, Discarded: 1}) {
		t.Errorf("after Discard: %+v", s)
	}
	if n := openPipes(t); n != before {
		t.Errorf("%d ends of pipes are open, %d were", n, before)
	}
	p, _ = pool.Get(calls)
	if n, err := syscall.Read(p.R, make([]byte, 10)); err != syscall.EAGAIN {
		t.Errorf("the next pipe has %d bytes in it, %v", n, err)
	}
	pool.Put(p)
	q, _ := pool.Get(calls)
	if q != p || seen["pipe2"] != 2 {
		t.Errorf("an idle pipe was not used again: %v", seen)
	}
	if s := pool.Stats(); s != (kpipe.Stats{Open: 1, Created: 2, Discarded: 1}) {
		t.Errorf("borrowed: %+v", s)
	}
	pool.Put(q)
	pool.CloseIdle()
	if s := pool.Stats(); s.Open != 0 || s.Idle != 0 || openPipes(t) != before {
		t.Errorf("after CloseIdle: %+v", s)
	}
}

// No more than so many are kept, whatever was in use at a time.
func TestIdleIsBounded(t *testing.T) {
	var pool kpipe.Pool
	var all []*kpipe.Pipe
	for range 40 {
		p, err := pool.Get(answering(map[string]any{"F_SETPIPE_SZ": 1 << 20}, nil)) // 64 KiB each
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	for _, p := range all {
		pool.Put(p)
	}
	if s := pool.Stats(); s.Idle != 16 || s.Open != 16 || s.Created != 40 || s.Discarded != 0 {
		t.Errorf("%+v", s)
	}
	pool.CloseIdle()
}

// Whatever keeps a pipe from being of use is told by its errno, and nothing stays
// open.
func TestGetFails(t *testing.T) {
	before := openPipes(t)
	for _, tt := range []struct {
		name    string
		answers map[string]any
		want    error
		size    int
	}{
		{"no descriptor", map[string]any{"pipe2": syscall.EMFILE}, syscall.EMFILE, 0},
		{"seccomp", map[string]any{"pipe2": syscall.ENOSYS}, syscall.ENOSYS, 0},
		{"the share of pipe memory is used up: two pages", map[string]any{"F_SETPIPE_SZ": syscall.EPERM, "F_GETPIPE_SZ": 8192}, syscall.EPERM, 0},
		{"and one", map[string]any{"F_SETPIPE_SZ": syscall.EPERM, "F_GETPIPE_SZ": 4096}, syscall.EPERM, 0},
		{"no size to be had at all", map[string]any{"F_SETPIPE_SZ": syscall.EPERM, "F_GETPIPE_SZ": syscall.ENOSYS}, syscall.ENOSYS, 0},
		{"a small limit, but the default is enough", map[string]any{"F_SETPIPE_SZ": syscall.EPERM}, nil, 65536},
		{"the least that is worth it", map[string]any{"F_SETPIPE_SZ": 65536}, nil, 65536},
		{"less", map[string]any{"F_SETPIPE_SZ": 65535}, syscall.EPERM, 0},
	} {
		var pool kpipe.Pool
		p, err := pool.Get(answering(tt.answers, nil))
		if !errors.Is(err, tt.want) || (p == nil) != (tt.want != nil) || p != nil && p.Size != tt.size {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		}
		if p != nil {
			pool.Put(p)
		} else if s := pool.Stats(); s != (kpipe.Stats{}) {
			t.Errorf("%s: %+v", tt.name, s)
		}
		pool.CloseIdle()
		if n := openPipes(t); n != before {
			t.Errorf("%s: %d ends of pipes are open, %d were", tt.name, n, before)
		}
	}
}

// A pipe belongs to one borrower at a time.
func TestConcurrent(t *testing.T) {
	var pool kpipe.Pool
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 200 {
				p, err := pool.Get(nil)
				if err != nil {
					t.Error(err)
					return
				}
				mark := []byte{byte(i), byte(j)}
				syscall.Write(p.W, mark)
				if j%10 == 0 {
					pool.Discard(p)
					continue
				}
				got := make([]byte, 3)
				if n, err := syscall.Read(p.R, got); n != 2 || err != nil || got[0] != mark[0] || got[1] != mark[1] {
					t.Errorf("read %v, %v, want %v", got, err, mark)
				}
				pool.Put(p)
				pool.Stats()
			}
		})
	}
	wg.Wait()
	pool.CloseIdle()
	if s := pool.Stats(); s.Open != 0 || s.Discarded != 160 {
		t.Errorf("%+v", s)
	}
}
