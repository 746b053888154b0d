package pages

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// A Constant is page memory that is filled once and can never change: a memfd with the seals
// of fcntl(2), F_ADD_SEALS, which the kernel enforces on everybody. So it can be lent to any
// number of destinations, as often as wanted, and nobody needs to know when it comes back.
//
// WriteTo and Repeat lend it to a pipe by vmsplice. [zerocopy.Copy] from NewReader lends it
// to whatever takes file pages: a socket by sendfile, which needs no completions and is no
// copy on loopback either, a pipe by splice, several destinations by tee.
//
// A Constant may be used by any number of goroutines. One that is not needed any more has to be
// closed, or its memory stays.
type Constant struct {
	f      *os.File // nil where there is no memfd
	p      []byte
	closed atomic.Bool
}

// NewConstant returns a Constant of n bytes, which fill has written. An error of fill is
// returned as it is.
func NewConstant(n int, fill func(p []byte) error) (*Constant, error) {
	if n <= 0 || n > 4*maxSize {
		return nil, errors.New("pages: the size of a Constant has to be positive, and at most 1 GiB")
	}
	fd, p, err := (*sys.Calls)(nil).Sealed("zerocopy constant", n, fill)
	if err != nil {
		return nil, err
	}
	c := &Constant{p: p}
	if fd >= 0 {
		c.f = os.NewFile(uintptr(fd), "memfd:zerocopy constant")
	}
	return c, nil
}

// Len returns how many bytes c has, 0 after Close.
func (c *Constant) Len() int { return len(c.Bytes()) }

// Bytes returns the content, nil after Close. Writing to it faults, and so does reading what
// was returned before Close after it.
func (c *Constant) Bytes() []byte {
	if c.closed.Load() {
		return nil
	}
	return c.p
}

// NewReader returns a Reader of the content. Its pages are lent by zerocopy.Copy wherever a
// destination takes them.
func (c *Constant) NewReader() *io.SectionReader {
	if c.f == nil {
		return io.NewSectionReader(bytes.NewReader(c.p), 0, int64(len(c.p)))
	}
	return io.NewSectionReader(c.f, 0, int64(len(c.p)))
}

// WriteTo writes the content to w once.
func (c *Constant) WriteTo(w io.Writer) (int64, error) { return c.Repeat(w, int64(len(c.p))) }

// Repeat writes the content to w over and over until it has written n bytes, or until an
// error if n is less than 0. A content of less than 64 KiB costs more system calls: NewConstant
// can be given several copies of a short one. The destination's deadlines and its Close end every wait.
func (c *Constant) Repeat(w io.Writer, n int64) (written int64, err error) {
	if c.closed.Load() {
		return 0, os.ErrClosed
	}
	lender := lenderTo(w)
	for n < 0 || written < n {
		p := c.p[int(written%int64(len(c.p))):]
		if n >= 0 {
			p = p[:min(int64(len(p)), n-written)]
		}
		var k int
		if lender != nil && !zerocopy.Disabled().Has(zerocopy.Vmsplice) {
			var handled bool
			if k, handled, err = lender.Vmsplice(p[:min(len(p), maxChunk)]); handled {
				tally.Add(uint8(zerocopy.Vmsplice), int64(k))
			} else {
				lender, err = nil, nil
			}
		} else {
			var m int64
			m, err = c.copy(w, written%int64(len(c.p)), int64(len(p)))
			k = int(m)
		}
		written += int64(k)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// maxChunk is the most that is lent by one system call, see contract 8 of docs/design.md.
const maxChunk = 2 << 20

// copy copies n bytes from off on, by reference where file pages are.
func (c *Constant) copy(w io.Writer, off, n int64) (int64, error) {
	r := c.NewReader()
	r.Seek(off, io.SeekStart)
	return zerocopy.CopyN(w, r, n)
}

// lenderTo returns what lends to w, nil if w is no pipe.
func lenderTo(w io.Writer) *engine.PipeLender {
	if !sys.Supported {
		return nil
	}
	var v any = w
	if _, in := engine.PipeFiles(w); in != nil {
		v = in
	}
	f, ok := v.(*os.File)
	if !ok {
		return nil
	}
	if end, ok := engine.Inspect(nil, f, false); ok && end.Kind == engine.Pipe && end.Flags&sys.AccessMode != sys.ReadOnly {
		return engine.NewPipeLender(nil, end)
	}
	return nil
}

// Close gives the memory back to the system, for which nobody may be in another method of c.
// Whoever it was lent to keeps what it has.
func (c *Constant) Close() error {
	switch {
	case !c.closed.CompareAndSwap(false, true):
		return os.ErrClosed
	case c.f == nil:
		return nil
	}
	sys.Unmap(c.p)
	return c.f.Close()
}
