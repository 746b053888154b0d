package zerocopy_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A route is a pair of ends with the settings that make a copy take one way.
type route struct {
	name     string
	src, dst ztest.Kind
	way      string // the system call that moves the bulk, "" for read and write
	pages    zerocopy.Pages
	off      zerocopy.MechanismSet
	section  bool // of a file
	hidden   bool // the destination is in a struct that hides what it is
}

var routes = []route{
	{name: "file→tcp", src: ztest.File, dst: ztest.TCP4, way: "sendfile"},
	{name: "section→tcp", src: ztest.File, dst: ztest.TCP4, way: "sendfile", section: true},
	{name: "file→unix", src: ztest.File, dst: ztest.Unix, way: "sendfile"},
	{name: "file→file", src: ztest.File, dst: ztest.File, way: "copy_file_range"},
	{name: "section→file", src: ztest.File, dst: ztest.File, way: "copy_file_range", section: true},
	{name: "file→pipe→file", src: ztest.File, dst: ztest.File, way: "splice", off: zerocopy.Mechanisms(zerocopy.CopyFileRange)},
	{name: "section→pipe→file", src: ztest.File, dst: ztest.File, way: "splice", off: zerocopy.Mechanisms(zerocopy.CopyFileRange), section: true},
	{name: "file→pipe, shared", src: ztest.File, dst: ztest.Pipe, way: "splice", pages: zerocopy.Share},
	{name: "file→pipe", src: ztest.File, dst: ztest.Pipe},
	{name: "tcp→pipe→tcp", src: ztest.TCP4, dst: ztest.TCP4, way: "splice"},
	{name: "tcp→pipe→file", src: ztest.TCP4, dst: ztest.File, way: "splice"},
	{name: "unix→pipe→sockfile", src: ztest.Unix, dst: ztest.SockFile, way: "splice"},
	{name: "sockfile→pipe→unix", src: ztest.SockFile, dst: ztest.Unix, way: "splice"},
	{name: "tcp→pipe", src: ztest.TCP4, dst: ztest.Pipe, way: "splice"},
	{name: "pipe→tcp", src: ztest.Pipe, dst: ztest.TCP4, way: "splice"},
	{name: "fifo→file", src: ztest.FIFO, dst: ztest.File, way: "splice"},
	{name: "pipe→pipe", src: ztest.Pipe, dst: ztest.Pipe, way: "splice"},
	{name: "tcp→tcp, off", src: ztest.TCP4, dst: ztest.TCP4, off: zerocopy.AllMechanisms},
	{name: "pipe→file, off", src: ztest.Pipe, dst: ztest.File, off: zerocopy.AllMechanisms},
}

// reader returns what a copy over r reads from.
func (r route) reader(src *ztest.Source) io.Reader {
	if r.section {
		return io.NewSectionReader(src.Reader.(io.ReaderAt), 0, int64(len(src.Content)))
	}
	return src.Reader
}

// set gives c the settings of r.
func (r route) set(c *tracked) *tracked {
	c.Pages, c.Disable = r.pages, r.off
	return c
}

// rest is what is left of the source after the copy.
func (r route) rest(src *ztest.Source, reader io.Reader) []byte {
	if r.section {
		b, _ := io.ReadAll(struct{ io.Reader }{reader})
		return b
	}
	return src.Rest()
}

