package zerocopy

import (
	"context"
	"io"
)

// A Writer is an io.Writer with io.ReaderFrom, by [Copy]. See [NewWriter].
type Writer struct {
	w io.Writer
	c *Copier // nil is Default, asked at each use
}

var _ io.ReaderFrom = (*Writer)(nil)

// NewWriter returns a Writer around w. io.Copy to it is Copy to w, so it
// accelerates calls that cannot be edited, given that the source brings no
// WriteTo of its own; where it does, wrap the source with [NewReader].
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// NewWriter is the package's [NewWriter] with the settings of c.
func (c *Copier) NewWriter(w io.Writer) *Writer { return &Writer{w, c} }

// Write writes p to the Writer below.
func (w *Writer) Write(p []byte) (n int, err error) { return w.w.Write(p) }

// ReadFrom is Copy to the Writer below.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	return orDefault(w.c).copy(context.Background(), w.w, r, nil)
}
