package sys_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var kernel *sys.Calls

// fresh returns page memory of n bytes.
func fresh(t *testing.T, n int, huge bool) []byte {
	t.Helper()
	p, mapping, err := kernel.Map(n, huge)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Unmap(mapping) })
	return p
}

// vmsplice lends to a pipe what has room, and takes out of it what is there.
func TestVmsplice(t *testing.T) {
	t.Parallel()
	r, w := ztest.FilePair(t, ztest.Pipe)
	p := fresh(t, 128<<10, false)
	ztest.Pattern(1).Fill(p, 0)
	got := make([]byte, len(p))
	with(t, w, func(fd int) {
		if n, err := kernel.Vmsplice(fd, nil, false); n != 0 || err != nil {
			t.Errorf("nothing: %d, %v", n, err)
		}
		if n, err := kernel.Vmsplice(fd, p, false); n != 64<<10 || err != nil {
			t.Errorf("as much as has room: %d, %v", n, err)
		}
		if n, err := kernel.Vmsplice(fd, p, false); n != 0 || err != syscall.EAGAIN {
			t.Errorf("full: %d, %v", n, err)
		}
	})
	with(t, r, func(fd int) {
		if n, err := kernel.Buffered(fd); n != 64<<10 || err != nil {
			t.Errorf("in the pipe: %d, %v", n, err)
		}
		if n, err := kernel.VmspliceRead(fd, got); n != 64<<10 || err != nil {
			t.Errorf("out of it: %d, %v", n, err)
		}
		if n, err := kernel.VmspliceRead(fd, got); n != 0 || err != syscall.EAGAIN {
			t.Errorf("empty: %d, %v", n, err)
		}
	})
	ztest.Pattern(1).Check(t, got[:64<<10], 0)
	w.Close()
	with(t, r, func(fd int) {
		if n, err := kernel.VmspliceRead(fd, got); n != 0 || err != nil {
			t.Errorf("the end: %d, %v", n, err)
		}
	})
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	with(t, null, func(fd int) {
		if _, err := kernel.Vmsplice(fd, p, false); err != syscall.EBADF {
			t.Errorf("not a pipe: %v", err)
		}
	})
}

// A vmsplice that waits goes on when there is room, in a pipe of either mode.
func TestVmspliceWaits(t *testing.T) {
	t.Parallel()
	r, w := ztest.FilePair(t, ztest.Pipe)
	p := fresh(t, 64<<10, false)
	with(t, w, func(fd int) { kernel.Vmsplice(fd, p, false) })
	task := ztest.Go(t, "vmsplice", func() {
		with(t, w, func(fd int) {
			if n, err := kernel.Vmsplice(fd, p[:4096], true); n != 4096 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		})
	})
	task.AwaitSyscall()
	if _, err := r.Read(make([]byte, 4096)); err != nil {
		t.Fatal(err)
	}
	task.Wait()
}

// What was sent with MSG_ZEROCOPY is given back by its number; loopback has copied it.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.TCP6} {
		if ztest.Unavailable(k) != "" {
			continue
		}
		a, b := ztest.TCPPair(t, k)
		p := fresh(t, 32<<10, false)
		with(t, a, func(fd int) {
			if set, err := kernel.Zerocopy(fd); set || err != nil {
				t.Errorf("SO_ZEROCOPY: %v, %v", set, err)
			}
			if _, ok, err := kernel.Completion(fd); ok || err != syscall.EAGAIN {
				t.Errorf("an empty error queue: %v, %v", ok, err)
			}
			if err := kernel.SetZerocopy(fd); err != nil {
				t.Error(err)
			}
			if set, err := kernel.Zerocopy(fd); !set || err != nil {
				t.Errorf("SO_ZEROCOPY: %v, %v", set, err)
			}
			if n, err := kernel.Send(fd, nil, true); n != 0 || err != nil {
				t.Errorf("nothing: %d, %v", n, err) // and it has no number
			}
		})
		next := uint32(0)
		for range 3 {
			with(t, a, func(fd int) {
				if n, err := kernel.Send(fd, p, false); n != len(p) || err != nil {
					t.Errorf("a copy: %d, %v", n, err) // it has none either
				}
				if n, err := kernel.Send(fd, p, true); n != len(p) || err != nil {
					t.Errorf("a loan: %d, %v", n, err)
				}
			})
			if _, err := readFull(b, 2*len(p)); err != nil {
				t.Fatal(err)
			}
			var c sys.Completion
			ztest.Eventually(t, ztest.Patience, "a completion", func() (ok bool) {
				with(t, a, func(fd int) {
					var err error
					if c, ok, err = kernel.Completion(fd); err != nil && err != syscall.EAGAIN {
						t.Error(err)
					}
				})
				return ok
			})
			if c != (sys.Completion{First: next, Last: next, Copied: true}) {
				t.Errorf("%s: %+v, want number %d", k, c, next)
			}
			next++
		}
		calls := &sys.Calls{Complete: func(int) (sys.Completion, bool, error) { return sys.Completion{First: 7, Last: 9}, true, nil }}
		if c, ok, err := calls.Completion(-1); c != (sys.Completion{First: 7, Last: 9}) || !ok || err != nil {
			t.Errorf("Complete: %+v, %v, %v", c, ok, err)
		}
	}
}

