package kpipe_test

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestBudgetShares: the larger pipes may use a part of the budget only, and who asks
// for one gets a smaller one when that part is used up.
func TestBudgetShares(t *testing.T) {
	checkClosed(t)
	for _, tt := range []struct {
		name   string
		budget int64
		class  int
		want   [3]int // pipes of each size until there are no more
	}{
		{"2/4 for 1 MiB, 3/4 for 256 KiB", 4 * large, 2, [3]int{16, 4, 2}},
		{"asked for 256 KiB", 4 * large, 1, [3]int{16, 12, 0}},
		{"asked for 64 KiB", 4 * large, 0, [3]int{64, 0, 0}},
		{"a byte less than the shares", 4*large - 1, 2, [3]int{19, 7, 1}},
		{"one of 1 MiB, exactly", 2 * large, 2, [3]int{8, 2, 1}},
		{"less than two", 2*large - 1, 2, [3]int{11, 5, 0}},
		{"one of the least", small, 2, [3]int{1, 0, 0}},
		{"not even that", small - 1, 2, [3]int{0, 0, 0}},
		{"nothing", 0, 2, [3]int{0, 0, 0}},
		{"less than nothing", -5, 2, [3]int{0, 0, 0}},
	} {
		pool := &kpipe.Pool{Limits: allow(tt.budget, large)}
		var held []*kpipe.Pipe
		var got [3]int
		var bytes int64
		for len(held) < 200 {
			p, err := pool.Get(nil, tt.class)
			if err != nil {
				if err != kpipe.ErrBudget {
					t.Errorf("%s: %v", tt.name, err)
				}
				break
			}
			for class, size := range kpipe.Sizes {
				if p.Size == size {
					got[class]++
				}
			}
			held = append(held, p)
			if bytes += int64(p.Size); bytes > tt.budget || pool.Stats().Bytes != bytes {
				t.Errorf("%s: %d bytes: %+v", tt.name, bytes, pool.Stats())
			}
		}
		if got != tt.want {
			t.Errorf("%s: pipes %v, want %v", tt.name, got, tt.want)
		}
		if s := pool.Stats(); s.Refused != 1 || s.Budget != max(tt.budget, 1) {
			t.Errorf("%s: %+v", tt.name, s)
		}
		// What is given back is had again, whatever was asked for.
		for _, p := range held {
			pool.Put(p)
			for class := range kpipe.Sizes {
				if q := mustGet(t, pool, nil, class); q != p {
					t.Fatalf("%s: another pipe", tt.name)
				} else {
					pool.Put(q)
				}
			}
			mustGet(t, pool, nil, tt.class)
		}
		for _, p := range held {
			pool.Discard(p)
		}
		if s := pool.Stats(); s.Bytes != 0 || s.Open != 0 {
			t.Errorf("%s: %+v", tt.name, s)
		}
	}
}

// TestSmallerIdleComesFirst: where there is no more room for a size, an idle pipe of
// the next smaller one serves, and no other is made. Else a stream beside a few that
// hold large ones would make a pipe with each of its chunks.
func TestSmallerIdleComesFirst(t *testing.T) {
	checkClosed(t)
	pool, k := &kpipe.Pool{Limits: allow(32*large, large)}, new(kernel)
	var held []*kpipe.Pipe
	for range 16 { // streams whose peers do not read
		held = append(held, mustGet(t, pool, k.calls(), kpipe.Largest))
	}
	for range 500 { // chunks of a stream whose peer does
		pool.Put(mustGet(t, pool, k.calls(), kpipe.Largest))
	}
	if n := k.took("pipe2"); n != 17 {
		t.Errorf("%d pipes were made for 17 at a time: %+v", n, pool.Stats())
	}
	for _, p := range held {
		pool.Put(p)
	}
	pool.CloseIdle()
}

// TestBudgetWhileAPipeIsMade: what the kernel is being asked for counts already. The
// pool is not locked meanwhile.
func TestBudgetWhileAPipeIsMade(t *testing.T) {
	checkClosed(t)
	pool := &kpipe.Pool{Limits: allow(small, large)}
	asked := false
	p := mustGet(t, pool, &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		asked = true
		if other, err := pool.Get(nil, 0); other != nil || err != kpipe.ErrBudget {
			t.Errorf("%s: a pipe beyond the budget: %+v, %v", c.Name, other, err)
		}
		if s := pool.Stats(); s.Bytes != small || s.Open != 0 {
			t.Errorf("%s: %+v", c.Name, s)
		}
		return 0, nil, false
	}}, 0)
	if !asked || p.Size != small {
		t.Errorf("asked %v, %d bytes", asked, p.Size)
	}
	pool.Discard(p)
}

// TestMaxSize: what pipe-max-size does not allow is not asked for.
func TestMaxSize(t *testing.T) {
	checkClosed(t)
	for maxSize, want := range map[int]int{
		2 * large: large, large: large, large - 1: medium, medium: medium, medium - 1: small, small: small,
		4096: small, // what a pipe is born with is not bound by it
	} {
		asked := 0
		pool := &kpipe.Pool{Limits: func() kpipe.Limits {
			asked++
			return kpipe.Limits{Budget: 1 << 30, MaxSize: maxSize}
		}}
		k := &kernel{largest: max(maxSize, small)}
		for range 3 {
			p := mustGet(t, pool, k.calls(), kpipe.Largest)
			if p.Size != want || k.took("F_SETPIPE_SZ") != 1 {
				t.Errorf("pipe-max-size %d: %d bytes, want %d", maxSize, p.Size, want)
			}
			pool.Discard(p)
		}
		if asked != 1 {
			t.Errorf("the limits were read %d times", asked)
		}
	}
}

