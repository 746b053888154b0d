package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/zerocopy-go/zerocopy"
)

// TestRandomLayers: towers of standard wrappers and of wrappers that have opted in, over ends
// that are no descriptors, are copied as io.Copy copies them where nobody has opted in: the
// same bytes to everybody in the same order, the same count, the same error. With everything
// switched off and under a context, too.
func TestRandomLayers(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		for _, mode := range []string{"as it is", "switched off", "with a context"} {
			ours, theirs := newRandomTower(seed, true), newRandomTower(seed, false)
			if ours.readsAhead {
				continue // where io.Copy reads ahead and Copy does not, a TeeReader sees that
			}
			c, ctx, stop := &zerocopy.Copier{}, context.Background(), func() {}
			switch mode {
			case "switched off":
				c.Disable = zerocopy.AllMechanisms
			case "with a context":
				ctx, stop = context.WithCancel(ctx)
			}
			n, err := c.Copy(ctx, ours.dst, ours.src)
			stop()
			m, want := io.Copy(theirs.dst, theirs.src)
			name := fmt.Sprintf("seed %d, %s, %s", seed, mode, ours.name)
			if n != m || (err == nil) != (want == nil) || want != nil && !errors.Is(err, want) {
				t.Errorf("%s: %d, %v; io.Copy has %d, %v", name, n, err, m, want)
			}
			ours.flush()
			theirs.flush()
			for i := range ours.outs {
				if !bytes.Equal(ours.outs[i].got, theirs.outs[i].got) {
					t.Errorf("%s: %d bytes in place %d, %d with io.Copy, or not the same", name, len(ours.outs[i].got), i, len(theirs.outs[i].got))
				}
			}
			for _, o := range ours.opted {
				if o.done > 1 {
					t.Errorf("%s: Done was called %d times", name, o.done)
				}
			}
		}
	}
}

// A randomTower is a source and a destination under random wrappers.
type randomTower struct {
	*rand.Rand
	name       string
	src        io.Reader
	dst        io.Writer
	outs       []*short
	buffers    []*bufio.Writer // the outer first
	opted      []*optedIn
	in         bool // wrappers opt in
	readsAhead bool
}

func newRandomTower(seed uint64, in bool) *randomTower {
	b := &randomTower{Rand: rand.New(rand.NewPCG(seed, 0)), in: in}
	b.src = b.reader(b.IntN(4), false)
	b.name += " → "
	b.dst = b.writer(b.IntN(3))
	return b
}

func (b *randomTower) flush() {
	for _, w := range b.buffers {
		w.Flush()
	}
}

func (b *randomTower) reader(depth int, buffered bool) io.Reader {
	if depth == 0 {
		end := error(io.EOF)
		if b.IntN(6) == 0 {
			end = errLost
		}
		return &stutter{data: b.bytes(20_000), r: rand.New(rand.NewPCG(b.Uint64(), 1)), end: end, together: b.IntN(2) == 0}
	}
	switch b.IntN(6) {
	case 0:
		b.name += "limit "
		return io.LimitReader(b.reader(depth-1, buffered), int64(b.IntN(20_000)))
	case 1:
		b.name += "bufio "
		r := bufio.NewReaderSize(b.reader(depth-1, true), 16+b.IntN(6000))
		if b.IntN(2) == 0 {
			r.Peek(1 + b.IntN(15))
		}
		return r
	case 2:
		b.name += "multi "
		var parts []io.Reader
		for range 1 + b.IntN(3) {
			parts = append(parts, b.reader(b.IntN(depth), buffered))
		}
		return io.MultiReader(parts...)
	case 3:
		b.name += "tee "
		b.readsAhead = b.readsAhead || buffered
		w := &short{left: 1 << 30}
		b.outs = append(b.outs, w)
		return io.TeeReader(b.reader(depth-1, buffered), w)
	}
	b.name += "opted "
	o := &optedIn{in: b.in}
	if b.IntN(2) == 0 {
		o.buffered = b.bytes(3000)
	}
	o.r = b.reader(depth-1, buffered)
	b.opted = append(b.opted, o)
	return o
}

func (b *randomTower) writer(depth int) io.Writer {
	if depth == 0 {
		w := &short{left: 1 << 30}
		b.outs = append(b.outs, w)
		return w
	}
	switch b.IntN(5) {
	case 0:
		b.name += "bufio "
		w := bufio.NewWriterSize(b.writer(depth-1), 16+b.IntN(5000))
		if b.IntN(2) == 0 {
			w.WriteString("already here")
		}
		b.buffers = append([]*bufio.Writer{w}, b.buffers...)
		return w
	case 1:
		b.name += "multi "
		var writers []io.Writer
		for range 1 + b.IntN(3) {
			writers = append(writers, b.writer(b.IntN(depth)))
		}
		return io.MultiWriter(writers...)
	}
	b.name += "opted "
	o := &optedIn{in: b.in, w: b.writer(depth - 1)}
	b.opted = append(b.opted, o)
	return o
}

func (b *randomTower) bytes(most int) []byte {
	p := make([]byte, b.IntN(most))
	for i := range p {
		p[i] = byte(b.Uint32())
	}
	return p
}

var errLost = errors.New("the source is lost")

// A stutter gives its bytes in pieces, nothing now and then, and its last ones together with
// its end or not.
type stutter struct {
	data     []byte
	r        *rand.Rand
	end      error
	together bool
}

func (s *stutter) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, s.end
	}
	if s.r.IntN(5) == 0 {
		return 0, nil
	}
	n := copy(p, s.data[:min(len(s.data), 1+s.r.IntN(3000))])
	if s.data = s.data[n:]; len(s.data) == 0 && s.together {
		return n, s.end
	}
	return n, nil
}

// An optedIn is a wrapper with callbacks, of a Reader with bytes of its own before it or of a
// Writer.
type optedIn struct {
	r        io.Reader
	w        io.Writer
	buffered []byte
	in       bool
	done     int
}

func (o *optedIn) Read(p []byte) (int, error) {
	if len(o.buffered) > 0 {
		n := copy(p, o.buffered)
		o.buffered = o.buffered[n:]
		return n, nil
	}
	return o.r.Read(p)
}

func (o *optedIn) Write(p []byte) (int, error) { return o.w.Write(p) }

func (o *optedIn) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{
		Self: o, Reader: o.r, Buffered: o.buffered, Chunk: 777,
		Before: func() error { return nil },
		Moved: func(n int64) error {
			o.buffered = o.buffered[min(n, int64(len(o.buffered))):]
			return nil
		},
		Done: o.ended,
	}, o.in
}

func (o *optedIn) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: o, Writer: o.w, Chunk: 999, Moved: func(int64) error { return nil }, Done: o.ended}, o.in
}

func (o *optedIn) ended(_ int64, err error) error {
	o.done++
	return err
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
