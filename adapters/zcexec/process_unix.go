//go:build unix

package zcexec

import (
	"errors"
	"os"
	"os/exec"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// diedOfPipe reports whether err is of a process that SIGPIPE has ended.
func diedOfPipe(err error) bool {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return false
	}
	s, ok := e.Sys().(syscall.WaitStatus)
	return ok && s.Signaled() && s.Signal() == syscall.SIGPIPE
}

// nonblocking reports whether f is so. Package net makes its sockets so, and where that
// cannot be asked they are.
func nonblocking(f *os.File) bool {
	is := true
	onDescriptor(f, func(fd int) error {
		if flags, err := (*sys.Calls)(nil).Flags(fd); err == nil {
			is = flags&syscall.O_NONBLOCK != 0
		}
		return nil
	})
	return is
}

// setNonblock makes f so.
func setNonblock(f *os.File) error {
	return onDescriptor(f, func(fd int) error {
		return os.NewSyscallError("fcntl", syscall.SetNonblock(fd, true))
	})
}

func onDescriptor(f *os.File, do func(fd int) error) (err error) {
	rc, err := f.SyscallConn() // Fd would make it blocking
	if err != nil {
		return err
	}
	if cerr := rc.Control(func(fd uintptr) { err = do(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}
