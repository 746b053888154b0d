package pages_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// A pipeWay is a way in which a Writer lends to a pipe.
type pipeWay struct {
	name   string
	o      pages.Options
	before int64 // is written plainly first
}

var pipeWays = []pipeWay{
	{"reader copies", pages.Options{Lend: pages.ReaderCopies, LendFrom: 1}, 0},
	{"reader copies, one page", pages.Options{Lend: pages.ReaderCopies, LendFrom: 1, Size: 1}, 0},
	{"reader copies, odd", pages.Options{Lend: pages.ReaderCopies, LendFrom: 5000, Size: 20_000}, 0},
	{"reader copies, checked", pages.Options{Lend: pages.ReaderCopies, LendFrom: 1, Check: true}, 0},
	{"reader copies, huge", pages.Options{Lend: pages.ReaderCopies, Huge: true}, 0},
	{"fresh pages", pages.Options{Lend: pages.FreshPages, LendFrom: 1}, 0},
	{"fresh pages, odd", pages.Options{Lend: pages.FreshPages, LendFrom: 1, Size: 20_000, Memory: 100_000}, 0},
	{"fresh pages, checked", pages.Options{Lend: pages.FreshPages, LendFrom: 1, Check: true}, 0},
	{"fresh huge pages", pages.Options{Lend: pages.FreshPages, Huge: true}, 0},
	{"fresh huge pages, odd", pages.Options{Lend: pages.FreshPages, Huge: true, Size: 300_000}, 0},
	{"fastest", pages.Options{LendFrom: 1}, pages.BulkFrom},
}

// A pipeScene is a pipe and what its reader does.
type pipeScene struct {
	name string
	dest func(t *testing.T, o ...ztest.Option) *ztest.Dest
	n    int64 // is sent
}

func dest(k ztest.Kind, more ...ztest.Option) func(*testing.T, ...ztest.Option) *ztest.Dest {
	return func(t *testing.T, o ...ztest.Option) *ztest.Dest { return ztest.NewDest(t, k, append(o, more...)...) }
}

var pipeScenes = []pipeScene{
	{"pipe", dest(ztest.Pipe), 3 << 20},
	{"FIFO", dest(ztest.FIFO), 1 << 20},
	{"one slot", dest(ztest.Pipe, ztest.Buffers(1)), 300_000},
	{"1 MiB", dest(ztest.Pipe, ztest.Buffers(1<<20)), 6 << 20},
	{"in blocking mode", dest(ztest.Pipe, ztest.Blocking()), 1 << 20},
	{"odd reads", dest(ztest.Pipe, ztest.Pieces(1, 4095, 4097, 100, 65_536, 8191)), 700_000},
	{"slow reader", dest(ztest.Pipe, ztest.Pieces(40_000), ztest.Slow(100*time.Microsecond)), 700_000},
	{"a byte at a time", dest(ztest.Pipe, ztest.Buffers(1), ztest.Pieces(1)), 4000},
}

// TestPipe: a stream of commits of any size, and of bytes that are collected, arrives whole by
// every way and whatever the reader does, though each page is overwritten when it comes back.
func TestPipe(t *testing.T) {
	t.Parallel()
	for i, way := range pipeWays {
		for j, sc := range pipeScenes {
			t.Run(way.name+"/"+sc.name, func(t *testing.T) {
				t.Parallel()
				seed := uint64(100*i + j)
				checker := receive(seed)
				d := sc.dest(t, ztest.Into(checker))
				f := open(t, nil, d.Writer, &way.o, seed)
				if n := way.before; n > 0 && sc.n > 1<<20 {
					f.whole(n)
				}
				f.random(sc.n)
				if way.before == 0 || sc.n > 1<<20 {
					f.commit(20_000)
					lent(t, f.w.Stats(), zerocopy.Vmsplice, 0.01)
				}
				f.given()
				f.finish(d, checker)
			})
		}
	}
}

