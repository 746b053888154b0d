package zerocopy_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH10PipesAreCloseOnExecFromBirth: a child that is started while bytes are in
// a private pipe does not hold its ends.
func TestH10PipesAreCloseOnExecFromBirth(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	private := make(map[string]bool) // names of private pipes, as /proc has them
	look := func(fd int) {
		const fdCloexec = 1
		flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if e != 0 || flags&fdCloexec == 0 {
			t.Errorf("a private pipe is not close-on-exec (%v)", e)
		}
		name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(name, "pipe:") { // else that splice did not find what the second does as a rule
			mu.Lock()
			private[name] = true
			mu.Unlock()
		}
	}
	c := track(t, func(call *sys.Call, nth int) (int, error, bool) {
		switch {
		case call.Name == "F_SETPIPE_SZ": // the first call after pipe2
			look(call.In)
		case call.Name == "splice" && nth == 1:
			look(call.Out)
		case call.Name == "splice" && nth == 2:
			look(call.In)
		}
		return 0, nil, false
	})
	src := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(16<<20))
	dst := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(0), ztest.Buffers(64<<10))
	r := c.begin(t, nil, dst.Writer, src.Reader)
	dst.AwaitFull()
	r.AwaitParked()
	out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
	if err != nil {
		t.Errorf("ls: %v", err)
	}
	mu.Lock()
	if n := len(private); n == 0 || int64(n) != c.pipes.Stats().Open {
		t.Errorf("private pipes %v, %+v", private, c.pipes.Stats())
	}
	for name := range private {
		if strings.Contains(string(out), name) {
			t.Errorf("a child holds %s:\n%s", name, out)
		}
	}
	mu.Unlock()
	dst.Resume()
	r.Wait()
	checkWhole(t, dst, r.n, r.err, src.Content)
}

// TestH10PipeSizeRefused: F_SETPIPE_SZ and F_GETPIPE_SZ answer as kernels do whose
// owner allows less.
func TestH10PipeSizeRefused(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(3 << 20)
	for _, tt := range []struct {
		name, why string
		set       error // of F_SETPIPE_SZ; nil sets what size says
		size      int   // of the pipe, or 0 for what it is
		get       error
		splices   bool
	}{
		{"EPERM", "above pipe-max-size: the pipe stays as it was made, 64 KiB", syscall.EPERM, 0, nil, true},
		{"EBUSY", "below its contents", syscall.EBUSY, 0, nil, true},
		{"EINVAL", "a size out of range", syscall.EINVAL, 0, nil, true},
		{"ENOMEM", "no memory for the ring", syscall.ENOMEM, 0, nil, true},
		{"rounded up", "the size is what the call says, not what was asked for", nil, 65537, nil, true},
		{"two pages", "the user's share of pipe memory is used up", syscall.EPERM, 8192, nil, false},
		{"one page", "and beyond it", syscall.EPERM, 4096, nil, false},
		{"F_GETPIPE_SZ", "a filter that knows neither", syscall.EPERM, 0, syscall.ENOSYS, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			generous := false
			c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
				switch {
				case generous:
				case call.Name == "F_SETPIPE_SZ" && tt.set != nil:
					return 0, tt.set, true
				case call.Name == "F_SETPIPE_SZ":
					call.N = tt.size
				case call.Name == "F_GETPIPE_SZ" && tt.get != nil:
					return 0, tt.get, true
				case call.Name == "F_GETPIPE_SZ" && tt.size > 0:
					return tt.size, nil, true
				}
				return 0, nil, false
			})
			for _, generous = range []bool{false, true} {
				src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.Unix)
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
				splices := c.report.Bytes(zerocopy.Splice) == int64(len(content))
				step, why := c.reason(zerocopy.ReasonNoPipe)
				if want := tt.splices || generous; splices != want || why == want {
					t.Errorf("%s: %v", tt.why, c.report)
				}
				if why && !errors.Is(step.Err, syscall.EPERM) && !errors.Is(step.Err, syscall.ENOSYS) {
					t.Errorf("the reason's errno is %v", step.Err)
				}
				if s := c.pipes.Stats(); s.Open != s.Idle || !splices && s.Open != 0 {
					t.Errorf("pipes left: %+v", s)
				}
			}
		})
	}
}

// unprivileged makes this process that of a user whom nobody else is, so that its
// share of pipe memory is its own.
func unprivileged(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		ztest.Missing(t, "becoming another user needs root")
	}
	id := 1<<20 + os.Getpid()
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id)); err != nil {
		t.Fatal(err)
	}
	// The change of user has made /proc/self root's, where descriptors are counted.
	const prSetDumpable = 4
	if _, _, e := syscall.Syscall(syscall.SYS_PRCTL, prSetDumpable, 1, 0); e != 0 {
		t.Fatal(e)
	}
}

