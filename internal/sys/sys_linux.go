package sys

import "golang.org/x/sys/unix"

// Supported says that the calls of this package exist on this system.
const Supported = true

// The timeouts of a socket.
const (
	ReceiveTimeout = unix.SO_RCVTIMEO
	SendTimeout    = unix.SO_SNDTIMEO
)

// Splice moves at most n bytes from in to out by splice(2). offIn and offOut are
// nil for the descriptors' own positions.
func (s *Calls) Splice(in int, offIn *int64, out int, offOut *int64, n int) (int, error) {
	return s.do(Call{"splice", in, out, n}, func(n int) (int, error) {
		m, err := unix.Splice(in, offIn, out, offOut, n, SpliceNonblock)
		return int(m), err
	})
}

// Tee duplicates at most n bytes of the pipe in into the pipe out by tee(2).
func (s *Calls) Tee(in, out, n int) (int, error) {
	return s.do(Call{"tee", in, out, n}, func(n int) (int, error) {
		m, err := unix.Tee(in, out, n, SpliceNonblock)
		return int(m), err
	})
}

// RawSplice is Splice between a pipe and a socket without telling the scheduler. The
// caller makes sure that the call does not sleep. EINTR is returned: only a call that
// slept can be interrupted. Tests see it as "raw splice".
func (s *Calls) RawSplice(in, out, n int) (int, error) {
	var interrupted bool
	m, err := s.do(Call{"raw splice", in, out, n}, func(n int) (int, error) {
		m, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(in), 0, uintptr(out), 0, uintptr(n), SpliceNonblock)
		if errno == unix.EINTR {
			interrupted = true
			return 0, nil
		}
		if errno != 0 {
			return 0, errno
		}
		return int(m), nil
	})
	if interrupted {
		err = unix.EINTR
	}
	return m, err
}

// Timeout returns the seconds of a socket's ReceiveTimeout or SendTimeout, 0 if it
// has none; one of less than a second counts as one.
func (s *Calls) Timeout(fd, option int) (int, error) {
	return s.do(Call{"getsockopt", fd, -1, 0}, func(int) (int, error) {
		tv, err := unix.GetsockoptTimeval(fd, unix.SOL_SOCKET, option)
		if err != nil {
			return 0, err
		}
		if tv.Sec == 0 && tv.Usec > 0 {
			return 1, nil
		}
		return int(tv.Sec), nil
	})
}

// SetTimeout sets a socket's ReceiveTimeout or SendTimeout.
func (s *Calls) SetTimeout(fd, option, seconds int) error {
	tv := unix.NsecToTimeval(int64(seconds) * 1e9)
	_, err := s.do(Call{"setsockopt", fd, -1, seconds}, func(int) (int, error) {
		return 0, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv)
	})
	return err
}

// ReceiveLowWater returns SO_RCVLOWAT.
func (s *Calls) ReceiveLowWater(fd int) (int, error) {
	return s.do(Call{"getsockopt", fd, -1, 0}, func(int) (int, error) {
		return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT)
	})
}

// SetReceiveLowWater sets SO_RCVLOWAT.
func (s *Calls) SetReceiveLowWater(fd, n int) error {
	_, err := s.do(Call{"SO_RCVLOWAT", fd, -1, n}, func(n int) (int, error) {
		return 0, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVLOWAT, n)
	})
	return err
}

// ReceiveBuffer returns SO_RCVBUF.
func (s *Calls) ReceiveBuffer(fd int) (int, error) {
	return s.do(Call{"getsockopt", fd, -1, 0}, func(int) (int, error) {
		return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	})
}

// Sendfile moves at most n bytes from the file in to out by sendfile(2). off is
// nil for the file's own position.
func (s *Calls) Sendfile(out, in int, off *int64, n int) (int, error) {
	return s.do(Call{"sendfile", in, out, n}, func(n int) (int, error) {
		return unix.Sendfile(out, in, off, n)
	})
}

// CopyFileRange moves at most n bytes from in to out by copy_file_range(2).
func (s *Calls) CopyFileRange(in int, offIn *int64, out int, n int) (int, error) {
	return s.do(Call{"copy_file_range", in, out, n}, func(n int) (int, error) {
		return unix.CopyFileRange(in, offIn, out, nil, n, 0)
	})
}

// Read is read(2).
func (s *Calls) Read(fd int, p []byte) (int, error) {
	return s.do(Call{"read", fd, -1, len(p)}, func(n int) (int, error) { return unix.Read(fd, p[:n]) })
}

// Write is write(2).
func (s *Calls) Write(fd int, p []byte) (int, error) {
	return s.do(Call{"write", -1, fd, len(p)}, func(n int) (int, error) { return unix.Write(fd, p[:n]) })
}

// Pread is pread(2).
func (s *Calls) Pread(fd int, p []byte, off int64) (int, error) {
	return s.do(Call{"pread64", fd, -1, len(p)}, func(n int) (int, error) { return unix.Pread(fd, p[:n], off) })
}

