package zchttp

import (
	"errors"
	"fmt"
	"io"
	"net"
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

// copy hands the rest of the body to the ResponseWriter, which that of net/http hands to its connection.
// A middleware's may read it.
func (b *responseBody) copy() {
	from := zerocopy.Default()
	c := from.Clone()
	if pool := b.x.proxy.proxy.BufferPool; pool != nil {
		c.BufferPool = pool
	}
	c.Report = func(report zerocopy.Report) {
		b.report = report
		if report.Failed == zerocopy.SourceEnd || report.Failed == zerocopy.NoEnd && readError(report.Err) {
			b.readErr = report.Err
		}
		if from.Report != nil {
			from.Report(report)
		}
	}
	rest := &io.LimitedReader{R: &restOfBody{b}, N: b.length - b.read}
	n, err := b.x.w.(io.ReaderFrom).ReadFrom(c.NewReader(rest))
	if err != nil && b.readErr == nil {
		b.unwritten = err
	}
	if b.report.Dst == "" { // nobody has called Copy
		b.x.plain += n
		b.x.why = fmt.Sprintf("the ReadFrom of %T did not call Copy, see ListenAndServe", b.x.w)
	}
}

// readError says of the error of a ReadFrom that a copy was delegated to whether it came from the
// body: what connections say that were written to is a *net.OpError.
func readError(err error) bool {
	var op *net.OpError
	return err != nil && (!errors.As(err, &op) || op.Op == "read")
}

// A restOfBody is a body that notes the error of whoever reads it. A copy looks under it, and reports.
type restOfBody struct{ b *responseBody }

var _ zerocopy.ReaderUnwrapper = (*restOfBody)(nil)

// Read implements io.Reader.
func (r *restOfBody) Read(p []byte) (int, error) {
	n, err := r.b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		r.b.readErr = err
	}
	return n, err
}

// UnwrapReader implements zerocopy.ReaderUnwrapper.
func (r *restOfBody) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: r, Reader: r.b.ReadCloser}, true
}