// usePipeMemory makes pipes of 1 MiB until the user's share is used up.
func usePipeMemory(t *testing.T) (release func()) {
	t.Helper()
	var ends []*os.File
	for range 4096 {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, r, w)
		if size, err := ztest.SetPipeSize(w, 1<<20); err == nil && size == 1<<20 {
			continue
		}
		if size, err := ztest.SetPipeSize(w, 64<<10); err == nil && size >= 64<<10 {
			continue
		}
		return func() {
			for _, f := range ends {
				f.Close()
			}
		}
	}
	t.Fatal("pipe memory without end")
	return nil
}

// TestH10PipeBudgetUsedUp: a user whose 64 MiB of pipes are in use gets pipes of
// 8 KiB, and splicing through them costs more than reading and writing. Then the
// copy is plain and says why; when there is room again, it splices again.
func TestH10PipeBudgetUsedUp(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	unprivileged(t)
	content := ztest.Pattern(3).Bytes(8 << 20)
	c := track(t, nil)
	release := usePipeMemory(t)
	for _, used := range []bool{true, false} {
		if !used {
			release()
		}
		src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		n, err := c.within(t, dst.Writer, src.Reader)
		checkWhole(t, dst, n, err, content)
		step, why := c.reason(zerocopy.ReasonNoPipe)
		if why != used || used && (step.Bytes != n || !errors.Is(step.Err, syscall.EPERM)) || !used && mechanisms(c.report) != "splice" {
			t.Errorf("used up: %v: %v", used, c.report)
		}
	}
}

// TestH10IdleTunnelsHoldNoPipe: more tunnels than the user has pipes wait for a
// byte, and a bulk stream beside them is spliced.
func TestH10IdleTunnelsHoldNoPipe(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	unprivileged(t)
	c := track(t, nil)
	var idle []*copying
	var sources []*ztest.Source
	for range 80 {
		src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
		idle = append(idle, c.begin(t, nil, dst.Writer, src.Reader))
		sources = append(sources, src)
	}
	for _, r := range idle {
		r.AwaitParked()
	}
	if s := c.pipes.Stats(); s.Open > s.Idle {
		t.Errorf("idle tunnels hold pipes: %+v", s)
	}
	bulk := track(t, nil)
	content := ztest.Pattern(4).Bytes(8 << 20)
	src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
	n, err := bulk.within(t, dst.Writer, src.Reader)
	checkWhole(t, dst, n, err, content)
	if by := mechanisms(bulk.report); by != "splice" {
		t.Errorf("beside idle tunnels: %v", bulk.report)
	}
	for i, r := range idle {
		sources[i].End()
		r.Wait()
		if r.n != 0 || r.err != nil {
			t.Errorf("an idle tunnel copied %d, %v", r.n, r.err)
		}
	}
}

// TestH11Tee states what tee(2) does, on which the fan-out rests: it starts at the
// head of its input each time, stops when its output has no slot left, and always
// gives the whole to an empty pipe with as many slots. A copy from each of two
// pipes that share what tee has put in both is whole.
func TestH11Tee(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(6).Bytes(40_000)
	master, in := ztest.FilePair(t, ztest.Pipe)
	narrow, out := ztest.FilePair(t, ztest.Pipe)
	wide, out2 := ztest.FilePair(t, ztest.Pipe)
	if _, err := ztest.SetPipeSize(out, 8192); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(content); err != nil {
		t.Fatal(err)
	}
	tee := func(to *os.File) (n int) {
		t.Helper()
		rawFD(t, master, func(r int) error {
			rawFD(t, to, func(w int) error {
				// syscall.Tee makes two numbers of one on 32-bit systems.
				k, _, e := syscall.Syscall6(syscall.SYS_TEE, uintptr(r), uintptr(w), uintptr(len(content)), sys.SpliceNonblock, 0, 0)
				switch e {
				case 0:
					n = int(k)
				case syscall.EAGAIN:
				default:
					return e
				}
				return nil
			})
			return nil
		})
		return n
	}
	if n := tee(out); n != 8192 {
		t.Errorf("a pipe of two slots took %d", n)
	}
	if n := tee(out); n != 0 {
		t.Errorf("a full pipe took %d", n)
	}
	if n := tee(out2); n != len(content) {
		t.Errorf("an empty pipe with the same slots took %d of %d", n, len(content))
	}
	for _, f := range []*os.File{in, out, out2} {
		f.Close()
	}
	for _, tt := range []struct {
		src  *os.File
		to   ztest.Kind
		want int
	}{{narrow, ztest.TCP4, 8192}, {wide, ztest.File, len(content)}, {master, ztest.Unix, len(content)}} {
		c := track(t, nil)
		dst := ztest.NewDest(t, tt.to)
		n, err := c.within(t, dst.Writer, tt.src)
		checkWhole(t, dst, n, err, content[:tt.want])
		if by := mechanisms(c.report); by != "splice" {
			t.Errorf("%s: went by %s", tt.to, by)
		}
	}
}
