package zerocopy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMeter: what a copy has moved can be read while it runs, and the sums are those of its
// Report.
func TestMeter(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(8 << 20)
	src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4, ztest.Buffers(64<<10), ztest.StallAfter(1<<20))
	var meter zerocopy.Meter
	var report zerocopy.Report
	c := &zerocopy.Copier{Meter: &meter, Report: func(r zerocopy.Report) { report = r }}
	c.Force(func(written int64) bool { return written >= start })
	if meter.Bytes() != 0 || !meter.Moved().IsZero() || meter.Step() != (zerocopy.Step{}) {
		t.Error("a new Meter has something in it")
	}
	began := time.Now()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Copy(context.Background(), dst.Writer, src.Reader)
		ended <- err
	}()
	dst.AwaitReceived(1 << 20)
	dst.AwaitFull()
	// It may be full for a moment only, and the copy go on.
	before := meter.Bytes()
	s := meter.Step()
	after := meter.Bytes()
	if s.Mechanism != zerocopy.Splice || s.Route != "tcp→pipe→tcp" || s.Bytes < before || s.Bytes > after {
		t.Errorf("while it runs: %+v, between %d and %d bytes", s, before, after)
	}
	if n := meter.Bytes(); n < 1<<20 || n >= int64(len(content)) {
		t.Errorf("while it runs: %d bytes", n)
	}
	dst.Resume()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if at := meter.Moved(); at.Before(began) || time.Since(at) < 0 {
		t.Errorf("moved at %v, began at %v", at, began)
	}
	for _, m := range []zerocopy.Mechanism{zerocopy.Buffered, zerocopy.Splice, zerocopy.Sendfile, 200} {
		if got, want := meter.By(m), report.Bytes(m); got != want {
			t.Errorf("%v: %d, in the Report %d", m, got, want)
		}
	}
	if meter.Bytes() != int64(len(content)) || meter.By(zerocopy.Buffered) == 0 {
		t.Errorf("%d bytes of %d, %d of them by read and write", meter.Bytes(), len(content), meter.By(zerocopy.Buffered))
	}
	ztest.Equal(t, "content", dst.Finish(), content)
}

// TestMeterReason: of bytes that pass user memory it says why.
func TestMeterReason(t *testing.T) {
	t.Parallel()
	var meter zerocopy.Meter
	c := &zerocopy.Copier{Meter: &meter}
	src := ztest.NewSource(t, ztest.TCP4, []byte("bytes"))
	if _, err := c.Copy(context.Background(), io.Discard, struct{ io.Reader }{src.Reader}); err != nil {
		t.Fatal(err)
	}
	if s := meter.Step(); s.Reason != zerocopy.ReasonOwnMethod && s.Reason != zerocopy.ReasonNotDescriptor || s.Bytes != 5 {
		t.Errorf("%+v", s)
	}
}

// TestClone: a clone has the settings of its Copier, and knows what that has learnt.
func TestClone(t *testing.T) {
	t.Parallel()
	c := &zerocopy.Copier{Disable: zerocopy.Mechanisms(zerocopy.Splice), Pages: zerocopy.Share, RawCalls: true, LowWater: true}
	clone := c.Clone()
	if clone.Disable != c.Disable || clone.Pages != c.Pages || !clone.RawCalls || !clone.LowWater {
		t.Errorf("%+v", clone)
	}
	src, dst := ztest.NewSource(t, ztest.TCP4, nil), ztest.NewDest(t, ztest.TCP4)
	if got := clone.Explain(dst.Writer, src.Reader).Main(); got.Reason != zerocopy.ReasonDisabled {
		t.Error(got)
	}
}

