package zchttp

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// NewFileRequest is http.NewRequestWithContext for the upload of a file, or of a part of one: body is an
// *os.File, from its position to its end, an *io.SectionReader of one, from its position, or one of them in
// an io.NopCloser or an *io.LimitedReader. The request has
//
//   - a ContentLength, so that it is not chunked;
//   - a GetBody, so that redirects with 307 and 308 send the body again, and a Transport can try again
//     on another connection;
//   - a Body that goes by sendfile, on a connection of net/http's own Transport as well as on one of
//     [Transport], given that there is no TLS.
//
// What is sent is what is between the two offsets when it is sent; body itself is not read, not
// moved and not closed. The file has to stay open until the response is there, or Do has failed. One that has
// become shorter by then ends the request with an error, and the server sees that it was not
// whole. What was appended meanwhile is not sent.
//
// Any other body, and a file whose length is not known, as of a pipe or in /proc, is that of
// http.NewRequestWithContext, but a file is not closed.
func NewFileRequest(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	f, start, n, known, err := fileRange(body)
	if err != nil {
		return nil, fmt.Errorf("zchttp: body: %w", err)
	}
	if !known {
		if f != nil {
			body = io.NopCloser(body)
		}
		return http.NewRequestWithContext(ctx, method, url, body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	req.ContentLength = n
	req.GetBody = func() (io.ReadCloser, error) {
		if n == 0 {
			return http.NoBody, nil
		}
		return &fileBody{file: f, start: start, left: io.NewSectionReader(f, start, n)}, nil
	}
	req.Body, err = req.GetBody()
	return req, err
}

// fileRange returns the file in r and which n bytes of it r would give next, and known false where
// there is none, or no telling how many.
func fileRange(r io.Reader) (f *os.File, start, n int64, known bool, err error) {
	const all = 1<<63 - 1
	limit, section := int64(all), false
	for f == nil {
		switch v := r.(type) {
		case *os.File:
			if f = v; v == nil {
				return nil, 0, 0, false, os.ErrInvalid
			}
		case *io.LimitedReader:
			limit, r = min(limit, max(v.N, 0)), v.R
		case *io.SectionReader:
			at, err := v.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, 0, 0, false, err
			}
			outer, off, size := v.Outer()
			section, start, limit = true, off+at, min(limit, max(size-at, 0))
			for {
				inner, ok := outer.(*io.SectionReader)
				if !ok {
					break
				}
				outer, off, size = inner.Outer()
				limit = min(limit, max(size-start, 0))
				start += off
			}
			file, ok := outer.(*os.File)
			if !ok || file == nil {
				return nil, 0, 0, false, nil
			}
			f = file
		default:
			inner, ok := stdtypes.Hidden(r)
			if ok {
				r, ok = inner.(io.Reader)
			}
			if !ok {
				return nil, 0, 0, false, nil
			}
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, 0, false, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 { // those of /proc say 0
		return f, 0, 0, false, nil
	}
	if !section {
		if start, err = f.Seek(0, io.SeekCurrent); err != nil {
			return nil, 0, 0, false, err
		}
	}
	return f, start, min(limit, max(info.Size()-start, 0)), true, nil
}

// A fileBody is a part of a file as the body of a request.
//
// What net/http's Transport hands to the ReadFrom of a connection is a LimitedReader of it. That of
// package zcnet asks it for a section of the file. That of a *net.TCPConn asks it for a
// SyscallConn, and sends from the position of that descriptor as much as the limit says: so it is
// given one that is the body's own, and what is read from there on is read there.
type fileBody struct {
	file  *os.File // the caller's
	start int64

	mu     sync.Mutex
	left   *io.SectionReader // where the body stands, while own is nil
	own    *os.File
	closed bool
}

var (
	_ io.WriterTo              = (*fileBody)(nil)
	_ syscall.Conn             = (*fileBody)(nil)
	_ zerocopy.ReaderUnwrapper = (*fileBody)(nil)
)

// section returns what is left of the body. b.mu is held.
func (b *fileBody) section() (*io.SectionReader, error) {
	if b.closed {
		return nil, http.ErrBodyReadAfterClose
	}
	if b.own != nil {
		at, err := b.own.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		// Not beyond the end, where somebody has sent more than was his.
		if _, err := b.left.Seek(min(at-b.start, b.left.Size()), io.SeekStart); err != nil {
			return nil, err
		}
	}
	return b.left, nil
}

// Read implements io.Reader.
func (b *fileBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.section()
	if err != nil {
		return 0, err
	}
	n, err := s.Read(p)
	if b.own != nil && n > 0 {
		if _, es := b.own.Seek(int64(n), io.SeekCurrent); es != nil {
			return n, es
		}
	}
	return n, err
}

// WriteTo is zerocopy.Copy: without it, io.Copy to a *net.TCPConn would send by the SyscallConn, and
// not know where the body ends.
func (b *fileBody) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, b) }

// UnwrapReader implements zerocopy.ReaderUnwrapper.
func (b *fileBody) UnwrapReader() (zerocopy.InnerReader, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.section()
	if err != nil || b.own != nil { // read, then: nobody has both
		return zerocopy.InnerReader{}, false
	}
	return zerocopy.InnerReader{Self: b, Reader: s}, true
}

// SyscallConn implements syscall.Conn, with a descriptor that stands where the body does.
func (b *fileBody) SyscallConn() (syscall.RawConn, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.section()
	if err != nil {
		return nil, err
	}
	if b.own == nil {
		own, err := reopen(b.file)
		if err != nil {
			return nil, err
		}
		at, err := s.Seek(0, io.SeekCurrent)
		if err == nil {
			_, err = own.Seek(b.start+at, io.SeekStart)
		}
		if err != nil {
			own.Close()
			return nil, err
		}
		b.own = own
	}
	return b.own.SyscallConn()
}

// Close implements io.Closer. The caller's file stays open.
func (b *fileBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if own := b.own; own != nil {
		b.own = nil
		return own.Close()
	}
	return nil
}
