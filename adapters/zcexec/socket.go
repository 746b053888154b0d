package zcexec

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// ErrNotSocket is the error of [Pass] for what is not exactly a *net.TCPConn or a
// *net.UnixConn. A type around one may encrypt, count or limit, and would be passed by.
var ErrNotSocket = errors.New("not a socket that can be passed to a child")

// A Socket is a connection that a child may be given as it is. See [Pass].
type Socket struct {
	f       *os.File
	restore bool
	once    sync.Once
	err     error
}

// Pass makes of conn what a Cmd gives to its child as it is: the child reads and writes
// the socket itself, as under inetd, and costs this process nothing.
//
//	s, err := zcexec.Pass(conn)
//	…
//	defer s.Release()
//	cmd.Stdin, cmd.Stdout = s.File(), s.File()
//	err = cmd.Run()
//
// That is not what [Stdout] and [Stdin] do, for these reasons:
//
//   - A child wants a descriptor in blocking mode, and O_NONBLOCK belongs to the socket,
//     not to the descriptor (fcntl(2)). So from the command's Start until Release a Read
//     or Write of conn in this process may hold a thread until the peer does something;
//     no deadline ends it, and Close waits for it. conn must be left alone for that time.
//   - A deadline that is set does not apply to the child. A peer that does not read holds
//     it for ever; so does one that does not write.
//   - Nobody sees the bytes: there is no count, no Report, no error, no limit and no pace,
//     and what the child took from the socket and did not use is lost.
//   - A process that the child leaves behind has the socket, too. The peer then sees no
//     end when conn is closed, unless CloseWrite or the like shuts the socket down.
//   - TLS, and whatever else wraps the connection, would be passed by.
//
// The error is [ErrNotSocket], or that of the connection. Of a conn only one Socket may
// be in use at a time. On Windows, which has no such descriptors, it is an error.
func Pass(conn net.Conn) (*Socket, error) {
	var f *os.File
	var err error
	switch c := conn.(type) {
	case *net.TCPConn:
		if c == nil {
			return nil, fmt.Errorf("zcexec: nil %T: %w", conn, ErrNotSocket)
		}
		f, err = c.File()
	case *net.UnixConn:
		if c == nil {
			return nil, fmt.Errorf("zcexec: nil %T: %w", conn, ErrNotSocket)
		}
		f, err = c.File()
	default:
		return nil, fmt.Errorf("zcexec: %T: %w", conn, ErrNotSocket)
	}
	if err != nil {
		return nil, err
	}
	return &Socket{f: f, restore: nonblocking(f)}, nil
}

// File returns the duplicate of the socket's descriptor that a Cmd's Stdin, Stdout,
// Stderr or ExtraFiles may be. It is Release that closes it.
func (s *Socket) File() *os.File { return s.f }

// Release makes the socket nonblocking again, as package net needs it, if it was so
// before, and closes File. It is called when the command's Wait has returned or its
// Start has failed, and does nothing the second time. The connection can then be used as
// before; a process that still has the socket meets EAGAIN from now on.
func (s *Socket) Release() error {
	s.once.Do(func() {
		if s.restore {
			s.err = setNonblock(s.f)
		}
		s.err = errors.Join(s.err, s.f.Close())
	})
	return s.err
}
