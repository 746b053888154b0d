package zchttp

import (
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A FileReport is what became of one request to a [FileHandler]. See FileServerOptions.Report.
type FileReport struct {
	// Status is the status that was sent.
	Status int
	// Written is how many bytes of body were accepted by the connection, those that are not sent in
	// answer to HEAD not counted.
	Written int64
	// Copy is what package zerocopy has reported of the copies that carried the body, several for
	// several ranges, their steps one behind the other. It is zero where there was none: the file is
	// kept in the cache, it is a list or an error, or the connection is not of package zcnet.
	Copy zerocopy.Report
	// Aborted: the client's connection was cut off, since the response could not be completed.
	Aborted bool
}

// String returns the report on one line, for logs.
func (r FileReport) String() string {
	text := fmt.Sprintf("%d, %d bytes", r.Status, r.Written)
	if len(r.Copy.Steps) > 0 {
		text += ", of which " + r.Copy.Summary()
	}
	if r.Aborted {
		text += ", aborted"
	}
	return text
}

// ServeHTTP answers r with a file or a list of files.
func (h *FileHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.o.Report == nil {
		h.answer(w, r)
		return
	}
	x := &reported{ResponseWriter: w, head: r.Method == http.MethodHead}
	x.report.Aborted = true
	defer func() {
		if x.report.Status == 0 {
			x.report.Status = http.StatusOK
		}
		h.o.Report(r, x.report)
	}()
	h.answer(x, r)
	x.report.Aborted = false
}

// A reported response notes what is sent. The Reader of a Copier brings its Report to a connection of
// package zcnet, through net/http's ReadFrom.
type reported struct {
	http.ResponseWriter
	head   bool
	report FileReport
}

// Unwrap is for http.ResponseController.
func (x *reported) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (x *reported) WriteHeader(status int) {
	if x.report.Status == 0 && status >= 200 {
		x.report.Status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *reported) Write(p []byte) (int, error) {
	n, err := x.ResponseWriter.Write(p)
	x.wrote(int64(n))
	return n, err
}

func (x *reported) wrote(n int64) {
	if !x.head {
		x.report.Written += n
	}
}

// ReadFrom implements io.ReaderFrom.
func (x *reported) ReadFrom(src io.Reader) (n int64, err error) {
	rf, ok := x.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{x}, src)
	}
	defer func() { x.wrote(n) }()
	if conn, ok := connOf(x.ResponseWriter); !ok || !isMarked(conn) {
		return rf.ReadFrom(src) // package net looks for a file, and nothing around it
	}
	c := zerocopy.Default().Clone()
	before := c.Report
	c.Report = func(r zerocopy.Report) {
		if before != nil {
			before(r)
		}
		sum := &x.report.Copy
		r.Written += sum.Written
		r.Elapsed += sum.Elapsed
		r.Steps = append(sum.Steps, r.Steps...)
		*sum = r
	}
	return rf.ReadFrom(c.NewReader(src))
}

// connOf returns the connection under w, if that is net/http's ResponseWriter over HTTP/1, or one of
// this package around it.
func connOf(w io.Writer) (net.Conn, bool) {
	for {
		switch v := w.(type) {
		case *reported:
			w = v.ResponseWriter
			continue
		case interface{ base() *counter }:
			w = v.base().w
			continue
		}
		r, ok := stdtypes.HTTPResponse(w)
		return r.Conn, ok
	}
}

// isMarked reports whether c is a connection of package zcnet.
func isMarked(c net.Conn) bool {
	_, ok := c.(engine.Marked)
	return ok
}
