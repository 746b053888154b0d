package engine

import (
	"errors"
	"os"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// What a pipe that is an *os.File holds and can hold.

// PipeFiles returns the ends of a *zerocopy.Pipe, which the packages beside the root may
// use as it does itself; of any other value nil. The root sets it.
var PipeFiles func(v any) (r, w *os.File)

// PipeBuffered returns how many bytes are in the pipe, 0 if f is closed.
func PipeBuffered(f *os.File) (n int) {
	control(f, func(fd int) (err error) {
		n, err = (*sys.Calls)(nil).Buffered(fd)
		return err
	})
	return n
}

// PipeSize returns the capacity of the pipe, by the end that is open.
func PipeSize(r, w *os.File) (n int, err error) {
	ask := func(fd int) (err error) {
		n, err = (*sys.Calls)(nil).PipeSize(fd)
		return err
	}
	if err = control(r, ask); err != nil {
		err = control(w, ask)
	}
	return n, err
}

// SetPipeSize changes the capacity of the pipe and returns what it is now.
func SetPipeSize(r, w *os.File, size int) (n int, err error) {
	set := func(fd int) (err error) {
		n, err = (*sys.Calls)(nil).SetPipeSize(fd, size)
		return err
	}
	if err = control(w, set); errors.Is(err, os.ErrClosed) {
		err = control(r, set)
	}
	return n, err
}

// control runs f on the descriptor of file. Its errno comes back as os has it.
func control(file *os.File, f func(fd int) error) error {
	if !sys.Supported {
		return errors.ErrUnsupported
	}
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { errno = f(int(fd)) }); err != nil {
		return closed("fcntl", file)
	}
	if errno == nil {
		return nil
	}
	var no syscall.Errno
	if errors.As(errno, &no) {
		errno = os.NewSyscallError("fcntl", no)
	}
	return &os.PathError{Op: "fcntl", Path: file.Name(), Err: errno}
}
