package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// FuzzCopy builds, from the bytes of its input, a tower of readers and one of
// writers over two descriptors, with pieces of any size from the peer, and
// perhaps a fault.
//
// Without a fault the outcome equals that of a plain read/write loop over the
// same towers: bytes, count, every N, what is left in each buffer. With one the
// invariants hold: the destination has a prefix of the stream, n is its length,
// and written + handed back + left is what there was.
func FuzzCopy(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x0a\x0a\x00\x00\x40\x02\x01\x03\x05"))
	f.Add([]byte("\x0a\x00\x01\x02\x80\x04\x06\x03\x05\x07\x01\x02\x03"))
	f.Add([]byte("\x06\x09\x02\xff\x10\x01\x05\x05\x01\x01\x00\x00\x02\x09"))
	f.Add([]byte("\x00\x0a\x03\x10\xff\x03\x02\x04\x00\x01\x10\x20\x30"))
	f.Add([]byte("\x09\x06\x04\x7f\x3f\x02\x01\x01\x05\x01\x08\x08\x08\x08"))
	f.Fuzz(func(t *testing.T, input []byte) {
		s := newScript(input)
		if s.fault == 0 {
			got, want := s.play(t, zerocopyLoop), s.play(t, plainLoop)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%+v\n got %+v\nwant %+v", s, got.without(), want.without())
			}
			return
		}
		s.play(t, zerocopyLoop)
	})
}

// A script is what an input says.
type script struct {
	src, dst ztest.Kind
	size     int
	pieces   []int
	readers  []byte // a layer each, the innermost first
	writers  []byte
	limit    int64
	fault    byte // 0: none
	share    bool
}

var (
	fuzzSources = []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.Pipe, ztest.FIFO, ztest.Unix, ztest.SockFile, ztest.TCP4}
	fuzzDests   = []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.Append, ztest.Pipe, ztest.Unix, ztest.SockFile, ztest.TCP4}
)

func newScript(in []byte) *script {
	next := func() (b byte) {
		if len(in) > 0 {
			b, in = in[0], in[1:]
		}
		return
	}
	s := &script{src: fuzzSources[int(next())%len(fuzzSources)], dst: fuzzDests[int(next())%len(fuzzDests)]}
	s.fault = next() % 8
	if s.fault > 4 {
		s.fault = 0
	}
	s.size = int(next())<<8 | int(next())
	if next()%4 == 0 {
		s.size *= 5 // more than a pipe
	}
	s.limit = int64(next())<<9 | int64(next())
	s.share = next()%4 == 0
	for range next() % 5 {
		s.readers = append(s.readers, next()%7)
	}
	for range next() % 3 {
		s.writers = append(s.writers, next()%3)
	}
	for range 1 + next()%6 {
		s.pieces = append(s.pieces, 1+int(next())*int(1+next()%200))
	}
	// A stream of single bytes shall not be a hundred thousand of them.
	const maxPieces = 300
	sum := 0
	for _, n := range s.pieces {
		sum += n
	}
	s.size = min(s.size, sum*maxPieces/len(s.pieces))
	return s
}

// An outcome is what can be seen of a copy from outside.
type outcome struct {
	n       int64
	err     bool
	arrived []byte
	rest    []byte  // what the tower and the source still hold, in order
	limits  []int64 // N of each limit, the innermost first
}

func (o outcome) without() outcome {
	o.arrived, o.rest = o.arrived[:min(len(o.arrived), 8)], o.rest[:min(len(o.rest), 8)]
	return o
}

func zerocopyLoop(s *script, dst io.Writer, src io.Reader) (int64, error) {
	c := new(zerocopy.Copier)
	if s.share {
		c.Pages = zerocopy.Share
	}
	return c.Copy(context.Background(), dst, src)
}

func plainLoop(_ *script, dst io.Writer, src io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, make([]byte, 4096))
}

// play runs the script once over ends of its own.
func (s *script) play(t *testing.T, run func(*script, io.Writer, io.Reader) (int64, error)) outcome {
	content := ztest.Pattern(len(s.readers)).Bytes(s.size)
	src := ztest.NewSource(t, s.src, content, ztest.Pieces(s.pieces...))
	dst := ztest.NewDest(t, s.dst)
	defer src.Close()
	defer dst.Close()
	tower := s.tower(src.Reader)
	w, flush := s.sink(dst.Writer)
	calm := s.strike(src, dst)
	defer calm()
	var o outcome
	ztest.Within(t, ztest.Patience, "a copy", func() {
		var err error
		o.n, err = run(s, w, tower.r)
		o.err = err != nil
		if s.fault != 0 {
			calm()
			s.invariants(t, dst, o.n, err, append(tower.head(), content...), flush)
			return
		}
		if err != nil {
			t.Errorf("%+v: %v", s, err)
		}
		if err := flush(); err != nil {
			t.Errorf("%+v: flush: %v", s, err)
		}
	})
	if s.fault == 0 {
		o.arrived = dst.Finish()
		if int64(len(o.arrived)) != o.n {
			t.Errorf("%+v: %d bytes arrived of %d", s, len(o.arrived), o.n)
		}
		o.rest = append(tower.held(), src.Rest()...)
		for _, l := range tower.limits {
			o.limits = append(o.limits, l.N)
		}
	}
	return o
}