// Poll asks poll(2), without waiting, which of Readable and Writable fd is now.
// An error condition counts as both, so that the next call reports it.
func (s *Calls) Poll(fd int) (int, error) {
	return s.do(Call{"poll", fd, -1, 0}, func(int) (int, error) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN | unix.POLLOUT | unix.POLLRDHUP}}
		if _, err := unix.Poll(p, 0); err != nil {
			return 0, err
		}
		ready := 0
		if p[0].Revents&(unix.POLLIN|unix.POLLHUP|unix.POLLERR|unix.POLLRDHUP|unix.POLLNVAL) != 0 {
			ready |= Readable
		}
		if p[0].Revents&(unix.POLLOUT|unix.POLLERR|unix.POLLNVAL) != 0 {
			ready |= Writable
		}
		if p[0].Revents&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			ready |= Hung
		}
		return ready, nil
	})
}

// Pipe makes a pipe that is nonblocking and close-on-exec from birth (H10).
func (s *Calls) Pipe() (r, w int, err error) {
	var p [2]int
	_, err = s.do(Call{"pipe2", -1, -1, 0}, func(int) (int, error) {
		return 0, unix.Pipe2(p[:], unix.O_NONBLOCK|unix.O_CLOEXEC)
	})
	return p[0], p[1], err
}

// SetPipeSize asks for a pipe of n bytes by F_SETPIPE_SZ and returns its size.
func (s *Calls) SetPipeSize(fd, n int) (int, error) {
	return s.do(Call{"F_SETPIPE_SZ", fd, -1, n}, func(n int) (int, error) {
		return unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, n)
	})
}

// PipeSize returns the size of a pipe by F_GETPIPE_SZ.
func (s *Calls) PipeSize(fd int) (int, error) {
	return s.do(Call{"F_GETPIPE_SZ", fd, -1, 0}, func(int) (int, error) {
		return unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
	})
}

// Buffered returns how many bytes can be read from a pipe or socket now, by FIONREAD.
func (s *Calls) Buffered(fd int) (int, error) {
	return s.do(Call{"FIONREAD", fd, -1, 0}, func(int) (int, error) { return unix.IoctlGetInt(fd, unix.TIOCINQ) })
}

// Outgoing returns how many bytes a socket has sent and its peer has not acknowledged (tcp(7)) or
// not read (unix(7)), those that wait to be sent included: SIOCOUTQ.
func (s *Calls) Outgoing(fd int) (int, error) {
	return s.do(Call{"SIOCOUTQ", fd, -1, 0}, func(int) (int, error) { return unix.IoctlGetInt(fd, unix.SIOCOUTQ) })
}

// Flags returns F_GETFL.
func (s *Calls) Flags(fd int) (int, error) {
	return s.do(Call{"F_GETFL", fd, -1, 0}, func(int) (int, error) {
		return unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	})
}

// Fstat is fstat(2).
func (s *Calls) Fstat(fd int) (Stat, error) {
	var st unix.Stat_t
	_, err := s.do(Call{"fstat", fd, -1, 0}, func(int) (int, error) { return 0, unix.Fstat(fd, &st) })
	return Stat{Mode: st.Mode, Dev: uint64(st.Dev), Ino: st.Ino, Rdev: uint64(st.Rdev), Size: st.Size}, err
}

// FSType returns the magic number of the filesystem that fd is on, by fstatfs(2).
func (s *Calls) FSType(fd int) (int64, error) {
	var st unix.Statfs_t
	_, err := s.do(Call{"fstatfs", fd, -1, 0}, func(int) (int, error) { return 0, unix.Fstatfs(fd, &st) })
	return int64(st.Type), err
}

// Socket returns SO_DOMAIN and SO_TYPE.
func (s *Calls) Socket(fd int) (family, typ int, err error) {
	family, err = s.do(Call{"SO_DOMAIN", fd, -1, 0}, func(int) (int, error) {
		return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	})
	if err != nil {
		return 0, 0, err
	}
	typ, err = s.do(Call{"SO_TYPE", fd, -1, 0}, func(int) (int, error) {
		return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	})
	return family, typ, err
}

// PeekEnd reports whether the socket's stream is at its end now, by a peek that
// neither waits nor consumes. A peek takes a pending error away, which a socket
// tells once, so poll(2) has to speak of an end, and of no error, first.
func (s *Calls) PeekEnd(fd int) (bool, error) {
	var b [1]byte
	n, err := s.do(Call{"recv", fd, -1, 1}, func(int) (int, error) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if _, err := unix.Poll(p, 0); err != nil || p[0].Revents&unix.POLLRDHUP == 0 || p[0].Revents&unix.POLLERR != 0 {
			return 1, err
		}
		n, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return n, err
	})
	return n == 0 && err == nil, err
}

// Seek is lseek(2) relative to the current position.
func (s *Calls) Seek(fd int, by int64) error {
	_, err := s.do(Call{"lseek", fd, -1, 0}, func(int) (int, error) {
		_, err := unix.Seek(fd, by, 1)
		return 0, err
	})
	return err
}

// PipePrivileged reports whether the process has a capability with which the limits
// of pipe(7) do not bind it, CAP_SYS_RESOURCE or CAP_SYS_ADMIN, as capget(2) has it.
func PipePrivileged() bool {
	var data [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	err := unix.Capget(&head, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_RESOURCE|1<<unix.CAP_SYS_ADMIN) != 0
}

// Close is close(2); on Linux the descriptor is gone whatever it returns.
func Close(fd int) { unix.Close(fd) }
