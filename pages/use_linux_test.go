package pages_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// A target is a destination by each route.
type target struct {
	name string
	open func(t *testing.T, o *pages.Options) (*feed, *ztest.Dest)
}

var targets = []target{
	{"plain", func(t *testing.T, o *pages.Options) (*feed, *ztest.Dest) {
		d := ztest.NewDest(t, ztest.Unix)
		return open(t, nil, d.Writer, o, 31), d
	}},
	{"pipe, reader copies", func(t *testing.T, o *pages.Options) (*feed, *ztest.Dest) {
		d := ztest.NewDest(t, ztest.Pipe)
		o.Lend, o.LendFrom = pages.ReaderCopies, 1
		return open(t, nil, d.Writer, o, 32), d
	}},
	{"pipe, fresh pages", func(t *testing.T, o *pages.Options) (*feed, *ztest.Dest) {
		d := ztest.NewDest(t, ztest.Pipe)
		o.Lend, o.LendFrom = pages.FreshPages, 1
		return open(t, nil, d.Writer, o, 33), d
	}},
	{"TCP", func(t *testing.T, o *pages.Options) (*feed, *ztest.Dest) {
		d, dev := dialed(t)
		o.LendFrom = 1
		return open(t, dev.calls(), d.Writer, o, 34), d
	}},
}

// TestMisuse: what is called in the wrong order, or with what cannot be, is an error by which
// nothing is lost.
func TestMisuse(t *testing.T) {
	t.Parallel()
	for _, at := range targets {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			f, d := at.open(t, &pages.Options{})
			w := f.w
			is := func(what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) || want == nil && err != nil {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
			is("Commit without Next", w.Commit(1), pages.ErrNotLent)
			is("Commit of nothing without Next", w.Commit(0), pages.ErrNotLent)
			buf := f.next()
			_, err := w.Next()
			is("Next twice", err, pages.ErrLent)
			is("Flush", w.Flush(), pages.ErrLent)
			is("Wait", w.Wait(), pages.ErrLent)
			n, err := w.Write([]byte("lost"))
			is("Write", err, pages.ErrLent)
			is("WriteByte", w.WriteByte(1), pages.ErrLent)
			m, err := w.ReadFrom(strings.NewReader("lost"))
			is("ReadFrom", err, pages.ErrLent)
			if n != 0 || m != 0 || w.AvailableBuffer() != nil || w.Buffered() != 0 {
				t.Errorf("%d, %d, %v, %d", n, m, w.AvailableBuffer(), w.Buffered())
			}
			for _, n := range []int{-1, -1 << 31, len(buf) + 1, 1<<31 - 1} {
				if err := w.Commit(n); err == nil {
					t.Errorf("Commit of %d", n)
				}
			}
			f.p.Fill(buf, 0) // it is still the caller's
			is("Commit", w.Commit(20_000), nil)
			f.off += 20_000
			is("Commit twice", w.Commit(1), pages.ErrNotLent)
			for range 3 {
				f.commit(0)
			}
			f.whole(300_000)
			if s := w.Stats(); s.Commits < 4 || s.Bytes != f.off {
				t.Errorf("%+v", s)
			}
			f.given()
			f.finish(d, nil)

			buf = f.next() // Close with a buffer that was not committed
			_ = buf
			is("Close", w.Close(), nil)
			is("Close again", w.Close(), nil)
			is("Commit after Close", w.Commit(1), pages.ErrClosed)
			_, err = w.Next()
			is("Next after Close", err, pages.ErrClosed)
			is("Flush after Close", w.Flush(), pages.ErrClosed)
			is("Wait after Close", w.Wait(), pages.ErrClosed)
			_, err = w.Write(nil)
			is("Write after Close", err, pages.ErrClosed)
			is("WriteByte after Close", w.WriteByte(0), pages.ErrClosed)
			_, err = w.ReadFrom(strings.NewReader("x"))
			is("ReadFrom after Close", err, pages.ErrClosed)
			if w.AvailableBuffer() != nil || w.Available() != 0 || w.Buffered() != 0 || w.Size() != pages.DefaultSize || w.Stats().Bytes != f.off {
				t.Errorf("after Close: %d available, %d buffered, %+v", w.Available(), w.Buffered(), w.Stats())
			}
		})
	}
}

// TestCloseUnflushed: Close says that what was not flushed is lost.
func TestCloseUnflushed(t *testing.T) {
	t.Parallel()
	for _, at := range targets {
		f, _ := at.open(t, &pages.Options{})
		f.w.Write(make([]byte, 100))
		if err := f.w.Close(); err == nil || !strings.Contains(err.Error(), "100 bytes") {
			t.Errorf("%s: %v", at.name, err)
		}
	}
}

