package zchttp

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A fileWriter is the ResponseWriter that http.ServeContent sees. Its ReadFrom is what that
// sends a file by, with a limit around it.
type fileWriter struct {
	w       http.ResponseWriter
	r       *http.Request
	idle    time.Duration
	encoded int64 // the length of a sidecar; net/http does not declare that where Content-Encoding is set
	short   bool  // there was less than was declared
	end     time.Time
}

// smallSend is up to what size a file is read and written at once, with the header: a sendfile
// of its own saves nothing there (docs/performance.md, "Small files").
const smallSend = 16 << 10

var smallBuffers = sync.Pool{New: func() any { return new([smallSend]byte) }}

// Header implements http.ResponseWriter.
func (f *fileWriter) Header() http.Header { return f.w.Header() }

// Write implements http.ResponseWriter.
func (f *fileWriter) Write(p []byte) (int, error) { return f.w.Write(p) }

// Unwrap is for http.ResponseController.
func (f *fileWriter) Unwrap() http.ResponseWriter { return f.w }

// WriteHeader implements http.ResponseWriter.
func (f *fileWriter) WriteHeader(status int) {
	if f.encoded > 0 && status == http.StatusOK {
		f.w.Header().Set("Content-Length", strconv.FormatInt(f.encoded, 10))
	}
	f.w.WriteHeader(status)
}

// ReadFrom sends what src, an io.LimitedReader of http.ServeContent, lets through.
func (f *fileWriter) ReadFrom(src io.Reader) (n int64, err error) {
	l, ok := src.(*io.LimitedReader)
	if !ok {
		return zerocopy.Copy(f.w, src)
	}
	want := l.N
	if s, ok := l.R.(sized); ok {
		l.R = s.ReadSeeker
	}
	f.arm()
	defer f.disarm()
	switch from := l.R.(type) {
	case *kept:
		var w int
		w, err = f.w.Write(from.next(int(want)))
		return int64(w), err
	case *os.File:
		switch {
		case want <= smallSend:
			n, err = f.small(from, int(want))
		case f.idle == 0:
			n, err = zerocopy.Copy(f.w, l)
		default:
			n, err = f.patiently(l)
		}
	default:
		n, err = zerocopy.Copy(f.w, l)
	}
	f.short = f.short || n < want && err == nil
	return n, err
}

// small sends a file of n bytes by one Write.
func (f *fileWriter) small(file *os.File, n int) (int64, error) {
	buf := smallBuffers.Get().(*[smallSend]byte)
	defer smallBuffers.Put(buf)
	got, err := io.ReadFull(file, buf[:n])
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	n, ew := f.w.Write(buf[:got])
	if ew != nil {
		err = ew
	}
	return int64(n), err
}

// idlePiece is how much is sent under one deadline where only whole calls can be seen, on a
// connection that is not of package zcnet: within the time limit a client has to take that much.
// Less makes sendfile dear (docs/performance.md, "net/http").
const idlePiece = 256 << 10

// patiently sends l with a deadline that progress moves.
func (f *fileWriter) patiently(l *io.LimitedReader) (n int64, err error) {
	if r, ok := stdtypes.HTTPResponse(f.w); ok {
		if _, ours := r.Conn.(engine.Marked); ours {
			return zerocopy.Copy(f.w, &armed{l, f})
		}
	}
	for l.N > 0 && err == nil {
		piece := &io.LimitedReader{R: l.R, N: min(l.N, idlePiece)}
		f.arm()
		var k int64
		k, err = zerocopy.Copy(f.w, piece)
		n += k
		if l.N -= k; piece.N > 0 {
			break
		}
	}
	return n, err
}

// An armed Reader has the deadline set again before each call of the kernel that may wait.
type armed struct {
	*io.LimitedReader
	f *fileWriter
}

// UnwrapReader implements zerocopy.ReaderUnwrapper.
func (a *armed) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: a, Reader: a.LimitedReader, Before: func() error { a.f.arm(); return nil }}, true
}

// arm sets the deadline by which the client has to take something.
func (f *fileWriter) arm() {
	if f.idle == 0 {
		return
	}
	now := time.Now()
	if f.end.IsZero() {
		f.end = now.Add(writeTimeout(f.r))
	}
	at := now.Add(f.idle)
	if f.end.Before(at) && writeTimeout(f.r) > 0 {
		at = f.end
	}
	http.NewResponseController(f.w).SetWriteDeadline(at)
}

// disarm leaves the deadline that net/http has, or as good as.
func (f *fileWriter) disarm() {
	if f.idle == 0 {
		return
	}
	var at time.Time
	if writeTimeout(f.r) > 0 {
		at = f.end
	}
	http.NewResponseController(f.w).SetWriteDeadline(at)
}

// writeTimeout returns that of the server, 0 if there is none.
func writeTimeout(r *http.Request) time.Duration {
	if srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
		return max(srv.WriteTimeout, 0)
	}
	return 0
}

// kept is the content of a file in memory.
type kept struct {
	p  []byte
	at int64
}

// next returns the next n bytes at most.
func (k *kept) next(n int) []byte {
	p := k.p[min(k.at, int64(len(k.p))):]
	p = p[:min(n, len(p))]
	k.at += int64(len(p))
	return p
}

// Read implements io.Reader.
func (k *kept) Read(p []byte) (int, error) {
	n := copy(p, k.next(len(p)))
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Seek implements io.Seeker.
func (k *kept) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += k.at
	case io.SeekEnd:
		offset += int64(len(k.p))
	}
	if offset < 0 {
		return 0, errors.New("zchttp: negative position")
	}
	k.at = offset
	return offset, nil
}
