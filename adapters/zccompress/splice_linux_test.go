package zccompress_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/zctest"
)

// What is plain is spliced, or sent, from behind the first bytes.
func TestPlainIsSpliced(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	for _, tt := range []struct {
		src, dst  ztest.Kind
		mechanism zerocopy.Mechanism
	}{
		{ztest.TCP4, ztest.TCP4, zerocopy.Splice},
		{ztest.Unix, ztest.Unix, zerocopy.Splice},
		{ztest.TCP4, ztest.File, zerocopy.Splice},
		{ztest.Pipe, ztest.TCP4, zerocopy.Splice},
		{ztest.File, ztest.TCP4, zerocopy.Sendfile},
		{ztest.File, ztest.File, zerocopy.CopyFileRange},
	} {
		for _, begin := range []string{"", "\x1f", s2Magic[:9]} {
			for _, sniffed := range []bool{false, true} {
				content := append([]byte(begin), text(size)...)
				src := ztest.NewSource(t, tt.src, content)
				dst := ztest.NewDest(t, tt.dst)
				z := zccompress.NewReader(src.Reader, nil)
				if sniffed {
					f, err := z.Sniff()
					must(t, err)
					if f != zccompress.Plain {
						t.Fatal(f)
					}
				}
				var report zerocopy.Report
				c := &zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }}
				n, err := c.Copy(context.Background(), dst.Writer, z)
				must(t, err)
				if n != int64(len(content)) {
					t.Errorf("%v → %v: %d bytes", tt.src, tt.dst, n)
				}
				zctest.Check(t, report, tt.mechanism)
				if n, err := zerocopy.Copy(io.Discard, z); n != 0 || err != nil {
					t.Errorf("%v → %v: then %d bytes more, %v", tt.src, tt.dst, n, err)
				}
				for _, s := range report.Steps {
					if s.Reason != zerocopy.ReasonStart && s.Mechanism != tt.mechanism && s.Bytes > 10 {
						t.Errorf("%v → %v, %q, sniffed %v: %v", tt.src, tt.dst, begin, sniffed, report)
					}
				}
				if pos := src.Pos(); tt.src == ztest.File && pos != int64(len(content)) {
					t.Errorf("the file is at %d", pos)
				}
				ztest.Equal(t, string(tt.src), dst.Finish(), content)
			}
		}
	}
}

// io.Copy takes the same route, by WriteTo.
func TestIOCopyIsSpliced(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	var report zerocopy.Report
	zerocopy.SetDefault(&zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }})
	src := ztest.NewSource(t, ztest.TCP4, text(4<<20))
	dst := ztest.NewDest(t, ztest.Unix)
	n, err := io.Copy(dst.Writer, zccompress.NewReader(src.Reader, nil))
	must(t, err)
	if n != 4<<20 {
		t.Errorf("%d bytes", n)
	}
	zctest.Check(t, report, zerocopy.Splice)
}

// A limit, Progress and a zcnet.Conn are no obstacles.
func TestSplicedInAStack(t *testing.T) {
	t.Parallel()
	content := text(4 << 20)
	src := ztest.NewSource(t, ztest.TCP4, content, ztest.NoEOF())
	dst := ztest.NewDest(t, ztest.TCP4)
	moved := int64(0)
	z := zccompress.NewReader(zcnet.NewConn(src.Reader.(net.Conn)), nil)
	r := zctest.RequireMechanism(t, dst.Writer, zerocopy.Progress(io.LimitReader(z, int64(len(content))), func(n int64) { moved += n }), zerocopy.Splice)
	if moved != int64(len(content)) || r.Written != moved {
		t.Errorf("%d bytes, %d told", r.Written, moved)
	}
	ztest.Equal(t, "arrived", dst.Finish(), content)
}

// A plan says what will be done, before and after the format is known, and takes nothing.
func TestExplainSplice(t *testing.T) {
	t.Parallel()
	src := ztest.NewSource(t, ztest.TCP4, []byte("plain"))
	dst := ztest.NewDest(t, ztest.TCP4)
	z := zccompress.NewReader(src.Reader, nil)
	for range 2 {
		p := zerocopy.Explain(dst.Writer, z)
		if last := p.Steps[len(p.Steps)-1]; last.Mechanism != zerocopy.Splice {
			t.Errorf("as %v: %v", z.Format(), p)
		}
		z.Sniff()
	}
	gzipped := ztest.NewSource(t, ztest.TCP4, compress(t, zccompress.Gzip, []byte("plain")))
	z = zccompress.NewReader(gzipped.Reader, nil)
	z.Sniff()
	if p := zerocopy.Explain(dst.Writer, z); len(p.Steps) != 1 || p.Steps[0].Mechanism != zerocopy.Buffered {
		t.Errorf("compressed: %v", p)
	}
}

// A deadline in the sniff loses nothing, and the copy goes on from there.
func TestDeadlineInTheSniff(t *testing.T) {
	t.Parallel()
	want := text(100_000)
	stream := compress(t, zccompress.Zstd, want)
	for _, at := range []int{0, 1, 3} {
		src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
		src.Feed(stream[:at])
		if at > 0 {
			src.AwaitQueued(at)
		}
		must(t, src.Reader.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		z := zccompress.NewReader(src.Reader, nil)
		var got bytes.Buffer
		if n, err := zerocopy.Copy(&got, z); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || z.Format() != 0 {
			t.Errorf("at %d: %d, %v, as %v", at, n, err, z.Format())
		}
		must(t, src.Reader.SetReadDeadline(time.Time{}))
		ztest.Within(t, ztest.Patience, "the rest", func() {
			done := make(chan struct{})
			go func() { defer close(done); src.Feed(stream[at:]); src.End() }()
			_, err := zerocopy.Copy(&got, z)
			<-done
			if err != nil {
				t.Errorf("at %d: then %v", at, err)
			}
		})
		ztest.Equal(t, "both", got.Bytes(), want)
	}
}

// The context of a copy ends the wait for the first bytes, and that for compressed ones.
func TestContext(t *testing.T) {
	t.Parallel()
	for _, kind := range []ztest.Kind{ztest.TCP4, ztest.Pipe} {
		for _, begin := range []string{"", "\x1f", string(compress(t, zccompress.Gzip, nil)[:12])} {
			src := ztest.NewSource(t, kind, []byte(begin), ztest.NoEOF())
			dst := ztest.NewDest(t, ztest.TCP4)
			ctx, cancel := context.WithCancel(context.Background())
			task := ztest.Go(t, "the copy", func() {
				if _, err := zerocopy.CopyContext(ctx, dst.Writer, zccompress.NewReader(src.Reader, nil)); !errors.Is(err, context.Canceled) {
					t.Errorf("%v, %q: %v", kind, begin, err)
				}
			})
			src.AwaitTaken()
			task.AwaitParked()
			cancel()
			task.Wait()
		}
	}
}

// A peer that resets: what came before it is delivered.
func TestReset(t *testing.T) {
	t.Parallel()
	src := ztest.NewSource(t, ztest.TCP4, text(10), ztest.NoEOF())
	src.AwaitQueued(10)
	src.Reset()
	var got bytes.Buffer
	_, err := zerocopy.Copy(&got, zccompress.NewReader(src.Reader, nil))
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "read" {
		t.Errorf("%v", err)
	}
	ztest.Equal(t, "before the reset", got.Bytes(), text(10))
}
