package zerocopy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A pipeEnd is one end of a copy that has a Pipe at the other, and the way between.
type pipeEnd struct {
	kind  ztest.Kind
	route string
	by    zerocopy.Mechanism
	plan  string
}

// TestPipeAsArgument: Copy, io.Copy and the Pipe's own methods take a Pipe for what
// it is, on both sides, and Explain says so.
func TestPipeAsArgument(t *testing.T) {
	if !ztest.Isolated(t) { // the Pipe's own methods copy by the default, which is the process's
		return
	}
	const size = 400_000
	content := ztest.Pattern(81).Bytes(size)
	c := track(t, nil)
	zerocopy.SetDefault(&c.Copier)
	defer zerocopy.SetDefault(nil)
	check := func(end pipeEnd, what string, n int64, err error, plan zerocopy.Plan) {
		t.Helper()
		if n != size || err != nil {
			t.Errorf("%s, %s: %d, %v", end.kind, what, n, err)
		}
		if plan.String() != end.plan {
			t.Errorf("%s, %s: planned %q, want %q", end.kind, what, plan, end.plan)
		}
		if s := c.report.Steps[0]; c.report.Bytes(end.by) != size || s.Route != end.route {
			t.Errorf("%s, %s: %v", end.kind, what, c.report)
		}
	}
	for _, end := range []pipeEnd{
		{ztest.TCP4, "pipe→tcp", zerocopy.Splice, "splice pipe→tcp"},
		{ztest.Unix, "pipe→unix", zerocopy.Splice, "splice pipe→unix"},
		{ztest.File, "pipe→file", zerocopy.Splice, "splice pipe→file"},
		{ztest.Pipe, "pipe→pipe", zerocopy.Splice, "splice pipe→pipe"},
	} {
		for _, what := range []string{"Copy", "io.Copy", "WriteTo", "NewReader"} {
			p, dst := newPipe(t, 0), ztest.NewDest(t, end.kind)
			ztest.Go(t, "writer", func() {
				p.Write(content)
				p.CloseWrite()
			})
			plan := zerocopy.Explain(dst.Writer, p)
			var n int64
			var err error
			switch what {
			case "Copy":
				n, err = zerocopy.Copy(dst.Writer, p)
			case "io.Copy":
				n, err = io.Copy(dst.Writer, p)
			case "WriteTo":
				n, err = p.WriteTo(dst.Writer)
			case "NewReader":
				n, err = zerocopy.NewReader(p).WriteTo(dst.Writer)
			}
			check(end, what+" out of it", n, err, plan)
			ztest.Equal(t, what, dst.Finish(), content)
		}
	}
	for _, end := range []pipeEnd{
		{ztest.TCP4, "tcp→pipe→pipe", zerocopy.Splice, "splice tcp→pipe→pipe if bulk"},
		{ztest.Unix, "unix→pipe→pipe", zerocopy.Splice, "splice unix→pipe→pipe if bulk"},
		{ztest.Pipe, "pipe→pipe", zerocopy.Splice, "splice pipe→pipe"},
		{ztest.File, "", zerocopy.Buffered, "buffered: source *os.File has pages that io.Copy would not lend here (Pages: Share does)"},
	} {
		for _, what := range []string{"Copy", "io.Copy", "ReadFrom", "NewWriter"} {
			p, src := newPipe(t, 0), ztest.NewSource(t, end.kind, content)
			var got bytes.Buffer
			reader := ztest.Go(t, "reader", func() { got.ReadFrom(struct{ io.Reader }{p}) })
			plan := zerocopy.Explain(p, src.Reader)
			var n int64
			var err error
			switch what {
			case "Copy":
				n, err = zerocopy.Copy(p, src.Reader)
			case "io.Copy":
				n, err = io.Copy(p, src.Reader)
			case "ReadFrom":
				n, err = p.ReadFrom(src.Reader)
			case "NewWriter":
				n, err = zerocopy.NewWriter(p).ReadFrom(src.Reader)
			}
			p.CloseWrite()
			reader.Wait()
			check(end, what+" into it", n, err, plan)
			ztest.Equal(t, what, got.Bytes(), content)
		}
	}
}

// TestPipeToPipe: from one Pipe to another by splice, with both under a Copier of the
// caller's.
func TestPipeToPipe(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(82).Bytes(1 << 20)
	p, q := newPipe(t, 0), newPipe(t, 256<<10)
	go func() {
		p.Write(content)
		p.CloseWrite()
	}()
	c := track(t, nil)
	var got bytes.Buffer
	reader := ztest.Go(t, "reader", func() { got.ReadFrom(struct{ io.Reader }{q}) })
	n, err := c.within(t, q, p)
	q.CloseWrite()
	reader.Wait()
	if n != 1<<20 || err != nil || c.report.Bytes(zerocopy.Splice) != n || c.report.Steps[0].Route != "pipe→pipe" {
		t.Error(n, err, c.report)
	}
	ztest.Equal(t, "contents", got.Bytes(), content)
}