// A fuzzTower is a Reader of layers.
type fuzzTower struct {
	r io.Reader
	// holders are the layers that hold bytes of their own, the innermost first.
	holders []func() []byte
	heads   [][]byte
	// limits are those that no buffer stands above: one that does may have taken
	// more through the limit than has come out of the tower.
	limits []*io.LimitedReader
}

// held returns what the layers hold, in the order of the stream.
func (t *fuzzTower) held() (all []byte) {
	for i := len(t.holders) - 1; i >= 0; i-- {
		all = append(all, t.holders[i]()...)
	}
	return all
}

// head returns what the layers put before the source's bytes.
func (t *fuzzTower) head() (all []byte) {
	for i := len(t.heads) - 1; i >= 0; i-- {
		all = append(all, t.heads[i]...)
	}
	return all
}

// tower builds the readers over inner.
func (s *script) tower(inner io.Reader) *fuzzTower {
	t := &fuzzTower{r: inner}
	for i, layer := range s.readers {
		switch layer {
		case 0, 1:
			l := &io.LimitedReader{R: t.r, N: s.limit + int64(i)*1000}
			t.limits = append(t.limits, l)
			t.r = l
		case 2:
			t.r = io.NopCloser(t.r)
		case 3:
			head := bytes.Repeat([]byte{byte(i)}, 10+i)
			t.heads = append(t.heads, head)
			rest := bytes.NewReader(head)
			t.holders = append(t.holders, func() []byte { p, _ := io.ReadAll(rest); return p })
			t.r = io.MultiReader(rest, t.r)
		case 4:
			t.r = zerocopy.NewReader(t.r)
		case 5:
			b := bufio.NewReaderSize(t.r, 16+int(s.limit%5000))
			if t.r == io.Reader(b) {
				break // bufio returns one that is large enough itself
			}
			t.holders = append(t.holders, func() []byte { p, _ := b.Peek(b.Buffered()); return p })
			t.limits = nil
			t.r = b
		case 6:
			t.r = &transparent{t.r, 1 + int(s.limit%70000)}
		}
	}
	return t
}

// transparent is an opt-in of the least kind.
type transparent struct {
	io.Reader
	chunk int
}

func (r *transparent) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: r, Reader: r.Reader, Chunk: r.chunk}, true
}

// sink builds the writers; flush flushes them, the outer first.
func (s *script) sink(inner io.Writer) (w io.Writer, flush func() error) {
	w, flush = inner, func() error { return nil }
	for i, layer := range s.writers {
		switch layer {
		case 0:
			b, below := bufio.NewWriterSize(w, 16+int(s.limit%9000)*i), flush
			w, flush = b, func() error { return errors.Join(b.Flush(), below()) }
		case 1:
			w = zerocopy.NewWriter(w)
		case 2:
			w = &transparentWriter{w}
		}
	}
	return w, flush
}

type transparentWriter struct{ io.Writer }

func (w *transparentWriter) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: w, Writer: w.Writer, Chunk: 30000}, true
}

// strike arranges the fault, for some time during the copy.
// calm waits until it can no longer happen.
func (s *script) strike(src *ztest.Source, dst *ztest.Dest) (calm func()) {
	after := time.Duration(s.limit%40) * 50 * time.Microsecond
	switch s.fault {
	case 1:
		src.Reader.SetReadDeadline(time.Now().Add(after))
	case 2:
		dst.Writer.SetWriteDeadline(time.Now().Add(after))
	case 3:
		return later(after, func() { dst.Writer.Close() })
	case 4:
		return later(after, func() { src.Reader.Close() })
	}
	return func() {}
}

// later runs f after d, unless the function that it returns is called before.
// That waits for f if it has begun.
func later(d time.Duration, f func()) (stop func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(d, func() { f(); close(done) })
	return sync.OnceFunc(func() {
		if !timer.Stop() {
			<-done
		}
	})
}

// invariants holds the outcome of a copy with a fault to what must hold.
func (s *script) invariants(t *testing.T, dst *ztest.Dest, n int64, err error, stream []byte, flush func() error) {
	flush() // fails where the copy did
	if s.fault != 3 && !dst.Kind.Regular() {
		dst.Writer.SetWriteDeadline(time.Time{})
	}
	arrived := dst.Finish()
	if len(arrived) > len(stream) || !bytes.Equal(arrived, stream[:len(arrived)]) {
		t.Errorf("%+v: what arrived is no prefix: %s", s, ztest.Diff(arrived, stream))
	}
	buffered := false
	for _, w := range s.writers {
		buffered = buffered || w == 0
	}
	if !buffered && int64(len(arrived)) != n {
		t.Errorf("%+v: %d arrived, n is %d", s, len(arrived), n)
	}
	var partial *zerocopy.PartialError
	if !errors.As(err, &partial) {
		return
	}
	if partial.Written != n {
		t.Errorf("%+v: Written %d, n %d", s, partial.Written, n)
	}
	if end := n + int64(len(partial.Unwritten)); end > int64(len(stream)) || !bytes.Equal(partial.Unwritten, stream[n:end]) {
		t.Errorf("%+v: what is handed back does not follow what was written", s)
	}
}
