package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"testing"

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
