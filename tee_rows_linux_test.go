package zerocopy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A fanSink is a Writer that gets what a copy duplicates. got ends its stream and
// returns what has come to it.
type fanSink struct {
	name   string
	kernel bool // it can have its bytes from the kernel
	make   func(t testing.TB) (w io.Writer, got func() []byte)
}

// fanDest is a sink of a kind of descriptor.
func fanDest(k ztest.Kind, kernel bool) fanSink {
	return fanSink{string(k), kernel, func(t testing.TB) (io.Writer, func() []byte) {
		d := ztest.NewDest(t, k)
		return d.Writer, d.Finish
	}}
}

// fanBuffered is a bufio.Writer over a connection, with head in it.
func fanBuffered(name, head string) fanSink {
	return fanSink{name, false, func(t testing.TB) (io.Writer, func() []byte) {
		d := ztest.NewDest(t, ztest.TCP4)
		b := bufio.NewWriter(d.Writer)
		b.WriteString(head)
		return b, func() []byte {
			must(t, b.Flush())
			return d.Finish()
		}
	}}
}

var fanSinks = []fanSink{
	fanDest(ztest.TCP4, true),
	fanDest(ztest.Unix, true),
	{"hash", false, func(testing.TB) (io.Writer, func() []byte) {
		h := sha256.New()
		return h, func() []byte { return h.Sum(nil) }
	}},
	fanDest(ztest.Pipe, true),
	{"MultiWriter of io", true, func(t testing.TB) (io.Writer, func() []byte) {
		d, b := ztest.NewDest(t, ztest.Unix), new(bytes.Buffer)
		return io.MultiWriter(b, io.MultiWriter(d.Writer)), func() []byte { return append(d.Finish(), b.Bytes()...) }
	}},
	fanDest(ztest.File, true),
	{"bytes.Buffer", false, func(testing.TB) (io.Writer, func() []byte) {
		b := new(bytes.Buffer)
		return b, b.Bytes
	}},
	{"opt-in", true, func(t testing.TB) (io.Writer, func() []byte) {
		d := ztest.NewDest(t, ztest.TCP4)
		o := &openWriter{foreignWriter{w: d.Writer}}
		return o, func() []byte { return fmt.Appendf(d.Finish(), "%d moved", o.bytes) }
	}},
	fanDest(ztest.Append, false), // neither splice nor tee take O_APPEND
	{"gzip", false, func(t testing.TB) (io.Writer, func() []byte) {
		b := new(bytes.Buffer)
		z, err := gzip.NewWriterLevel(b, gzip.NoCompression)
		must(t, err)
		return z, func() []byte {
			must(t, z.Close())
			r, err := gzip.NewReader(b)
			must(t, err)
			got, err := io.ReadAll(r)
			must(t, err)
			return got
		}
	}},
	{"MultiWriter", true, func(t testing.TB) (io.Writer, func() []byte) {
		d, b := ztest.NewDest(t, ztest.Pipe), new(bytes.Buffer)
		return zerocopy.MultiWriter(zerocopy.MultiWriter(d.Writer, zerocopy.MultiWriter()), b),
			func() []byte { return append(d.Finish(), b.Bytes()...) }
	}},
	fanBuffered("bufio over a conn", ""),
	{"opt-in with Chunk", true, func(t testing.TB) (io.Writer, func() []byte) {
		d := ztest.NewDest(t, ztest.Unix)
		w := &toldWriter{told{Writer: d.Writer, chunk: 10_000}}
		return w, func() []byte { return d.Finish() }
	}},
	fanDest(ztest.Null, true),
	fanBuffered("bufio with bytes in it", "head"),
	{"opt-in over a buffer", false, func(t testing.TB) (io.Writer, func() []byte) {
		b := new(bytes.Buffer)
		o := &openWriter{foreignWriter{w: b}}
		return o, func() []byte { return fmt.Appendf(b.Bytes(), "%d moved", o.bytes) }
	}},
	{"Pipe", true, func(t testing.TB) (io.Writer, func() []byte) {
		p, b := newPipe(t, 0), new(bytes.Buffer)
		task := ztest.Go(t, "reading of a Pipe", func() { b.ReadFrom(struct{ io.Reader }{p}) })
		return p, func() []byte {
			p.CloseWrite()
			task.Wait()
			return b.Bytes()
		}
	}},
}

// A toldWriter counts also what is written to it.
type toldWriter struct{ told }

func (w *toldWriter) Write(p []byte) (int, error) {
	n, err := w.told.Writer.Write(p)
	w.moved += int64(n)
	return n, err
}

func (w *toldWriter) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	in, ok := w.told.UnwrapWriter()
	in.Self = w
	return in, ok
}

// A fanSource is where the bytes come from, below the TeeReaders. seen tells what can
// be seen of it after the copy: each position, each N, and what is left.
type fanSource struct {
	name   string
	socket bool // it is read through splice, but for in bytes
	memory int
	make   func(t testing.TB, content []byte) (r io.Reader, seen func() string)
}

