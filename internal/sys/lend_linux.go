package sys

import (
	"math"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What lending user memory to the kernel takes: vmsplice(2), MSG_ZEROCOPY and the
// memory itself.

// Vmsplice lends p to the pipe out by vmsplice(2). It waits for a slot only if wait is
// set: whether the pipe is in nonblocking mode does not matter to the call.
func (s *Calls) Vmsplice(out int, p []byte, wait bool) (int, error) {
	flags := SpliceNonblock
	if wait {
		flags = 0
	}
	return s.do(Call{"vmsplice", -1, out, len(p)}, func(n int) (int, error) {
		return vmsplice(out, p[:n], flags)
	})
}

// Unread reports whether nobody can read what is written to the pipe out, by poll(2).
func (s *Calls) Unread(out int) (bool, error) {
	n, err := s.do(Call{"poll", -1, out, 0}, func(int) (int, error) {
		p := []unix.PollFd{{Fd: int32(out)}}
		if _, err := unix.Poll(p, 0); err != nil {
			return 0, err
		}
		return int(p[0].Revents & unix.POLLERR), nil
	})
	return n != 0, err
}

// VmspliceRead takes what is in the pipe in, at most len(p) bytes, into p by
// vmsplice(2). It does not wait.
func (s *Calls) VmspliceRead(in int, p []byte) (int, error) {
	return s.do(Call{"vmsplice", in, -1, len(p)}, func(n int) (int, error) {
		return vmsplice(in, p[:n], SpliceNonblock)
	})
}

func vmsplice(fd int, p []byte, flags int) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	iov := unix.Iovec{Base: &p[0]}
	iov.SetLen(len(p))
	n, _, errno := unix.Syscall6(unix.SYS_VMSPLICE, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1, uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Send is send(2) without waiting, with MSG_ZEROCOPY if lend is set: then the kernel
// holds p until a [Completion] says otherwise.
func (s *Calls) Send(out int, p []byte, lend bool) (int, error) {
	name, flags := "send", unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL
	if lend {
		name, flags = "send zerocopy", flags|unix.MSG_ZEROCOPY
	}
	return s.do(Call{name, -1, out, len(p)}, func(n int) (int, error) {
		if n == 0 {
			return 0, nil
		}
		m, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(out), uintptr(unsafe.Pointer(&p[0])), uintptr(n), uintptr(flags), 0, 0)
		if errno != 0 {
			return 0, errno
		}
		return int(m), nil
	})
}

// extendedErr is struct sock_extended_err of linux/errqueue.h.
type extendedErr struct {
	errno                   uint32
	origin, typ, code, pad_ uint8
	info, data              uint32
}

// The words of linux/errqueue.h.
const (
	originZerocopy     = 5 // SO_EE_ORIGIN_ZEROCOPY
	codeZerocopyCopied = 1 // SO_EE_CODE_ZEROCOPY_COPIED
)

// Completion takes one message from the error queue of a socket, which never waits:
// EAGAIN says that it is empty. ok is false if the message was about something else.
func (s *Calls) Completion(fd int) (c Completion, ok bool, err error) {
	if s != nil && s.Complete != nil {
		return s.Complete(fd)
	}
	_, err = s.do(Call{"recv error", fd, -1, 0}, func(int) (int, error) {
		// 8-aligned, with room for a timestamp beside the notification and the address
		// that follows it.
		var oob [32]uint64
		msg := unix.Msghdr{Control: (*byte)(unsafe.Pointer(&oob))}
		msg.SetControllen(int(unsafe.Sizeof(oob)))
		_, _, errno := unix.Syscall(unix.SYS_RECVMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		if errno != 0 {
			return 0, errno
		}
		left := min(int(msg.Controllen), int(unsafe.Sizeof(oob)))
		b := unsafe.Slice((*byte)(unsafe.Pointer(&oob)), left)
		for len(b) >= unix.SizeofCmsghdr {
			h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
			size := int(h.Len)
			if size < unix.SizeofCmsghdr || size > len(b) {
				break
			}
			if (h.Level == unix.SOL_IP && h.Type == unix.IP_RECVERR || h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_RECVERR) &&
				size >= unix.CmsgLen(int(unsafe.Sizeof(extendedErr{}))) {
				e := (*extendedErr)(unsafe.Pointer(&b[unix.CmsgLen(0)]))
				if e.errno == 0 && e.origin == originZerocopy {
					c = Completion{First: e.info, Last: e.data, Copied: e.code&codeZerocopyCopied != 0}
					ok = true
				}
			}
			b = b[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(b)):]
		}
		return 0, nil
	})
	return c, ok, err
}

// SendMemory returns how many bytes the memory of a socket's send queue may have, as it
// is now, and how many it has, by SO_MEMINFO.
func (s *Calls) SendMemory(fd int) (most, queued int, err error) {
	var info [unix.SK_MEMINFO_VARS]uint32
	_, err = s.do(Call{"SO_MEMINFO", fd, -1, 0}, func(int) (int, error) {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno != 0 {
			return 0, errno
		}
		return 0, nil
	})
	return int(info[unix.SK_MEMINFO_SNDBUF]), int(info[unix.SK_MEMINFO_WMEM_QUEUED]), err
}

// NotSentLowWater returns how many bytes that were not sent make a TCP socket count as not
// writable, TCP_NOTSENT_LOWAT or the sysctl behind it; math.MaxUint32 is that none do.
func (s *Calls) NotSentLowWater(fd int) (uint32, error) {
	n, err := s.do(Call{"TCP_NOTSENT_LOWAT", fd, -1, 0}, func(int) (int, error) {
		return unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
	})
	if err != nil || n != 0 {
		return uint32(n), err
	}
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_notsent_lowat")
	if err != nil {
		return math.MaxUint32, nil // no /proc: nobody has set it by that
	}
	mark, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return math.MaxUint32, nil
	}
	return uint32(mark), nil
}

