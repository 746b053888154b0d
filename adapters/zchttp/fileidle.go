package zchttp

import (
	"io"
	"net/http"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// pieceSize is how much is sent under one deadline where progress within a call is not seen: on
// connections that are not of package zcnet. It is what caddy sends at a time, too.
const pieceSize = 64 << 10

// armed prepares for an idle timeout.
func (w *fileWriter) armed(r *http.Request) {
	w.idle = http.NewResponseController(w.ResponseWriter)
	s, _ := r.Context().Value(http.ServerContextKey).(*http.Server)
	if s != nil && s.WriteTimeout > 0 {
		w.written = time.Now().Add(s.WriteTimeout)
	}
	if conn, ok := connOf(w.ResponseWriter); ok && isMarked(conn) {
		w.around = func(src io.Reader) io.Reader { return &rearming{src, w} }
	}
}

// rearm gives the client the IdleTimeout from now on.
func (w *fileWriter) rearm() {
	t := time.Now().Add(w.h.o.IdleTimeout)
	if !w.written.IsZero() && w.written.Before(t) {
		t = w.written
	}
	w.idle.SetWriteDeadline(t)
}

// disarm puts the deadline back to what net/http has set, for whoever writes after us. What net/http
// has in its buffer by then is written before, under a deadline of ours; but for an error, whose
// length net/http finds out itself.
func (w *fileWriter) disarm() {
	if w.Header().Get("Content-Length") != "" {
		w.rearm()
		w.idle.Flush()
	}
	w.idle.SetWriteDeadline(w.written)
}

// A rearming Reader sets the deadline anew for each call of the kernel that may wait.
type rearming struct {
	src io.Reader
	w   *fileWriter
}

var _ zerocopy.ReaderUnwrapper = (*rearming)(nil)

func (r *rearming) Read(p []byte) (int, error) { return r.src.Read(p) }

// UnwrapReader implements zerocopy.ReaderUnwrapper.
func (r *rearming) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: r, Reader: r.src, Before: func() error { r.w.rearm(); return nil }}, true
}