// TestFailed: a Report names the end that a copy failed at.
func TestFailed(t *testing.T) {
	t.Parallel()
	reset := func(_ context.CancelFunc, s *ztest.Source, _ *ztest.Dest) { s.Reset() }
	refuse := func(_ context.CancelFunc, _ *ztest.Source, d *ztest.Dest) { d.Reset() }
	for name, row := range map[string]struct {
		src, dst ztest.Kind
		wrap     func(io.Writer, io.Reader) (io.Writer, io.Reader)
		act      func(context.CancelFunc, *ztest.Source, *ztest.Dest)
		want     zerocopy.End
		err      error
	}{
		"nothing failed":           {ztest.TCP4, ztest.TCP4, nil, nil, zerocopy.NoEnd, nil},
		"source reset":             {ztest.TCP4, ztest.TCP4, nil, reset, zerocopy.SourceEnd, syscall.ECONNRESET},
		"destination reset":        {ztest.TCP4, ztest.TCP4, nil, refuse, zerocopy.DestinationEnd, nil},
		"of sendfile":              {ztest.File, ztest.TCP4, nil, refuse, zerocopy.DestinationEnd, nil},
		"of splice out of a pipe":  {ztest.Pipe, ztest.TCP4, nil, refuse, zerocopy.DestinationEnd, nil},
		"unknown source reset":     {ztest.TCP4, ztest.TCP4, hideSource, reset, zerocopy.SourceEnd, syscall.ECONNRESET},
		"unknown destination":      {ztest.TCP4, ztest.TCP4, hideDestination, refuse, zerocopy.DestinationEnd, nil},
		"cancelled: it is neither": {ztest.TCP4, ztest.TCP4, nil, func(stop context.CancelFunc, _ *ztest.Source, _ *ztest.Dest) { stop() }, zerocopy.NoEnd, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(2).Bytes(8 << 20) // more than the buffers hold
			if row.act == nil {
				content = content[:1000]
			}
			s, d := ztest.NewSource(t, row.src, content, ztest.Buffers(64<<10)), ztest.NewDest(t, row.dst, ztest.Buffers(64<<10))
			var dst io.Writer = d.Writer
			var src io.Reader = s.Reader
			if row.wrap != nil {
				dst, src = row.wrap(dst, src)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			if row.act != nil {
				d.Stall()
			}
			var report zerocopy.Report
			c := &zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }}
			ended := make(chan error, 1)
			go func() {
				_, err := c.Copy(ctx, dst, src)
				ended <- err
			}()
			if row.act != nil {
				d.AwaitFull()
				row.act(stop, s, d)
				if row.want == zerocopy.SourceEnd {
					d.Resume()
				}
			}
			err := <-ended
			if (err != nil) != (row.act != nil) || row.err != nil && !errors.Is(err, row.err) {
				t.Errorf("error %v", err)
			}
			if report.Failed != row.want {
				t.Errorf("it was the %q that failed, not the %q: %v", row.want, report.Failed, err)
			}
		})
	}
}

// TestFailedInMemory: the ends are named also where bytes go into or out of a bufio buffer.
func TestFailedInMemory(t *testing.T) {
	t.Parallel()
	lost := struct{ io.Reader }{iotest.ErrReader(errLost)}
	full := func() *short { return &short{left: 1} }
	into := func(w io.Writer) io.Writer {
		b := bufio.NewWriterSize(w, 16)
		b.WriteString("abc")
		return b
	}
	open, _ := ztest.TCPPair(t, ztest.TCP4)
	closed, _ := ztest.TCPPair(t, ztest.TCP4)
	closed.Close()
	outOf := bufio.NewReader(strings.NewReader("some text"))
	outOf.Peek(1)
	for name, row := range map[string]struct {
		dst  io.Writer
		src  io.Reader
		want zerocopy.End
	}{
		"reading into a bufio.Writer":  {into(open), lost, zerocopy.SourceEnd},
		"flushing a bufio.Writer":      {into(closed), struct{ io.Reader }{strings.NewReader("more than its buffer holds")}, zerocopy.DestinationEnd},
		"writing what a Reader has":    {full(), outOf, zerocopy.DestinationEnd},
		"an unknown source":            {struct{ io.Writer }{io.Discard}, lost, zerocopy.SourceEnd},
		"a callback, which is neither": {zerocopy.PaceWriter(&short{left: 100}, &fakeLimiter{burst: 5, fail: errLost}), struct{ io.Reader }{strings.NewReader("text")}, zerocopy.NoEnd},
	} {
		var report zerocopy.Report
		c := &zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }}
		if _, err := c.Copy(context.Background(), row.dst, row.src); err == nil || report.Failed != row.want {
			t.Errorf("%s: %q failed, not %q: %v", name, row.want, report.Failed, err)
		}
	}
}

func hideSource(dst io.Writer, src io.Reader) (io.Writer, io.Reader) {
	return dst, struct{ io.Reader }{src}
}

func hideDestination(dst io.Writer, src io.Reader) (io.Writer, io.Reader) {
	return struct{ io.Writer }{dst}, src
}
