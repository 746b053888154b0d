package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A fakeLimiter takes note of what it is asked for.
type fakeLimiter struct {
	burst int
	fail  error
	hangs chan struct{} // if not nil, it waits for its context, and closes this before

	asked, most atomic.Int64
}

func (l *fakeLimiter) Burst() int { return l.burst }

func (l *fakeLimiter) WaitN(ctx context.Context, n int) error {
	if _, ok := ctx.Deadline(); ok {
		return errors.New("a deadline is shown")
	}
	if l.burst > 0 && n > l.burst {
		return errors.New("more than the burst")
	}
	l.asked.Add(int64(n))
	l.most.Store(max(l.most.Load(), int64(n)))
	if l.hangs != nil {
		close(l.hangs)
		<-ctx.Done()
		return ctx.Err()
	}
	return l.fail
}

// A meterRow puts one of the wrappers around an end of a copy. told is how many bytes the
// wrapper was told of.
type meterRow func(dst io.Writer, src io.Reader) (_ io.Writer, _ io.Reader, told func() int64)

func wrappers(burst int) map[string]meterRow {
	return map[string]meterRow{
		"Progress": func(dst io.Writer, src io.Reader) (io.Writer, io.Reader, func() int64) {
			n := new(atomic.Int64)
			return dst, zerocopy.Progress(src, func(k int64) { n.Add(k) }), n.Load
		},
		"ProgressWriter": func(dst io.Writer, src io.Reader) (io.Writer, io.Reader, func() int64) {
			n := new(atomic.Int64)
			return zerocopy.ProgressWriter(dst, func(k int64) { n.Add(k) }), src, n.Load
		},
		"Pace": func(dst io.Writer, src io.Reader) (io.Writer, io.Reader, func() int64) {
			l := &fakeLimiter{burst: burst}
			return dst, zerocopy.Pace(src, l), l.asked.Load
		},
		"PaceWriter": func(dst io.Writer, src io.Reader) (io.Writer, io.Reader, func() int64) {
			l := &fakeLimiter{burst: burst}
			return zerocopy.PaceWriter(dst, l), src, l.asked.Load
		},
	}
}

// TestWrappersKeepTheFastPath: under each of the wrappers a copy goes as without, by Copy
// and by io.Copy, and the wrapper is told of every byte once.
func TestWrappersKeepTheFastPath(t *testing.T) {
	t.Parallel()
	for name, wrap := range wrappers(300_000) {
		for _, p := range []struct {
			src, dst ztest.Kind
			want     zerocopy.Mechanism
		}{
			{ztest.File, ztest.TCP4, zerocopy.Sendfile},
			{ztest.TCP4, ztest.TCP4, zerocopy.Splice},
			{ztest.TCP4, ztest.File, zerocopy.Splice},
			{ztest.Pipe, ztest.Unix, zerocopy.Splice},
		} {
			pair := string(p.src) + "→" + string(p.dst)
			t.Run(name+"/"+pair, func(t *testing.T) {
				t.Parallel()
				content := ztest.Pattern(3).Bytes(4 << 20)
				s, d := ztest.NewSource(t, p.src, content), ztest.NewDest(t, p.dst)
				dst, src, told := wrap(d.Writer, s.Reader)
				var report zerocopy.Report
				c := &zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }}
				n, err := c.Copy(context.Background(), dst, src)
				if n != int64(len(content)) || err != nil || told() != n {
					t.Fatalf("%d bytes, %v, told of %d", n, err, told())
				}
				ztest.Equal(t, "content", d.Finish(), content)
				fast := int64(0)
				for _, step := range report.Steps {
					if step.Mechanism == p.want {
						fast += step.Bytes
					}
				}
				if fast < n*3/4 {
					t.Errorf("%v", report)
				}
			})
			t.Run(name+"/io.Copy/"+pair, func(t *testing.T) {
				t.Parallel()
				content := ztest.Pattern(4).Bytes(100_001)
				s, d := ztest.NewSource(t, p.src, content), ztest.NewDest(t, p.dst)
				dst, src, told := wrap(d.Writer, s.Reader)
				if n, err := io.Copy(dst, src); n != int64(len(content)) || err != nil || told() != n {
					t.Fatalf("%d bytes, %v, told of %d", n, err, told())
				}
				ztest.Equal(t, "content", d.Finish(), content)
			})
		}
	}
}

