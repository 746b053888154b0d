package zerocopy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// A Pipe is a kernel buffer: bytes that are in it are in no user memory, and they
// enter and leave it by reference wherever the other end allows, see splice(2) and
// pipe(7). ReadFrom fills it from a Reader and WriteTo empties it into a Writer, as
// [Copy] does; plain Read and Write work, too; Tee duplicates what is in it into
// another Pipe without taking it out. Copy and Explain take a Pipe for what it is.
//
// A Pipe has a number of slots of a page each, and a small piece of data, a network
// segment for instance, may take a slot alone: it can be full with fewer bytes in it
// than Size says.
//
// One goroutine may fill a Pipe while another empties it or duplicates what is in it, and
// any may call the other methods. Whoever fills it waits while it is full, whoever empties it while
// it is empty and has not seen CloseWrite; Close and the deadlines end every wait, with
// errors that satisfy errors.Is for os.ErrClosed and os.ErrDeadlineExceeded.
//
// On systems other than Linux a Pipe can be read, written and copied to and from;
// Buffered and Size are 0 there, and Tee and SetSize return errors.ErrUnsupported.
type Pipe struct {
	r, w   *os.File
	closed atomic.Bool
}

var (
	_ io.ReadWriteCloser = (*Pipe)(nil)
	_ io.ReaderFrom      = (*Pipe)(nil)
	_ io.WriterTo        = (*Pipe)(nil)
)

func init() {
	engine.PipeFiles = func(v any) (r, w *os.File) {
		if p, ok := v.(*Pipe); ok && p != nil {
			r, w = p.r, p.w
		}
		return r, w
	}
}

// NewPipe returns an empty Pipe of at least size bytes; 0 is what the system gives,
// 64 KiB as a rule. The kernel rounds size up to a power of two pages. It fails where
// SetSize does, and with EMFILE or ENFILE if no two descriptors are left. A Pipe that
// is not needed any more has to be closed.
func NewPipe(size int) (*Pipe, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &Pipe{r: r, w: w}
	if size != 0 {
		if _, err := p.SetSize(size); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			p.Close()
			return nil, err
		}
	}
	return p, nil
}

// Read reads from the Pipe. It returns io.EOF once the Pipe is empty and closed
// for writing.
func (p *Pipe) Read(b []byte) (n int, err error) { return p.r.Read(b) }

// Write writes to the Pipe, and waits until all of b is in it.
func (p *Pipe) Write(b []byte) (n int, err error) {
	n, err = p.w.Write(b)
	return n, p.whyClosed(err)
}

// ReadFrom fills the Pipe from r until r ends, as [Copy] does. It does not close the
// Pipe for writing.
func (p *Pipe) ReadFrom(r io.Reader) (n int64, err error) {
	return Default().copy(context.Background(), p, r, nil)
}

// WriteTo empties the Pipe into w, as [Copy] does, until it is closed for writing.
func (p *Pipe) WriteTo(w io.Writer) (n int64, err error) {
	return Default().copy(context.Background(), w, p, nil)
}

// Tee duplicates at most n bytes into dst, as tee(2) does: by reference, and without
// taking them out of p. It waits until p has a byte and dst a free slot, and returns
// how many bytes it has duplicated, which are the first ones in p. So it is called once
// for each time that p is emptied: a second call duplicates the same bytes again. An
// empty dst that is at least as large as p always takes all that p holds. The error is
// io.EOF if p is empty and closed for writing.
func (p *Pipe) Tee(dst *Pipe, n int64) (int64, error) {
	switch {
	case dst == p:
		return 0, errors.New("zerocopy: a pipe cannot be duplicated into itself")
	case Default().disabled().Has(Tee):
		return 0, fmt.Errorf("zerocopy: tee is switched off: %w", errors.ErrUnsupported)
	case n <= 0:
		return 0, nil
	}
	m, err := engine.TeeFiles(dst.w, p.r, int(min(n, math.MaxInt32)))
	tally.Bytes[Tee].Add(int64(m))
	return int64(m), dst.whyClosed(err)
}

// Buffered returns how many bytes are in the Pipe, 0 if it is closed.
func (p *Pipe) Buffered() int { return engine.PipeBuffered(p.r) }

// Size returns the capacity in bytes, F_GETPIPE_SZ of fcntl(2), 0 if it is closed.
func (p *Pipe) Size() int {
	n, _ := engine.PipeSize(p.r, p.w)
	return n
}

// SetSize changes the capacity to at least n bytes and returns what it is now,
// F_SETPIPE_SZ of fcntl(2). It fails with EBUSY if the Pipe holds more, and for an
// unprivileged user with EPERM if n is more than /proc/sys/fs/pipe-max-size (1 MiB as
// a rule) or the user's pipes are more than /proc/sys/fs/pipe-user-pages-soft.
func (p *Pipe) SetSize(n int) (int, error) {
	if n <= 0 {
		return 0, fmt.Errorf("zerocopy: a pipe of %d bytes: the size has to be positive", n)
	}
	return engine.SetPipeSize(p.r, p.w, n)
}

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (p *Pipe) SetDeadline(t time.Time) error {
	return errors.Join(p.r.SetDeadline(t), p.w.SetDeadline(t))
}

// SetReadDeadline ends waits of Read, WriteTo and Tee from the Pipe at t; the zero
// Time is never.
func (p *Pipe) SetReadDeadline(t time.Time) error { return p.r.SetReadDeadline(t) }

// SetWriteDeadline ends waits of Write, ReadFrom and Tee to the Pipe at t.
func (p *Pipe) SetWriteDeadline(t time.Time) error { return p.w.SetWriteDeadline(t) }

// CloseWrite ends what is written to the Pipe: once it is empty, whoever reads it
// sees the end.
func (p *Pipe) CloseWrite() error { return p.w.Close() }

// whyClosed returns os.ErrClosed in the place of the EPIPE that a writer may see, since
// Close closes one end after the other.
func (p *Pipe) whyClosed(err error) error {
	if err == nil || !p.closed.Load() || !errors.Is(err, syscall.EPIPE) {
		return err
	}
	closed := &os.PathError{Op: "write", Path: p.w.Name(), Err: os.ErrClosed}
	if partial, ok := err.(*PartialError); ok {
		partial.Err = closed
		return partial
	}
	return closed
}

// Close closes the Pipe and drops what is in it.
func (p *Pipe) Close() error {
	p.closed.Store(true)
	err := p.r.Close()
	if werr := p.w.Close(); werr != nil && !errors.Is(werr, os.ErrClosed) {
		return werr // it is no error that CloseWrite was there first
	}
	return err
}