// TestTwoGoroutines: a second goroutine gets ErrInUse and disturbs nothing; Stats may be
// called by any.
func TestTwoGoroutines(t *testing.T) {
	t.Parallel()
	for _, at := range targets {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			f, d := at.open(t, &pages.Options{})
			d.Stall()
			task := ztest.Go(t, "the writer", func() { f.whole(10 << 20) })
			task.AwaitParkedToWrite()
			for what, err := range map[string]error{
				"Commit": f.w.Commit(1), "Flush": f.w.Flush(), "Wait": f.w.Wait(), "Close": f.w.Close(), "WriteByte": f.w.WriteByte(1),
				"Next":     func() error { _, err := f.w.Next(); return err }(),
				"Write":    func() error { _, err := f.w.WriteString("x"); return err }(),
				"ReadFrom": func() error { _, err := f.w.ReadFrom(strings.NewReader("x")); return err }(),
			} {
				if err != pages.ErrInUse {
					t.Errorf("%s: %v", what, err)
				}
			}
			if f.w.AvailableBuffer() != nil || f.w.Buffered() != 0 || f.w.Available() != 0 {
				t.Error("a buffer in use is available")
			}
			var others sync.WaitGroup
			stop := make(chan struct{})
			for range 2 {
				others.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if s := f.w.Stats(); s.Bytes != s.Lent+s.Copied || s.Held < 0 || s.Held > s.Lent {
							t.Errorf("%+v", s)
						}
						time.Sleep(10 * time.Microsecond) // leaves the processor to the others
					}
				})
			}
			d.Resume()
			task.Wait()
			close(stop)
			others.Wait()
			f.given()
			f.finish(d, nil)
		})
	}
}

// TestBadOptions: what cannot be is an error of NewWriter.
func TestBadOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []pages.Options{
		{Size: -1}, {Size: 1<<28 + 1}, {Memory: -1}, {Memory: 1<<30 + 1}, {LendFrom: -1}, {Lend: 4}, {Lend: 255},
	} {
		if w, err := pages.NewWriter(new(bytes.Buffer), &o); err == nil {
			w.Close()
			t.Errorf("%+v", o)
		}
	}
	if _, err := pages.NewWriter(nil, nil); err == nil {
		t.Error("a nil Writer")
	}
	for _, w := range []io.Writer{(*os.File)(nil), new(net.TCPConn)} {
		f := open(t, nil, w, nil, 1)
		f.w.WriteByte(0)
		if err := f.w.Flush(); err == nil {
			t.Errorf("%T", w)
		}
	}
}

// TestSizes: sizes are whole pages, and there is as much memory as a route needs.
func TestSizes(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	pipe := func(n int) io.Writer { return ztest.NewDest(t, ztest.Pipe, ztest.Buffers(n)).Writer }
	for _, tt := range []struct {
		w          io.Writer
		o          pages.Options
		size, ring int
		what       string
	}{
		{new(bytes.Buffer), pages.Options{}, pages.DefaultSize, pages.DefaultSize, "plain"},
		{new(bytes.Buffer), pages.Options{Size: 1}, page, page, "plain, a page"},
		{pipe(64 << 10), pages.Options{Lend: pages.ReaderCopies}, pages.DefaultSize, 4 * pages.DefaultSize, "pipe"},
		{pipe(64 << 10), pages.Options{Lend: pages.ReaderCopies, Size: page, Memory: 1}, page, 64<<10 + 3*page, "pipe, a page"},
		{pipe(64 << 10), pages.Options{Lend: pages.ReaderCopies, Memory: 1 << 20}, pages.DefaultSize, 1 << 20, "pipe, more memory"},
		{pipe(1 << 20), pages.Options{Lend: pages.ReaderCopies}, 256 << 10, 1<<20 + 3*256<<10, "large pipe"},
		{pipe(64 << 10), pages.Options{Lend: pages.FreshPages}, pages.DefaultSize, pages.DefaultSize, "fresh"},
		{pipe(64 << 10), pages.Options{Lend: pages.FreshPages, Huge: true}, pages.DefaultSize, 2 * sys.HugePage, "fresh, huge"},
		{pipe(64 << 10), pages.Options{Memory: 8 << 20, Huge: true}, pages.DefaultSize, pages.DefaultSize, "fastest, at first"},
		{ztest.NewDest(t, ztest.TCP4).Writer, pages.Options{}, pages.DefaultSize, 4 << 20, "TCP"},
		{ztest.NewDest(t, ztest.TCP4).Writer, pages.Options{Size: 8 << 20}, 8 << 20, 16 << 20, "TCP, large buffers"},
		{ztest.NewDest(t, ztest.TCP4).Writer, pages.Options{Memory: 8 << 20}, pages.DefaultSize, 8 << 20, "TCP, more memory"},
		{ztest.NewDest(t, ztest.TCP4).Writer, pages.Options{Memory: 1}, pages.DefaultSize, 2 * pages.DefaultSize, "TCP, less memory"},
	} {
		f := open(t, nil, tt.w, &tt.o, 1)
		if f.w.Size() != tt.size || f.w.RingSize() != tt.ring || f.w.Available() != tt.size || len(f.next()) != tt.size {
			t.Errorf("%s: a buffer of %d, want %d, memory of %d, want %d", tt.what, f.w.Size(), tt.size, f.w.RingSize(), tt.ring)
		}
	}
}
