package pages_test

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// dialed is a destination with a device that does not copy.
func dialed(t *testing.T, o ...ztest.Option) (*ztest.Dest, *device) {
	t.Helper()
	d := ztest.NewDest(t, ztest.TCP4, o...)
	return d, &device{conn: d.Writer}
}

var socketOptions = []struct {
	name string
	o    pages.Options
}{
	{"default", pages.Options{}},
	{"all is lent", pages.Options{LendFrom: 1}},
	{"odd", pages.Options{LendFrom: 5000, Size: 20_000, Memory: 100_000}},
	{"checked", pages.Options{LendFrom: 1, Memory: 300_000, Check: true}},
	{"huge", pages.Options{Huge: true}},
	{"large", pages.Options{Size: 1 << 20, Memory: 2 << 20}},
}

// TestTCP: a stream of commits of any size, and of bytes that are collected, arrives whole
// whatever the reader does, though each page is overwritten when it comes back. The device
// gives back out of order, several at a time and late.
func TestTCP(t *testing.T) {
	t.Parallel()
	for i, o := range socketOptions {
		for j, sc := range []struct {
			name string
			o    []ztest.Option
			n    int64
		}{
			{"fast", nil, 4 << 20},
			{"small buffers", []ztest.Option{ztest.Buffers(32 << 10)}, 2 << 20},
			{"odd reads", []ztest.Option{ztest.Pieces(1, 4095, 4097, 100, 65_536, 8191)}, 2 << 20},
			{"slow", []ztest.Option{ztest.Pieces(50_000), ztest.Slow(100 * time.Microsecond), ztest.Buffers(64 << 10)}, 1 << 20},
		} {
			t.Run(o.name+"/"+sc.name, func(t *testing.T) {
				t.Parallel()
				seed := uint64(1000 + 10*i + j)
				checker := receive(seed)
				d, dev := dialed(t, append(sc.o, ztest.Into(checker))...)
				dev.rnd = rand.New(rand.NewPCG(seed, 3))
				dev.late = 50 * time.Microsecond
				f := open(t, dev.calls(), d.Writer, &o.o, seed)
				f.random(sc.n)
				f.given()
				s := f.finish(d, checker)
				lent(t, s, zerocopy.MsgZerocopy, 0.05)
				if s.Completions == 0 || s.Reason != zerocopy.ReasonNone || s.Abandoned != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// TestH14Unacknowledged: what a TCP peer has not acknowledged stays as it was. The peer takes
// nothing for a while, and the device gives nothing back: the Writer waits for memory and
// uses none of it again.
func TestH14Unacknowledged(t *testing.T) {
	t.Parallel()
	d, dev := dialed(t, ztest.StallAfter(0), ztest.Buffers(64<<10))
	must(t, sockOpt(d.Writer, syscall.SO_SNDBUF, 4<<20))
	dev.stop()
	f := open(t, dev.calls(), d.Writer, &pages.Options{Memory: 2 << 20}, 14)
	size := int64(f.w.RingSize())
	task := ztest.Go(t, "the writer", func() { f.whole(2 * size) })
	task.AwaitParkedToWrite()
	s := f.w.Stats()
	lent(t, s, zerocopy.MsgZerocopy, 1)
	if s.Held != s.Lent || s.Bytes > size || s.Held < size/2 || s.Completions != 0 {
		t.Errorf("of %d bytes of memory: %+v", size, s)
	}
	d.Resume()
	d.AwaitReceived(s.Bytes) // but nothing was given back
	if now := f.w.Stats(); now.Held < s.Held || now.Bytes > size {
		t.Errorf("before: %+v, now: %+v", s, now)
	}
	dev.release()
	task.Wait()
	f.given()
	lent(t, f.finish(d, nil), zerocopy.MsgZerocopy, 0.3)
}

// TestH14Copied: a device that copies is written to plainly from then on, and so by the next
// Writer on the same connection. What was lent by then arrives as it was.
func TestH14Copied(t *testing.T) {
	t.Parallel()
	d := ztest.NewDest(t, ztest.TCP4)
	f := open(t, nil, d.Writer, nil, 15) // loopback copies
	for f.w.Stats().Reason != zerocopy.ReasonCopied {
		f.commit(f.w.Size())
		if f.off > 64<<20 {
			t.Fatalf("%+v", f.w.Stats())
		}
	}
	f.given()
	s := f.w.Stats()
	if s.Lent == 0 || s.Mechanism != zerocopy.Buffered || s.Completions == 0 {
		t.Errorf("%+v", s)
	}
	f.whole(1 << 20)
	if now := f.w.Stats(); now.Lent != s.Lent || now.Held != 0 {
		t.Errorf("%+v, then %+v", s, now)
	}
	must(t, f.w.Close())

	next := open(t, nil, d.Writer, nil, 15)
	next.off = f.off
	if s := next.w.Stats(); s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonCopied {
		t.Errorf("the next Writer: %+v", s)
	}
	next.whole(1 << 20)
	if s := next.w.Stats(); s.Lent != 0 || s.Bytes != 1<<20 {
		t.Errorf("the next Writer: %+v", s)
	}
	got := d.Finish()
	if int64(len(got)) != next.off {
		t.Errorf("%d bytes have arrived of %d", len(got), next.off)
	}
	f.p.Check(t, got, 0)
}

// TestH14NextWriter: a second Writer goes on with the numbers of the first, of which some are
// still lent; a third one beside it lends nothing.
func TestH14NextWriter(t *testing.T) {
	t.Parallel()
	d, dev := dialed(t, ztest.StallAfter(0))
	dev.stop()
	f := open(t, dev.calls(), d.Writer, &pages.Options{Linger: -1, LendFrom: 1}, 16)
	for range 5 {
		f.commit(10_000)
	}
	s := f.w.Stats()
	must(t, f.w.Close())
	if c := f.w.Stats(); s.Held != 50_000 || c.Abandoned != 50_000 || c.Held != 0 {
		t.Errorf("before Close %+v, then %+v", s, c)
	}

	next := open(t, dev.calls(), d.Writer, &pages.Options{LendFrom: 1}, 16)
	next.off = f.off
	beside := open(t, dev.calls(), d.Writer, nil, 16)
	if s := beside.w.Stats(); s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonLentElsewhere {
		t.Errorf("beside another: %+v", s)
	}
	must(t, beside.w.Close())
	d.Resume()
	dev.release()
	next.whole(2 << 20)
	next.given()
	lent(t, next.w.Stats(), zerocopy.MsgZerocopy, 0.5)
	got := d.Finish()
	if int64(len(got)) != next.off {
		t.Errorf("%d bytes have arrived of %d", len(got), next.off)
	}
	f.p.Check(t, got, 0)
	must(t, next.w.Close())

	d2 := ztest.NewDest(t, ztest.TCP4)
	must(t, with(d2.Writer, func(fd int) error { return (*sys.Calls)(nil).SetZerocopy(fd) }))
	stranger := open(t, nil, d2.Writer, nil, 1)
	stranger.whole(100_000)
	if s := stranger.w.Stats(); s.Reason != zerocopy.ReasonLentElsewhere || s.Lent != 0 {
		t.Errorf("SO_ZEROCOPY was set by somebody else: %+v", s)
	}
}

// TestH14Foreign: a completion for what was never lent says that somebody else lends to the
// socket. Then nothing that is said counts: the memory is left to the kernel, and the rest
// is copied, also after a peer has stood still.
func TestH14Foreign(t *testing.T) {
	t.Parallel()
	for _, c := range []sys.Completion{{First: 1000, Last: 1000}, {First: 0, Last: 1 << 20}, {First: 1<<32 - 1, Last: 0}, {First: 1, Last: 0}} {
		t.Run(fmt.Sprint(c.First, c.Last), func(t *testing.T) {
			t.Parallel()
			d, dev := dialed(t, ztest.StallAfter(0), ztest.Buffers(64<<10))
			must(t, sockOpt(d.Writer, syscall.SO_SNDBUF, 2<<20))
			dev.stop()
			f := open(t, dev.calls(), d.Writer, &pages.Options{Memory: 512 << 10}, 17)
			f.whole(192 << 10)
			s := f.w.Stats()
			lent(t, s, zerocopy.MsgZerocopy, 1)
			dev.say(c)
			task := ztest.Go(t, "the writer", func() { f.whole(8 << 20) })
			task.AwaitParkedToWrite()
			d.Resume()
			task.Wait()
			ztest.Within(t, ztest.Patience, "Wait", f.given)
			now := f.finish(d, nil)
			if now.Mechanism != zerocopy.Buffered || now.Reason != zerocopy.ReasonLentElsewhere || now.Lent != s.Lent || now.Abandoned != s.Held || now.Held != 0 {
				t.Errorf("%+v: before %+v, then %+v", c, s, now)
			}
		})
	}
}

// TestH14NoBuffer: what ENOBUFS keeps from being lent is copied, that piece alone; where not
// even the first can be lent, nothing is tried any more.
func TestH14NoBuffer(t *testing.T) {
	t.Parallel()
	t.Run("some", func(t *testing.T) {
		t.Parallel()
		d, dev := dialed(t)
		dev.stop() // something is lent
		calls, nth := dev.calls(), 0
		calls.Intercept = func(c *sys.Call) (int, error, bool) {
			if c.Name == "send zerocopy" {
				nth++
				return 0, syscall.ENOBUFS, nth > 1 && nth%3 == 0
			}
			return 0, nil, false
		}
		f := open(t, calls, d.Writer, nil, 18)
		f.whole(1 << 20)
		dev.release()
		f.whole(1 << 20)
		f.given()
		s := f.finish(d, nil)
		lent(t, s, zerocopy.MsgZerocopy, 0.3)
		if s.NoBuffer == 0 || s.Copied == 0 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		d := ztest.NewDest(t, ztest.TCP4)
		f := open(t, refuse("send zerocopy", syscall.ENOBUFS), d.Writer, nil, 19)
		f.whole(3 << 20)
		f.given()
		if s := f.finish(d, nil); s.Lent != 0 || s.NoBuffer != 8 || s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonLocked {
			t.Errorf("%+v", s)
		}
	})
}
