package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A naive sender sends with MSG_ZEROCOPY as the kernel's documentation shows it
// (Documentation/networking/msg_zerocopy.rst), without regard for what else uses
// the connection. It is what package pages is compared with, and shows what the
// kernel reports about a device.
type naive struct {
	raw syscall.RawConn

	Sends, Full    int // calls that sent something, calls that failed with ENOBUFS
	Ranges, Copied int // completions read, those of them with SO_EE_CODE_ZEROCOPY_COPIED
	Done           int // sends that the completions were about
	CopiedSends    int // those of them that were copied
}

func newNaive(c *net.TCPConn) (*naive, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = os.NewSyscallError("setsockopt SO_ZEROCOPY", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ZEROCOPY, 1))
	})
	return &naive{raw: raw}, errors.Join(err, failed)
}

// Write lends p to the kernel: it must not be changed before Wait has returned.
func (s *naive) Write(p []byte) (sent int, err error) {
	for sent < len(p) {
		var n int
		var failed error
		err := s.raw.Write(func(fd uintptr) bool {
			n, failed = unix.SendmsgN(int(fd), p[sent:], nil, nil, unix.MSG_ZEROCOPY|unix.MSG_DONTWAIT)
			return failed != unix.EAGAIN
		})
		switch {
		case err != nil:
			return sent, err
		case failed == unix.ENOBUFS:
			// The socket has as many completions outstanding as it may.
			s.Full++
			if err := s.reap(); err != nil {
				return sent, err
			}
			time.Sleep(time.Millisecond)
		case failed != nil:
			return sent, os.NewSyscallError("sendmsg", failed)
		default:
			s.Sends++
			sent += n
		}
	}
	return sent, nil
}

// Wait waits until the kernel has given back everything.
func (s *naive) Wait(limit time.Duration) error {
	for end := time.Now().Add(limit); s.Done < s.Sends; time.Sleep(time.Millisecond) {
		if err := s.reap(); err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d sends are completed after %v", s.Done, s.Sends, limit)
		}
	}
	return nil
}

// reap reads the completions that are there. The kernel joins those of sends in a row
// that are not yet read, whatever they say, and the first one's word is that of all
// (skb_zerocopy_notify_extend).
func (s *naive) reap() error {
	control := make([]byte, 128)
	var failed error
	err := s.raw.Control(func(fd uintptr) {
		for {
			var n int
			_, n, _, _, failed = unix.Recvmsg(int(fd), nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if failed == unix.EAGAIN {
				failed = nil
				return
			}
			if failed != nil {
				failed = os.NewSyscallError("recvmsg MSG_ERRQUEUE", failed)
				return
			}
			if failed = s.completions(control[:n]); failed != nil {
				return
			}
		}
	})
	return errors.Join(err, failed)
}

// completions counts what a control message reports: a struct sock_extended_err
// with the first and the last send of a range.
func (s *naive) completions(control []byte) error {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return err
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_IP || m.Header.Type != unix.IP_RECVERR || len(m.Data) < 16 {
			return fmt.Errorf("control message of level %d and type %d", m.Header.Level, m.Header.Type)
		}
		errno, origin, code := binary.NativeEndian.Uint32(m.Data), m.Data[4], m.Data[6]
		first, last := binary.NativeEndian.Uint32(m.Data[8:]), binary.NativeEndian.Uint32(m.Data[12:])
		if errno != 0 || origin != unix.SO_EE_ORIGIN_ZEROCOPY {
			return fmt.Errorf("error queue: errno %d, origin %d", errno, origin)
		}
		s.Ranges++
		s.Done += int(last - first + 1)
		if code&unix.SO_EE_CODE_ZEROCOPY_COPIED != 0 {
			s.Copied++
			s.CopiedSends += int(last - first + 1)
		}
	}
	return nil
}
