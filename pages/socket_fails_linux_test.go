package pages_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// What a TCP connection refuses, and how it ends.

// refuse answers the calls of that name by err.
func refuse(name string, err error) *sys.Calls {
	return &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) { return 0, err, c.Name == name }}
}

// TestTCPRefused: a socket that cannot be lent anything is written to plainly.
func TestTCPRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"SO_ZEROCOPY", "SO_ZEROCOPY?", "SO_COOKIE", "SO_MEMINFO"} {
		for _, err := range []error{syscall.ENOPROTOOPT, syscall.EOPNOTSUPP, syscall.EPERM, syscall.EINVAL} {
			d := ztest.NewDest(t, ztest.TCP4)
			f := open(t, refuse(name, err), d.Writer, nil, 20)
			f.random(500_000)
			f.given()
			if s := f.finish(d, nil); s.Lent != 0 || s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonRefused || s.Err != err {
				t.Errorf("%s, %v: %+v", name, err, s)
			}
		}
	}
}

// TestTCPErrno: any other errno of a send is the destination's, as a net.OpError, and stays.
func TestTCPErrno(t *testing.T) {
	t.Parallel()
	for _, errno := range []error{syscall.ECONNRESET, syscall.EPIPE, syscall.EHOSTUNREACH} {
		d, dev := dialed(t)
		calls, nth := dev.calls(), 0
		calls.Intercept = func(c *sys.Call) (int, error, bool) {
			if c.Name == "send zerocopy" || c.Name == "send" {
				nth++
				return 0, errno, nth > 2
			}
			return 0, nil, false
		}
		f := open(t, calls, d.Writer, nil, 20)
		err := commitUntil(f)
		var op *net.OpError
		if !errors.Is(err, errno) || !errors.As(err, &op) || op.Op != "write" || op.Addr == nil {
			t.Errorf("%v", err)
		}
		if _, again := f.w.Next(); again != err {
			t.Errorf("after %v: %v", err, again)
		}
		if again := f.w.Flush(); again != err {
			t.Errorf("after %v: %v", err, again)
		}
		if s := f.w.Stats(); s.Bytes == 0 || s.Bytes >= f.off {
			t.Errorf("%+v of %d", s, f.off)
		}
	}
}

var socketWaits = []wait{
	{"Commit", pages.Options{Memory: 512 << 10}, commitUntil},
	{"Commit of copies", pages.Options{LendFrom: 1 << 30}, commitUntil},
	{"Next", pages.Options{Size: 16 << 10, Memory: 64 << 10}, commitUntil},
	{"Write", pages.Options{}, func(f *feed) error {
		n, err := f.w.Write(f.p.Bytes(8 << 20))
		f.off += int64(n)
		return err
	}},
	{"Wait", pages.Options{}, func(f *feed) error {
		f.commit(40_000)
		return f.w.Wait()
	}},
}