// TestPipeResized: the capacity of the pipe goes up and down while bytes are in it.
func TestPipeResized(t *testing.T) {
	t.Parallel()
	for i, way := range pipeWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			p, err := zerocopy.NewPipe(64 << 10)
			must(t, err)
			defer p.Close()
			seed := uint64(300 + i)
			checker := receive(seed)
			f := open(t, nil, p, &way.o, seed)
			received := ztest.Go(t, "the reader", func() {
				rnd := rand.New(rand.NewPCG(seed, 2))
				buf := make([]byte, 100_000)
				for n := 0; ; n++ {
					if n%4 == 0 {
						p.SetSize(4096 << rnd.IntN(9)) // or not, where more is in it
					}
					k, err := p.Read(buf[:1+rnd.IntN(len(buf))])
					checker.Write(buf[:k])
					if err != nil {
						if err != io.EOF {
							t.Error(err)
						}
						return
					}
				}
			})
			if way.before > 0 {
				f.whole(way.before)
			}
			f.random(3 << 20)
			f.whole(1 << 20)
			lent(t, f.w.Stats(), zerocopy.Vmsplice, 0.1)
			f.given()
			must(t, p.CloseWrite())
			received.Wait()
			if checker.err != nil || checker.N() != f.off {
				t.Errorf("%d bytes have arrived of %d: %v", checker.N(), f.off, checker.err)
			}
		})
	}
}

// TestPipeGrown: a pipe that is made larger than the memory makes a Writer take more, and the
// pages that were lent by then stay as they are. Nothing waits.
func TestPipeGrown(t *testing.T) {
	t.Parallel()
	d := ztest.NewDest(t, ztest.Pipe, ztest.StallAfter(0))
	f := open(t, nil, d.Writer, &pages.Options{Lend: pages.ReaderCopies}, 40)
	f.whole(64 << 10)
	before := f.w.RingSize()
	_, err := ztest.SetPipeSize(d.Writer.(*os.File), 1<<20)
	must(t, err)
	ztest.Within(t, ztest.Patience, "filling the pipe", func() { f.whole(960 << 10) })
	s := f.w.Stats()
	lent(t, s, zerocopy.Vmsplice, 1)
	if f.w.RingSize() < 1<<20+before-64<<10 || s.Abandoned == 0 || s.Held+s.Abandoned != f.off {
		t.Errorf("memory of %d bytes, %d before: %+v", f.w.RingSize(), before, s)
	}
	d.Resume()
	f.whole(4 << 20)
	f.given()
	f.finish(d, nil)
}

// TestPipeDeadline: a deadline that passes in the middle of a Commit, and of everything else
// that waits, loses nothing: what was not sent is kept and the next call goes on with it.
func TestPipeDeadline(t *testing.T) {
	t.Parallel()
	for i, way := range append(pipeWays, pipeWay{"never", pages.Options{Lend: pages.Never}, 0}) {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(500 + i)
			checker := receive(seed)
			d := ztest.NewDest(t, ztest.Pipe, ztest.Into(checker), ztest.Pieces(30_000, 1), ztest.Slow(300*time.Microsecond))
			f := open(t, nil, d.Writer, &way.o, seed)
			f.extend = func() { d.Writer.SetWriteDeadline(time.Now().Add(time.Duration(f.rnd.IntN(300)) * time.Microsecond)) }
			f.extend()
			f.random(700_000)
			f.given()
			d.Writer.SetWriteDeadline(time.Time{})
			if f.timeouts == 0 {
				t.Error("no deadline has passed")
			}
			f.finish(d, checker)
		})
	}
}

// A wait is one that a destination with a reader that takes nothing makes a Writer wait in.
type wait struct {
	name string
	o    pages.Options
	do   func(f *feed) error // waits in the end
}

var pipeWaits = []wait{
	{"Commit", pages.Options{Lend: pages.ReaderCopies}, commitUntil},
	{"Commit of fresh pages", pages.Options{Lend: pages.FreshPages}, commitUntil},
	{"Commit of huge pages", pages.Options{Lend: pages.FreshPages, Huge: true}, commitUntil},
	{"Commit of copies", pages.Options{Lend: pages.Never}, commitUntil},
	{"Write", pages.Options{Lend: pages.ReaderCopies}, func(f *feed) error {
		n, err := f.w.Write(f.p.Bytes(1 << 20))
		f.off += int64(n)
		return err
	}},
	{"ReadFrom", pages.Options{Lend: pages.ReaderCopies}, func(f *feed) error {
		n, err := f.w.ReadFrom(f.p.Reader(1 << 20))
		f.off += n
		return err
	}},
	{"Wait", pages.Options{Lend: pages.ReaderCopies}, func(f *feed) error {
		f.commit(40_000)
		return f.w.Wait()
	}},
}

// commitUntil commits until that fails.
func commitUntil(f *feed) error {
	for {
		buf, err := f.w.Next()
		if err != nil {
			return err
		}
		f.p.Fill(buf, f.off)
		f.off += int64(len(buf))
		if err := f.w.Commit(len(buf)); err != nil {
			return err
		}
	}
}

