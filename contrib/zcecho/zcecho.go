// Package zcecho gives the responses of echo, version 5, their fast path back.
//
//	e := echo.New()
//	e.Use(zcecho.Middleware())
//
// echo's Response has no ReadFrom, so every file is read into memory and written from there. With
// this line, c.File, c.FileFS, c.Stream, e.Static, and whatever else calls io.Copy to c.Response(),
// reach sendfile, and on connections of package zcnet whatever package zerocopy can do.
//
// There is none for version 4: its Context.Response returns the concrete type, so nothing
// can be put in its place. There, copy to c.Response().Writer after WriteHeader, and add to
// c.Response().Size what was copied.
package zcecho

import (
	"io"
	"net/http"

	"github.com/labstack/echo/v5"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// Middleware returns a middleware that gives c.Response() a ReadFrom.
//
// It is left alone where it is not an *echo.Response, as after a middleware that compresses, and where
// the server has no ReadFrom either, as with HTTP/2. A middleware that comes later and puts its
// own ResponseWriter before this one, and compresses, gets all there is to write. The
// *echo.Response goes on being found by echo.UnwrapResponse, with its Size, Status and
// Committed as echo has them; its Size has a ReadFrom's bytes when that has returned. What was
// registered by After is called once for a ReadFrom, as for a Write. A Content-Length that was declared is
// kept: see [zchttp.WrapResponseWriter].
func Middleware() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c *echo.Context) error {
			r, ok := c.Response().(*echo.Response)
			if !ok {
				return next(c)
			}
			if _, ok := r.ResponseWriter.(io.ReaderFrom); !ok {
				return next(c)
			}
			below := r.ResponseWriter
			r.ResponseWriter, _ = zchttp.WrapResponseWriter(below, zchttp.ResponseHooks{})
			c.SetResponse(&response{r})
			defer func() { r.ResponseWriter = below }()
			return next(c)
		}
	}
}

// A response is an *echo.Response with a ReadFrom.
type response struct{ *echo.Response }

var _ io.ReaderFrom = (*response)(nil)

// ReadFrom implements io.ReaderFrom.
func (r *response) ReadFrom(src io.Reader) (int64, error) {
	rf, ok := r.ResponseWriter.(io.ReaderFrom) // may have been replaced
	if !ok {
		return io.Copy(struct{ io.Writer }{r.Response}, src)
	}
	if !r.Committed {
		if r.Status == 0 {
			r.Status = http.StatusOK
		}
		r.WriteHeader(r.Status)
	}
	n, err := rf.ReadFrom(src)
	r.Size += n
	r.Response.Write(nil) // which calls what was registered by After
	return n, err
}

// Unwrap returns the *echo.Response, for echo.UnwrapResponse and http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.Response }
