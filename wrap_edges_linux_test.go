package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A livingLimiter has a burst that changes. Like rate.Limiter it refuses more than that.
type livingLimiter struct {
	burst  atomic.Int64
	before func(n int)     // called first of all by WaitN
	after  func(err error) // called last where it refuses

	mu    sync.Mutex
	asked []int // what was granted, in order
}

var errBurst = errors.New("more than the burst")

func newLiving(burst int64) *livingLimiter {
	l := &livingLimiter{before: func(int) {}, after: func(error) {}}
	l.burst.Store(burst)
	return l
}

func (l *livingLimiter) Burst() int { return int(l.burst.Load()) }

func (l *livingLimiter) WaitN(ctx context.Context, n int) error {
	l.before(n)
	if int64(n) > l.burst.Load() {
		l.after(errBurst)
		return errBurst
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, n)
	return ctx.Err()
}

// total is how many bytes were granted.
func (l *livingLimiter) total() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range l.asked {
		n += int64(k)
	}
	return n
}

// pacedCases are Pace and PaceWriter, as a copy between any two ends has them.
var pacedCases = map[string]func(io.Writer, io.Reader, zerocopy.Limiter) (io.Writer, io.Reader){
	"Pace": func(dst io.Writer, src io.Reader, l zerocopy.Limiter) (io.Writer, io.Reader) {
		return dst, zerocopy.Pace(src, l)
	},
	"PaceWriter": func(dst io.Writer, src io.Reader, l zerocopy.Limiter) (io.Writer, io.Reader) {
		return zerocopy.PaceWriter(dst, l), src
	},
	"PaceWriter in MultiWriter": func(dst io.Writer, src io.Reader, l zerocopy.Limiter) (io.Writer, io.Reader) {
		return zerocopy.MultiWriter(io.Discard, zerocopy.PaceWriter(dst, l)), src
	},
}

// TestPaceBurstChanges: the burst that counts is the one of now. After it has shrunk no
// chunk is larger; after it has grown the copy makes use of it.
func TestPaceBurstChanges(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why      string
		from, to int64
	}{
		{"shrinks below a chunk", 1 << 20, 5000},
		{"shrinks to one byte less", 70_000, 69_999},
		{"grows", 1000, 300_000},
		{"grows beyond all chunks", 1000, math.MaxInt32},
	} {
		for name, paced := range pacedCases {
			for _, pair := range [][2]ztest.Kind{{ztest.File, ztest.TCP4}, {ztest.TCP4, ztest.Unix}, {ztest.TCP4, ztest.TCP4}} {
				content := ztest.Pattern(9).Bytes(3 << 20)
				s, d := ztest.NewSource(t, pair[0], content), ztest.NewDest(t, pair[1])
				l := newLiving(row.from)
				calls, since, largest := 0, int64(0), int64(0)
				l.before = func(int) {
					if calls++; calls == 5 {
						l.burst.Store(row.to)
					}
				}
				dst, src := paced(d.Writer, s.Reader, l)
				n, err := zerocopy.Copy(dst, zerocopy.Progress(src, func(k int64) {
					if calls > 5 {
						since += k
					}
					if since > row.from { // what was on its way then has gone
						largest = max(largest, k)
					}
				}))
				if n != int64(len(content)) || err != nil || l.total() != n {
					t.Errorf("%s, %s, %v: %d bytes, %v, granted %d", row.why, name, pair, n, err, l.total())
				}
				if largest > row.to || row.to > row.from && largest <= row.from {
					t.Errorf("%s, %s, %v: then a chunk of %d bytes, burst %d", row.why, name, pair, largest, row.to)
				}
				ztest.Equal(t, "content", d.Finish(), content)
			}
		}
	}
}

// TestPaceBurstShrinksMeanwhile: the burst shrinks between the question for it and that
// for tokens, each time. The limiter's refusal is not the copy's then.
func TestPaceBurstShrinksMeanwhile(t *testing.T) {
	t.Parallel()
	for name, paced := range pacedCases {
		content := ztest.Pattern(10).Bytes(1 << 20)
		s, d := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.TCP4)
		l := newLiving(1 << 20)
		refused := 0
		l.before = func(n int) {
			if l.burst.Load() > 4000 {
				l.burst.Store(l.burst.Load() / 2)
				refused++
			}
		}
		l.after = func(err error) { // and may grow again before it is looked at
			if err != nil && refused%2 == 0 {
				l.burst.Store(2*l.burst.Load() + 1)
			}
		}
		dst, src := paced(d.Writer, s.Reader, l)
		n, err := zerocopy.Copy(dst, src)
		if n != int64(len(content)) || err != nil || l.total() != n || refused < 8 {
			t.Errorf("%s: %d bytes, %v, granted %d, refused %d times", name, n, err, l.total(), refused)
		}
		ztest.Equal(t, "content", d.Finish(), content)
	}
}

