package zerocopy

import (
	"bytes"
	"io"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// The ReadFrom of net/http's ResponseWriter does not look at the Content-Length that was
// declared: of a longer file everything is sent (H41). Its Write does.

// readFromDeclared is dst.ReadFrom(src), but what goes beyond the declared Content-Length is
// written, so that dst says what it says then, http.ErrContentLength.
func (t *transfer) readFromDeclared(dst io.Writer, rf io.ReaderFrom, src io.Reader) (n int64, err error) {
	r, ok := stdtypes.HTTPResponse(dst)
	if !ok || r.Declared < 0 {
		return rf.ReadFrom(src)
	}
	room := max(r.Declared-r.Written, 0)
	switch l, ok := src.(*io.LimitedReader); {
	case !ok || l == nil:
		n, err = rf.ReadFrom(io.LimitReader(src, room))
	case l.N <= room:
		return rf.ReadFrom(src)
	default: // one limit keeps the fast path of package net, two do not
		n, err = rf.ReadFrom(io.LimitReader(l.R, room))
		l.N -= n
	}
	if err != nil || n < room {
		return n, err
	}
	buf := t.buffer.get()
	defer t.buffer.put()
	for {
		more, er := src.Read(buf)
		if more > 0 {
			w, ew := dst.Write(buf[0:more:len(buf)])
			n += int64(max(w, 0))
			if left := buf[max(w, 0):more]; ew != nil && len(left) > 0 {
				ew = t.unread(src, left, n, ew)
			}
			if ew != nil {
				return n, ew
			}
		}
		if er != nil {
			if er == io.EOF { // one that is wrapped is an error, to io.Copy too
				er = nil
			}
			return n, er
		}
	}
}

// unread moves src back by what was taken from it and not accepted, or hands that back with err.
func (t *transfer) unread(src io.Reader, left []byte, written int64, err error) error {
	if stdtypes.Unread(src, int64(len(left))) {
		return err
	}
	return &PartialError{Written: t.written + written, Unwritten: bytes.Clone(left), Err: err}
}
