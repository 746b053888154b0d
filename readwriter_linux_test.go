package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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
			n, err := spliced(t, d.Writer, src, buffered)
			if n != int64(len(content)) || err != nil {
				t.Error(n, err)
			}
			ztest.Equal(t, "from it", d.Finish(), content)

			s, d = ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
			dst := row(bufio.ReadWriter{Writer: bufio.NewWriter(d.Writer)}).(io.Writer)
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

// TestPaceContextOfBranch: also of one of several destinations, and behind a TeeReader.
func TestPaceContextOfBranch(t *testing.T) {
	t.Parallel()
	unknown := func() io.Reader { return struct{ io.Reader }{bytes.NewReader(make([]byte, 1<<20))} }
	for name, row := range map[string]func(io.Writer) (io.Writer, io.Reader){
		"MultiWriter": func(w io.Writer) (io.Writer, io.Reader) {
			return io.MultiWriter(w, &short{left: 1 << 30}), unknown()
		},
		"TeeReader": func(w io.Writer) (io.Writer, io.Reader) { return &short{left: 1 << 30}, io.TeeReader(unknown(), w) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &fakeLimiter{burst: 5000, hangs: make(chan struct{})}
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				<-l.hangs
				cancel(io.ErrNoProgress)
			}()
			dst, src := row(zerocopy.PaceWriter(&short{left: 1 << 30}, l))
			if n, err := zerocopy.CopyContext(ctx, dst, src); n > 5000 || !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

// TestToldOfMemory: a Writer that wants to be told is told a chunk at a time of bytes that were
// in memory at once, and a reader of memory stands where the Writer has failed.
func TestToldOfMemory(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(4).Bytes(8 << 20)
	calls, most := 0, int64(0)
	w := zerocopy.ProgressWriter(&short{left: 1 << 30}, func(n int64) { calls, most = calls+1, max(most, n) })
	if n, err := zerocopy.Copy(w, bytes.NewReader(content)); n != int64(len(content)) || err != nil || most > 2<<20 || calls < 4 {
		t.Errorf("%d, %v; told %d times, of %d at the most", n, err, calls, most)
	}
	src := bytes.NewReader(content)
	n, err := zerocopy.Copy(&short{left: 40_000}, zerocopy.Progress(src, func(int64) {}))
	if n != 40_000 || err != io.ErrClosedPipe || int64(src.Len()) != src.Size()-n {
		t.Errorf("%d, %v; the source stands at %d", n, err, src.Size()-int64(src.Len()))
	}
}

// TestMeterAllocates: nothing a chunk.
func TestMeterAllocates(t *testing.T) {
	content := bytes.NewReader(make([]byte, 1<<20))
	c := &zerocopy.Copier{Meter: new(zerocopy.Meter)}
	buf := make([]byte, 1024)
	src, dst := struct{ io.Reader }{content}, struct{ io.Writer }{io.Discard}
	if n := testing.AllocsPerRun(5, func() {
		content.Seek(0, io.SeekStart)
		c.CopyBuffer(dst, src, buf)
	}); n > 8 {
		t.Errorf("%v allocations for 1024 chunks", n)
	}
}

// TestReaderBringsSettings: a Copy by default that is handed a Copier's Reader has its settings,
// as where a ReadFrom stands between them; one with settings of its own keeps those.
func TestReaderBringsSettings(t *testing.T) {
	t.Parallel()
	reports := 0
	c := &zerocopy.Copier{Report: func(zerocopy.Report) { reports++ }}
	own := &zerocopy.Copier{Report: func(zerocopy.Report) { reports += 100 }}
	src := func() io.Reader { return c.NewReader(struct{ io.Reader }{strings.NewReader("abc")}) }
	for _, tt := range []struct {
		copy func() (int64, error)
		want int
	}{
		{func() (int64, error) { return zerocopy.Copy(struct{ io.Writer }{io.Discard}, src()) }, 1},
		{func() (int64, error) { return own.Copy(context.Background(), struct{ io.Writer }{io.Discard}, src()) }, 100},
		// net/http's ReadFrom has put that around it since Go 1.27.
		{func() (int64, error) { return zerocopy.Copy(struct{ io.Writer }{io.Discard}, io.LimitReader(src(), 3)) }, 1},
		{func() (int64, error) {
			return own.Copy(context.Background(), struct{ io.Writer }{io.Discard}, io.LimitReader(src(), 3))
		}, 100},
	} {
		reports = 0
		if n, err := tt.copy(); n != 3 || err != nil || reports != tt.want {
			t.Errorf("%d, %v, reports %d, want %d", n, err, reports, tt.want)
		}
	}
}
