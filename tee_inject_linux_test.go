package zerocopy_test

import (
	"bytes"
	"crypto/sha256"
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

// A fanRoute is a fan whose calls are tampered with: its sinks, by their kinds, "" for
// a hash.
type fanRoute struct {
	name  string
	src   ztest.Kind
	sinks []ztest.Kind
	tee   bool // TeeReaders instead of a MultiWriter
}

var fanRoutes = []fanRoute{
	{"tcp→tcp+hash", ztest.TCP4, []ztest.Kind{ztest.TCP4, ""}, false},
	{"tcp→hash+tcp", ztest.TCP4, []ztest.Kind{"", ztest.TCP4}, false},
	{"tcp→hash+tcp+hash+file", ztest.TCP4, []ztest.Kind{"", ztest.TCP4, "", ztest.File}, false},
	{"unix→file+unix+hash", ztest.Unix, []ztest.Kind{ztest.File, ztest.Unix, ""}, true},
	{"tcp→pipe+tcp", ztest.TCP4, []ztest.Kind{ztest.Pipe, ztest.TCP4}, true},
	{"tcp→tcp+unix+pipe+file", ztest.TCP4, []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.File}, false},
}

// copy copies content with c and demands that all of it is everywhere.
func (r fanRoute) copy(t *testing.T, c *tracked, content []byte, opts ...ztest.Option) {
	t.Helper()
	src := ztest.NewSource(t, r.src, content, opts...)
	defer src.Close()
	writers := make([]io.Writer, len(r.sinks))
	dests := make([]*ztest.Dest, len(r.sinks))
	hash := sha256.New()
	for i, k := range r.sinks {
		if k == "" {
			writers[i] = struct{ io.Writer }{hash}
			continue
		}
		dests[i] = ztest.NewDest(t, k)
		defer dests[i].Close()
		writers[i] = dests[i].Writer
	}
	dst, from := io.MultiWriter(writers...), io.Reader(src.Reader)
	if r.tee {
		last := len(writers) - 1
		for _, w := range writers[:last] {
			from = io.TeeReader(from, w)
		}
		dst = writers[last]
	}
	n, err := c.within(t, dst, from)
	if n != int64(len(content)) || err != nil {
		t.Errorf("copied %d of %d, %v", n, len(content), err)
	}
	want := sha256.New()
	for i, d := range dests {
		if d == nil {
			want.Write(content) // a hash may be there more than once
			continue
		}
		ztest.Equal(t, fmt.Sprintf("sink %d, %s", i, d.Kind), d.Finish(), content)
	}
	if !bytes.Equal(hash.Sum(nil), want.Sum(nil)) && strings.Count(r.name, "hash") == 1 {
		t.Error("the hash is of something else")
	}
	if p := c.pipes.Stats(); p.Open != p.Idle {
		t.Errorf("a pipe is still borrowed: %+v", p)
	}
	var sum int64
	for _, s := range c.report.Steps {
		sum += s.Bytes
	}
	if sum != n {
		t.Errorf("the steps add up to %d of %d: %v", sum, n, c.report)
	}
}

// TestH29FanInjected: a call that fails although nothing is wrong with the bytes, the
// 1st, 2nd or 5th time or from then on, costs speed and nothing else.
func TestH29FanInjected(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const size = 300_000
	content := ztest.Pattern(67).Bytes(size)
	var cases atomic.Int64
	t.Cleanup(func() { t.Logf("%d cases", cases.Load()) })
	for _, r := range fanRoutes {
		seen := track(t, nil)
		r.copy(t, seen, content, ztest.Pieces(45_000))
		if seen.report.Bytes(zerocopy.Tee) != size || seen.count("tee") == 0 {
			t.Fatalf("%s: nothing to tamper with: %v", r.name, seen.report)
		}
		for _, name := range slices.Sorted(maps.Keys(seen.calls)) {
			errnos := []syscall.Errno{syscall.EINTR, syscall.ENOSYS, syscall.EPERM}
			switch name {
			case "read":
				errnos = errnos[:1] // there is nothing to fall back on
			case "pipe2":
				errnos = append(errnos, syscall.EMFILE, syscall.ENFILE)
			case "splice", "tee":
				errnos = append(errnos, syscall.EINVAL)
			}
			for _, errno := range errnos {
				for _, nth := range []int{1, 2, 5, -1, -2} {
					if errno == syscall.EINTR && nth < 0 {
						nth = -nth * 10 // for ever would be for ever
					}
					few.Run(fmt.Sprintf("%s/%s/%v/%d", r.name, name, errno, nth), func(t *testing.T) {
						cases.Add(1)
						c := track(t, func(c *sys.Call, n int) (int, error, bool) {
							return 0, errno, c.Name == name && (n == nth || nth < 0 && n >= -nth || errno == syscall.EINTR && n <= nth)
						})
						r.copy(t, c, content, ztest.Pieces(45_000))
						r.checkInjected(t, c, name, errno, nth, size)
					})
				}
			}
		}
	}
}