// TestPipeEnds: Close of the pipe, a deadline and the death of the reader end every wait.
func TestPipeEnds(t *testing.T) {
	t.Parallel()
	for _, wait := range pipeWaits {
		for _, tt := range []struct {
			name string
			end  func(d *ztest.Dest)
			want error
		}{
			{"Close", func(d *ztest.Dest) { d.Writer.Close() }, os.ErrClosed},
			{"deadline", func(d *ztest.Dest) { d.Writer.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
			{"reader gone", func(d *ztest.Dest) { d.Reset() }, syscall.EPIPE},
		} {
			t.Run(wait.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				d := ztest.NewDest(t, ztest.Pipe, ztest.StallAfter(0))
				f := open(t, nil, d.Writer, &wait.o, 7)
				var err error
				task := ztest.Go(t, wait.name, func() { err = wait.do(f) })
				if wait.name == "Wait" {
					ztest.Eventually(t, ztest.Patience, "bytes in the pipe", func() bool { return f.w.Stats().Bytes == 40_000 })
				} else {
					task.AwaitParkedToWrite()
				}
				tt.end(d)
				task.Wait()
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v", err)
				}
				s := f.w.Stats()
				if tt.want != os.ErrDeadlineExceeded {
					// The error stays, and Close returns at once.
					if _, err := f.w.Next(); !errors.Is(err, tt.want) && wait.name != "Wait" {
						t.Errorf("Next: %v", err)
					}
					must(t, f.w.Close())
					if c := f.w.Stats(); c.Held != 0 || c.Abandoned != s.Held || c.Bytes != s.Bytes {
						t.Errorf("closed: %+v, before: %+v", c, s)
					}
					return
				}
				d.Writer.SetWriteDeadline(time.Time{})
				d.Resume()
				f.flush()
				f.given()
				f.finish(d, nil)
			})
		}
	}
}

// TestPipeCloseOutstanding: what is still in the pipe when the Writer is closed arrives as it
// is, whoever gets the memory then.
func TestPipeCloseOutstanding(t *testing.T) {
	t.Parallel()
	for _, way := range pipeWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			r, w := ztest.FilePair(t, ztest.Pipe)
			f := open(t, nil, w, &way.o, 8)
			for range 20 { // each over again, by new memory
				start := f.off
				f.commit(min(f.w.Size(), 60_000))
				s := f.w.Stats()
				must(t, f.w.Close())
				if c := f.w.Stats(); c.Abandoned != s.Held || c.Held != 0 {
					t.Fatalf("%+v, before %+v", c, s)
				}
				m, err := pages.NewMemory(1<<20, false)
				must(t, err)
				fill(m.Bytes(), 0xcc)
				got := make([]byte, f.off-start)
				_, err = io.ReadFull(r, got)
				must(t, err)
				m.Free()
				f.p.Check(t, got, start)
				next := open(t, nil, w, &way.o, 8)
				next.off = f.off
				f = next
			}
		})
	}
}

// TestPipeStalls: a reader that stands still again and again.
func TestPipeStalls(t *testing.T) {
	t.Parallel()
	for i, way := range pipeWays {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(700 + i)
			checker := receive(seed)
			d := ztest.NewDest(t, ztest.Pipe, ztest.Into(checker), ztest.StallAfter(10_000))
			f := open(t, nil, d.Writer, &way.o, seed)
			f.noWait = true
			for round := range 4 {
				task := ztest.Go(t, "the writer", func() { f.random(500_000) })
				d.AwaitFull()
				d.Resume()
				task.Wait()
				if round < 3 {
					d.Stall()
				}
			}
			f.given()
			f.finish(d, checker)
		})
	}
}

// TestPipeKinds: what is a pipe whatever its type.
func TestPipeKinds(t *testing.T) {
	t.Parallel()
	p, err := zerocopy.NewPipe(0)
	must(t, err)
	defer p.Close()
	for name, w := range map[string]io.Writer{
		"*zerocopy.Pipe": p, "*os.File": ztest.NewDest(t, ztest.Pipe).Writer, "FIFO": ztest.NewDest(t, ztest.FIFO).Writer,
		"blocking": ztest.NewDest(t, ztest.Pipe, ztest.Blocking()).Writer,
	} {
		f := open(t, nil, w, &pages.Options{Lend: pages.FreshPages}, 1)
		f.commit(32 << 10)
		lent(t, f.w.Stats(), zerocopy.Vmsplice, 1)
		if s := f.w.Stats(); s.Type != fmt.Sprintf("%T", w) || s.Reason != zerocopy.ReasonNone {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
