package zerocopy

import (
	"context"
	"io"
)

// TeeReader returns a Reader that writes to w what it reads from r, as
// [io.TeeReader] does: no buffer, the write has to complete before the read does,
// and an error of w is returned as an error of reading. Package [io]'s own is
// recognised by Copy in the same way.
//
// A [Copy] or an io.Copy from it duplicates the bytes in the kernel, by tee(2),
// where r is a socket and w or the copy's destination is a descriptor. An end that is
// none (a hash, a bytes.Buffer, a compressor) takes part: for all of those together
// the bytes are read once into user memory, while the others keep to the kernel.
// w has then seen what the destination is yet to accept, up to 1 MiB, as it has with
// io.TeeReader up to a buffer. A destination of an unknown type with a ReadFrom of its own
// reads, as with io.Copy, and gets nothing by tee.
//
// Where r is a file or a pipe the bytes are read once and written, unless
// [Copier.Pages] is [Share]: with pages sent by reference one end might get an older
// version of the file than the other.
func TeeReader(r io.Reader, w io.Writer) io.Reader { return &teeReader{r, w} }

// A teeReader is io's, with a WriteTo.
type teeReader struct {
	r io.Reader
	w io.Writer
}

var _ io.WriterTo = (*teeReader)(nil)

func (t *teeReader) Read(p []byte) (n int, err error) {
	n, err = t.r.Read(p)
	if n > 0 {
		if n, err := t.w.Write(p[:n]); err != nil {
			return n, err
		}
	}
	return n, err
}

// WriteTo is Copy.
func (t *teeReader) WriteTo(w io.Writer) (int64, error) {
	return Default().copy(context.Background(), w, t, nil)
}

// MultiWriter returns a Writer that writes to each of writers in their order, as
// [io.MultiWriter] does: all are in step, and the first error, or short write, ends
// that write, before the writers after it have got anything of it.
//
// A [Copy] or an io.Copy to it duplicates the bytes in the kernel, as [TeeReader]
// has it. The count that it returns is that of the writer that failed. If bytes of a
// stream were taken that this one did not accept, the [PartialError] has them; the
// writers before it have got them, or a part.
func MultiWriter(writers ...io.Writer) io.Writer {
	return &multiWriter{flatten([]io.Writer(nil), writers)}
}

// A multiWriter is io's, with a ReadFrom.
type multiWriter struct{ writers []io.Writer }

var (
	_ io.ReaderFrom   = (*multiWriter)(nil)
	_ io.StringWriter = (*multiWriter)(nil)
)

// flatten appends writers to all, and instead of those that are MultiWriters what is in
// them.
func flatten[S ~[]io.Writer](all S, writers []io.Writer) S {
	for _, w := range writers {
		if inner, ok := multiWriters(w); ok {
			all = flatten(all, inner)
			continue
		}
		all = append(all, w)
	}
	return all
}

func (m *multiWriter) Write(p []byte) (n int, err error) {
	for _, w := range m.writers {
		n, err = w.Write(p)
		if err == nil && n != len(p) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func (m *multiWriter) WriteString(s string) (n int, err error) {
	var p []byte // made if a writer wants one
	for _, w := range m.writers {
		if sw, ok := w.(io.StringWriter); ok {
			n, err = sw.WriteString(s)
		} else {
			if p == nil {
				p = []byte(s)
			}
			n, err = w.Write(p)
		}
		if err == nil && n != len(s) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return n, err
		}
	}
	return len(s), nil
}

// ReadFrom is Copy.
func (m *multiWriter) ReadFrom(r io.Reader) (int64, error) {
	return Default().copy(context.Background(), m, r, nil)
}
