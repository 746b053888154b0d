package zchttp

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/zerocopy-go/zerocopy"
)

// A responseBody is the body of a response on its way from httputil.ReverseProxy's transport to
// its loop, which reads from it and writes to the exchange. The first Reads give the loop what
// net/http wants before it sends the header; the next one takes the rest past the loop, and
// returns when that is over. What comes after the declared length is the loop's again,
// where http.ErrContentLength awaits it.
type responseBody struct {
	io.ReadCloser // the transport's
	x             *exchange
	length        int64 // as declared to the client
	read          int64 // by the loop
	first         int64 // how many bytes the loop is to get
	copied        bool
	unwritten     error // why the copy could not write
	readErr       error // why it could not read
	report        zerocopy.Report
}

const (
	// sniffLen is how many bytes net/http looks at where no Content-Type is set.
	sniffLen = 512
	// firstRead is the buffer of a transport's connection: what has come with the header is in
	// there, and goes with the header.
	firstRead = 4096
)

func newResponseBody(x *exchange, res *http.Response) *responseBody {
	b := &responseBody{ReadCloser: res.Body, x: x, length: res.ContentLength, first: 1}
	if len(res.Header["Content-Type"]) == 0 {
		b.first = sniffLen
	}
	return b
}

// Read implements io.Reader, for the loop.
func (b *responseBody) Read(p []byte) (n int, err error) {
	if b.read < b.first && !b.copied {
		n, err = b.ReadCloser.Read(p[:min(len(p), firstRead)])
		b.read += int64(n)
		return n, err
	}
	if !b.copied {
		b.copied = true
		b.x.copies(true)
		defer b.x.copies(false)
		if err := http.NewResponseController(b.x.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			b.unwritten = err
		} else {
			b.copy()
		}
		switch {
		case b.unwritten != nil && len(p) > 0:
			return 1, nil // the loop writes it, and gets the error
		case b.readErr != nil:
			return 0, b.readErr
		}
	}
	return b.ReadCloser.Read(p)
}

// copy hands the rest of the body to the ResponseWriter.
func (b *responseBody) copy() {
	from := &restOfBody{b: b, left: io.LimitedReader{R: b.ReadCloser, N: b.length - b.read}}
	_, err := b.x.w.(io.ReaderFrom).ReadFrom(from)
	if err != nil && b.readErr == nil {
		b.unwritten = err
	}
}

// A restOfBody is what the ResponseWriter reads from. That of net/http hands it to its
// connection, which has WriteTo called with itself. Any other may read.
type restOfBody struct {
	b    *responseBody
	left io.LimitedReader
}

// Read implements io.Reader.
func (r *restOfBody) Read(p []byte) (int, error) {
	n, err := r.left.Read(p)
	if err != nil && err != io.EOF {
		r.b.readErr = err
	}
	return n, err
}

// WriteTo implements io.WriterTo. A ResponseWriter is that of somebody who has handed the body on by
// io.Copy, and is on the way to the connection.
func (r *restOfBody) WriteTo(w io.Writer) (int64, error) {
	if _, ok := w.(http.ResponseWriter); ok {
		if w, ok := w.(io.ReaderFrom); ok {
			return w.ReadFrom(r)
		}
	}
	from := zerocopy.Default()
	c := from.Clone()
	if pool := r.b.x.http.BufferPool; pool != nil {
		c.BufferPool = pool
	}
	c.Report = func(report zerocopy.Report) {
		r.b.report = report
		if from.Report != nil {
			from.Report(report)
		}
	}
	n, err := c.Copy(context.Background(), w, &r.left)
	if err != nil && r.b.report.Failed == zerocopy.SourceEnd {
		r.b.readErr = err
	}
	return n, err
}
