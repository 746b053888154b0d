package zerocopy_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// fileSources are the kinds that take different ways into a file.
var fileSources = []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.File, ztest.Tmpfs, ztest.Zero}

// setAppend sets O_APPEND on the open description of f.
func setAppend(t testing.TB, f syscall.Conn) {
	t.Helper()
	rawFD(t, f, func(fd int) error {
		flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		if e == 0 {
			_, _, e = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_SETFL, flags|syscall.O_APPEND)
		}
		if e != 0 {
			return e
		}
		return nil
	})
}

// TestH07Append: splice says EINVAL and copy_file_range EBADF where O_APPEND is
// set, wherever it came from and when. The bytes go behind what the file holds.
func TestH07Append(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(5 << 20)
	for _, from := range fileSources {
		for _, tt := range []struct {
			name, why string
			to        ztest.Kind
			fcntl     bool // set by fcntl before the copy
			nth       int  // set by fcntl before this call of a mechanism
		}{
			{"opened so", "the flag is seen before anything is tried", ztest.Append, false, 0},
			{"by fcntl", "package os does not know of it", ztest.File, true, 0},
			{"by fcntl at first", "the first call is refused, of a pump after its drain", ztest.File, false, 1},
			{"by fcntl later", "a call amid the copy is refused", ztest.File, false, 3},
			{"by fcntl between", "between drain and pump", ztest.File, false, 4},
		} {
			if from == ztest.File && tt.nth == 4 {
				continue // three calls of copy_file_range are all
			}
			t.Run(fmt.Sprintf("%s/%s", from, tt.name), func(t *testing.T) {
				t.Parallel()
				before := []byte("what the file held before")
				src, dst := ztest.NewSource(t, from, content), ztest.NewDest(t, tt.to, ztest.Existing(before))
				if tt.fcntl {
					setAppend(t, dst.Writer)
				}
				moves := 0
				c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
					if call.Name == "splice" || call.Name == "copy_file_range" {
						if moves++; moves == tt.nth {
							setAppend(t, dst.Writer)
						}
					}
					return 0, nil, false
				})
				n, err := c.within(t, dst.Writer, limited(src))
				checkWhole(t, dst, n, err, src.Content)
				if _, ok := c.reason(zerocopy.ReasonAppend); ok != (tt.nth == 0) || ok && moves > 0 {
					t.Errorf("%s: %d calls: %v", tt.why, moves, c.report)
				}
				if step, ok := c.reason(zerocopy.ReasonRefused); tt.nth > 0 && (!ok || step.Bytes == 0) {
					t.Errorf("%s: no step that was refused: %v", tt.why, c.report)
				}
			})
		}
	}
}

// TestH07DevFull: what /dev/full does not take is handed back. io.Copy drains the
// source first and loses what it has drained.
func TestH07DevFull(t *testing.T) {
	t.Parallel()
	for _, from := range append(slices.Clone(fileSources[:5]), ztest.FIFO, ztest.SockFile, ztest.PTY) {
		for _, size := range []int{1, 1000, 200_000} {
			t.Run(fmt.Sprintf("%s/%d", from, size), func(t *testing.T) {
				t.Parallel()
				src := ztest.NewSource(t, from, ztest.Pattern(2).Bytes(size))
				full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer full.Close()
				c := track(t, nil)
				n, err := c.within(t, full, src.Reader)
				var failed *fs.PathError
				if n != 0 || !errors.Is(err, syscall.ENOSPC) || !errors.As(err, &failed) || failed.Op != "write" || failed.Path != "/dev/full" {
					t.Errorf("copied %d, %v", n, err)
				}
				if from.Regular() && src.Pos() != 0 {
					t.Errorf("the source stands at %d", src.Pos())
				}
				checkRest(t, src, n, err)
			})
		}
	}
	src := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(2).Bytes(1000))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	src.AwaitQueued(1000)
	n, err := io.Copy(full, src.Reader)
	t.Logf("io.Copy: n = %d, %v, and %d of 1000 bytes are left to read", n, err, len(src.Rest()))
}

// TestH08ProcFiles: files of /proc and /sys have the size 0, or a page, and a
// content, and refuse what they do not know.
func TestH08ProcFiles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"/proc/version", "/proc/self/cmdline", "/proc/filesystems", "/sys/kernel/mm/transparent_hugepage/enabled"} {
		if _, err := os.Stat(name); err != nil {
			name = "/proc/cpuinfo"
		}
		for _, to := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.Pipe, ztest.TCP4, ztest.Unix, ztest.PTY} {
			for _, pages := range []zerocopy.Pages{zerocopy.AsIOCopy, zerocopy.Stable, zerocopy.Share} {
				t.Run(fmt.Sprintf("%s→%s/%v", name, to, pages), func(t *testing.T) {
					t.Parallel()
					src, dst := ztest.NewSource(t, ztest.Proc, nil, ztest.Path(name)), ztest.NewDest(t, to)
					if len(src.Content) == 0 {
						t.Fatal("nothing to copy")
					}
					c := track(t, nil)
					c.Pages = pages
					n, err := c.within(t, dst.Writer, src.Reader)
					checkWhole(t, dst, n, err, src.Content)
					if src.Pos() != n {
						t.Errorf("the source stands at %d of %d", src.Pos(), n)
					}
				})
			}
		}
	}
}

