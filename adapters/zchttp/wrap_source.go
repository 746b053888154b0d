package zchttp

import (
	"bytes"
	"io"
	"net/http"
	"runtime"

	"github.com/zerocopy-go/zerocopy"
)

// readFrom is the ReadFrom of w, which is one, with the bytes counted while it runs.
func (c *counter) readFrom(src io.Reader) (int64, error) {
	c.implicit()
	if c.declared < 0 {
		return c.hand(src)
	}
	room := max(c.declared-c.accepted, 0)
	if l, ok := src.(*io.LimitedReader); ok && l != nil && l.N <= room {
		return c.hand(src)
	}
	n, err := c.hand(io.LimitReader(src, room))
	if err != nil || n < room {
		return n, err
	}
	return n, c.excess(src, n)
}

// excess returns http.ErrContentLength where src has another byte, which stays in it if it can
// seek.
func (c *counter) excess(src io.Reader, n int64) error {
	var p [1]byte
	if k, err := io.ReadFull(src, p[:]); k == 0 {
		if err == io.EOF {
			err = nil
		}
		return err
	}
	inner := src
	if l, ok := src.(*io.LimitedReader); ok {
		l.N++
		inner = l.R
	}
	if s, ok := inner.(io.Seeker); ok {
		if _, err := s.Seek(-1, io.SeekCurrent); err == nil {
			return http.ErrContentLength
		}
	}
	return &zerocopy.PartialError{Written: n, Unwritten: bytes.Clone(p[:]), Err: http.ErrContentLength}
}

// hand hands src to w's ReadFrom.
//
// On Linux it is wrapped. Whatever w is, what it hands to the ReadFrom of a connection ends in
// package zerocopy: that of a zcnet.Conn is Copy, and that of a *net.TCPConn does not know the
// type and calls its WriteTo, with a Writer under which Copy finds the *net.TCPConn. Elsewhere
// package zerocopy has no fast path and package net may, and counts when it has returned.
func (c *counter) hand(src io.Reader) (int64, error) {
	rf := c.w.(io.ReaderFrom)
	if runtime.GOOS != "linux" {
		n, err := rf.ReadFrom(src)
		c.moved(n)
		return n, err
	}
	s := &counted{c: c, src: src}
	n, err := rf.ReadFrom(s)
	c.moved(n - s.told)
	return n, err
}

// A counted is a source whose bytes are counted once they are accepted.
type counted struct {
	c    *counter
	src  io.Reader
	read int   // bytes that the last Read gave: with the next one they have been accepted
	told int64 // bytes that were counted
}

// Read implements io.Reader.
func (s *counted) Read(p []byte) (int, error) {
	s.settle()
	n, err := s.src.Read(p)
	s.read = max(n, 0)
	return n, err
}

// settle counts what was read before.
func (s *counted) settle() {
	if s.read > 0 {
		s.moved(int64(s.read))
		s.read = 0
	}
}

// WriteTo is zerocopy.Copy to w.
func (s *counted) WriteTo(w io.Writer) (int64, error) {
	s.settle()
	return zerocopy.Copy(w, s)
}

// UnwrapReader implements zerocopy.ReaderUnwrapper.
func (s *counted) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: s, Reader: s.src, Moved: s.accepted}, true
}

func (s *counted) accepted(n int64) error {
	s.settle()
	s.moved(n)
	return nil
}

func (s *counted) moved(n int64) {
	s.told += n
	s.c.moved(n)
}