func readFull(r interface{ Read([]byte) (int, error) }, n int) ([]byte, error) {
	b := make([]byte, n)
	for at := 0; at < n; {
		k, err := r.Read(b[at:])
		if at += k; err != nil {
			return b, err
		}
	}
	return b, nil
}

// Timestamps, which come by the same queue, are not taken for completions, and completions
// behind them are found.
func TestCompletionBesideTimestamps(t *testing.T) {
	t.Parallel()
	const timestamping, softwareSent, acknowledged, software, withID = 37, 1 << 1, 1 << 9, 1 << 4, 1 << 7
	a, b := ztest.TCPPair(t, ztest.TCP4)
	p := fresh(t, 32<<10, false)
	with(t, a, func(fd int) {
		if err := kernel.SetZerocopy(fd); err != nil {
			t.Error(err)
		}
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, timestamping, softwareSent|acknowledged|software|withID); err != nil {
			t.Error(err)
		}
		for range 4 {
			if n, err := kernel.Send(fd, p, true); n != len(p) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
	})
	if _, err := readFull(b, 4*len(p)); err != nil {
		t.Fatal(err)
	}
	var next uint32
	others := 0
	ztest.Eventually(t, ztest.Patience, "completions", func() bool {
		with(t, a, func(fd int) {
			switch c, ok, err := kernel.Completion(fd); {
			case err == nil && ok:
				if c.First != next || c.Last < c.First {
					t.Errorf("%+v, want from %d on", c, next)
				}
				next = c.Last + 1
			case err == nil:
				others++
			}
		})
		return next == 4 && others > 0
	})
}

// The memory of a send queue, the number of a socket and the mark of what is not sent.
func TestSocketFacts(t *testing.T) {
	t.Parallel()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	a.SetWriteBuffer(100_000)
	with(t, a, func(fd int) {
		most, queued, err := kernel.SendMemory(fd)
		if most != 200_000 || queued != 0 || err != nil {
			t.Errorf("SO_SNDBUF 200000: %d, %d, %v", most, queued, err)
		}
		// It may be full for a moment only, until what is on its way has arrived.
		ztest.Eventually(t, ztest.Patience, "a full send queue that is not ready", func() bool {
			for err == nil {
				_, err = kernel.Send(fd, make([]byte, 30_000), false)
			}
			if err != syscall.EAGAIN {
				t.Fatal(err)
			}
			_, queued, err2 := kernel.SendMemory(fd)
			ready, err3 := kernel.Poll(fd)
			err = errors.Join(err2, err3)
			return err == nil && queued >= most*2/3 && ready == 0
		})
		cookie, err := kernel.Cookie(fd)
		if cookie == 0 || err != nil {
			t.Errorf("cookie: %d, %v", cookie, err)
		}
		if again, _ := kernel.Cookie(fd); again != cookie {
			t.Errorf("cookie: %d, then %d", cookie, again)
		}
		with(t, b, func(other int) {
			if c, _ := kernel.Cookie(other); c == cookie {
				t.Error("the peer has the same cookie")
			}
		})
	})
	r, _ := ztest.FilePair(t, ztest.Pipe)
	with(t, r, func(fd int) {
		_, _, err := kernel.SendMemory(fd)
		_, err2 := kernel.Cookie(fd)
		_, err3 := kernel.Zerocopy(fd)
		for _, err := range []error{err, err2, err3, kernel.SetZerocopy(fd)} {
			if err != syscall.ENOTSOCK {
				t.Errorf("of a pipe: %v", err)
			}
		}
	})
}

