package zerocopy

import (
	"context"
	"io"
)

// A Reader is an io.Reader with io.WriterTo, by [Copy]. See [NewReader].
type Reader struct {
	r io.Reader
	c *Copier // nil is Default, asked at each use
}

var _ io.WriterTo = (*Reader)(nil)

// NewReader returns a Reader around r. io.Copy from it is Copy from r, so it
// accelerates calls that cannot be edited.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// NewReader is the package's [NewReader] with the settings of c. They hold, too, where a Copy
// with the default ones is handed the Reader, as by the ReadFrom of a connection of package
// zcnet.
func (c *Copier) NewReader(r io.Reader) *Reader { return &Reader{r, c} }

// Read reads from the Reader below.
func (r *Reader) Read(p []byte) (n int, err error) { return r.r.Read(p) }

// WriteTo is Copy from the Reader below.
func (r *Reader) WriteTo(w io.Writer) (n int64, err error) {
	return orDefault(r.c).copy(context.Background(), w, r.r, nil)
}