// TestTCPEnds: Close of the connection, a deadline and a reset end every wait, also in the
// middle of a Commit; after a deadline the rest follows.
func TestTCPEnds(t *testing.T) {
	t.Parallel()
	for _, wait := range socketWaits {
		for _, tt := range []struct {
			name string
			end  func(d *ztest.Dest)
			want error
		}{
			{"Close", func(d *ztest.Dest) { d.Writer.Close() }, net.ErrClosed},
			{"deadline", func(d *ztest.Dest) { d.Writer.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
			{"reset", func(d *ztest.Dest) { d.Reset() }, syscall.ECONNRESET},
		} {
			if tt.want == syscall.ECONNRESET && wait.name == "Wait" {
				continue // gives everything back: TestTCPWaitReset
			}
			t.Run(wait.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				d, dev := dialed(t, ztest.StallAfter(0), ztest.Buffers(32<<10))
				must(t, sockOpt(d.Writer, syscall.SO_SNDBUF, 1<<20))
				dev.stop()
				f := open(t, dev.calls(), d.Writer, &wait.o, 21)
				var err error
				task := ztest.Go(t, wait.name, func() { err = wait.do(f) })
				task.AwaitParkedToWrite()
				tt.end(d)
				if tt.want == syscall.ECONNRESET {
					dev.release() // the kernel gives back what it threw away
				}
				task.Wait()
				if !errors.Is(err, tt.want) && !(tt.want == syscall.ECONNRESET && errors.Is(err, syscall.EPIPE)) {
					t.Errorf("got %v", err)
				}
				s := f.w.Stats()
				dev.release()
				if tt.want == os.ErrDeadlineExceeded {
					d.Writer.SetWriteDeadline(time.Time{})
					d.Resume()
					f.flush()
					f.given()
					f.finish(d, nil)
					return
				}
				must(t, f.w.Close())
				if c := f.w.Stats(); c.Held != 0 || c.Abandoned > s.Held || c.Bytes != s.Bytes {
					t.Errorf("closed: %+v, before: %+v", c, s)
				}
			})
		}
	}
}

// TestTCPWaitReset: a connection that is reset gives everything back.
func TestTCPWaitReset(t *testing.T) {
	t.Parallel()
	d, dev := dialed(t, ztest.StallAfter(0), ztest.Buffers(32<<10))
	must(t, sockOpt(d.Writer, syscall.SO_SNDBUF, 1<<20))
	f := open(t, dev.calls(), d.Writer, nil, 22)
	f.whole(300_000)
	if s := f.w.Stats(); s.Held == 0 {
		t.Errorf("%+v", s)
	}
	task := ztest.Go(t, "Wait", func() { f.w.Wait() })
	d.Reset()
	task.Wait()
	ztest.Eventually(t, ztest.Patience, "everything back", func() bool { f.w.Wait(); return f.w.Stats().Held == 0 })
}

// TestTCPDeadline: deadlines that pass anywhere lose nothing.
func TestTCPDeadline(t *testing.T) {
	t.Parallel()
	for i, o := range socketOptions {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(1500 + i)
			checker := receive(seed)
			d, dev := dialed(t, ztest.Into(checker), ztest.Pieces(30_000, 1), ztest.Slow(200*time.Microsecond), ztest.Buffers(64<<10))
			f := open(t, dev.calls(), d.Writer, &o.o, seed)
			f.extend = func() { d.Writer.SetWriteDeadline(time.Now().Add(time.Duration(f.rnd.IntN(300)) * time.Microsecond)) }
			f.extend()
			f.random(1500_000)
			f.given()
			d.Writer.SetWriteDeadline(time.Time{})
			if f.timeouts == 0 {
				t.Error("no deadline has passed")
			}
			lent(t, f.finish(d, checker), zerocopy.MsgZerocopy, 0.05)
		})
	}
}

// TestH14CloseOutstanding: Close waits for what is lent no longer than Linger. What is left
// then is counted, and arrives as it was when the peer reads on, whoever has the memory.
func TestH14CloseOutstanding(t *testing.T) {
	t.Parallel()
	for _, linger := range []time.Duration{-1, time.Millisecond, 0} {
		d, dev := dialed(t, ztest.StallAfter(0), ztest.Buffers(32<<10))
		must(t, sockOpt(d.Writer, syscall.SO_SNDBUF, 2<<20))
		dev.stop()
		f := open(t, dev.calls(), d.Writer, &pages.Options{Linger: linger}, 23)
		f.whole(384 << 10)
		s := f.w.Stats()
		lent(t, s, zerocopy.MsgZerocopy, 1)
		start := time.Now()
		task := ztest.Go(t, "Close", func() { f.w.Close() })
		task.Wait()
		if took := time.Since(start); linger > 0 && took < linger || linger == 0 && took < time.Second {
			t.Errorf("Linger of %v: Close took %v", linger, took)
		}
		if c := f.w.Stats(); s.Held == 0 || c.Abandoned != s.Held || c.Held != 0 {
			t.Errorf("before %+v, closed: %+v", s, c)
		}
		m, err := pages.NewMemory(8<<20, false)
		must(t, err)
		fill(m.Bytes(), 0xcc)
		got := d.Finish()
		m.Free()
		if int64(len(got)) != f.off {
			t.Errorf("%d bytes have arrived of %d", len(got), f.off)
		}
		f.p.Check(t, got, 0)
	}

	// With everything given back in time nothing is abandoned.
	d, dev := dialed(t)
	f := open(t, dev.calls(), d.Writer, &pages.Options{Linger: time.Hour}, 24)
	f.whole(1 << 20)
	ztest.Within(t, ztest.Patience, "Close", func() { must(t, f.w.Close()) })
	if s := f.w.Stats(); s.Abandoned != 0 || s.Held != 0 || s.Completions == 0 {
		t.Errorf("%+v", s)
	}
}

