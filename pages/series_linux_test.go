package pages_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// What made vmsplice doubtful when it was new, in 2006: pages that were lent to a pipe live on
// behind it, where its writer cannot look. There are three such places.

// A place is one where pages live on behind a pipe. moved takes n bytes out of the pipe from by
// reference; take returns what has arrived when the stream is at its end.
type place struct {
	name string
	make func(t *testing.T, from *os.File) (move func(n int), take func() []byte)
}

var places = []place{
	{"second pipe in series", func(t *testing.T, from *os.File) (func(int), func() []byte) {
		r, w := ztest.FilePair(t, ztest.Pipe)
		_, err := ztest.SetPipeSize(w, 1<<20)
		must(t, err)
		return func(n int) { splice(t, from, w, n) }, func() []byte {
			must(t, w.Close())
			b, err := io.ReadAll(r)
			must(t, err)
			return b
		}
	}},
	{"reader that splices on", func(t *testing.T, from *os.File) (func(int), func() []byte) {
		near, far := ztest.FilePair(t, ztest.SockFile)
		must(t, sockOpt(near, syscall.SO_SNDBUF, 4<<20))
		return func(n int) { splice(t, from, near, n) }, func() []byte {
			must(t, near.Close())
			b, err := io.ReadAll(far)
			must(t, err)
			return b
		}
	}},
	{"TCP peer that has not acknowledged", func(t *testing.T, from *os.File) (func(int), func() []byte) {
		d := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(0), ztest.Buffers(16<<10))
		must(t, sockOpt(d.Writer, syscall.SO_SNDBUF, 4<<20)) // and is full of what is not acknowledged
		return func(n int) { splice(t, from, d.Writer, n) }, d.Finish
	}},
}

// splice moves n bytes that are there, by reference.
func splice(t *testing.T, from, to syscall.Conn, n int) {
	t.Helper()
	must(t, with(from, func(in int) error {
		return with(to, func(out int) error {
			for n > 0 {
				m, err := (*sys.Calls)(nil).Splice(in, nil, out, nil, n)
				if err != nil || m == 0 {
					return errors.Join(errors.New("nothing was spliced"), err)
				}
				n -= m
			}
			return nil
		})
	}))
}

// with runs f on the descriptor of c.
func with(c syscall.Conn, f func(fd int) error) (err error) {
	raw, rerr := c.SyscallConn()
	if rerr != nil {
		return rerr
	}
	if rerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); rerr != nil {
		return rerr
	}
	return err
}

func sockOpt(c syscall.Conn, option, n int) error {
	return with(c, func(fd int) error { return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, option, n) })
}

// inSeries is how much is behind the pipe at the same time.
const inSeries = 8 * pages.DefaultSize

