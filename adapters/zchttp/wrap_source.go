package zchttp

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
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
	var n int64
	var err error
	if l, ok := src.(*io.LimitedReader); ok && l != nil { // package net looks through one limit, not two
		part := &io.LimitedReader{R: l.R, N: room}
		n, err = c.hand(part)
		l.N -= room - part.N
	} else {
		n, err = c.hand(io.LimitReader(src, room))
	}
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
	if stdtypes.Unread(src, 1) {
		return http.ErrContentLength
	}
	return &zerocopy.PartialError{Written: n, Unwritten: bytes.Clone(p[:]), Err: http.ErrContentLength}
}

// hand hands src to w's ReadFrom, in such a way that the bytes are counted meanwhile.
//
// A file or a connection goes to an unknown place in pieces, each an *io.LimitedReader of it: that is
// what package net sends by sendfile and splice, and nothing around it. Everything else, and on
// a connection of package zcnet everything, goes as a whole and tells package zerocopy that it wants to be
// told. Where there is no fast path, bytes are counted with the next Read.
func (c *counter) hand(src io.Reader) (int64, error) {
	if !c.ours() && isDescriptor(src) {
		return c.pieces(src)
	}
	s := &counted{c: c, src: src}
	n, err := c.w.(io.ReaderFrom).ReadFrom(s)
	c.moved(n - s.told)
	return n, err
}

// ours reports whether what is handed to w reaches a connection of package zcnet as it is.
func (c *counter) ours() bool {
	if below, ok := c.w.(interface{ base() *counter }); ok {
		return below.base().ours()
	}
	r, ok := stdtypes.HTTPResponse(c.w)
	if !ok {
		return false
	}
	_, ok = r.Conn.(zcnet.Conn)
	return ok
}

// isDescriptor reports whether src, or what it is a limit of, is one that package net looks for.
func isDescriptor(src io.Reader) bool {
	if l, ok := src.(*io.LimitedReader); ok && l != nil {
		src = l.R
	}
	if inner, ok := stdtypes.Hidden(src); ok {
		_, is := src.(syscall.Conn) // not in a NopCloser
		src, _ = inner.(io.Reader)
		if !is {
			return false
		}
	}
	switch src.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// piece is how much goes between two counts. At 2 GiB/s that is every 500 µs, and the ReadFrom that each
// takes is lost in the noise of BenchmarkWrap.
const piece = 1 << 20

// pieces has w read src a piece at a time.
func (c *counter) pieces(src io.Reader) (written int64, err error) {
	limit, _ := src.(*io.LimitedReader)
	if limit != nil {
		src = limit.R
	}
	rf := c.w.(io.ReaderFrom)
	for {
		size := int64(piece)
		if limit != nil {
			if size = min(size, limit.N); size <= 0 {
				if written > 0 {
					return written, nil
				}
				size = 0 // w says what it has to say
			}
		}
		p := &io.LimitedReader{R: src, N: size}
		n, err := rf.ReadFrom(p)
		if limit != nil && size > 0 {
			limit.N -= size - p.N
		}
		written += n
		c.moved(n)
		if err != nil || n < size || size == 0 {
			return written, err
		}
	}
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
