package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestReadWriter: a bufio.ReadWriter is its two halves: buffered bytes first, then the
// descriptor; into an empty buffer nothing goes.
func TestReadWriter(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(3<<20 + 1)
	for name, row := range map[string]func(bufio.ReadWriter) any{
		"a pointer, as http.Hijacker gives it": func(rw bufio.ReadWriter) any { return &rw },
		"a value":                              func(rw bufio.ReadWriter) any { return rw },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
			b := bufio.NewReader(s.Reader)
			b.Peek(1)
			buffered := int64(b.Buffered())
			src := row(bufio.ReadWriter{Reader: b, Writer: bufio.NewWriter(io.Discard)}).(io.Reader)
			dst := row(bufio.ReadWriter{Reader: bufio.NewReader(strings.NewReader("")), Writer: bufio.NewWriter(d.Writer)}).(io.Writer)
			// io.Copy reads into the Writer's buffer first, for src has something in its own.
			n, err := spliced(t, d.Writer, src, buffered)
			if n != int64(len(content)) || err != nil {
				t.Error(n, err)
			}
			ztest.Equal(t, "from it", d.Finish(), content)

			s, d = ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
			dst = row(bufio.ReadWriter{Writer: bufio.NewWriter(d.Writer)}).(io.Writer)
			if n, err := spliced(t, dst, s.Reader, 0); n != int64(len(content)) || err != nil {
				t.Error(n, err)
			}
			ztest.Equal(t, "to it", d.Finish(), content)
		})
	}
}

// TestReadWriterAsIOCopy: with ends that are no descriptors, and with halves that are
// missing, it is what io.Copy does.
func TestReadWriterAsIOCopy(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	rw := bufio.NewReadWriter(bufio.NewReader(strings.NewReader("some text")), bufio.NewWriterSize(&out, 16))
	rw.WriteString("kept ")
	if n, err := zerocopy.Copy(rw, rw); n != 9 || err != nil || out.Len() != 0 || rw.Writer.Buffered() != 14 {
		t.Errorf("%d, %v; %q went out, %d are buffered", n, err, &out, rw.Writer.Buffered())
	}
	if rw.Flush(); out.String() != "kept some text" {
		t.Errorf("%q", &out)
	}
	plan := zerocopy.Explain(&short{}, bufio.NewReadWriter(bufio.NewReader(strings.NewReader("")), nil))
	if got := plan.Main().Type; got != "*bufio.Reader" && got != "*strings.Reader" {
		t.Errorf("%v", plan)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic, as io.Copy has it, without a Reader")
		}
	}()
	zerocopy.Copy(io.Discard, bufio.NewReadWriter(nil, nil))
}

// TestToldOverUnknown: a layer with callbacks is told what the destination has accepted,
// also where neither end is a descriptor; what was read and not accepted is handed back.
func TestToldOverUnknown(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(3).Bytes(100_000)
	source := func() io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} }
	for name, row := range map[string]func(io.Writer, func(int64)) (io.Writer, io.Reader){
		"Progress": func(w io.Writer, f func(int64)) (io.Writer, io.Reader) { return w, zerocopy.Progress(source(), f) },
		"ProgressWriter": func(w io.Writer, f func(int64)) (io.Writer, io.Reader) {
			return zerocopy.ProgressWriter(w, f), source()
		},
		"under others": func(w io.Writer, f func(int64)) (io.Writer, io.Reader) {
			return w, io.LimitReader(io.MultiReader(zerocopy.Progress(source(), f)), 1<<20)
		},
	} {
		told := int64(0)
		w := &short{left: 40_000}
		dst, src := row(w, func(n int64) { told += n })
		n, err := zerocopy.Copy(dst, src)
		left := []byte(nil)
		if p, ok := err.(*zerocopy.PartialError); ok {
			left = p.Unwritten
		}
		if n != 40_000 || told != n || err == nil {
			t.Errorf("%s: %d bytes, told of %d, %v", name, n, told, err)
		}
		ztest.Equal(t, name, append(w.got, left...), content[:len(w.got)+len(left)])
		if len(left) == 0 {
			t.Errorf("%s: nothing is handed back", name)
		}
	}
}

// A short accepts some bytes and then no more.
type short struct {
	left int
	got  []byte
}

func (w *short) Write(p []byte) (int, error) {
	n := min(w.left, len(p))
	w.got = append(w.got, p[:n]...)
	if w.left -= n; n < len(p) {
		return n, io.ErrClosedPipe
	}
	return n, nil
}

// TestPaceContextOverUnknown: the context ends the wait for tokens whatever the ends are.
func TestPaceContextOverUnknown(t *testing.T) {
	t.Parallel()
	unknown := func() io.Reader { return struct{ io.Reader }{bytes.NewReader(make([]byte, 1<<20))} }
	for name, row := range map[string]func(zerocopy.Limiter) (io.Writer, io.Reader){
		"Pace, into io.Discard":   func(l zerocopy.Limiter) (io.Writer, io.Reader) { return io.Discard, zerocopy.Pace(unknown(), l) },
		"Pace, into a ReaderFrom": func(l zerocopy.Limiter) (io.Writer, io.Reader) { return &readerFrom{}, zerocopy.Pace(unknown(), l) },
		"Pace, of memory": func(l zerocopy.Limiter) (io.Writer, io.Reader) {
			return &short{left: 1 << 30}, zerocopy.Pace(bytes.NewReader(make([]byte, 1<<20)), l)
		},
		"PaceWriter": func(l zerocopy.Limiter) (io.Writer, io.Reader) {
			return zerocopy.PaceWriter(&short{left: 1 << 30}, l), unknown()
		},
		"PaceWriter, of memory": func(l zerocopy.Limiter) (io.Writer, io.Reader) {
			return zerocopy.PaceWriter(&short{left: 1 << 30}, l), bytes.NewReader(make([]byte, 1<<20))
		},
		"PaceWriter, from a WriterTo": func(l zerocopy.Limiter) (io.Writer, io.Reader) {
			return zerocopy.PaceWriter(&short{left: 1 << 30}, l), writerTo{unknown()}
		},
		"PaceWriter around its ReaderFrom": func(l zerocopy.Limiter) (io.Writer, io.Reader) {
			return zerocopy.PaceWriter(&readerFrom{}, l), unknown()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &fakeLimiter{burst: 5000, hangs: make(chan struct{})}
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				<-l.hangs
				cancel(io.ErrNoProgress)
			}()
			dst, src := row(l)
			if n, err := zerocopy.CopyContext(ctx, dst, src); n != 5000 || err == nil || !strings.Contains(err.Error(), io.ErrNoProgress.Error()) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

// A readerFrom is a destination with a ReadFrom of its own.
type readerFrom struct{ bytes.Buffer }

func (w *readerFrom) ReadFrom(r io.Reader) (int64, error) { return w.Buffer.ReadFrom(r) }

// A writerTo is a source with a WriteTo of its own.
type writerTo struct{ io.Reader }

func (r writerTo) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r.Reader})
}