// TestH13Series: whatever a Writer that needs no promise has given to a pipe arrives intact
// from all three places, though every buffer is written to as soon as it can be, and all
// memory is gone before anybody reads.
func TestH13Series(t *testing.T) {
	t.Parallel()
	for _, at := range places {
		for _, tt := range []struct {
			name   string
			o      pages.Options
			before int64 // is sent until the way is reached
			late   bool  // buffers are written to after their Commit, through a slice kept
		}{
			{"fresh pages", pages.Options{Lend: pages.FreshPages}, 0, true},
			{"fresh pages, checked", pages.Options{Lend: pages.FreshPages, Check: true}, 0, false},
			{"fresh pages, small buffers", pages.Options{Lend: pages.FreshPages, Size: 16 << 10, LendFrom: 1}, 0, true},
			{"fresh huge pages", pages.Options{Lend: pages.FreshPages, Huge: true}, 0, false},
			{"fastest", pages.Options{}, pages.BulkFrom, false},
		} {
			t.Run(at.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				r, w := ztest.FilePair(t, ztest.Pipe)
				move, take := at.make(t, r)
				f := open(t, nil, w, &tt.o, 2006)
				for f.off < tt.before {
					f.commit(f.w.Size())
					_, err := io.ReadFull(r, make([]byte, f.w.Size()))
					must(t, err)
				}
				start := f.off
				for f.off < start+inSeries {
					was := f.w.Stats().Lent
					buf := f.commit(f.w.Size())
					if n := f.w.Stats().Lent - was; n != int64(len(buf)) {
						t.Fatalf("%d bytes of %d were lent: %v", n, len(buf), f.w.Stats())
					}
					if tt.late {
						fill(buf, 0xee)
					}
					move(len(buf))
				}
				// Memory is written to, wherever it is reused.
				for range 8 {
					buf := f.next()
					fill(buf, 0xdd)
					must(t, f.w.Commit(1))
					if _, err := r.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
				must(t, f.w.Close())
				got := take()
				if len(got) != int(inSeries) {
					t.Errorf("%d bytes have arrived", len(got))
				}
				f.p.Check(t, got, start)
			})
		}
		t.Run(at.name+"/constant", func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(3).Bytes(pages.DefaultSize)
			c, err := pages.NewConstant(len(content), func(p []byte) error { copy(p, content); return nil })
			must(t, err)
			r, w := ztest.FilePair(t, ztest.Pipe)
			move, take := at.make(t, r)
			before := zerocopy.ReadStats().Bytes(zerocopy.Vmsplice)
			for range inSeries / pages.DefaultSize {
				n, err := c.WriteTo(w)
				if n != int64(len(content)) || err != nil {
					t.Fatal(n, err)
				}
				move(len(content))
			}
			if n := zerocopy.ReadStats().Bytes(zerocopy.Vmsplice) - before; n < inSeries {
				t.Errorf("%d bytes were lent of %d", n, inSeries)
			}
			must(t, c.Close())
			ztest.Equal(t, "content", take(), bytes.Repeat(content, inSeries/pages.DefaultSize))
		})
	}
}

func fill(b []byte, c byte) {
	for i := range b {
		b[i] = c
	}
}

// TestH13ReaderCopies: the promise matters. Behind a reader that splices on, bytes are seen
// changed, since their pages are taken for given back when they have left the pipe. Where it
// is kept they are not.
func TestH13ReaderCopies(t *testing.T) {
	t.Parallel()
	for _, kept := range []bool{true, false} {
		r, w := ztest.FilePair(t, ztest.Pipe)
		f := open(t, nil, w, &pages.Options{Lend: pages.ReaderCopies}, 13)
		move, take := places[0].make(t, r)
		var got bytes.Buffer
		for f.off < inSeries {
			f.commit(f.w.Size())
			if kept {
				_, err := io.CopyN(&got, r, int64(f.w.Size()))
				must(t, err)
			} else {
				move(f.w.Size())
			}
		}
		lent(t, f.w.Stats(), zerocopy.Vmsplice, 1)
		if !kept {
			got.Write(take())
		}
		if changed := f.p.Diff(got.Bytes(), 0) != ""; got.Len() != int(inSeries) || changed == kept {
			t.Errorf("promise kept %v: %d bytes, changed %v", kept, got.Len(), changed)
		}
	}
}

// TestH13LaterChange: vmsplice is no copy. What is written to a page that was lent, and not
// read yet, is what arrives, by any way that leaves the page in the process. Package pages is
// there because of this; a kernel on which this test fails has no need of it.
func TestH13LaterChange(t *testing.T) {
	t.Parallel()
	m, err := pages.NewMemory(4096, false)
	must(t, err)
	defer m.Free()
	fill(m.Bytes(), 'a')
	r, w := ztest.FilePair(t, ztest.Pipe)
	must(t, with(w, func(fd int) error {
		n, err := (*sys.Calls)(nil).Vmsplice(fd, m.Bytes(), false)
		if n != 4096 {
			t.Errorf("%d bytes were lent", n)
		}
		return err
	}))
	fill(m.Bytes(), 'b')
	got := make([]byte, 4096)
	_, err = io.ReadFull(r, got)
	must(t, err)
	if got[0] != 'b' || got[4095] != 'b' {
		t.Errorf("got %q…%q: vmsplice copies here", got[0], got[4095])
	}
}