// TestTCPStalls: a peer that stands still again and again.
func TestTCPStalls(t *testing.T) {
	t.Parallel()
	for i, o := range socketOptions {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			seed := uint64(1700 + i)
			checker := receive(seed)
			d, dev := dialed(t, ztest.Into(checker), ztest.StallAfter(10_000), ztest.Buffers(64<<10))
			f := open(t, dev.calls(), d.Writer, &o.o, seed)
			f.noWait = true
			for round := range 3 {
				task := ztest.Go(t, "the writer", func() { f.random(2 << 20) })
				task.AwaitParkedToWrite()
				d.Resume()
				task.Wait()
				if round < 2 {
					d.Stall()
				}
			}
			f.given()
			lent(t, f.finish(d, checker), zerocopy.MsgZerocopy, 0.05)
		})
	}
}

// TestTCPBothWays: a reader of the sending connection is not disturbed by what is lent.
func TestTCPBothWays(t *testing.T) {
	t.Parallel()
	back := ztest.Pattern(26).Bytes(1 << 20)
	d, dev := dialed(t, ztest.Pieces(20_000), ztest.Slow(50*time.Microsecond))
	f := open(t, dev.calls(), d.Writer, nil, 25)
	got := make([]byte, len(back))
	var err error
	reader := ztest.Go(t, "the reader of the connection", func() { _, err = io.ReadFull(d.Writer, got) })
	reader.AwaitParked()
	f.whole(4 << 20)
	sender := ztest.Go(t, "the peer", func() { d.Peer().Write(back) })
	f.whole(4 << 20)
	reader.Wait()
	sender.Wait()
	must(t, err)
	ztest.Equal(t, "what was read", got, back)
	f.given()
	lent(t, f.finish(d, nil), zerocopy.MsgZerocopy, 0.3)
}

// TestTCPKinds: what is a TCP socket whatever its type, and what is not.
func TestTCPKinds(t *testing.T) {
	t.Parallel()
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.TCP6} {
		if ztest.Unavailable(k) != "" {
			continue
		}
		d := ztest.NewDest(t, k)
		f := open(t, (&device{conn: d.Writer}).calls(), d.Writer, nil, 27)
		f.whole(1 << 20)
		f.given()
		lent(t, f.finish(d, nil), zerocopy.MsgZerocopy, 0.1)
	}
	d := ztest.NewDest(t, ztest.TCP4)
	file, err := d.Writer.(*net.TCPConn).File()
	must(t, err)
	defer file.Close()
	f := open(t, (&device{conn: file}).calls(), file, nil, 28)
	f.whole(128 << 10)
	lent(t, f.w.Stats(), zerocopy.MsgZerocopy, 1)
	must(t, f.w.Close())
	must(t, ztest.SetNonblock(file, false))
	off := f.off
	f = open(t, nil, file, nil, 28)
	f.off = off
	f.whole(100_000)
	if s := f.w.Stats(); s.Lent != 0 || s.Reason != zerocopy.ReasonBlocking {
		t.Errorf("in blocking mode: %+v", s)
	}
	must(t, ztest.SetNonblock(file, true))
	f.p.Check(t, d.Finish(), 0)
}
