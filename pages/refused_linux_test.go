package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// What the kernel refuses, what is switched off, and what is counted.

// TestReasons: a destination that is lent nothing is written to, and Stats says why.
func TestReasons(t *testing.T) {
	t.Parallel()
	readOnly, err := os.Open("/dev/null")
	must(t, err)
	defer readOnly.Close()
	r, _ := ztest.FilePair(t, ztest.Pipe)
	datagram, err := net.Dial("udp4", "127.0.0.1:9")
	must(t, err)
	defer datagram.Close()
	udp, err := datagram.(*net.UDPConn).File()
	must(t, err)
	defer udp.Close()
	for _, tt := range []struct {
		what string
		w    io.Writer
		o    pages.Options
		want zerocopy.Reason
		dead bool
	}{
		{"unknown", new(bytes.Buffer), pages.Options{}, zerocopy.ReasonNotDescriptor, false},
		{"wrapped", struct{ io.Writer }{ztest.NewDest(t, ztest.Pipe).Writer}, pages.Options{}, zerocopy.ReasonNotDescriptor, false},
		{"file", ztest.NewDest(t, ztest.File).Writer, pages.Options{}, zerocopy.ReasonNoLoan, false},
		{"append", ztest.NewDest(t, ztest.Append).Writer, pages.Options{}, zerocopy.ReasonNoLoan, false},
		{"unix", ztest.NewDest(t, ztest.Unix).Writer, pages.Options{}, zerocopy.ReasonNoLoan, false},
		{"terminal", ztest.NewDest(t, ztest.PTY).Writer, pages.Options{}, zerocopy.ReasonNoLoan, false},
		{"null", ztest.NewDest(t, ztest.Null).Writer, pages.Options{}, zerocopy.ReasonNoLoan, false},
		{"never", ztest.NewDest(t, ztest.Pipe).Writer, pages.Options{Lend: pages.Never}, zerocopy.ReasonDisabled, false},
		{"never, TCP", ztest.NewDest(t, ztest.TCP4).Writer, pages.Options{Lend: pages.Never}, zerocopy.ReasonDisabled, false},
		{"fastest, at first", ztest.NewDest(t, ztest.Pipe).Writer, pages.Options{}, zerocopy.ReasonStart, false},
		{"datagrams", udp, pages.Options{}, zerocopy.ReasonMessages, false},
		{"read-only", readOnly, pages.Options{}, zerocopy.ReasonAccess, true},
		{"the read end", r, pages.Options{Lend: pages.FreshPages}, zerocopy.ReasonAccess, true},
	} {
		f := open(t, nil, tt.w, &tt.o, 1)
		f.w.Write(make([]byte, 1000))
		if err := f.w.Flush(); (err != nil) != tt.dead && tt.what != "datagrams" {
			t.Errorf("%s: %v", tt.what, err)
		}
		s := f.w.Stats()
		if s.Mechanism != zerocopy.Buffered || s.Reason != tt.want || s.Lent != 0 || s.Type != fmt.Sprintf("%T", tt.w) {
			t.Errorf("%s: %+v, want %v", tt.what, s, tt.want)
		}
		if !strings.Contains(s.String(), s.Reason.String()) && !strings.Contains(s.String(), "0 lent") {
			t.Errorf("%s: %v", tt.what, s)
		}
	}
}

// TestVmspliceRefused: a kernel, a filter or a module that refuses vmsplice is written to
// instead, with nothing lost, whenever it begins.
func TestVmspliceRefused(t *testing.T) {
	t.Parallel()
	for _, errno := range []error{syscall.EINVAL, syscall.ENOSYS, syscall.EPERM, syscall.EBADF, syscall.ENOMEM} {
		for _, from := range []int{1, 2, 7} {
			for _, way := range pipeWays {
				if (from > 1 || way.before > 0) && errno != syscall.EINVAL || from > 1 && way.before > 0 {
					continue
				}
				nth := 0
				calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
					if c.Name != "vmsplice" {
						return 0, nil, false
					}
					nth++
					return 0, errno, nth >= from
				}}
				d := ztest.NewDest(t, ztest.Pipe)
				f := open(t, calls, d.Writer, &way.o, 35)
				f.whole(way.before + max(200_000, 8*int64(f.w.Size())))
				f.given()
				s := f.finish(d, nil)
				if s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonRefused || s.Err != errno || (s.Lent > 0) != (from > 1) || s.Copied == 0 || nth != from {
					t.Errorf("%v from the %dth on: %+v after %d calls", errno, from, s, nth)
				}
			}
		}
	}
}