// TestPaceNoBurst: without a burst no more than 1 MiB goes before the limiter is asked,
// also where a call could move more, and also through Read and Write.
func TestPaceNoBurst(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(11).Bytes(5 << 20)
	for _, kind := range []ztest.Kind{ztest.TCP4, ztest.File} {
		s, d := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, kind)
		l := &fakeLimiter{burst: -1}
		most := int64(0)
		n, err := zerocopy.Copy(d.Writer, zerocopy.Progress(zerocopy.Pace(s.Reader, l), func(k int64) { most = max(most, k) }))
		if n != int64(len(content)) || err != nil || l.asked.Load() != n || most > 1<<20 || l.most.Load() > 1<<20 {
			t.Errorf("%v: %d bytes, %v, chunks up to %d", kind, n, err, most)
		}
		ztest.Equal(t, "content", d.Finish(), content)
	}
	l := &fakeLimiter{fail: errors.New("no tokens")}
	if n, err := zerocopy.Pace(bytes.NewReader(content), l).Read(make([]byte, 4<<20)); n != 1<<20 || err != l.fail {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if n, err := zerocopy.PaceWriter(io.Discard, l).Write(content); n != 1<<20 || err != l.fail {
		t.Errorf("wrote %d bytes, %v", n, err)
	}
	huge := newLiving(math.MaxInt32)
	if n, err := zerocopy.PaceWriter(&shortWriter{}, huge).Write(content); n != 1000 || err != io.ErrShortWrite || huge.total() != 1000 {
		t.Errorf("wrote %d bytes, %v, granted %d", n, err, huge.total())
	}
}

// A shortWriter takes 1000 bytes at most and says nothing.
type shortWriter struct{}

func (*shortWriter) Write(p []byte) (int, error) { return min(len(p), 1000), nil }

// TestPaceHugeBurst: the largest int there is overflows nothing.
func TestPaceHugeBurst(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(12).Bytes(3 << 20)
	for name, paced := range pacedCases {
		s, d := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.File)
		dst, src := paced(d.Writer, s.Reader, &fakeLimiter{burst: math.MaxInt})
		if n, err := zerocopy.Copy(dst, src); n != int64(len(content)) || err != nil {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		var out bytes.Buffer
		dst, src = paced(&out, bytes.NewReader(content), &fakeLimiter{burst: math.MaxInt})
		if n, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 1000)); n != int64(len(content)) || err != nil || !bytes.Equal(out.Bytes(), content) {
			t.Errorf("%s, plainly: %d bytes, %v", name, n, err)
		}
	}
}

