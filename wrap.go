package zerocopy

import (
	"context"
	"io"
	"time"
)

// Transparent wrappers: they see how many bytes go by, and not the bytes, so that a copy
// keeps its fast path under them.

// Progress returns a Reader of r's bytes that calls f after each chunk with the number of
// its bytes: those that the destination has accepted where a [Copy] reads it, so that their
// sum is what the Copy returns, whatever its error; those that were read otherwise, by a Read,
// or by the ReadFrom of a destination of an unknown type. f runs on the copying goroutine and should return soon; chunks are at most
// 2 MiB (more from a file to a file).
//
// io.Copy from it is [Copy], since it brings the WriteTo for that.
func Progress(r io.Reader, f func(n int64)) io.Reader { return &progressReader{r, f} }

// ProgressWriter returns a Writer to w that calls f after each chunk with the number of bytes
// that w has accepted. See [Progress]. io.Copy to it is [Copy], given that the source brings
// no WriteTo of its own.
func ProgressWriter(w io.Writer, f func(n int64)) io.Writer { return &progressWriter{w, f} }

// A Limiter says how fast bytes may go. *rate.Limiter of golang.org/x/time/rate is one.
type Limiter interface {
	// WaitN waits until n bytes may go, or ctx is done. n is at most Burst, or 1 MiB
	// where that is not more than 0. An error ends the copy, unless Burst has changed
	// meanwhile: then it is asked again.
	WaitN(ctx context.Context, n int) error
	// Burst is how many bytes may go at a time. It may change, also during a copy.
	Burst() int
}

// Pace returns a Reader of r's bytes that goes no faster than l: after each chunk, which is
// at most l's Burst, it waits for as many tokens. So the first chunk goes at once, and what
// follows has the limiter's rate. Several Readers and Writers may share a Limiter if that is
// safe for concurrent use. One that refuses everything, as a rate.Limiter with a burst of 0
// does, ends the copy with its error after the first chunk.
//
// The context of a [CopyContext] ends the wait for tokens. Its deadline is not shown to the
// Limiter, which would give up before it has passed. A rate is kept the better the smaller
// the burst is, and the copy costs the less the larger: a tenth of a second is a good size.
func Pace(r io.Reader, l Limiter) io.Reader { return &paceReader{r, l} }

// PaceWriter returns a Writer to w that goes no faster than l. See [Pace].
func PaceWriter(w io.Writer, l Limiter) io.Writer { return &paceWriter{w, l} }

type progressReader struct {
	r io.Reader
	f func(int64)
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		p.f(int64(n))
	}
	return n, err
}

func (p *progressReader) WriteTo(w io.Writer) (int64, error) {
	return Default().copy(context.Background(), w, p, nil)
}

func (p *progressReader) UnwrapReader() (InnerReader, bool) {
	return InnerReader{Self: p, Reader: p.r, Moved: p.moved}, true
}

func (p *progressReader) moved(n int64) error {
	p.f(n)
	return nil
}

type progressWriter struct {
	w io.Writer
	f func(int64)
}

func (p *progressWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	if n > 0 {
		p.f(int64(n))
	}
	return n, err
}

func (p *progressWriter) ReadFrom(r io.Reader) (int64, error) {
	return Default().copy(context.Background(), p, r, nil)
}

func (p *progressWriter) UnwrapWriter() (InnerWriter, bool) {
	return InnerWriter{Self: p, Writer: p.w, Moved: p.moved}, true
}

func (p *progressWriter) moved(n int64) error {
	p.f(n)
	return nil
}

type paceReader struct {
	r io.Reader
	l Limiter
}

func (p *paceReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b[:min(len(b), tokens(p.l))])
	if werr := await(context.Background(), p.l, int64(n)); werr != nil {
		err = werr
	}
	return n, err
}

func (p *paceReader) WriteTo(w io.Writer) (int64, error) {
	return Default().copy(context.Background(), w, p, nil)
}

func (p *paceReader) UnwrapReader() (InnerReader, bool) {
	return InnerReader{Self: p, Reader: p.r, limiter: p.l}, true
}

type paceWriter struct {
	w io.Writer
	l Limiter
}

func (p *paceWriter) Write(b []byte) (n int, err error) {
	for {
		piece := b[n:]
		piece = piece[:min(len(piece), tokens(p.l))]
		k, err := p.w.Write(piece)
		if k < 0 || k > len(piece) {
			return n, errInvalidWrite
		}
		n += k
		if err == nil && k < len(piece) {
			err = io.ErrShortWrite
		}
		if werr := await(context.Background(), p.l, int64(k)); err == nil {
			err = werr
		}
		if err != nil || n == len(b) {
			return n, err
		}
	}
}

func (p *paceWriter) ReadFrom(r io.Reader) (int64, error) {
	return Default().copy(context.Background(), p, r, nil)
}

func (p *paceWriter) UnwrapWriter() (InnerWriter, bool) {
	return InnerWriter{Self: p, Writer: p.w, limiter: p.l}, true
}

// await waits until n bytes may go. Where the burst shrinks between the question for it
// and that for tokens, the refusal says nothing, and it may have grown again since.
func await(ctx context.Context, l Limiter, n int64) error {
	for n > 0 {
		burst := tokens(l)
		k := int(min(n, int64(burst)))
		err := l.WaitN(noDeadline{ctx}, k)
		switch {
		case err == nil:
			n -= int64(k)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case burst == tokens(l):
			return err
		}
	}
	return nil
}

// maxTokens is the most that a Limiter without a burst is asked for at a time, and that
// goes before it is asked.
const maxTokens = 1 << 20

// tokens returns how many bytes may go before l is asked for as many.
func tokens(l Limiter) int {
	if burst := l.Burst(); burst > 0 {
		return burst
	}
	return maxTokens
}

// noDeadline hides the deadline of a context: a rate.Limiter fails at once where it sees that
// it would have to wait for longer.
type noDeadline struct{ context.Context }

func (noDeadline) Deadline() (time.Time, bool) { return time.Time{}, false }
