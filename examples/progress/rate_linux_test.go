package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"golang.org/x/time/rate"
)

// What Pace does with a rate.Limiter, which is what people have.

// paced is a copy of size bytes from a file to a connection at a rate.
type paced struct {
	s *ztest.Source
	d *ztest.Dest
	p []byte
}

func newPaced(t *testing.T, size int) *paced {
	p := ztest.Pattern(1).Bytes(size)
	return &paced{ztest.NewSource(t, ztest.File, p), ztest.NewDest(t, ztest.TCP4), p}
}

// copy copies at either end's Pace.
func (p *paced) copy(ctx context.Context, l zerocopy.Limiter, writer bool) (int64, error) {
	if writer {
		return zerocopy.CopyContext(ctx, zerocopy.PaceWriter(p.d.Writer, l), p.s.Reader)
	}
	return zerocopy.CopyContext(ctx, p.d.Writer, zerocopy.Pace(p.s.Reader, l))
}

// ends compares what has arrived, and where the file stands.
func (p *paced) ends(t *testing.T, n int64) {
	t.Helper()
	if at := p.s.Pos(); at != n {
		t.Errorf("the file stands at %d after %d bytes", at, n)
	}
	ztest.Equal(t, "content", p.d.Finish(), p.p[:n])
}

// inTime compares the time of n bytes with the rate. A full bucket goes for nothing; that
// of a busy machine may be longer.
func inTime(t *testing.T, took time.Duration, n int64, rate, burst float64) {
	t.Helper()
	least := time.Duration((float64(n) - burst) / rate * float64(time.Second))
	if took < least-time.Millisecond || took > 3*least+10*time.Second {
		t.Errorf("%d bytes in %v, at that rate %v", n, took, least)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why         string
		rate, burst int
		size        int
	}{
		{"as the program has it", 20e6, 2e6, 10e6},
		{"a burst that is no multiple of anything", 20e6, 77_777, 6e6},
		{"a slow one", 100e3, 10e3, 50e3},
		{"a fast one", 150e6, 5e6, 20e6},
		{"a burst of a byte", 1000, 1, 300},
	} {
		for _, writer := range []bool{false, true} {
			t.Run(row.why, func(t *testing.T) {
				t.Parallel()
				p := newPaced(t, row.size)
				began := time.Now()
				n, err := p.copy(t.Context(), rate.NewLimiter(rate.Limit(row.rate), row.burst), writer)
				took := time.Since(began)
				if n != int64(row.size) || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
				inTime(t, took, n, float64(row.rate), float64(row.burst))
				p.ends(t, n)
			})
		}
	}
}

// Copies that share a limiter have its rate together, as those of the program have.
func TestRateShared(t *testing.T) {
	t.Parallel()
	const copies, size = 5, 3e6
	l := newLimiter(30e6)
	var all sync.WaitGroup
	began := time.Now()
	for i := range copies {
		p := newPaced(t, size)
		all.Go(func() {
			if n, err := p.copy(t.Context(), l, i%2 == 0); n != size || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	all.Wait()
	inTime(t, time.Since(began), copies*size, 30e6, 3e6)
}

// A burst of 0 refuses everything, so that the copy ends after the first chunk with the
// limiter's own error, without a loop and without a loss. The zero Limiter is one such.
func TestRateBurst0(t *testing.T) {
	t.Parallel()
	for _, l := range []*rate.Limiter{rate.NewLimiter(1e6, 0), new(rate.Limiter), rate.NewLimiter(0, 0)} {
		for _, writer := range []bool{false, true} {
			p := newPaced(t, 3<<20)
			n, err := p.copy(t.Context(), l, writer)
			if n == 0 || n > 1<<20 || err == nil || !strings.Contains(err.Error(), "burst") {
				t.Errorf("%d bytes, %v", n, err)
			}
			p.ends(t, n)
		}
	}
}

// An infinite rate is no limit, whatever the burst.
func TestRateInf(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{0, 1, 5000, 1 << 30} {
		size := 8 << 20
		if burst == 1 {
			size = 2000 // a call each
		}
		p := newPaced(t, size)
		if n, err := p.copy(t.Context(), rate.NewLimiter(rate.Inf, burst), burst%2 == 0); n != int64(size) || err != nil {
			t.Errorf("burst %d: %d bytes, %v", burst, n, err)
		}
		p.ends(t, int64(size))
	}
}

// The rate and the burst may be changed while a copy runs; a smaller burst is no error.
func TestRateChanges(t *testing.T) {
	t.Parallel()
	p := newPaced(t, 24<<20)
	l := rate.NewLimiter(1e9, 1<<20)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				l.SetBurst(10_000 + i*7919%1_000_000) // another one each time
				l.SetLimit([]rate.Limit{1e9, 500e6, rate.Inf}[i%3])
			}
		}
	}()
	n, err := p.copy(t.Context(), l, false)
	close(stop)
	<-done
	if n != 24<<20 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	p.ends(t, n)

	// From a rate at which it would take an hour.
	p = newPaced(t, 4_000_000)
	l = rate.NewLimiter(10_000, 1000)
	time.AfterFunc(150*time.Millisecond, func() {
		l.SetBurst(1_000_000)
		l.SetLimit(20e6)
	})
	began := time.Now()
	if n, err := p.copy(t.Context(), l, true); n != 4_000_000 || err != nil || time.Since(began) > ztest.Patience {
		t.Errorf("%d bytes in %v, %v", n, time.Since(began), err)
	}
}