// fanStream is a source of a kind of descriptor, wrapped.
func fanStream(name string, k ztest.Kind, memory int, wrap func(r io.Reader, size int) (io.Reader, func() string)) fanSource {
	return fanSource{name, k.Conn(), memory, func(t testing.TB, content []byte) (io.Reader, func() string) {
		s := ztest.NewSource(t, k, content)
		r, seen := io.Reader(s.Reader), func() string { return "" }
		if wrap != nil {
			r, seen = wrap(s.Reader, len(content))
		}
		return r, func() string { return fmt.Sprint(seen(), " at ", s.Pos(), " left ", ztest.Sum(s.Rest())) }
	}}
}

// cut is a limit that leaves something behind where there is more than a few bytes.
func cut(r io.Reader, size int) *io.LimitedReader {
	return &io.LimitedReader{R: r, N: max(int64(size)-7, 0)}
}

var fanSources = []fanSource{
	fanStream("tcp", ztest.TCP4, 0, nil),
	fanStream("unix", ztest.Unix, 0, nil),
	fanStream("pipe", ztest.Pipe, 0, nil),
	fanStream("file", ztest.File, 0, nil),
	{"bytes.Reader", false, 0, func(_ testing.TB, content []byte) (io.Reader, func() string) {
		r := bytes.NewReader(content)
		return r, func() string { return fmt.Sprint(r.Len()) }
	}},
	fanStream("bufio.Reader", ztest.TCP4, 1000, func(r io.Reader, size int) (io.Reader, func() string) {
		b := bufio.NewReaderSize(r, 1000)
		b.Peek(min(1000, size))
		return b, func() string { return fmt.Sprint(b.Buffered()) }
	}),
	fanStream("limit", ztest.Unix, 0, func(r io.Reader, size int) (io.Reader, func() string) {
		inner := cut(r, size)
		outer := &io.LimitedReader{R: inner, N: 1 << 40}
		return outer, func() string { return fmt.Sprint(inner.N, outer.N) }
	}),
	fanStream("limited file", ztest.File, 0, func(r io.Reader, size int) (io.Reader, func() string) {
		l := cut(r, size)
		return l, func() string { return fmt.Sprint(l.N) }
	}),
	fanStream("MultiReader", ztest.TCP4, 9, func(r io.Reader, size int) (io.Reader, func() string) {
		return io.MultiReader(strings.NewReader("head "), r, strings.NewReader("tail")), func() string { return "" }
	}),
	fanStream("opt-in", ztest.TCP4, 0, func(r io.Reader, size int) (io.Reader, func() string) {
		o := &openReader{foreignReader{r: r}}
		return o, func() string { return fmt.Sprint(o.bytes) }
	}),
}

// A fanShape is how three sinks are put around a copy. Those of io and ours do the same.
type fanShape struct {
	name   string
	single bool // the third sink is the destination, alone
	make   func(io fanMakers, r io.Reader, w [3]io.Writer, size int) (dst io.Writer, src io.Reader, seen func() string)
}

// fanMakers are io.TeeReader and io.MultiWriter, or ours.
type fanMakers struct {
	tee   func(io.Reader, io.Writer) io.Reader
	multi func(...io.Writer) io.Writer
}

var (
	ofIO  = fanMakers{io.TeeReader, io.MultiWriter}
	ofOur = fanMakers{zerocopy.TeeReader, zerocopy.MultiWriter}
)

func nothingSeen() string { return "" }

var fanShapes = []fanShape{
	{"MultiWriter", false, func(m fanMakers, r io.Reader, w [3]io.Writer, _ int) (io.Writer, io.Reader, func() string) {
		return m.multi(w[:]...), r, nothingSeen
	}},
	{"Tee in Tee", true, func(m fanMakers, r io.Reader, w [3]io.Writer, _ int) (io.Writer, io.Reader, func() string) {
		return w[2], m.tee(m.tee(r, w[0]), w[1]), nothingSeen
	}},
	{"Tee to MultiWriter", true, func(m fanMakers, r io.Reader, w [3]io.Writer, _ int) (io.Writer, io.Reader, func() string) {
		return w[2], m.tee(r, m.multi(w[0], m.multi(w[1]))), nothingSeen
	}},
	{"Tee and MultiWriter, limited", false, func(m fanMakers, r io.Reader, w [3]io.Writer, size int) (io.Writer, io.Reader, func() string) {
		l := cut(m.tee(r, w[0]), size)
		return m.multi(w[1], w[2]), l, func() string { return fmt.Sprint(l.N) }
	}},
	{"Tee in a buffer", true, func(m fanMakers, r io.Reader, w [3]io.Writer, size int) (io.Writer, io.Reader, func() string) {
		b := bufio.NewReaderSize(m.tee(r, w[0]), 512)
		b.Peek(min(512, size)) // has passed the one tee and not the other
		return w[2], m.tee(b, w[1]), func() string { return fmt.Sprint(b.Buffered()) }
	}},
}