// TestPaceShared: copies that share a limiter ask it for every byte of each, and none for
// more than the burst.
func TestPaceShared(t *testing.T) {
	t.Parallel()
	l := newLiving(50_000)
	content := ztest.Pattern(13).Bytes(1 << 20)
	var all sync.WaitGroup
	const copies = 6
	for i := range copies {
		s, d := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		dst, src := io.Writer(d.Writer), io.Reader(s.Reader)
		if i%2 == 0 {
			src = zerocopy.Pace(src, l)
		} else {
			dst = zerocopy.PaceWriter(dst, l)
		}
		all.Go(func() {
			if n, err := zerocopy.Copy(dst, src); n != int64(len(content)) || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	all.Wait()
	if got := l.total(); got != copies*int64(len(content)) {
		t.Errorf("granted %d", got)
	}
}

// TestPaceHoldsNoPipe: while it waits for tokens, a copy holds no pipe (contract 5).
func TestPaceHoldsNoPipe(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(14).Bytes(4 << 20)
	for name, paced := range pacedCases {
		if name == "PaceWriter in MultiWriter" {
			continue // the other destinations' bytes are in it
		}
		s, d := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		l := newLiving(32 << 10) // less than a pipe, so that a chunk leaves it by one call
		waits, empty := 0, 0
		c := new(zerocopy.Copier)
		pool := c.SetCalls(nil)
		t.Cleanup(pool.CloseIdle)
		l.before = func(int) {
			waits++
			if s := pool.Stats(); s.Open == s.Idle && s.Open > 0 {
				empty++
			}
		}
		dst, src := paced(d.Writer, s.Reader, l)
		if n, err := c.Copy(context.Background(), dst, src); n != int64(len(content)) || err != nil || waits < 100 || empty < waits*9/10 {
			t.Errorf("%s: %d bytes, %v; %d waits, %d without a pipe", name, n, err, waits, empty)
		}
		ztest.Equal(t, "content", d.Finish(), content)
	}
}

// TestPacePanics: a panic of the limiter reaches the caller, after the bytes of the chunk;
// what the copy had borrowed is given back, which TestMain looks for.
func TestPacePanics(t *testing.T) {
	t.Parallel()
	for name, paced := range pacedCases {
		for _, pair := range [][2]ztest.Kind{{ztest.File, ztest.TCP4}, {ztest.TCP4, ztest.TCP4}, {ztest.TCP4, ztest.File}} {
			content := ztest.Pattern(15).Bytes(1 << 20)
			s, d := ztest.NewSource(t, pair[0], content), ztest.NewDest(t, pair[1])
			l := newLiving(30_000)
			moved := int64(0)
			l.before = func(n int) {
				if moved += int64(n); moved > 500_000 {
					panic("no limiter")
				}
			}
			func() {
				defer func() {
					if v := recover(); v != "no limiter" {
						t.Errorf("%s, %v: recovered %v", name, pair, v)
					}
				}()
				dst, src := paced(d.Writer, s.Reader, l)
				n, err := zerocopy.Copy(dst, src)
				t.Errorf("%s, %v: %d bytes, %v", name, pair, n, err)
			}()
			ztest.Equal(t, "content", d.Finish(), content[:moved])
		}
	}
}

// TestPaceOverPace: two limiters on one end are both asked for every byte, the inner first.
func TestPaceOverPace(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(16).Bytes(1 << 20)
	for _, writer := range []bool{false, true} {
		s, d := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		inner, outer := newLiving(90_000), newLiving(20_000)
		var order []string
		inner.before = func(int) { order = append(order, "inner") }
		outer.before = func(int) { order = append(order, "outer") }
		dst, src := io.Writer(d.Writer), io.Reader(s.Reader)
		if writer {
			dst = zerocopy.PaceWriter(zerocopy.PaceWriter(dst, inner), outer)
		} else {
			src = zerocopy.Pace(zerocopy.Pace(src, inner), outer)
		}
		n, err := zerocopy.Copy(dst, src)
		if n != int64(len(content)) || err != nil || inner.total() != n || outer.total() != n || !slices.Equal(inner.asked, outer.asked) {
			t.Errorf("%d bytes, %v; %d and %d granted", n, err, inner.total(), outer.total())
		}
		for i, who := range order {
			if who != []string{"inner", "outer"}[i%2] {
				t.Errorf("question %d is the %s limiter's", i, who)
				break
			}
		}
		ztest.Equal(t, "content", d.Finish(), content)
	}
}

// TestPaceOverBufferAndLimit: what a bufio.Reader under Pace holds is paced too, and the
// limit under it ends as io.Copy leaves it.
func TestPaceOverBufferAndLimit(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(17).Bytes(1 << 20)
	for _, kind := range []ztest.Kind{ztest.File, ztest.TCP4} {
		s, d := ztest.NewSource(t, kind, content), ztest.NewDest(t, ztest.TCP4)
		limit := &io.LimitedReader{R: s.Reader, N: 700_001}
		b := bufio.NewReaderSize(limit, 16<<10)
		if _, err := b.Peek(10_000); err != nil {
			t.Fatal(err)
		}
		l, told := newLiving(3000), int64(0)
		n, err := zerocopy.Copy(d.Writer, zerocopy.Progress(zerocopy.Pace(b, l), func(k int64) { told += k }))
		if n != 700_001 || err != nil || limit.N != 0 || b.Buffered() != 0 || l.total() != n || told != n || slices.Max(l.asked) > 3000 {
			t.Errorf("%v: %d bytes, %v; %d left, %d granted, told of %d", kind, n, err, limit.N, l.total(), told)
		}
		ztest.Equal(t, "content", d.Finish(), content[:n])
	}
}

// TestPaceFans: under a MultiWriter and beside a TeeReader each limiter is asked for
// every byte of its own end, the rest goes by tee as without, and all get the same.
func TestPaceFans(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(18).Bytes(3 << 20)
	for _, multi := range []bool{true, false} {
		s := ztest.NewSource(t, ztest.TCP4, content)
		a, b := ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.Unix)
		source, one := newLiving(200_000), newLiving(100_000)
		told := int64(0)
		paced := zerocopy.ProgressWriter(zerocopy.PaceWriter(a.Writer, one), func(k int64) { told += k })
		src := zerocopy.Pace(s.Reader, source)
		dst := io.Writer(b.Writer)
		if multi {
			dst = zerocopy.MultiWriter(paced, b.Writer)
		} else {
			src = zerocopy.TeeReader(src, paced)
		}
		var report zerocopy.Report
		c := &zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }}
		n, err := c.Copy(context.Background(), dst, src)
		if n != int64(len(content)) || err != nil || source.total() != n || one.total() != n || told != n {
			t.Errorf("multi %v: %d bytes, %v; %d and %d granted, told of %d", multi, n, err, source.total(), one.total(), told)
		}
		fast := int64(0)
		for _, step := range report.Steps {
			if step.Mechanism == zerocopy.Tee {
				fast += step.Bytes
			}
		}
		if fast < n*3/4 {
			t.Errorf("multi %v: %v", multi, report)
		}
		ztest.Equal(t, "content", a.Finish(), content)
		ztest.Equal(t, "content", b.Finish(), content)
	}
}