// A deadline that comes before the tokens ends the copy when it comes, and not at once as
// the limiter would have it.
func TestRateDeadline(t *testing.T) {
	t.Parallel()
	for _, writer := range []bool{false, true} {
		for wait := 100 * time.Millisecond; ; wait *= 4 {
			p := newPaced(t, 1<<20)
			ctx, stop := context.WithTimeout(t.Context(), wait)
			began := time.Now()
			n, err := p.copy(ctx, rate.NewLimiter(1, 1000), writer)
			stop()
			took := time.Since(began)
			p.ends(t, n)
			if n < 2000 && errors.Is(err, context.DeadlineExceeded) && took >= wait && wait < 5*time.Second {
				continue // a busy machine has not come so far
			}
			if n != 2000 || !errors.Is(err, context.DeadlineExceeded) || took < wait || took > wait+ztest.Patience {
				t.Errorf("%d bytes in %v, %v", n, took, err)
			}
			break
		}
	}
}

func TestRateCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("the cause")
	cancel(cause)
	l := rate.NewLimiter(1e6, 1000)
	for _, writer := range []bool{false, true} {
		p := newPaced(t, 10_000)
		if n, err := p.copy(ctx, l, writer); n != 0 || !errors.Is(err, cause) || l.Tokens() != 1000 {
			t.Errorf("%d bytes, %v, %v tokens left", n, err, l.Tokens())
		}
		p.ends(t, 0)
	}
}

// Under the bars, and under a rate, the kernel moves the bytes, and each bar is told of all.
func TestBarsKeepTheFastPath(t *testing.T) {
	t.Parallel()
	for _, pair := range []struct {
		src, dst ztest.Kind
		want     zerocopy.Mechanism
	}{
		{ztest.File, ztest.File, zerocopy.CopyFileRange},
		{ztest.File, ztest.TCP4, zerocopy.Sendfile},
		{ztest.TCP4, ztest.File, zerocopy.Splice},
		{ztest.TCP4, ztest.TCP4, zerocopy.Splice},
	} {
		for _, kind := range []string{"mpb", "schollz"} {
			p := ztest.Pattern(2).Bytes(4 << 20)
			s, d := ztest.NewSource(t, pair.src, p), ztest.NewDest(t, pair.dst)
			var current func() int64
			var b bars
			var m meter
			if kind == "mpb" {
				mb := newMpb(io.Discard, 80, 1, int64(len(p)))
				m, b = mb.add("name", int64(len(p))), mb
				current = m.(*mpbMeter).bar.Current
			} else {
				sb := newSchollz(io.Discard, 80, 1, int64(len(p)))
				m, b = sb.add("name", int64(len(p))), sb
				current = func() int64 { return sb.bar.State().CurrentNum }
			}
			fast := int64(0)
			c := &zerocopy.Copier{Report: func(r zerocopy.Report) {
				for _, step := range r.Steps {
					if step.Mechanism == pair.want {
						fast += step.Bytes
					}
				}
			}}
			dst := &destination{WriteCloser: d.Writer}
			n, err := c.Copy(t.Context(), dst, zerocopy.Pace(zerocopy.Progress(s.Reader, m.moved), newLimiter(1e9)))
			if n != int64(len(p)) || err != nil || fast < n*3/4 || current() != n {
				t.Errorf("%s, %v: %d bytes, %v; %d by %v, the bar is at %d", kind, pair, n, err, fast, pair.want, current())
			}
			m.done(true)
			b.wait(true)
			ztest.Equal(t, "content", d.Finish(), p)
		}
	}
}

// On a terminal there are bars, on anything else and with -bar none there are not.
func TestTerminal(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args string
		want []string
	}{
		{"-bar mpb", []string{"a ", "b ", "total", "100 %", "3.2 MB / 3.2 MB"}},
		{"-bar schollz", []string{"100% |", "(3.2/3.2 MB"}},
		{"-bar none", nil},
	} {
		master, slave := ztest.FilePair(t, ztest.PTY)
		var drawn strings.Builder
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.Copy(&drawn, master) // until EIO
		}()
		dir := t.TempDir()
		put(t, dir+"/in/a", 3<<20, 0o644)
		put(t, dir+"/in/b", 100_000, 0o644)
		var out strings.Builder
		args := append(strings.Fields(row.args), "-rate", "15MB", dir+"/in", dir+"/out")
		if status := run(t.Context(), args, &out, slave); status != 0 {
			t.Errorf("%s: status %d", row.args, status)
		}
		slave.Close()
		<-done
		for _, want := range row.want {
			if !strings.Contains(drawn.String(), want) {
				t.Errorf("%s: no %q in %q", row.args, want, drawn.String())
			}
		}
		if row.want == nil && drawn.Len() > 0 {
			t.Errorf("%s: %q", row.args, drawn.String())
		}
	}
}

// A bar that is told of less or more bytes than expected ends, too.
func TestBarsEnd(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"mpb", "schollz"} {
		for _, moved := range []int64{0, 10, 1000, 5000} {
			for _, all := range []bool{false, true} {
				for _, size := range []int64{-1, 0, 1000} {
					t.Run("", func(t *testing.T) {
						t.Parallel()
						var b bars
						if kind == "mpb" {
							b = newMpb(io.Discard, 40, 2, max(size, 0))
						} else {
							b = newSchollz(io.Discard, 40, 2, max(size, 0))
						}
						for range 2 {
							m := b.add("a name that is far too long for it", size)
							m.moved(moved)
							m.done(all)
						}
						b.wait(all)
					})
				}
			}
		}
	}
}