// pages reads a limit of /proc/sys/fs.
func pages(t *testing.T, name string) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/fs/" + name)
	if err != nil {
		ztest.Missing(t, "%v", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// unboundedBudget is the budget of a process that the kernel does not bind.
const unboundedBudget = 256 << 20

// share is half of what an unprivileged user may have.
func share(t *testing.T) int64 {
	budget := int64(unboundedBudget)
	for _, name := range []string{"pipe-user-pages-soft", "pipe-user-pages-hard"} {
		if n := pages(t, name); n > 0 {
			budget = min(budget, n*int64(os.Getpagesize())/2)
		}
	}
	return budget
}

// checkSystem demands that a pool without Limits of its own has the budget, and that
// the largest size that it gives is one that the kernel grants. An unprivileged one
// may get less, or none, if other processes of the user have used up their share.
func checkSystem(t *testing.T, budget int64, privileged bool) {
	t.Helper()
	var pool kpipe.Pool
	check(t, "before the first pipe", &pool, kpipe.Stats{})
	k := new(kernel)
	p, err := pool.Get(k.calls(), kpipe.Largest)
	if got := pool.Stats().Budget; got != budget {
		t.Errorf("a budget of %d, want %d", got, budget)
	}
	if err != nil {
		if privileged || err != syscall.EPERM {
			t.Error(err)
		}
		return
	}
	if privileged && (p.Size != large || k.took("F_SETPIPE_SZ") != 1) {
		t.Errorf("a pipe of %d bytes", p.Size)
	}
	if s := pool.Stats(); s.Bytes != int64(p.Size) {
		t.Errorf("%+v, a pipe of %d bytes", s, p.Size)
	}
	pool.Put(p)
	pool.CloseIdle()
}

// become makes this process that of an unprivileged user, for good.
func become(t *testing.T, id int) {
	t.Helper()
	if os.Getuid() != 0 {
		ztest.Missing(t, "becoming another user needs root")
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id)); err != nil {
		t.Fatal(err)
	}
	// The change of user has made /proc/self root's, where descriptors are counted.
	const prSetDumpable = 4
	if _, _, e := syscall.Syscall(syscall.SYS_PRCTL, prSetDumpable, 1, 0); e != 0 {
		t.Fatal(e)
	}
}

// TestSystemBudget: with the capabilities of root in the first user namespace there
// is a budget of ours alone.
func TestSystemBudget(t *testing.T) {
	b, err := os.ReadFile("/proc/self/uid_map")
	if os.Getuid() != 0 || err != nil || strings.Fields(string(b))[2] != "4294967295" || !sys.PipePrivileged() {
		ztest.Missing(t, "needs root outside of any user namespace")
	}
	checkSystem(t, unboundedBudget, true)
}

// TestSystemBudgetUnprivileged: half of the user's share of pipe memory.
func TestSystemBudgetUnprivileged(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	become(t, 65534)
	checkSystem(t, share(t), false)
}

// namespaceEnv tells a child that it is in a user namespace of its own.
const namespaceEnv = "KPIPE_NAMESPACE"

// TestSystemBudgetInNamespace: in a user namespace a process may have all
// capabilities, which the kernel does not honour for pipes.
func TestSystemBudgetInNamespace(t *testing.T) {
	if os.Getenv(namespaceEnv) != "" {
		if !sys.PipePrivileged() {
			t.Error("no capabilities: the namespace shows nothing")
		}
		checkSystem(t, share(t), false)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSystemBudgetInNamespace$", "-test.v")
	cmd.Env = append(os.Environ(), namespaceEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSPC):
		ztest.Missing(t, "no user namespaces here: %v", err)
	case err != nil || !strings.Contains(string(out), "--- PASS"):
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestShareUsedUp: the kernel's own answers to a user whose share is used up. What it
// makes then, pipes of two pages, is recognised, never handed out and not left open.
func TestShareUsedUp(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	soft := pages(t, "pipe-user-pages-soft")
	if soft == 0 || soft > 1<<20 {
		ztest.Missing(t, "pipe-user-pages-soft is %d", soft)
	}
	become(t, 1<<20+os.Getpid()) // whom nobody else is
	checkClosed(t)
	pool := &kpipe.Pool{Limits: allow(1<<40, large)} // which knows of no share
	k := new(kernel)
	var held []*kpipe.Pipe
	var bytes int64
	for {
		p, err := pool.Get(k.calls(), kpipe.Largest)
		if err != nil {
			if err != syscall.EPERM {
				t.Error(err)
			}
			break
		}
		var calls *sys.Calls
		if n, err := calls.PipeSize(p.R); n != p.Size || n < small {
			t.Fatalf("a pipe of %d bytes is one of %d, %v", p.Size, n, err)
		}
		held = append(held, p)
		if bytes += int64(p.Size); bytes > 2*soft*int64(os.Getpagesize()) {
			t.Fatalf("%d bytes, and no end", bytes)
		}
	}
	check(t, "used up", pool, kpipe.Stats{Open: int64(len(held)), Bytes: bytes, Budget: 1 << 40, Created: int64(len(held)), Refused: 1})
	if bytes < soft*int64(os.Getpagesize())*3/4 {
		t.Errorf("none was to be had after %d bytes of %d", bytes, soft*int64(os.Getpagesize()))
	}
	pool.Put(held[0])
	if p := mustGet(t, pool, k.calls(), 0); p != held[0] {
		t.Error("the idle pipe was not handed out")
	}
	for _, p := range held {
		pool.Discard(p)
	}
	if p := mustGet(t, pool, k.calls(), 0); p.Size != small {
		t.Errorf("with room again: %d bytes", p.Size)
	} else {
		pool.Discard(p)
	}
}
