package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"time"
)

// A source is where the stream comes from.
type source struct {
	r    io.ReadCloser // *net.TCPConn or *os.File
	name string
	// stop asks for the end and returns how long that may take to come by itself.
	stop func() time.Duration
	// close gives back what the source holds, once nobody reads it any more. The
	// error is that of a command which failed before it was stopped.
	close func() error
}

func newSource(r io.ReadCloser, name string) *source {
	return &source{
		r:     r,
		name:  name,
		stop:  func() time.Duration { return 0 },
		close: func() error { r.Close(); return nil },
	}
}

// openSource waits for the source that opt names. It gives up when ctx is done.
func openSource(ctx context.Context, opt options, scr *screen) (*source, error) {
	switch {
	case opt.exec != "":
		return startCommand(opt.exec, scr)
	case opt.source == "-":
		return standardInput(), nil
	}
	if addr, ok := strings.CutPrefix(opt.source, "tcp://"); ok {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return newSource(conn.(*net.TCPConn), "the publisher at "+addr), nil
	}
	if addr, ok := strings.CutPrefix(opt.source, "listen:"); ok {
		return acceptPublisher(ctx, addr, scr)
	}
	return openFile(ctx, opt.source)
}

// acceptPublisher waits for one connection.
func acceptPublisher(ctx context.Context, addr string, scr *screen) (*source, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	scr.printf("waiting for a publisher on %v", ln.Addr())
	conn, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	return newSource(conn.(*net.TCPConn), fmt.Sprintf("the publisher %v", conn.RemoteAddr())), nil
}

// standardInput is the stream on descriptor 0. A shell leaves it in blocking mode,
// where a read could neither be ended nor be spliced. A pipe is opened once more
// instead of being changed, since other processes may have the same end of it.
func standardInput() *source {
	const name = "standard input"
	info, err := os.Stdin.Stat()
	if err == nil && info.Mode()&fs.ModeNamedPipe != 0 && runtime.GOOS == "linux" {
		if f, err := os.Open("/proc/self/fd/0"); err == nil {
			return newSource(f, name)
		}
	}
	return newSource(os.Stdin, name)
}

// openFile opens a file, or a FIFO, where it waits for a writer.
func openFile(ctx context.Context, name string) (*source, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	opened := make(chan struct{})
	if info.Mode()&fs.ModeNamedPipe != 0 {
		// open(2) of a FIFO cannot be interrupted, but it returns once there is a writer.
		defer context.AfterFunc(ctx, func() {
			if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
				<-opened
				f.Close()
			}
		})()
	}
	f, err := os.Open(name)
	close(opened)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		f.Close()
		return nil, context.Cause(ctx)
	}
	return newSource(f, name), nil
}

// openRecording opens the file to record to and leaves what is in it, since what
// there is still to wait for may fail. The file is nil if there is no name.
func openRecording(name string) (*os.File, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && !info.Mode().IsRegular() {
		f.Close()
		return nil, &fs.PathError{Op: "record", Path: name, Err: errors.New("not a regular file")}
	}
	return f, nil
}

// emptyRecording makes room for the stream of src.
func emptyRecording(f *os.File, src *source) error {
	if f == nil {
		return nil
	}
	if in, ok := src.r.(*os.File); ok {
		a, aErr := in.Stat()
		b, bErr := f.Stat()
		if aErr == nil && bErr == nil && os.SameFile(a, b) {
			return &fs.PathError{Op: "record", Path: f.Name(), Err: errors.New("it is the source")}
		}
	}
	return f.Truncate(0)
}