// TestH29Injected: a call that fails although nothing is wrong with the bytes, the
// 1st, 2nd or 5th time it is made or from then on, costs speed and nothing else.
func TestH29Injected(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const size = 300_000
	content := ztest.Pattern(29).Bytes(size)
	var cases atomic.Int64
	t.Cleanup(func() { t.Logf("%d cases", cases.Load()) })
	for _, r := range routes {
		copy := func(t *testing.T, f answer) (*tracked, int64, error) {
			src, dst := ztest.NewSource(t, r.src, content, ztest.Pieces(45_000)), ztest.NewDest(t, r.dst)
			defer src.Close()
			c := r.set(track(t, f))
			reader := r.reader(src)
			n, err := c.within(t, dst.Writer, reader)
			checkWhole(t, dst, n, err, content)
			if rest := r.rest(src, reader); len(rest) > 0 {
				t.Errorf("%d bytes left", len(rest))
			}
			dst.Close()
			return c, n, err
		}
		seen, _, _ := copy(t, nil)
		if r.way != "" && seen.calls[r.way] == 0 {
			t.Fatalf("%s is not the way: %v", r.way, seen.report)
		}
		for _, name := range slices.Sorted(maps.Keys(seen.calls)) {
			errnos := []syscall.Errno{syscall.EINTR, syscall.ENOSYS, syscall.EPERM}
			switch name {
			case "read":
				errnos = errnos[:1] // there is nothing to fall back on
			case "pipe2":
				errnos = append(errnos, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM)
			case "splice", "sendfile", "copy_file_range":
				errnos = append(errnos, syscall.EINVAL, syscall.EOPNOTSUPP)
			}
			for _, errno := range errnos {
				for _, nth := range []int{1, 2, 5, -1, -3} {
					if errno == syscall.EINTR && nth < 0 {
						nth = -nth * 10 // for ever would be for ever
					}
					few.Run(fmt.Sprintf("%s/%s/%v/%d", r.name, name, errno, nth), func(t *testing.T) {
						cases.Add(1)
						injected := 0
						c, _, _ := copy(t, func(c *sys.Call, n int) (int, error, bool) {
							if c.Name == name && (n == nth || nth < 0 && n >= -nth || errno == syscall.EINTR && n <= nth) {
								injected++
								return 0, errno, true
							}
							return 0, nil, false
						})
						// Whether it has to wait is a matter of timing.
						if injected == 0 && (nth == 1 || nth == -1) && name != "poll" && name != "read" {
							t.Errorf("never injected: %v", c.calls)
						}
						if nth == -1 && name == r.way {
							s, ok := c.reason(zerocopy.ReasonRefused)
							if r.way == "copy_file_range" { // splice is next
								ok, s.Err = c.report.Bytes(zerocopy.Splice) == size, errno
							}
							if !ok || !errors.Is(s.Err, errno) {
								t.Errorf("the report does not tell: %v", c.report)
							}
						}
						if nth == -1 && name == "pipe2" {
							if s, ok := c.reason(zerocopy.ReasonNoPipe); !ok || !errors.Is(s.Err, errno) || s.Bytes != size {
								t.Errorf("the report does not tell: %v", c.report)
							}
						}
						if errno == syscall.EINTR && strings.Contains(fmt.Sprint(c.report), errno.Error()) {
							t.Errorf("EINTR is seen: %v", c.report)
						}
					})
				}
			}
		}
	}
}

// TestH29ShortAndEmpty: calls that move less than they could, or nothing, as old
// kernels and odd filesystems do.
func TestH29ShortAndEmpty(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	content := ztest.Pattern(32).Bytes(100_000)
	for _, r := range routes {
		if r.way == "" {
			continue
		}
		for _, tt := range []struct {
			name string
			f    func(c *sys.Call, nth int) (int, error, bool)
		}{
			{"one byte at first", func(c *sys.Call, nth int) (int, error, bool) {
				if nth < 5 {
					c.N = min(c.N, 1)
				}
				return 0, nil, false
			}},
			{"777 bytes each", func(c *sys.Call, nth int) (int, error, bool) { c.N = min(c.N, 777); return 0, nil, false }},
			{"a zero at first", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, nth == 1 }},
			{"a zero each second time", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, nth%2 == 0 }},
			{"nothing but zeros", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, true }},
			{"EAGAIN each second time", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, nth%2 == 0 }},
			{"nothing but EAGAIN", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, true }},
			{"EAGAIN on the way in", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, nth%3 == 1 }},
		} {
			few.Run(r.name+"/"+tt.name, func(t *testing.T) {
				src, dst := ztest.NewSource(t, r.src, content, ztest.Pieces(9000)), ztest.NewDest(t, r.dst)
				c := r.set(track(t, func(c *sys.Call, nth int) (int, error, bool) {
					if c.Name != r.way {
						return 0, nil, false
					}
					return tt.f(c, nth)
				}))
				reader := r.reader(src)
				n, err := c.within(t, dst.Writer, reader)
				checkWhole(t, dst, n, err, content)
				if calls := c.count(); calls > 3000 {
					t.Errorf("%d system calls for %d bytes: %v", calls, n, c.calls)
				}
			})
		}
	}
}