// TestShortVmsplice: a vmsplice that takes less than it could.
func TestShortVmsplice(t *testing.T) {
	t.Parallel()
	for _, way := range pipeWays {
		n := 0
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
			if c.Name == "vmsplice" {
				if n++; n%3 == 0 {
					return 0, syscall.EINTR, true
				}
				c.N = min(c.N, []int{1, 4095, 4096, 5000, 1 << 20}[n%5])
			}
			return 0, nil, false
		}}
		d := ztest.NewDest(t, ztest.Pipe)
		f := open(t, calls, d.Writer, &way.o, 36)
		f.whole(way.before)
		for range 3 {
			f.random(300_000)
		}
		f.commit(f.w.Size())
		lent(t, f.w.Stats(), zerocopy.Vmsplice, 0.01)
		f.given()
		f.finish(d, nil)
	}
}

// TestNoMemory: where there is no memory NewWriter fails, and takes nothing with it.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	for _, w := range []io.Writer{ztest.NewDest(t, ztest.Pipe).Writer, ztest.NewDest(t, ztest.TCP4).Writer, new(bytes.Buffer)} {
		if _, err := pages.NewWriterWith(refuse("mmap", syscall.ENOMEM), w, nil); !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("%T: %v", w, err)
		}
		if _, err := pages.NewWriterWith(refuse("mprotect", syscall.ENOMEM), w, &pages.Options{Check: true}); !errors.Is(err, syscall.ENOMEM) {
			t.Errorf("%T: %v", w, err)
		}
		f := open(t, nil, w, nil, 1) // whatever it began is undone
		if s := f.w.Stats(); s.Reason == zerocopy.ReasonLentElsewhere {
			t.Errorf("%T: %+v", w, s)
		}
	}
}

// TestDropRefused: pages that cannot be taken out of the process are never used again. New
// memory takes their place; where there is none the Writer fails, and what it sent arrives.
func TestDropRefused(t *testing.T) {
	t.Parallel()
	for _, way := range pipeWays {
		if way.o.Lend == pages.ReaderCopies || way.o.Check {
			continue
		}
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			var maps int
			out := false
			calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
				switch c.Name {
				case "madvise":
					return 0, syscall.EINVAL, true
				case "mmap":
					maps++
					return 0, syscall.ENOMEM, out
				}
				return 0, nil, false
			}}
			r, w := ztest.FilePair(t, ztest.Pipe)
			_, err := ztest.SetPipeSize(w, 1<<20)
			must(t, err)
			o := way.o
			o.Size = 64 << 10
			f := open(t, calls, w, &o, 37)
			var got bytes.Buffer
			for f.off < way.before {
				f.commit(f.w.Size())
				_, err := io.CopyN(&got, r, int64(f.w.Size()))
				must(t, err)
			}
			before := maps
			for range 40 { // through the pipe, of which nobody reads until it is full
				if f.commit(f.w.Size()); f.off%(960<<10) == 0 {
					_, err := io.CopyN(&got, r, f.off-int64(got.Len()))
					must(t, err)
				}
			}
			if maps == before {
				t.Error("no new memory")
			}
			lent(t, f.w.Stats(), zerocopy.Vmsplice, 0.1)
			out = true
			err = nil
			for range 40 {
				buf, nerr := f.w.Next()
				if err = nerr; err != nil {
					break
				}
				f.p.Fill(buf, f.off)
				f.off += int64(len(buf))
				if err = f.w.Commit(len(buf)); err != nil {
					break
				}
				_, cerr := io.CopyN(&got, r, f.off-int64(got.Len()))
				must(t, cerr)
			}
			if !errors.Is(err, syscall.ENOMEM) {
				t.Errorf("without memory: %v", err)
			}
			if _, err := f.w.Next(); !errors.Is(err, syscall.ENOMEM) {
				t.Errorf("and then: %v", err)
			}
			_, err = io.CopyN(&got, r, f.w.Stats().Bytes-int64(got.Len()))
			must(t, err)
			f.p.Check(t, got.Bytes(), 0)
		})
	}
}

