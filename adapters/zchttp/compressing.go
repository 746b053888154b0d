package zchttp

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"

	"github.com/zerocopy-go/zerocopy"
)

// Compressing returns compress(h), where compress is a middleware that encodes some responses and
// leaves others alone, and gives those that it leaves alone their fast path back: what h copies to its
// ResponseWriter goes to compress until that has decided, and the rest past it if it has let all
// pass so far without a Content-Encoding of its own.
//
//	handler := zchttp.Compressing(gzhttp.GzipHandler, files)
//
// It is for middleware that tells by Content-Encoding whether it touches a response, as
// gzhttp, handlers.CompressHandler of gorilla and middleware.Compress of chi do. Of another, which
// changes bytes and says nothing, parts of responses would be missing the change.
func Compressing[H http.Handler](compress func(http.Handler) H, h http.Handler) http.Handler {
	above := compress(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := r.Context().Value(sniffKey{}).(*sniffed)
		if !ok { // compress has made a request of its own
			h.ServeHTTP(w, r)
			return
		}
		s.w = w
		h.ServeHTTP(s, r)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := new(sniffed)
		s.under, s.count = WrapResponseWriter(w, ResponseHooks{Request: r})
		above.ServeHTTP(s.under, r.WithContext(context.WithValue(r.Context(), sniffKey{}, s)))
	})
}

type sniffKey struct{}

// A sniffed response passes a middleware from w to under.
type sniffed struct {
	w, under http.ResponseWriter
	count    *ResponseCount // of under
	written  int64          // to w
	own      string         // the Content-Encoding that is the handler's
	begun    bool
}

// Header implements http.ResponseWriter.
func (s *sniffed) Header() http.Header { return s.w.Header() }

// Unwrap is for http.ResponseController.
func (s *sniffed) Unwrap() http.ResponseWriter { return s.w }

// Flush implements http.Flusher.
func (s *sniffed) Flush() { s.FlushError() }

// FlushError is what http.ResponseController flushes by.
func (s *sniffed) FlushError() error { return http.NewResponseController(s.w).Flush() }

// Hijack implements http.Hijacker, as far as the middleware lets.
func (s *sniffed) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(s.w).Hijack()
}

// WriteString implements io.StringWriter.
func (s *sniffed) WriteString(text string) (int, error) { return s.Write([]byte(text)) }

// WriteHeader implements http.ResponseWriter.
func (s *sniffed) WriteHeader(status int) {
	s.begin()
	s.w.WriteHeader(status)
}

// begin notes what the handler has encoded itself.
func (s *sniffed) begin() {
	if !s.begun {
		s.begun, s.own = true, s.w.Header().Get("Content-Encoding")
	}
}

// Write implements http.ResponseWriter.
func (s *sniffed) Write(p []byte) (int, error) {
	s.begin()
	n, err := s.w.Write(p)
	s.written += int64(n)
	return n, err
}

// leftAlone reports whether the middleware has decided not to touch the response: the header is
// written, with no other encoding than the handler's, and so is all that was handed to it.
func (s *sniffed) leftAlone() bool {
	return s.count.Status() != 0 && s.under.Header().Get("Content-Encoding") == s.own && s.count.Bytes() == s.written
}

// sniffStep is how much the middleware gets before it is asked again: several times what the
// middleware there is wants to see (gzhttp 1 KiB, gorilla and chi the header).
const sniffStep = 4096

// ReadFrom implements io.ReaderFrom.
func (s *sniffed) ReadFrom(src io.Reader) (n int64, err error) {
	for {
		if s.written > 0 && s.leftAlone() {
			k, err := zerocopy.Copy(s.under, src)
			s.written += k
			return n + k, err
		}
		step := int64(sniffStep)
		if s.written >= 1<<20 { // it has decided otherwise
			step = 1 << 62
		}
		k, err := io.CopyN(struct{ io.Writer }{s}, src, step)
		if n += k; err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}