// Zerocopy reports whether SO_ZEROCOPY is set on a socket.
func (s *Calls) Zerocopy(fd int) (bool, error) {
	n, err := s.do(Call{"SO_ZEROCOPY?", fd, -1, 0}, func(int) (int, error) {
		return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY)
	})
	return n != 0, err
}

// SetZerocopy sets SO_ZEROCOPY, without which MSG_ZEROCOPY is ignored.
func (s *Calls) SetZerocopy(fd int) error {
	_, err := s.do(Call{"SO_ZEROCOPY", fd, -1, 1}, func(n int) (int, error) {
		return 0, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ZEROCOPY, n)
	})
	return err
}

// Cookie returns SO_COOKIE, the number that no other socket of the system ever has.
func (s *Calls) Cookie(fd int) (c uint64, err error) {
	_, err = s.do(Call{"SO_COOKIE", fd, -1, 0}, func(int) (int, error) {
		c, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
		return 0, err
	})
	return c, err
}

// Map returns n bytes of fresh page memory, outside of the Go heap, and the mapping that
// they are in, for [Unmap]. With huge they begin at a multiple of HugePage, and the kernel
// is asked for such pages, by madvise(2): where it has none they are ordinary ones.
func (s *Calls) Map(n int, huge bool) (p, mapping []byte, err error) {
	more := 0
	if huge {
		more = HugePage
	}
	_, err = s.do(Call{"mmap", -1, -1, n + more}, func(n int) (int, error) {
		mapping, err = unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		return 0, err
	})
	if err != nil || !huge {
		return mapping, mapping, err
	}
	skip := -int(uintptr(unsafe.Pointer(&mapping[0]))) & (HugePage - 1)
	p = mapping[skip : skip+n : skip+n]
	unix.Madvise(p, unix.MADV_HUGEPAGE) // ordinary pages do as well
	return p, mapping, nil
}

// Unmap gives a mapping back. Pages that the kernel was lent stay intact until it is done
// with them.
func Unmap(mapping []byte) { unix.Munmap(mapping) }

// Drop has the kernel take the pages of p out of the process: p is fresh memory then, and
// whoever else holds the old pages keeps them as they are.
func (s *Calls) Drop(p []byte) error {
	_, err := s.do(Call{"madvise", -1, -1, len(p)}, func(int) (int, error) {
		return 0, unix.Madvise(p, unix.MADV_DONTNEED)
	})
	return err
}

// PageFaults returns how many page faults of the process took no input or output, by
// getrusage(2).
func PageFaults() int64 {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return int64(usage.Minflt)
}

// Protect makes p read-only, or writable again.
func (s *Calls) Protect(p []byte, readOnly bool) error {
	prot := unix.PROT_READ
	if !readOnly {
		prot |= unix.PROT_WRITE
	}
	_, err := s.do(Call{"mprotect", -1, -1, len(p)}, func(int) (int, error) { return 0, unix.Mprotect(p, prot) })
	return err
}

// Sealed makes a memfd with the content that fill writes into its n bytes, and seals it:
// nobody can change or cut it from then on. p is its content, read-only.
func (s *Calls) Sealed(name string, n int, fill func(p []byte) error) (fd int, p []byte, err error) {
	fd, err = s.do(Call{"memfd_create", -1, -1, n}, func(int) (int, error) {
		const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
		fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
		if err == unix.EINVAL { // before Linux 6.3
			fd, err = unix.MemfdCreate(name, flags)
		}
		return fd, err
	})
	if err != nil {
		return -1, nil, err
	}
	defer func() {
		if p == nil { // fill may panic
			unix.Close(fd)
			fd = -1
		}
	}()
	if err = s.seal(fd, n, fill); err == nil {
		// Private, since before Linux 6.7 a shared mapping counts as one that writes.
		p, err = unix.Mmap(fd, 0, n, unix.PROT_READ, unix.MAP_PRIVATE)
	}
	return fd, p, err
}

func (s *Calls) seal(fd, n int, fill func(p []byte) error) error {
	if err := unix.Ftruncate(fd, int64(n)); err != nil {
		return err
	}
	w, err := unix.Mmap(fd, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	func() {
		defer unix.Munmap(w) // or it could not be sealed
		err = fill(w)
	}()
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	return err
}

// Unchanging reports whether a file is sealed so that its content can neither change nor
// be cut, see F_GET_SEALS of fcntl(2). Only a memfd can be.
func (s *Calls) Unchanging(fd int) bool {
	seals, err := s.do(Call{"F_GET_SEALS", fd, -1, 0}, func(int) (int, error) {
		return unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	})
	const enough = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK
	return err == nil && seals&enough == enough
}
