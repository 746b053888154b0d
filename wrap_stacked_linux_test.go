package zerocopy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Wrappers over and beside each other.

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
