package zerocopy_test

import (
	"bufio"
	"context"
	"io"
	"reflect"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A tower is one pair of ends, dressed and ready to be copied once.
type tower struct {
	tb   testing.TB
	src  *ztest.Source
	dst  *ztest.Dest
	size int
	c    *zerocopy.Copier // nil in the reference

	r    io.Reader                                 // what is copied,
	w    io.Writer                                 // and to where
	copy func(io.Writer, io.Reader) (int64, error) // if not by c.Copy

	// What a row has made, to be looked at after the copy.
	limits  []*io.LimitedReader // the outermost first
	section *io.SectionReader
	skipped int // bytes before the section
	in      *bufio.Reader
	under   int // how many of limits are under it
	out     *bufio.Writer
	before  int // bytes in memory that go before the source's
	moved   *tally
}

// limit puts a limit of n bytes around the source.
func (tw *tower) limit(n int64) {
	l := &io.LimitedReader{R: tw.r, N: n}
	tw.limits = append([]*io.LimitedReader{l}, tw.limits...)
	tw.r = l
}

// buffer puts a bufio.Reader around the source.
func (tw *tower) buffer() {
	tw.in, tw.under = bufio.NewReader(tw.r), len(tw.limits)
	tw.r = tw.in
}

// writeBuffer puts a bufio.Writer around the destination.
func (tw *tower) writeBuffer() {
	tw.out = bufio.NewWriter(tw.w)
	tw.w = tw.out
}

// sendUrgent has the peer send what a source of this size holds, with an urgent byte
// in its middle, and end the stream. What fits into the window is there before the
// copy begins.
func (tw *tower) sendUrgent() {
	src, all := tw.src, matrixContent(tw.src.Kind, tw.size)
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		src.Peer().Write(all[:tw.size/2])
		src.FeedUrgent([]byte{'!'})
		src.Peer().Write(all[tw.size/2:])
		src.End()
	}()
	tw.tb.Cleanup(func() {
		src.Peer().Close()
		<-sent
	})
	if tw.size < 32<<10 {
		<-sent
		ztest.Eventually(tw.tb, ztest.Patience, "arrival", func() bool {
			n, err := ztest.Arrived(src.Reader)
			return err != nil || n > int64(tw.size)
		})
	}
}

// run copies once.
func (tw *tower) run(how manner) (int64, error) {
	switch {
	case how != byCopier:
		return io.Copy(tw.w, tw.r)
	case tw.copy != nil:
		return tw.copy(tw.w, tw.r)
	}
	return tw.c.Copy(context.Background(), tw.w, tw.r)
}

// byLoop hides what w is. A ReadFrom stays one, for that is what a bufio.Writer asks
// for, and is a read and write loop.
func byLoop(w io.Writer) io.Writer {
	if _, ok := w.(io.ReaderFrom); ok {
		return loopWriter{w}
	}
	return struct{ io.Writer }{w}
}

type loopWriter struct{ io.Writer }

func (l loopWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{l.Writer}, struct{ io.Reader }{r})
}

// A tally is what a counter was told.
type tally struct{ bytes, ends int64 }

func (t *tally) count(n int, err error) (int, error) {
	t.bytes += int64(n)
	return n, err
}

func (t *tally) moved(n int64) error {
	t.bytes += n
	return nil
}

func (t *tally) done(_ int64, err error) error {
	t.ends++
	return err
}

// A foreignReader counts, and knows nothing of this package.
type foreignReader struct {
	r io.Reader
	tally
}

func (f *foreignReader) Read(p []byte) (int, error) { return f.count(f.r.Read(p)) }

// A foreignWriter counts, and knows nothing of this package.
type foreignWriter struct {
	w io.Writer
	tally
}

func (f *foreignWriter) Write(p []byte) (int, error) { return f.count(f.w.Write(p)) }

// An openReader counts, and says that it does no more.
type openReader struct{ foreignReader }

func (o *openReader) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: o, Reader: o.r, Moved: o.moved, Done: o.done}, true
}

// An openWriter counts, and says that it does no more.
type openWriter struct{ foreignWriter }

func (o *openWriter) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: o, Writer: o.w, Moved: o.moved, Done: o.done}, true
}

// vouchingCopier returns a Copier that knows the foreign counters.
func vouchingCopier(report func(zerocopy.Report)) *zerocopy.Copier {
	return &zerocopy.Copier{
		Report: report,
		UnwrapReader: map[reflect.Type]func(io.Reader) (zerocopy.InnerReader, bool){
			reflect.TypeFor[*foreignReader](): func(r io.Reader) (zerocopy.InnerReader, bool) {
				f := r.(*foreignReader)
				return zerocopy.InnerReader{Reader: f.r, Moved: f.moved, Done: f.done}, true
			},
		},
		UnwrapWriter: map[reflect.Type]func(io.Writer) (zerocopy.InnerWriter, bool){
			reflect.TypeFor[*foreignWriter](): func(w io.Writer) (zerocopy.InnerWriter, bool) {
				f := w.(*foreignWriter)
				return zerocopy.InnerWriter{Writer: f.w, Moved: f.moved, Done: f.done}, true
			},
		},
	}
}