// TestH08KernelAnswers: what kernels, filesystems and filters have answered where
// read and write work. Whatever it is and whenever it comes, the content is whole.
func TestH08KernelAnswers(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const chunk = 100_000
	content := ztest.Pattern(3).Bytes(4 * chunk)
	for _, tt := range []struct {
		name, why string
		err       error // nil is a success that moved nothing
		conclude  bool  // true of the kernel, hence not asked twice
	}{
		{"zero", "5.3 to 5.18 claim success with nothing copied; a first call of 0 (#42400)", nil, false},
		{"EIO", "CIFS and others (#42334)", syscall.EIO, false},
		{"EOPNOTSUPP", "NFS, some FUSE (#40731)", syscall.EOPNOTSUPP, true},
		{"EPERM", "a seccomp filter, or a file that is immutable: not the kernel's last word", syscall.EPERM, false},
		{"EACCES", "a security module", syscall.EACCES, false},
		{"EXDEV", "between filesystems before 5.3", syscall.EXDEV, true},
		{"ENOSYS", "before 4.5, or a filter", syscall.ENOSYS, true},
		{"EINVAL", "a file that does not splice", syscall.EINVAL, false},
		{"EFBIG", "near the largest offset of the destination", syscall.EFBIG, false},
		{"EOVERFLOW", "beyond it", syscall.EOVERFLOW, false},
		{"EBADF", "a descriptor whose mode has changed", syscall.EBADF, false},
		{"ESPIPE", "a file without a position", syscall.ESPIPE, false},
		{"ENOMEM", "no memory for a moment", syscall.ENOMEM, false},
		{"ETXTBSY", "a swap file", syscall.ETXTBSY, false},
		{"EISDIR", "an odd filesystem", syscall.EISDIR, false},
	} {
		for _, way := range []struct {
			src, dst ztest.Kind
			call     string
			share    bool
		}{
			{ztest.File, ztest.File, "copy_file_range", false},
			{ztest.File, ztest.Tmpfs, "copy_file_range", false},
			{ztest.File, ztest.TCP4, "sendfile", false},
			{ztest.Tmpfs, ztest.Unix, "sendfile", false},
			{ztest.File, ztest.Pipe, "splice", true},
			{ztest.Pipe, ztest.File, "splice", false},
		} {
			for _, nth := range []int{1, 2, 3} {
				switch {
				case nth > 1 && way.call == "copy_file_range" && way.dst == ztest.Tmpfs:
					continue // the kernel itself refuses the first
				case (tt.err == syscall.EFBIG || tt.err == syscall.ETXTBSY) && way.call == "sendfile":
					continue // a socket has no such errors, nor has a read
				}
				few.Run(fmt.Sprintf("%s/%s %s→%s/%d", tt.name, way.call, way.src, way.dst, nth), func(t *testing.T) {
					asked := 0
					c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
						if call.Name != way.call {
							return 0, nil, false
						}
						asked++
						call.N = min(call.N, chunk)
						return 0, tt.err, asked >= nth
					})
					if way.share {
						c.Pages = zerocopy.Share
					}
					for again := range 2 {
						asked = 0
						src, dst := ztest.NewSource(t, way.src, content), ztest.NewDest(t, way.dst)
						if way.src == ztest.Pipe {
							src.AwaitQueued(64 << 10) // the first calls move something
						}
						n, err := c.within(t, dst.Writer, src.Reader)
						checkWhole(t, dst, n, err, content)
						if src.Pos() != n && way.src != ztest.Pipe {
							t.Errorf("the source stands at %d of %d", src.Pos(), n)
						}
						// A refusal amid the bytes says nothing about other copies.
						known := again == 1 && tt.conclude && nth == 1
						if asked > nth+5 || asked == 0 != known {
							t.Errorf("%s: %s was called %d times: %v", tt.why, way.call, asked, c.report)
						}
						step, ok := c.reason(zerocopy.ReasonRefused)
						other := way.call == "copy_file_range" // splice has done the rest
						if !other && (!ok || step.Err != tt.err || step.Bytes == 0) || other && c.report.Bytes(zerocopy.Splice) == 0 {
							t.Errorf("%s: %v", tt.why, c.report)
						}
					}
				})
			}
		}
	}
}

// TestH08CrossDevice: the kernel's own EXDEV, from one filesystem to another, and
// what is between the largest offset and the copy.
func TestH08CrossDevice(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(4).Bytes(3 << 20)
	c := track(t, nil)
	for again := range 2 {
		src, dst := ztest.NewSource(t, ztest.Tmpfs, content), ztest.NewDest(t, ztest.File)
		n, err := c.within(t, dst.Writer, src.Reader)
		checkWhole(t, dst, n, err, content)
		if k := c.count("copy_file_range"); k != 1 {
			t.Errorf("copy %d: copy_file_range was called %d times", again, k)
		}
		if by := mechanisms(c.report); by != "splice" {
			t.Errorf("went by %s: %v", by, c.report)
		}
	}
}
