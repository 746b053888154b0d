package zcexec

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/bothends"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// The goroutines of os/exec copy between a pipe and somebody else. A copy that waits for
// the other one does not see what becomes of the pipe. So a second goroutine waits in the
// direction that the pipe's end does not have: no copy takes the lock of that one, and
// the poller tells it of errors and of Close.

// errClosed is why a copy ended whose pipe was closed, by WaitDelay.
var errClosed = errors.New("zcexec: the pipe was closed by WaitDelay")

// A pipeEnd is one of os/exec's: an *os.File, or what hides its WriteTo.
type pipeEnd interface {
	syscall.Conn
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// untilClosed returns a context that ends when the end r for reading is closed. end ends
// the watch and waits for it.
func untilClosed(r io.Reader) (ctx context.Context, end func()) {
	p, ok := r.(pipeEnd)
	if !ok || p.SetWriteDeadline(time.Time{}) != nil { // it cannot be waited for
		return background()
	}
	return watch(func(rc syscall.RawConn) error {
		// The end of the writers wakes it, too, and says nothing: there may be bytes.
		return rc.Write(func(uintptr) bool { return false })
	}, p, p.SetWriteDeadline)
}

// untilUnread returns a context that ends when the end w for writing is closed, or when
// there is no end for reading any more. end is as in untilClosed.
func untilUnread(w io.Writer) (ctx context.Context, end func()) {
	p, ok := w.(pipeEnd)
	if !ok || p.SetReadDeadline(time.Time{}) != nil {
		return background()
	}
	return watch(func(rc syscall.RawConn) error {
		return rc.Read(func(fd uintptr) bool {
			// An end for writing is readable by POLLERR alone: pipe(7).
			ready, err := (*sys.Calls)(nil).Poll(int(fd))
			return err != nil || ready&sys.Readable != 0
		})
	}, p, p.SetReadDeadline)
}

// watch runs wait in a goroutine. It ends the context, with errHungUp if wait found
// something and with errClosed if it failed, unless expire ended it first. The deadlines by
// which a copy is ended are cleared afterwards: both ends may go on to be used.
func watch(wait func(syscall.RawConn) error, p pipeEnd, expire func(time.Time) error) (ctx context.Context, end func()) {
	rc, err := p.SyscallConn()
	if err != nil {
		return background()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	var ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		switch err := wait(rc); {
		case ended.Load():
		case err != nil:
			cancel(&bothends.Passing{Err: errClosed})
		default:
			cancel(&bothends.Passing{Err: errHungUp})
		}
	}()
	return ctx, func() {
		ended.Store(true)
		expire(past)
		<-done
		cancel(nil)
	}
}

// unreadable reports whether the pipe whose end for writing w is has no end for reading.
func unreadable(w *os.File) (hung bool) {
	rc, err := w.SyscallConn()
	if err != nil {
		return true // closed meanwhile
	}
	err = rc.Control(func(fd uintptr) {
		ready, err := (*sys.Calls)(nil).Poll(int(fd))
		hung = err == nil && ready&sys.Hung != 0 // POLLERR: pipe(7)
	})
	return hung || err != nil
}

// leftIn returns what is in the pipe, of which w is the last end. /proc opens it once
// more, for reading.
func leftIn(w *os.File) []byte {
	rc, err := w.SyscallConn()
	if err != nil {
		return nil
	}
	var r *os.File
	n := 0
	cerr := rc.Control(func(fd uintptr) {
		if r, err = os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(fd)), os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
			n, _ = (*sys.Calls)(nil).Buffered(int(fd))
		}
	})
	if cerr != nil || err != nil {
		return nil
	}
	defer r.Close()
	left := make([]byte, n)
	n, _ = io.ReadFull(r, left)
	return left[:n:n]
}

// setPipeSize changes the capacity of the pipe whose end r is to n bytes, unless it has
// more, and reports whether it has.
func setPipeSize(r io.Reader, n int) (ok bool) {
	p, is := r.(syscall.Conn)
	if !is {
		return false
	}
	rc, err := p.SyscallConn()
	if err != nil {
		return false
	}
	rc.Control(func(fd uintptr) {
		var calls *sys.Calls
		if has, err := calls.PipeSize(int(fd)); err == nil && has < n {
			_, err = calls.SetPipeSize(int(fd), n)
			ok = err == nil
		}
	})
	return ok
}