// TestSwitchedOff: lending stops at once when it is switched off and goes on when it is
// switched on; nothing is lost.
func TestSwitchedOff(t *testing.T) { // not parallel: the switch is that of the process
	defer zerocopy.SetDefault(nil)
	for _, at := range targets[1:] {
		f, d := at.open(t, &pages.Options{})
		m := f.w.Stats().Mechanism
		for range 3 {
			for _, c := range []*zerocopy.Copier{nil, {Disable: zerocopy.Mechanisms(zerocopy.Vmsplice, zerocopy.MsgZerocopy)}, {}, {Disable: zerocopy.AllMechanisms}} {
				zerocopy.SetDefault(c)
				off := zerocopy.Disabled().Has(m)
				before := f.w.Stats()
				f.whole(256 << 10)
				s := f.w.Stats()
				if off != (s.Reason == zerocopy.ReasonDisabled) || off != (s.Mechanism == zerocopy.Buffered) {
					t.Errorf("%s, switched off: %v: %+v", at.name, off, s)
				}
				if off && s.Lent != before.Lent || !off && s.Lent == before.Lent {
					t.Errorf("%s, switched off: %v: before %+v, then %+v", at.name, off, before, s)
				}
			}
		}
		f.given()
		f.finish(d, nil)
		zerocopy.SetDefault(nil)
	}
}

// TestReadStats: what Writers and Constants move is in zerocopy.ReadStats, with the reasons
// of what was copied.
func TestReadStats(t *testing.T) { // not parallel: the counts are those of the process
	for _, at := range targets {
		before := zerocopy.ReadStats()
		f, d := at.open(t, &pages.Options{})
		f.whole(1 << 20)
		f.given()
		s := f.finish(d, nil)
		must(t, f.w.Close())
		after := zerocopy.ReadStats()
		for _, m := range []zerocopy.Mechanism{zerocopy.Vmsplice, zerocopy.MsgZerocopy, zerocopy.Buffered} {
			want := int64(0)
			switch {
			case m == zerocopy.Buffered:
				want = s.Copied
			case m == s.Mechanism:
				want = s.Lent
			}
			if got := after.Bytes(m) - before.Bytes(m); got != want {
				t.Errorf("%s: %d bytes by %v, want %d (%v)", at.name, got, m, want, s)
			}
		}
		if s.Reason == zerocopy.ReasonNone {
			continue
		}
		var n int64
		for _, r := range after.Reasons {
			if r.Reason == s.Reason && r.Type == s.Type {
				n += r.Bytes
			}
		}
		for _, r := range before.Reasons {
			if r.Reason == s.Reason && r.Type == s.Type {
				n -= r.Bytes
			}
		}
		if n != s.Copied {
			t.Errorf("%s: %d bytes for %v, want %d", at.name, n, s.Reason, s.Copied)
		}
	}
}

// TestHugeOdd: huge pages with buffers that do not divide them, partly committed.
func TestHugeOdd(t *testing.T) {
	t.Parallel()
	for _, size := range []int{3 << 20, 2<<20 + 4096, 1300 << 10, 2 << 20} {
		for _, memory := range []int{0, 5 << 20} {
			if memory > 0 && size != 3<<20 {
				continue
			}
			checker := receive(uint64(size))
			d := ztest.NewDest(t, ztest.Pipe, ztest.Into(checker), ztest.Buffers(1<<20))
			f := open(t, nil, d.Writer, &pages.Options{Lend: pages.FreshPages, Huge: true, Size: size, Memory: memory}, uint64(size))
			for _, n := range []int{size, size / 6, size, 1, size / 6, size, size, 100_000, size - 1, size} {
				f.commit(n)
			}
			lent(t, f.finish(d, checker), zerocopy.Vmsplice, 0.9)
		}
	}
}