// TestH28PipeIntoItself: the same Pipe at both ends is read and written.
func TestH28PipeIntoItself(t *testing.T) {
	t.Parallel()
	p := newPipe(t, 0)
	content := ztest.Pattern(83).Bytes(10_000)
	p.Write(content)
	c := track(t, nil)
	n, err := c.within(t, p, io.LimitReader(p, 4000))
	if n != 4000 || err != nil || c.report.Steps[0].Reason != zerocopy.ReasonSame {
		t.Error(n, err, c.report)
	}
	ztest.Equal(t, "contents", contentsOf(t, p), append(bytes.Clone(content[4000:]), content[:4000]...))
}

// TestPipeNil: a nil Pipe is nobody's descriptor, and asking does not panic.
func TestPipeNil(t *testing.T) {
	t.Parallel()
	var p *zerocopy.Pipe
	for _, plan := range []zerocopy.Plan{zerocopy.Explain(p, os.Stdin), zerocopy.Explain(os.Stdout, p), zerocopy.Explain(io.MultiWriter(p), os.Stdin)} {
		if m := plan.Main(); m.Mechanism == zerocopy.Splice {
			t.Errorf("planned: %v", plan)
		}
	}
}

// TestH02PipeTap: a stream of segments that take a slot each is tapped on its way from
// a connection through two Pipes: fill, tee, empty both; none gets a byte twice or
// not at all.
func TestH02PipeTap(t *testing.T) {
	t.Parallel()
	for _, piece := range []int{1, 1448, 9000} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(84).Bytes(32 * 11 * piece)
			src := ztest.NewSource(t, ztest.TCP4, content, ztest.Pieces(piece), ztest.MSS(1448))
			a, b := ztest.NewDest(t, ztest.Unix), ztest.NewDest(t, ztest.TCP4)
			p, q := newPipe(t, 0), newPipe(t, 0)
			go func() {
				p.ReadFrom(src.Reader)
				p.CloseWrite()
			}()
			for {
				n, err := p.Tee(q, 1<<20)
				if err == io.EOF {
					break
				}
				must(t, err)
				for i, from := range []*zerocopy.Pipe{q, p} {
					to := []io.Writer{a.Writer, b.Writer}[i]
					if k, err := zerocopy.CopyN(to, from, n); k != n || err != nil {
						t.Fatal(i, k, n, err)
					}
				}
			}
			ztest.Equal(t, "the tap", a.Finish(), content)
			ztest.Equal(t, "the destination", b.Finish(), content)
		})
	}
}

// TestPipeContext: a context ends a copy that waits for either end of a Pipe.
func TestPipeContext(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{true, false} {
		p := newPipe(t, 0)
		src, dst := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(1<<20)), ztest.NewDest(t, ztest.TCP4)
		c := track(t, nil)
		s := newScene(t, route{src: ztest.TCP4, dst: ztest.TCP4}, false, nil, nil, nil)
		var r *copying
		if full {
			r = c.begin(t, s.ctx, p, src.Reader)
			r.AwaitParkedToWrite()
		} else {
			r = c.begin(t, s.ctx, dst.Writer, p)
			r.AwaitParked()
		}
		s.cancel(errCause)
		r.Wait()
		if !errors.Is(r.err, errCause) {
			t.Errorf("full %v: %d, %v", full, r.n, r.err)
		}
		if full {
			checkRest(t, src, r.n, r.err)
		}
	}
}

// TestPipeBrokenByReset: the errors of a copy into or out of a Pipe name its other end.
func TestPipeBrokenByReset(t *testing.T) {
	t.Parallel()
	p := newPipe(t, 0)
	dst := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(0))
	p.Write(make([]byte, 1000))
	c := track(t, nil)
	r := c.begin(t, nil, dst.Writer, p)
	r.AwaitParked()
	dst.Reset()
	ztest.Eventually(t, ztest.Patience, "an error", func() bool {
		p.SetWriteDeadline(time.Now().Add(time.Millisecond))
		p.Write(make([]byte, 1000))
		return ended(r.Done())
	})
	if !errors.Is(r.err, syscall.ECONNRESET) && !errors.Is(r.err, syscall.EPIPE) {
		t.Error(r.err)
	}
}
