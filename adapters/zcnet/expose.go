package zcnet

import (
	"errors"
	"net"
	"syscall"
)

// A Conn has each of four optional methods if and only if the connection under it has:
// programs ask for them and go another way where they are missing.

type (
	closeReader struct{ c *conn }
	closeWriter struct{ c *conn }
	syscaller   struct{ c *conn }
	netConner   struct{ c *conn }
)

// CloseRead is that of the connection under the Conn.
func (m closeReader) CloseRead() error { return m.c.inner.(readCloser).CloseRead() }

// CloseWrite is that of the connection under the Conn.
func (m closeWriter) CloseWrite() error { return m.c.inner.(writeCloser).CloseWrite() }

// SyscallConn is that of the connection under the Conn. Where there are peeked bytes, which are
// not to be had from the descriptor, its Read fails as long as there are.
func (m syscaller) SyscallConn() (syscall.RawConn, error) { return m.c.syscallConn() }

// NetConn is that of the connection under the Conn.
func (m netConner) NetConn() net.Conn { return m.c.inner.(netConn).NetConn() }

type (
	readCloser  interface{ CloseRead() error }
	writeCloser interface{ CloseWrite() error }
	netConn     interface{ NetConn() net.Conn }
)

var errPeeked = errors.New("peeked bytes have to be read first, and not from the descriptor")

// The types of Conns, named by the bits that expose makes of their methods.
type (
	conn0 struct{ *conn }
	conn1 struct {
		*conn
		closeReader
	}
	conn2 struct {
		*conn
		closeWriter
	}
	conn3 struct {
		*conn
		closeReader
		closeWriter
	}
	conn4 struct {
		*conn
		syscaller
	}
	conn5 struct {
		*conn
		closeReader
		syscaller
	}
	conn6 struct {
		*conn
		closeWriter
		syscaller
	}
	conn7 struct {
		*conn
		closeReader
		closeWriter
		syscaller
	}
	conn8 struct {
		*conn
		netConner
	}
	conn9 struct {
		*conn
		closeReader
		netConner
	}
	conn10 struct {
		*conn
		closeWriter
		netConner
	}
	conn11 struct {
		*conn
		closeReader
		closeWriter
		netConner
	}
	conn12 struct {
		*conn
		syscaller
		netConner
	}
	conn13 struct {
		*conn
		closeReader
		syscaller
		netConner
	}
	conn14 struct {
		*conn
		closeWriter
		syscaller
		netConner
	}
	conn15 struct {
		*conn
		closeReader
		closeWriter
		syscaller
		netConner
	}
)

// expose returns the Conn around c.inner that c is the inside of.
func (c *conn) expose() Conn {
	r, w, s, n := closeReader{c}, closeWriter{c}, syscaller{c}, netConner{c}
	have := 0
	if _, ok := c.inner.(readCloser); ok {
		have |= 1
	}
	if _, ok := c.inner.(writeCloser); ok {
		have |= 2
	}
	if _, ok := c.inner.(syscall.Conn); ok {
		have |= 4
	}
	if _, ok := c.inner.(netConn); ok {
		have |= 8
	}
	switch have {
	case 1:
		return &conn1{c, r}
	case 2:
		return &conn2{c, w}
	case 3:
		return &conn3{c, r, w}
	case 4:
		return &conn4{c, s}
	case 5:
		return &conn5{c, r, s}
	case 6:
		return &conn6{c, w, s}
	case 7:
		return &conn7{c, r, w, s}
	case 8:
		return &conn8{c, n}
	case 9:
		return &conn9{c, r, n}
	case 10:
		return &conn10{c, w, n}
	case 11:
		return &conn11{c, r, w, n}
	case 12:
		return &conn12{c, s, n}
	case 13:
		return &conn13{c, r, s, n}
	case 14:
		return &conn14{c, w, s, n}
	case 15:
		return &conn15{c, r, w, s, n}
	}
	return &conn0{c}
}
