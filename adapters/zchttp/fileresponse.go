package zchttp

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// serve answers r with c, or with what is compressed beside it.
//
// All that HTTP asks is left to http.ServeContent: preconditions, If-Range, ranges, HEAD.
func (h *FileHandler) serve(w http.ResponseWriter, r *http.Request, c *content) {
	head := w.Header()
	rw := &fileWriter{ResponseWriter: w, h: h, c: c}
	if _, ok := head["Content-Type"]; !ok {
		head.Set("Content-Type", contentType(c))
		rw.typed = true
	}
	if h.o.CacheControl != nil {
		if v := h.o.CacheControl(c.name, c.info); v != "" {
			head.Set("Cache-Control", v)
		}
	}
	if !c.seekable() {
		r = withoutRange(r)
	}
	modified := c.info.ModTime()
	if len(h.o.Precompressed) > 0 {
		head.Add("Vary", "Accept-Encoding")
		side, coding, plain := h.sidecar(r, c)
		if side != nil {
			defer side.Close()
			head.Set("Content-Encoding", coding)
			rw.c, rw.encoded = side, true
		}
		if !plain {
			r = withoutRange(r)
		}
		if tag := etag(rw.c, coding); tag != "" {
			head.Set("Etag", tag)
		}
	}
	if h.o.IdleTimeout > 0 {
		rw.armed(r)
		defer rw.disarm()
	}
	if !strings.Contains(r.Header.Get("Range"), ",") || !rw.serveRanges(r, modified) {
		http.ServeContent(rw, r, c.name, modified, rw.c)
	}
	rw.end()
}

// contentType is by the extension, without a read, or by the first 512 bytes.
func contentType(c *content) string {
	if t := mime.TypeByExtension(path.Ext(c.name)); t != "" {
		return t
	}
	return http.DetectContentType(c.head(512))
}

// withoutRange is r without its Range.
func withoutRange(r *http.Request) *http.Request {
	if r.Header.Get("Range") == "" {
		return r
	}
	q := *r
	q.Header = r.Header.Clone()
	q.Header.Del("Range")
	return &q
}

// A fileWriter is the ResponseWriter that http.ServeContent copies a content to.
type fileWriter struct {
	http.ResponseWriter
	h       *FileHandler
	c       *content
	encoded bool  // c is a compressed file
	typed   bool  // the Content-Type is ours
	short   bool  // less was sent than was declared
	cause   error // why, if not since c had less

	idle    *http.ResponseController  // nil without an IdleTimeout
	written time.Time                 // bound of the whole response; zero: none
	around  func(io.Reader) io.Reader // nil if the connection does not see through it
}

var _ io.ReaderFrom = (*fileWriter)(nil)

// Unwrap is for http.ResponseController.
func (w *fileWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader adds the Content-Length where ServeContent leaves it out because of
// a Content-Encoding: here it is known. An answer without a body has no type.
func (w *fileWriter) WriteHeader(code int) {
	switch h := w.Header(); {
	case code == http.StatusOK && w.encoded:
		h.Set("Content-Length", strconv.FormatInt(w.c.size, 10))
	case code == http.StatusPreconditionFailed:
		h.Del("Content-Encoding")
		if w.typed {
			h.Del("Content-Type")
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

// ReadFrom takes the content out of the *io.LimitedReader of http.ServeContent.
func (w *fileWriter) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if c, ok := l.R.(*content); ok {
			n, err := w.send(c, l.N)
			l.N -= n
			return n, err
		}
	}
	return io.Copy(w.ResponseWriter, r)
}

// send writes the next n bytes of c, in pieces under an IdleTimeout.
func (w *fileWriter) send(c *content, n int64) (sent int64, err error) {
	for sent < n {
		piece := n - sent
		if w.idle != nil {
			w.rearm()
			if w.around == nil {
				piece = min(piece, pieceSize)
			}
		}
		m, err := c.writeTo(w.ResponseWriter, piece, w.around)
		sent += m
		if err != nil {
			w.short, w.cause = true, err
			return sent, err
		}
		if m < piece {
			w.short = true
			return sent, io.ErrUnexpectedEOF
		}
	}
	return sent, nil
}

// end aborts a response that its file was too short for: over HTTP/2, and where a middleware
// has dropped the Content-Length, nothing else tells.
func (w *fileWriter) end() {
	if !w.short {
		return
	}
	var client *net.OpError
	switch {
	case w.cause == nil:
		w.h.logf("zchttp: %s: could not be sent whole: shorter than it was", w.c.name)
	case !errors.As(w.cause, &client): // clients come and go
		w.h.logf("zchttp: %s: could not be sent whole: %v", w.c.name, w.cause)
	}
	panic(http.ErrAbortHandler)
}
