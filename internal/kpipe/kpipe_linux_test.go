package kpipe_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The tests of this package count what the process has open, so none is parallel.

func TestMain(m *testing.M) { ztest.Main(m, kpipe.Shared.CloseIdle) }

const (
	small  = 64 << 10
	medium = 256 << 10
	large  = 1 << 20
)

// A kernel answers calls by name, where it has an answer, and counts them.
type kernel struct {
	answers map[string]any // an int or a syscall.Errno
	largest int            // F_SETPIPE_SZ of more is EPERM; 0 is no bound

	mu   sync.Mutex
	seen map[string]int
}

func (k *kernel) calls() *sys.Calls {
	return &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.seen == nil {
			k.seen = make(map[string]int)
		}
		k.seen[c.Name]++
		if c.Name == "F_SETPIPE_SZ" && k.largest > 0 && c.N > k.largest {
			return 0, syscall.EPERM, true
		}
		switch a := k.answers[c.Name].(type) {
		case int:
			return a, nil, true
		case syscall.Errno:
			return 0, a, true
		}
		return 0, nil, false
	}}
}

// took returns how many calls of the name there were since it was last asked.
func (k *kernel) took(name string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := k.seen[name]
	k.seen[name] = 0
	return n
}

// allow is a Limits function of fixed numbers.
func allow(budget int64, maxSize int) func() kpipe.Limits {
	return func() kpipe.Limits { return kpipe.Limits{Budget: budget, MaxSize: maxSize} }
}

// roomy is a pool that is not bound by what the user of the tests may have.
func roomy() *kpipe.Pool { return &kpipe.Pool{Limits: allow(1<<30, large)} }

func mustGet(t *testing.T, pool *kpipe.Pool, calls *sys.Calls, class int) *kpipe.Pipe {
	t.Helper()
	p, err := pool.Get(calls, class)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func check(t *testing.T, when string, pool *kpipe.Pool, want kpipe.Stats) {
	t.Helper()
	if got := pool.Stats(); got != want {
		t.Errorf("%s: %+v, want %+v", when, got, want)
	}
}

// openPipes counts the ends of pipes that the process has open.
func openPipes(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(target, "pipe:") {
			n++
		}
	}
	return n
}

// checkClosed demands, at the end of the test, that no more ends of pipes are open
// than now.
func checkClosed(t *testing.T) {
	before := openPipes(t)
	t.Cleanup(func() {
		if n := openPipes(t); n != before {
			t.Errorf("%d ends of pipes are open, %d were", n, before)
		}
	})
}

