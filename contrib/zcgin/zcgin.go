// Package zcgin gives the responses of gin their fast path back.
//
//	r := gin.New()
//	r.Use(zcgin.Middleware())
//
// gin's ResponseWriter has no ReadFrom, so every file is read into memory and written from there. With
// this line, c.File, c.FileFromFS, c.DataFromReader, r.Static, and whatever else calls io.Copy to
// c.Writer, reach sendfile, and on connections of package zcnet whatever package zerocopy can do.
package zcgin

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"

	"github.com/gin-gonic/gin"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// Middleware returns a handler that gives c.Writer a ReadFrom. Let it be the first: what kept
// a c.Writer of before does not see the Size of what was sent through this one.
//
// c.Writer.Size, Status and Written are as they were: Size has all bytes, also while a file is
// being sent. A Content-Length that was declared is kept: see [zchttp.WrapResponseWriter]. c.Writer is left
// alone where it is not gin's own, as after a middleware that compresses, and where the server has no
// ReadFrom either, as with HTTP/2. A middleware that comes later and puts its own Writer before
// this one, and compresses, gets all there is to write.
func Middleware() gin.HandlerFunc {
	return func(c *gin.Context) {
		if w := newWriter(c.Writer); w != nil {
			c.Writer = w
		}
	}
}

// newWriter returns a writer for w, nil if w is not gin's own or nothing is to be gained.
func newWriter(w gin.ResponseWriter) gin.ResponseWriter {
	t := reflect.TypeOf(w)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().PkgPath() != "github.com/gin-gonic/gin" || t.Elem().Name() != "responseWriter" {
		return nil
	}
	u, ok := w.(interface{ Unwrap() http.ResponseWriter })
	if !ok {
		return nil
	}
	below, count := zchttp.WrapResponseWriter(u.Unwrap(), zchttp.ResponseHooks{})
	if _, ok := below.(io.ReaderFrom); !ok {
		return nil
	}
	return &writer{w, below, count}
}

// A writer has the bytes go past gin's ResponseWriter, which has the header and the status.
type writer struct {
	gin.ResponseWriter
	below http.ResponseWriter
	count *zchttp.ResponseCount // of what went past
}

var _ io.ReaderFrom = (*writer)(nil)

// ReadFrom implements io.ReaderFrom.
func (w *writer) ReadFrom(src io.Reader) (int64, error) {
	w.WriteHeaderNow()
	return w.below.(io.ReaderFrom).ReadFrom(src)
}

// Write implements http.ResponseWriter.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeaderNow()
	return w.below.Write(p)
}

// WriteString implements io.StringWriter.
func (w *writer) WriteString(s string) (int, error) {
	w.WriteHeaderNow()
	return io.WriteString(w.below, s)
}

// WriteHeaderNow implements gin.ResponseWriter.
func (w *writer) WriteHeaderNow() {
	if !w.Written() {
		w.ResponseWriter.WriteHeaderNow()
		w.below.Write(nil) // it has to know what was declared by then
	}
}

// Flush implements http.Flusher.
func (w *writer) Flush() {
	w.WriteHeaderNow()
	w.ResponseWriter.Flush()
}

// Size implements gin.ResponseWriter.
func (w *writer) Size() int { return w.ResponseWriter.Size() + int(w.count.Bytes()) }

var errWritten = errors.New("zcgin: response body already written")

// Hijack implements http.Hijacker.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if w.Size() > 0 { // as gin has it
		return nil, nil, errWritten
	}
	return w.ResponseWriter.Hijack()
}

// Unwrap returns gin's ResponseWriter, for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
