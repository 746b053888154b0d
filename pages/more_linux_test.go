package pages_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// TestPipeShared: others write to the same pipe, in between. With ReaderCopies a page is still
// taken back only once it has left the pipe.
func TestPipeShared(t *testing.T) {
	t.Parallel()
	for i, way := range pipeWays {
		if way.before > 0 {
			continue
		}
		checker := receive(uint64(800 + i))
		d := ztest.NewDest(t, ztest.Pipe, ztest.Into(checker), ztest.Pieces(10_000, 70_000))
		f := open(t, nil, d.Writer, &way.o, uint64(800+i))
		for f.off < 2<<20 {
			for range f.rnd.IntN(4) {
				f.commit(1 + f.rnd.IntN(f.w.Size()))
			}
			other := make([]byte, f.rnd.IntN(30_000))
			f.p.Fill(other, f.off)
			_, err := d.Writer.Write(other)
			must(t, err)
			f.off += int64(len(other))
			f.other += int64(len(other))
		}
		f.commit(20_000)
		lent(t, f.w.Stats(), zerocopy.Vmsplice, 0.1)
		f.given()
		f.finish(d, checker)
	}
}

// TestDropRefusedSkipping: the pages that are skipped in front of the end of the memory go
// with what was given away. Where that is refused new memory takes their place, too.
func TestDropRefusedSkipping(t *testing.T) {
	t.Parallel()
	refused := false
	calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		return 0, syscall.EINVAL, refused && c.Name == "madvise"
	}}
	checker := receive(38)
	d := ztest.NewDest(t, ztest.Pipe, ztest.Into(checker), ztest.Buffers(1<<20))
	f := open(t, calls, d.Writer, &pages.Options{Lend: pages.FreshPages, Huge: true, Size: 3 << 20}, 38)
	f.commit(3 << 20) // of 6 MiB
	f.commit(512 << 10)
	refused = true // 512 KiB of a huge page are left, and cannot go
	f.commit(3 << 20)
	f.commit(3 << 20)
	lent(t, f.finish(d, checker), zerocopy.Vmsplice, 1)
}

// TestProveRefused: where there is no memory for huge pages Fastest goes on as it is.
func TestProveRefused(t *testing.T) {
	t.Parallel()
	maps := 0
	calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		if c.Name == "mmap" {
			maps++
		}
		return 0, syscall.ENOMEM, c.Name == "mmap" && maps > 1
	}}
	checker := receive(39)
	d := ztest.NewDest(t, ztest.Pipe, ztest.Into(checker))
	f := open(t, calls, d.Writer, nil, 39)
	f.whole(pages.BulkFrom + 1<<20)
	if s := f.finish(d, checker); maps < 2 || s.Lent != 0 || s.Reason != zerocopy.ReasonStart {
		t.Errorf("%d maps: %+v", maps, s)
	}
}

// A moody sink has a deadline now and then.
type moody struct {
	got bytes.Buffer
	n   int
}

func (m *moody) Write(p []byte) (int, error) {
	if m.n++; m.n%3 != 0 {
		k := len(p) * (m.n % 5) / 5
		m.got.Write(p[:k])
		return k, os.ErrDeadlineExceeded
	}
	m.got.Write(p)
	return len(p), nil
}

// TestTimeoutKept: a deadline of a destination of any type is no error that stays.
func TestTimeoutKept(t *testing.T) {
	t.Parallel()
	var m moody
	f := open(t, nil, &m, &pages.Options{Size: 4096}, 71)
	f.extend = func() {}
	f.random(200_000)
	if f.timeouts == 0 || int64(m.got.Len()) != f.off {
		t.Errorf("%d bytes of %d, %d deadlines", m.got.Len(), f.off, f.timeouts)
	}
	f.p.Check(t, m.got.Bytes(), 0)
}

// TestH14LockedForNow: ENOBUFS that ends is no reason to give lending up.
func TestH14LockedForNow(t *testing.T) {
	t.Parallel()
	d, dev := dialed(t)
	calls, n := dev.calls(), 0
	calls.Intercept = func(c *sys.Call) (int, error, bool) {
		if c.Name == "send zerocopy" {
			n++
		}
		return 0, syscall.ENOBUFS, c.Name == "send zerocopy" && n <= 5
	}
	f := open(t, calls, d.Writer, nil, 72)
	f.whole(4 << 20)
	f.given()
	s := f.finish(d, nil)
	lent(t, s, zerocopy.MsgZerocopy, 0.3)
	if s.NoBuffer != 5 {
		t.Errorf("%+v", s)
	}
}

// TestTCPTimedOut: a connection that has timed out is dead: that is no deadline, and stays.
func TestTCPTimedOut(t *testing.T) {
	t.Parallel()
	d := ztest.NewDest(t, ztest.TCP4)
	f := open(t, refuse("send zerocopy", syscall.ETIMEDOUT), d.Writer, nil, 73)
	err := commitUntil(f)
	if !errors.Is(err, syscall.ETIMEDOUT) {
		t.Errorf("%v", err)
	}
	if _, again := f.w.Next(); again != err {
		t.Errorf("after %v: %v", err, again)
	}
}

// TestMPTCP: Multipath TCP has no loans. Whatever the kernel says, everything arrives.
func TestMPTCP(t *testing.T) {
	t.Parallel()
	d := ztest.NewDest(t, ztest.MPTCP)
	f := open(t, nil, d.Writer, nil, 74)
	f.random(1 << 20)
	f.given()
	t.Log(f.finish(d, nil))
}

// TestMixed: what goes through the Writer, and what zerocopy.Copy moves to the same
// destination after a Flush or Wait, in order.
func TestMixed(t *testing.T) {
	t.Parallel()
	for _, at := range targets {
		f, d := at.open(t, &pages.Options{})
		for i := range 6 {
			f.random(200_000)
			f.given()
			p := make([]byte, 100_000)
			f.p.Fill(p, f.off)
			src := ztest.NewSource(t, []ztest.Kind{ztest.File, ztest.Pipe, ztest.TCP4}[i%3], p)
			n, err := zerocopy.Copy(d.Writer, src.Reader)
			must(t, err)
			f.off += n
			f.other += n
		}
		f.finish(d, nil)
	}
}

// TestHugeDropped: a huge page leaves the process in one piece, or it would be split; what is
// given away in ordinary pages leaves at once.
func TestHugeDropped(t *testing.T) {
	t.Parallel()
	for _, huge := range []bool{true, false} {
		var drops, total int
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
			if c.Name == "madvise" {
				drops++
				total += c.N
				if huge && c.N%sys.HugePage != 0 {
					t.Errorf("%d bytes are dropped", c.N)
				}
			}
			return 0, nil, false
		}}
		d := ztest.NewDest(t, ztest.Pipe)
		f := open(t, calls, d.Writer, &pages.Options{Lend: pages.FreshPages, Huge: huge, LendFrom: 1}, 75)
		for range 200 {
			f.commit(1 + f.rnd.IntN(f.w.Size()))
		}
		s := f.finish(d, nil)
		lent(t, s, zerocopy.Vmsplice, 1)
		if left := int(s.Lent) - total; drops == 0 || huge && left > sys.HugePage || !huge && left > 0 {
			t.Errorf("huge %v: %d bytes were dropped, in %d calls: %v", huge, total, drops, s)
		}
	}
}