// checkInjected holds the report to what was injected.
func (r fanRoute) checkInjected(t *testing.T, c *tracked, name string, errno syscall.Errno, nth, size int) {
	t.Helper()
	teed := c.report.Bytes(zerocopy.Tee)
	switch {
	case errno == syscall.EINTR && (strings.Contains(fmt.Sprint(c.report), errno.Error()) || teed != int64(size)):
		t.Errorf("EINTR is seen: %v", c.report)
	case nth == -1 && name == "tee":
		if s, ok := c.reason(zerocopy.ReasonRefused); !ok || !errors.Is(s.Err, errno) || teed > 0 {
			t.Errorf("tee was never made, and the report does not tell: %v", c.report)
		}
	case nth == -1 && name == "pipe2":
		if s, ok := c.reason(zerocopy.ReasonNoPipe); !ok || !errors.Is(s.Err, errno) || teed > 0 {
			t.Errorf("there was no pipe, and the report does not tell: %v", c.report)
		}
	}
}

// TestH51PartialTee: tee, and splice, that move less than they could or nothing: no
// sink sees a byte twice or not at all.
func TestH51PartialTee(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(68).Bytes(150_000)
	for _, r := range fanRoutes {
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
			{"one byte each second time", func(c *sys.Call, nth int) (int, error, bool) {
				if nth%2 == 0 {
					c.N = min(c.N, 1)
				}
				return 0, nil, false
			}},
			{"777 bytes each", func(c *sys.Call, nth int) (int, error, bool) { c.N = min(c.N, 777); return 0, nil, false }},
			{"a zero at first", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, nth == 1 }},
			{"a zero each third time", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, nth%3 == 0 }},
			{"nothing but zeros", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, true }},
			{"EAGAIN each second time", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, nth%2 == 0 }},
			{"nothing but EAGAIN", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, true }},
		} {
			for _, name := range []string{"tee", "splice"} {
				if name == "splice" && tt.name == "one byte each second time" {
					continue // would be each drain, for each call out there is one in
				}
				t.Run(r.name+"/"+name+"/"+tt.name, func(t *testing.T) {
					t.Parallel()
					c := track(t, func(c *sys.Call, nth int) (int, error, bool) {
						if c.Name != name {
							return 0, nil, false
						}
						return tt.f(c, nth)
					})
					r.copy(t, c, content, ztest.Pieces(9000))
					if calls := c.count(); calls > 4000 {
						t.Errorf("%d system calls for %d bytes: %v", calls, len(content), c.calls)
					}
					if strings.HasPrefix(tt.name, "nothing") && c.report.Bytes(zerocopy.Tee) > 0 {
						t.Errorf("reported as duplicated, and %s says otherwise: %v", name, c.report)
					}
				})
			}
		}
	}
}

// TestFanSmallerPipes: the pipe for duplicates is smaller than the one that the chunk
// is in, as where the user's share of pipe memory is used up.
func TestFanSmallerPipes(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(69).Bytes(3 << 20)
	for _, r := range fanRoutes {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			var pipes atomic.Int64
			c := track(t, func(c *sys.Call, _ int) (int, error, bool) {
				switch c.Name {
				case "pipe2":
					pipes.Add(1)
				case "F_SETPIPE_SZ":
					if pipes.Load()%2 == 0 {
						c.N = 64 << 10
					}
				}
				return 0, nil, false
			})
			r.copy(t, c, content)
		})
	}
}