// A pipe is nonblocking and close-on-exec from birth (H10), has the size that was
// asked for, and carries bytes.
func TestGet(t *testing.T) {
	checkClosed(t)
	pool := roomy()
	defer pool.CloseIdle()
	for class, size := range []int{small, medium, large} {
		p := mustGet(t, pool, nil, class)
		if p.Size != size || kpipe.Sizes[class] != size {
			t.Errorf("class %d: %d bytes, want %d", class, p.Size, size)
		}
		var calls *sys.Calls // the kernel
		if n, err := calls.PipeSize(p.W); n != size {
			t.Errorf("class %d: the kernel says %d, %v", class, n, err)
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
	check(t, "three sizes", pool, kpipe.Stats{Open: 3, Idle: 3, Bytes: small + medium + large, Budget: 1 << 30, Created: 3})
}

// An empty pipe is used again, the last one first; one with bytes in it is closed
// and never seen again.
func TestPutAndDiscard(t *testing.T) {
	checkClosed(t)
	pool, k := roomy(), new(kernel)
	p := mustGet(t, pool, k.calls(), kpipe.Largest)
	syscall.Write(p.W, []byte("residue"))
	pool.Discard(p)
	check(t, "after Discard", pool, kpipe.Stats{Budget: 1 << 30, Created: 1, Discarded: 1})
	p = mustGet(t, pool, k.calls(), kpipe.Largest)
	if n, err := syscall.Read(p.R, make([]byte, 10)); err != syscall.EAGAIN {
		t.Errorf("the next pipe has %d bytes in it, %v", n, err)
	}
	other := mustGet(t, pool, k.calls(), kpipe.Largest)
	pool.Put(p)
	pool.Put(other)
	if q := mustGet(t, pool, k.calls(), kpipe.Largest); q != other {
		t.Error("the pipe that was used last is not the next")
	}
	if q := mustGet(t, pool, k.calls(), kpipe.Largest); q != p || k.took("pipe2") != 3 {
		t.Error("an idle pipe was not used again")
	}
	check(t, "borrowed", pool, kpipe.Stats{Open: 2, Bytes: 2 * large, Budget: 1 << 30, Created: 3, Discarded: 1})
	pool.Put(p)
	pool.Put(other)
	check(t, "idle", pool, kpipe.Stats{Open: 2, Idle: 2, Bytes: 2 * large, Budget: 1 << 30, Created: 3, Discarded: 1})
	pool.CloseIdle()
	check(t, "after CloseIdle", pool, kpipe.Stats{Budget: 1 << 30, Created: 3, Discarded: 1})
}

// No more than 64 are kept, whatever was in use at a time.
func TestIdleIsBounded(t *testing.T) {
	checkClosed(t)
	pool := roomy()
	var all []*kpipe.Pipe
	for i := range 80 {
		all = append(all, mustGet(t, pool, nil, i%2)) // of all classes together
	}
	for _, p := range all {
		pool.Put(p)
	}
	check(t, "all given back", pool, kpipe.Stats{Open: 64, Idle: 64, Bytes: 32*small + 32*medium, Budget: 1 << 30, Created: 80})
	pool.CloseIdle()
}

// Whatever keeps a pipe from being of use is told by its errno, and nothing stays
// open. A pipe of less than 64 KiB is of no use.
func TestGetFails(t *testing.T) {
	checkClosed(t)
	for _, tt := range []struct {
		name    string
		answers map[string]any
		want    error
		size    int
	}{
		{"no descriptor", map[string]any{"pipe2": syscall.EMFILE}, syscall.EMFILE, 0},
		{"none in the system", map[string]any{"pipe2": syscall.ENFILE}, syscall.ENFILE, 0},
		{"seccomp", map[string]any{"pipe2": syscall.ENOSYS}, syscall.ENOSYS, 0},
		{"the share of pipe memory is used up: two pages", map[string]any{"F_SETPIPE_SZ": syscall.EPERM, "F_GETPIPE_SZ": 8192}, syscall.EPERM, 0},
		{"and one", map[string]any{"F_SETPIPE_SZ": syscall.EPERM, "F_GETPIPE_SZ": 4096}, syscall.EPERM, 0},
		{"no size to be had at all", map[string]any{"F_SETPIPE_SZ": syscall.EPERM, "F_GETPIPE_SZ": syscall.ENOSYS}, syscall.ENOSYS, 0},
		{"a small limit, but the default is enough", map[string]any{"F_SETPIPE_SZ": syscall.EPERM}, nil, small},
		{"no memory for a larger ring", map[string]any{"F_SETPIPE_SZ": syscall.ENOMEM}, nil, small},
		{"the least that is worth it", map[string]any{"F_SETPIPE_SZ": small}, nil, small},
		{"less", map[string]any{"F_SETPIPE_SZ": small - 1}, syscall.EPERM, 0},
	} {
		pool, k := roomy(), &kernel{answers: tt.answers}
		p, err := pool.Get(k.calls(), kpipe.Largest)
		if !errors.Is(err, tt.want) || (p == nil) != (tt.want != nil) || p != nil && p.Size != tt.size {
			t.Errorf("%s: %+v, %v", tt.name, p, err)
		}
		want := kpipe.Stats{Budget: 1 << 30, Refused: 1}
		if p != nil {
			want = kpipe.Stats{Open: 1, Idle: 1, Bytes: int64(tt.size), Budget: 1 << 30, Created: 1}
			pool.Put(p)
		}
		check(t, tt.name, pool, want)
		pool.CloseIdle()
	}
}

// Where none can be made, one that is idle is better than none, whatever its size.
func TestIdleWhereNoneCanBeMade(t *testing.T) {
	checkClosed(t)
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOSYS} {
		pool := roomy()
		little, big := mustGet(t, pool, nil, 0), mustGet(t, pool, nil, kpipe.Largest)
		pool.Put(big)
		pool.Put(little)
		k := &kernel{answers: map[string]any{"pipe2": errno}}
		if p := mustGet(t, pool, k.calls(), 1); p != big {
			t.Errorf("%v: a pipe of %d bytes, want the largest", errno, p.Size)
		}
		if p := mustGet(t, pool, k.calls(), 1); p != little {
			t.Errorf("%v: a pipe of %d bytes, want the smallest", errno, p.Size)
		}
		if p, err := pool.Get(k.calls(), 1); p != nil || err != errno {
			t.Errorf("%+v, %v, want %v", p, err, errno)
		}
		check(t, errno.Error(), pool, kpipe.Stats{Open: 2, Bytes: small + large, Budget: 1 << 30, Created: 2, Refused: 1})
		pool.Put(big)
		pool.Put(little)
		pool.CloseIdle()
	}
}