// TestWrappersPlainly: read and written by themselves the wrappers are told of what went by.
func TestWrappersPlainly(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(5).Bytes(70_000)
	for name, wrap := range wrappers(1000) {
		var out bytes.Buffer
		dst, src, told := wrap(&out, bytes.NewReader(content))
		n, err := io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src})
		if n != int64(len(content)) || err != nil || !bytes.Equal(out.Bytes(), content) || told() != n {
			t.Errorf("%s: %d bytes, %v, told of %d", name, n, err, told())
		}
	}
}

// TestPaceErrors: an error of the limiter ends the copy after the bytes that it was asked
// for; nothing is lost. A burst of 0 asks for what has gone, and the limiter decides.
func TestPaceErrors(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{0, -1, 10_000} {
		for _, writer := range []bool{false, true} {
			content := ztest.Pattern(6).Bytes(1 << 20)
			s, d := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.TCP4)
			l := &fakeLimiter{burst: burst, fail: errors.New("no tokens")}
			dst, src := io.Writer(d.Writer), io.Reader(s.Reader)
			if writer {
				dst = zerocopy.PaceWriter(dst, l)
			} else {
				src = zerocopy.Pace(src, l)
			}
			n, err := zerocopy.Copy(dst, src)
			if !errors.Is(err, l.fail) || n == 0 || burst > 0 && n != int64(burst) {
				t.Errorf("burst %d: %d bytes, %v", burst, n, err)
			}
			if at, _ := s.Reader.(*os.File).Seek(0, io.SeekCurrent); at != n {
				t.Errorf("burst %d: the file stands at %d after %d bytes", burst, at, n)
			}
			ztest.Equal(t, "content", d.Finish(), content[:n])
		}
	}
}

// TestPaceContext: the context of the copy ends the wait for tokens, and its cause is the
// error.
func TestPaceContext(t *testing.T) {
	t.Parallel()
	for _, writer := range []bool{false, true} {
		content := ztest.Pattern(7).Bytes(1 << 20)
		s, d := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.TCP4)
		l := &fakeLimiter{burst: 5000, hangs: make(chan struct{})}
		dst, src := io.Writer(d.Writer), io.Reader(s.Reader)
		if writer {
			dst = zerocopy.PaceWriter(dst, l)
		} else {
			src = zerocopy.Pace(src, l)
		}
		late, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		ctx, cancel := context.WithCancelCause(late)
		cause := errors.New("the cause")
		go func() {
			<-l.hangs
			cancel(cause)
		}()
		if n, err := zerocopy.CopyContext(ctx, dst, src); n != 5000 || !errors.Is(err, cause) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// TestPaceStacked: of two limits the least burst counts, and both are asked for every byte.
func TestPaceStacked(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(8).Bytes(500_000)
	s, d := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.TCP4)
	a, b := &fakeLimiter{burst: 30_000}, &fakeLimiter{burst: 70_000}
	n, err := zerocopy.Copy(zerocopy.PaceWriter(d.Writer, a), zerocopy.Pace(s.Reader, b))
	if n != int64(len(content)) || err != nil || a.asked.Load() != n || b.asked.Load() != n || b.most.Load() > 30_000 {
		t.Errorf("%d bytes, %v; asked for %d and %d, at most %d", n, err, a.asked.Load(), b.asked.Load(), b.most.Load())
	}
	ztest.Equal(t, "content", d.Finish(), content)
}
