package ztest

import (
	"encoding/binary"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Numbers of the kernel's interface that package syscall does not have.
const (
	fionread      = 0x541b // also TIOCINQ and SIOCINQ
	siocoutq      = 0x5411
	tiocsptlck    = 0x40045431
	tiocgptn      = 0x80045430
	fSetpipeSz    = 1031
	pollIn        = 0x1
	pollOut       = 0x4
	pollErr       = 0x8
	pollHup       = 0x10
	bytesReceived = 128 // offset of tcpi_bytes_received in struct tcp_info
)

// control runs f on the descriptor of c, which stays open for as long.
func control(c syscall.Conn, f func(fd uintptr) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := rc.Control(func(fd uintptr) { ferr = f(fd) }); err != nil {
		return err
	}
	return ferr
}

func ioctl(fd, req uintptr, arg unsafe.Pointer) error {
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, req, uintptr(arg)); e != 0 {
		return os.NewSyscallError("ioctl", e)
	}
	return nil
}

// Queued is the number of bytes that can be read from the descriptor of c now.
// A terminal may have more on the way.
func Queued(c syscall.Conn) (n int, err error) {
	err = control(c, func(fd uintptr) error {
		var v int32
		err := ioctl(fd, fionread, unsafe.Pointer(&v))
		n = int(v)
		return err
	})
	return n, err
}

// Unsent is the number of bytes that the TCP connection c has sent and its peer's kernel has not
// acknowledged.
func Unsent(c syscall.Conn) (n int, err error) {
	err = control(c, func(fd uintptr) error {
		var v int32
		err := ioctl(fd, siocoutq, unsafe.Pointer(&v))
		n = int(v)
		return err
	})
	return n, err
}

// Poll asks poll(2) about the descriptor of c without waiting. readable and
// writable hold, too, where a call would not block but fail.
func Poll(c syscall.Conn) (readable, writable bool, err error) {
	err = control(c, func(fd uintptr) error {
		p := struct {
			fd              int32
			events, revents int16
		}{fd: int32(fd), events: pollIn | pollOut}
		for {
			now := syscall.Timespec{}
			// ppoll: poll is missing from the newer architectures.
			_, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1,
				uintptr(unsafe.Pointer(&now)), 0, 0, 0)
			if e == syscall.EINTR {
				continue
			}
			if e != 0 {
				return os.NewSyscallError("ppoll", e)
			}
			readable = p.revents&(pollIn|pollErr|pollHup) != 0
			writable = p.revents&(pollOut|pollErr) != 0
			return nil
		}
	})
	return readable, writable, err
}

// received is the number of bytes of the stream that have reached the TCP
// socket c in order, whether read yet or not.
func received(c syscall.Conn) (n int64, err error) {
	err = control(c, func(fd uintptr) error {
		var info [256]byte
		size := uint32(len(info))
		_, _, e := syscall.Syscall6(sysGetsockopt, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if e != 0 {
			return os.NewSyscallError("getsockopt", e)
		}
		if size < bytesReceived+8 {
			return fmt.Errorf("struct tcp_info of %d bytes has no tcpi_bytes_received", size)
		}
		n = int64(binary.NativeEndian.Uint64(info[bytesReceived:]))
		return nil
	})
	return n, err
}

// SetPipeSize sets the capacity of the pipe f (F_SETPIPE_SZ rounds it up to a
// power of two pages) and returns what it has become.
func SetPipeSize(f *os.File, n int) (size int, err error) {
	err = control(f, func(fd uintptr) error {
		r, _, e := syscall.Syscall(syscall.SYS_FCNTL, fd, fSetpipeSz, uintptr(n))
		if e != 0 {
			return os.NewSyscallError("fcntl", e)
		}
		size = int(r)
		return nil
	})
	return size, err
}

// SetNonblock sets or clears O_NONBLOCK on the open description of c behind the
// back of package os, as a child process or File.Fd can (hazard H35).
func SetNonblock(c syscall.Conn, on bool) error {
	return control(c, func(fd uintptr) error { return syscall.SetNonblock(int(fd), on) })
}

// SetAppend sets O_APPEND on the open description of c behind the back of package
// os (hazard H07).
func SetAppend(c syscall.Conn) error {
	return control(c, func(fd uintptr) error {
		flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_GETFL, 0)
		if e == 0 {
			_, _, e = syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETFL, flags|syscall.O_APPEND)
		}
		if e != 0 {
			return os.NewSyscallError("fcntl", e)
		}
		return nil
	})
}

// blocking returns a file of the same open description in blocking mode, as
// standard input often is: package os does not wait for it with epoll. f is
// closed.
func blocking(f *os.File) (*os.File, error) {
	var dup uintptr
	err := control(f, func(fd uintptr) error {
		r, _, e := syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_DUPFD_CLOEXEC, 0)
		if e != 0 {
			return os.NewSyscallError("fcntl", e)
		}
		dup = r
		return syscall.SetNonblock(int(dup), false)
	})
	name := f.Name()
	f.Close()
	if err != nil {
		return nil, err
	}
	return os.NewFile(dup, name), nil
}