// TestProgressBothEnds: a Progress at each end of a copy hears the same numbers.
func TestProgressBothEnds(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(19).Bytes(3<<20 + 7)
	for _, pair := range [][2]ztest.Kind{
		{ztest.File, ztest.TCP4}, {ztest.TCP4, ztest.TCP4}, {ztest.TCP4, ztest.File}, {ztest.File, ztest.File}, {ztest.File, ztest.Pipe}, {ztest.Pipe, ztest.Unix},
	} {
		s, d := ztest.NewSource(t, pair[0], content), ztest.NewDest(t, pair[1], ztest.Buffers(64<<10))
		var in, out []int64
		n, err := zerocopy.Copy(
			zerocopy.ProgressWriter(d.Writer, func(k int64) { out = append(out, k) }),
			zerocopy.Progress(s.Reader, func(k int64) { in = append(in, k) }))
		if n != int64(len(content)) || err != nil || !slices.Equal(in, out) || len(in) == 0 || slices.Min(in) <= 0 || sum(in) != n {
			t.Errorf("%v: %d bytes, %v; %v and %v", pair, n, err, in, out)
		}
		ztest.Equal(t, "content", d.Finish(), content)
	}
}

func sum(ns []int64) (n int64) {
	for _, k := range ns {
		n += k
	}
	return n
}

// TestProgressExact: whatever ends a copy between two descriptors, what Progress has told
// at either end is what the copy says that it has written.
func TestProgressExact(t *testing.T) {
	t.Parallel()
	errLimit := errors.New("no tokens")
	type scene struct {
		s      *ztest.Source
		d      *ztest.Dest
		cancel context.CancelCauseFunc
	}
	for _, row := range []struct {
		why   string
		after func(sc scene) // once half a MiB has gone
		want  []error        // one of them; none: any but nil
	}{
		{"the function closes the destination", func(sc scene) { sc.d.Writer.Close() }, []error{net.ErrClosed, os.ErrClosed}},
		{"the function closes the source", func(sc scene) { sc.s.Reader.(io.Closer).Close() }, []error{net.ErrClosed, os.ErrClosed}},
		{"the receiver resets", func(sc scene) { sc.d.Reset() }, nil},
		{"write deadline", func(sc scene) { sc.d.Writer.SetWriteDeadline(time.Unix(1, 0)) }, []error{os.ErrDeadlineExceeded}},
		{"cancelled", func(sc scene) { sc.cancel(errLimit) }, []error{errLimit}},
	} {
		for _, pair := range [][2]ztest.Kind{{ztest.File, ztest.TCP4}, {ztest.TCP4, ztest.TCP4}, {ztest.TCP4, ztest.Unix}, {ztest.Unix, ztest.TCP4}} {
			content := ztest.Pattern(20).Bytes(8 << 20)
			s, d := ztest.NewSource(t, pair[0], content, ztest.NoEOF()), ztest.NewDest(t, pair[1], ztest.Buffers(64<<10))
			ctx, cancel := context.WithCancelCause(t.Context())
			var in, out int64
			once := func() { row.after(scene{s, d, cancel}) }
			n, err := zerocopy.CopyContext(ctx,
				zerocopy.ProgressWriter(d.Writer, func(k int64) {
					if out += k; out > 512<<10 && once != nil {
						once()
						once = nil
					}
				}),
				zerocopy.Progress(s.Reader, func(k int64) { in += k }))
			cancel(nil)
			if err == nil || n < 512<<10 || n >= int64(len(content)) || in != n || out != n {
				t.Errorf("%s, %v: %d bytes, %v; told of %d and %d", row.why, pair, n, err, in, out)
			}
			if row.want != nil && !slices.ContainsFunc(row.want, func(want error) bool { return errors.Is(err, want) }) {
				t.Errorf("%s, %v: %v", row.why, pair, err)
			}
			s.Close()
		}
	}
}

// TestWrappersCancelled: with a context that is done before, no byte is taken and nobody
// is asked or told.
func TestWrappersCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	cancel(cause)
	for name, wrap := range wrappers(1000) {
		content := ztest.Pattern(21).Bytes(10_000)
		s, d := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		dst, src, told := wrap(d.Writer, s.Reader)
		if n, err := zerocopy.CopyContext(ctx, dst, src); n != 0 || !errors.Is(err, cause) || told() != 0 {
			t.Errorf("%s: %d bytes, %v, told of %d", name, n, err, told())
		}
		ztest.Equal(t, "rest", s.Rest(), content)
	}
}