// Memory begins where huge pages may, is fresh after Drop, and cannot be written to under
// Protect.
func TestMap(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4096, sys.HugePage, 3*sys.HugePage + 4096} {
		for _, huge := range []bool{false, true} {
			p := fresh(t, n, huge)
			if len(p) != n || cap(p) != n || huge && uintptr(unsafe.Pointer(&p[0]))%sys.HugePage != 0 {
				t.Errorf("%d bytes at %p, huge %v: %d, %d", n, &p[0], huge, len(p), cap(p))
			}
			for i := range p {
				p[i] = 1
			}
			if err := kernel.Drop(p); err != nil {
				t.Error(err)
			}
			if bytes.ContainsFunc(p, func(r rune) bool { return r != 0 }) {
				t.Error("not fresh after Drop")
			}
		}
	}
	p := fresh(t, 4096, false)
	for _, readOnly := range []bool{true, false} {
		if err := kernel.Protect(p, readOnly); err != nil {
			t.Error(err)
		}
		// The kernel is asked to write there: it says EFAULT, where the process would end.
		zero, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := zero.Read(p); errors.Is(err, syscall.EFAULT) != readOnly {
			t.Errorf("read-only %v: %v", readOnly, err)
		}
		zero.Close()
	}
	for name, f := range map[string]func(s *sys.Calls) error{
		"mmap":         func(s *sys.Calls) error { _, _, err := s.Map(4096, true); return err },
		"madvise":      func(s *sys.Calls) error { return s.Drop(p) },
		"mprotect":     func(s *sys.Calls) error { return s.Protect(p, true) },
		"memfd_create": func(s *sys.Calls) error { _, _, err := s.Sealed("x", 1, nil); return err },
	} {
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) { return 0, syscall.ENOMEM, c.Name == name }}
		if err := f(calls); err != syscall.ENOMEM {
			t.Errorf("%s refused: %v", name, err)
		}
	}
}

// A sealed memfd cannot change, whoever tries; Unchanging tells it from all other files.
func TestSealed(t *testing.T) {
	t.Parallel()
	var unsealed bool
	fd, p, err := kernel.Sealed("zerocopy test", 10_000, func(p []byte) error {
		ztest.Pattern(9).Fill(p, 0)
		entries, _ := os.ReadDir("/proc/self/fd")
		for _, e := range entries {
			if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "/memfd:zerocopy test") {
				f, err := os.Open("/proc/self/fd/" + e.Name())
				if err != nil {
					return err
				}
				with(t, f, func(fd int) { unsealed = !kernel.Unchanging(fd) })
				f.Close()
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Unmap(p)
	f := os.NewFile(uintptr(fd), "memfd")
	defer f.Close()
	if !kernel.Unchanging(fd) || !unsealed {
		t.Errorf("sealed: %v, and not before: %v", kernel.Unchanging(fd), unsealed)
	}
	ztest.Pattern(9).Check(t, p, 0)
	if _, err := f.WriteAt([]byte{1}, 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("write: %v", err)
	}
	if err := f.Truncate(1); !errors.Is(err, syscall.EPERM) {
		t.Errorf("truncate: %v", err)
	}
	if flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno != 0 || flags&syscall.FD_CLOEXEC == 0 {
		t.Errorf("a child would inherit it: %x, %v", flags, errno)
	}
	for _, k := range []ztest.Kind{ztest.Tmpfs, ztest.File, ztest.Pipe} {
		with(t, ztest.NewDest(t, k).Writer, func(fd int) {
			if kernel.Unchanging(fd) {
				t.Errorf("%s is unchanging", k)
			}
		})
	}
	refused := errors.New("refused")
	if fd, p, err := kernel.Sealed("x", 10, func([]byte) error { return refused }); err != refused || p != nil || fd != -1 {
		t.Errorf("fill fails: %d, %v, %v", fd, p, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a panic of fill is lost")
			}
		}()
		kernel.Sealed("x", 10, func([]byte) error { panic("fill") }) // TestMain looks for the descriptor
	}()
}
