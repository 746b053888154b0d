package pages

import (
	"errors"
	"io"
	"os"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// A Reader takes bytes out of a pipe into user memory: by vmsplice(2) or read(2), whichever
// is faster on this kernel, as measured when the first Reader is made. Both copy: the kernel
// moves no page into a process. Any other source is read by its own Read.
//
// One goroutine at a time may use a Reader. The source's deadlines and its Close end every
// wait.
type Reader struct {
	r      io.Reader
	taker  *engine.PipeTaker // nil for what is no pipe
	splice bool
}

// NewReader returns a Reader of r. Pipes are an *os.File that is one, or a FIFO, and a
// *zerocopy.Pipe.
func NewReader(r io.Reader) *Reader {
	p := &Reader{r: r}
	if !sys.Supported {
		return p
	}
	var v any = r
	if out, _ := engine.PipeFiles(r); out != nil {
		v = out
	}
	if f, ok := v.(*os.File); ok {
		if end, ok := engine.Inspect(nil, f, true); ok && end.Kind == engine.Pipe && end.Pollable() && end.Flags&sys.AccessMode == sys.ReadOnly {
			// By an end that is open for writing, too, vmsplice would write.
			p.taker = engine.NewPipeTaker(nil, end)
			p.splice = takeIsFaster()
		}
	}
	return p
}

// Read reads what the source has, at most len(p) bytes, and waits for the first.
func (r *Reader) Read(p []byte) (int, error) {
	if r.taker == nil || len(p) == 0 {
		return r.r.Read(p)
	}
	splice := r.splice && !zerocopy.Disabled().Has(zerocopy.Vmsplice)
	n, handled, err := r.taker.Take(p, splice)
	if !handled {
		r.splice = false
		n, _, err = r.taker.Take(p, false)
		splice = false
	}
	by := zerocopy.Buffered
	if splice {
		by = zerocopy.Vmsplice
	}
	tally.Add(uint8(by), int64(n))
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// ReadPages fills the page memory p from the pipe r, see [Reader], until p is full or the
// stream ends, where the error is io.EOF if there was nothing and io.ErrUnexpectedEOF if
// there was less.
func ReadPages(r io.Reader, p []byte) (n int, err error) {
	pr, ok := r.(*Reader)
	if !ok {
		pr = NewReader(r)
	}
	return io.ReadFull(pr, p)
}

// Memory is page memory outside of the Go heap, for ReadPages and whatever else wants its
// buffers there.
type Memory struct {
	mapping, p []byte
}

// NewMemory returns n bytes of it, with huge pages if they are asked for and to be had. It
// has to be freed.
func NewMemory(n int, huge bool) (*Memory, error) {
	if n <= 0 || n > 4*maxSize {
		return nil, errors.New("pages: the size of memory has to be positive, and at most 1 GiB")
	}
	p, mapping, err := (*sys.Calls)(nil).Map(roundUp(n), huge)
	if err != nil {
		return nil, err
	}
	return &Memory{mapping, p[:n]}, nil
}

// Bytes returns the memory. It must not be used after Free.
func (m *Memory) Bytes() []byte { return m.p }

// Free gives the memory back to the system.
func (m *Memory) Free() {
	if m.p != nil {
		sys.Unmap(m.mapping)
		m.p, m.mapping = nil, nil
	}
}
