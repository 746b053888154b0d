package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// past is a deadline that ends a write which waits.
var past = time.Unix(1, 0)

// toStdout is the job of a stream to standard output.
type toStdout struct {
	stream
	out *os.File
}

func newToStdout(opt options, stdout *os.File) (*toStdout, error) {
	if isTerminal(stdout) && !opt.force {
		return nil, errors.New("standard output is a terminal; send it to a program or a file, to somebody with -to or -listen, or use -force")
	}
	return &toStdout{stream: stream{opt: opt}, out: reopen(stdout)}, nil
}

// reopen opens the pipe f once more, since a shell leaves it in blocking mode, where a
// write could not be ended, and other processes may have the same end. It returns f
// where that cannot be, and if f is no pipe.
func reopen(f *os.File) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return f
	}
	again := f
	if rc, err := f.SyscallConn(); err == nil { // f.Fd would change its mode
		rc.Control(func(fd uintptr) {
			// Without O_NONBLOCK, opening a FIFO that nobody reads any more would wait.
			if g, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", fd), os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				again = g
			}
		})
	}
	return again
}

func (j *toStdout) run(ctx context.Context) error {
	err := j.send(ctx, j.out)
	if errors.Is(err, syscall.EPIPE) {
		err = errUnread
	}
	if cerr := j.out.Close(); err == nil {
		err = cerr
	}
	return err
}

func (j *toStdout) cut() { j.out.SetWriteDeadline(past) }

// toAddress is the job of a stream to a TCP address.
type toAddress struct {
	stream
	conn atomic.Pointer[net.TCPConn]
}

func (j *toAddress) run(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", j.opt.to)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w: start the receiver first, or have it connect to this program with -listen", err)
		}
		return err
	}
	j.conn.Store(conn.(*net.TCPConn))
	err = j.sendTCP(ctx, conn.(*net.TCPConn))
	if gone(err) {
		err = fmt.Errorf("the receiver has closed the connection before the end of the stream: %w", err)
	}
	return err
}

func (j *toAddress) cut() {
	if conn := j.conn.Load(); conn != nil {
		conn.SetWriteDeadline(past)
	}
}

// gone reports whether err says that the receiver has left.
func gone(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}

// sendTCP sends the stream and closes conn. What the receiver sends is thrown away:
// closing a connection with unread bytes would reset it.
func (s *stream) sendTCP(ctx context.Context, conn *net.TCPConn) error {
	received := make(chan struct{})
	go func() {
		defer close(received)
		for p := make([]byte, 4096); ; {
			if _, err := conn.Read(p); err != nil {
				return
			}
		}
	}()
	err := s.send(ctx, conn)
	if err == nil {
		err = conn.CloseWrite()
	}
	if err != nil {
		conn.SetLinger(0) // the receiver shall not take what it has for the whole
	} else {
		conn.SetReadDeadline(time.Now().Add(time.Second))
		<-received
	}
	conn.Close()
	<-received
	return err
}
