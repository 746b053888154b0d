// Package engine moves bytes between two descriptors, one mechanism a file and
// one chunk a call. It alone calls RawConn.Read and RawConn.Write.
//
// The rules it keeps:
//
//   - A mechanism that reports handled == false has consumed nothing in that call.
//   - It never waits on one descriptor while holding another; the private pipe is
//     exempt. Only RawConn waits, so Close and deadlines end every wait; or it naps for a
//     moment and asks RawConn again (msgzerocopy.go).
//   - It tells RawConn "not ready" only after EAGAIN, or where another event is certain to
//     follow, the completion of what is lent (msgzerocopy.go); and on the source only after
//     EAGAIN from a plain read: splice says EAGAIN and 0 where bytes are (H01).
package engine

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A Kind is what a descriptor is, by fstat(2) and SO_TYPE.
type Kind uint8

const (
	None    Kind = iota // not a descriptor that detection found
	File                // regular file, memfd
	Block               // block device
	Pipe                // pipe or FIFO
	TCP                 // TCP or MPTCP over IPv4 or IPv6
	Unix                // unix stream socket
	TTY                 // terminal or pseudo-terminal
	Null                // /dev/null
	Zero                // /dev/zero
	Device              // any other character device
	Message             // a socket that is not a stream of those above
	Other               // a directory, and what is none of these
)

var kindNames = [...]string{"none", "file", "block", "pipe", "tcp", "unix", "tty", "null", "zero", "device", "message", "other"}

// String returns the word that a route has for k.
func (k Kind) String() string { return kindNames[k] }

// Socket reports whether k is a stream socket.
func (k Kind) Socket() bool { return k == TCP || k == Unix }

// Stored reports whether bytes of k are always there to be read, without waiting.
func (k Kind) Stored() bool { return k == File || k == Block || k == Zero }

// An End is one descriptor of a copy, with its owner. Exactly one of File and
// Conn is not nil, unless Kind is None.
type End struct {
	Kind     Kind
	Flags    int // F_GETFL; of a source that is Stored 0; of a Conn what net gives it, until Ask
	Raw      syscall.RawConn
	File     *os.File
	Conn     net.Conn
	Dev, Ino uint64 // of a File
	Size     int64  // of a regular file, when it was inspected
	// Section says that the source is read at Off and its own position left alone.
	Section bool
	Off     int64
}

// Inspect finds out what v is, an *os.File, *net.TCPConn or *net.UnixConn. ok is
// false for any other type, for nil, and for a descriptor that is closed. The Flags
// of a source that never waits are not asked for, since a read will tell whether it
// is open for reading; nor those of a Conn, which matter only to the mechanisms:
// see Ask.
func Inspect(calls *sys.Calls, v any, source bool) (e End, ok bool) {
	var err error
	switch v := v.(type) {
	case *os.File:
		if v == nil {
			return e, false
		}
		e.File = v
		e.Raw, err = v.SyscallConn()
	case *net.TCPConn:
		if v == nil {
			return e, false
		}
		e.Conn, e.Kind = v, TCP
		e.Raw, err = v.SyscallConn()
	case *net.UnixConn:
		if v == nil || v.LocalAddr() == nil {
			return e, false
		}
		e.Conn, e.Kind = v, Unix
		if v.LocalAddr().Network() != "unix" {
			e.Kind = Message
		}
		e.Raw, err = v.SyscallConn()
	default:
		return e, false
	}
	if err != nil {
		return End{}, false
	}
	q := inquiries.Get().(*inquiry)
	q.calls, q.source, q.end = calls, source, e
	err = e.Raw.Control(q.ask)
	if e = q.end; err == nil {
		err = q.err
	}
	q.reset()
	if err != nil || e.Kind == None {
		return End{}, false
	}
	return e, true
}

// An inquiry is the question that Inspect puts to one descriptor, kept for the
// next: its callback would be an allocation each time.
type inquiry struct {
	calls  *sys.Calls
	source bool
	flags  bool // of a Conn, too
	end    End
	err    error
	ask    func(fd uintptr)
}

var inquiries = sync.Pool{New: func() any {
	q := new(inquiry)
	q.ask = func(fd uintptr) {
		if q.end.File != nil {
			q.err = q.end.stat(q.calls, int(fd))
		}
		switch {
		case q.err != nil || q.source && q.end.Kind.Stored():
		case q.end.Conn != nil && !q.flags:
			q.end.Flags = sys.Nonblock
		default:
			q.end.Flags, q.err = q.calls.Flags(int(fd))
		}
	}
	return q
}}

// Ask finds out the Flags of a Conn, whose description may have been put into
// blocking mode by whoever shares it (H35). changed reports that they are not what
// they were taken for.
func (e *End) Ask(calls *sys.Calls) (changed bool) {
	if e.Conn == nil {
		return false
	}
	before := e.Flags
	q := inquiries.Get().(*inquiry)
	q.calls, q.flags, q.end = calls, true, *e
	if e.Raw.Control(q.ask) == nil && q.err == nil {
		e.Flags = q.end.Flags
	}
	q.reset()
	return (e.Flags^before)&(sys.Nonblock|sys.Append) != 0
}

// reset makes q ready for the next question.
func (q *inquiry) reset() {
	q.calls, q.source, q.flags, q.end, q.err = nil, false, false, End{}, nil
	inquiries.Put(q)
}

// stat fills in what fstat(2) says of an *os.File.
func (e *End) stat(calls *sys.Calls, fd int) error {
	st, err := calls.Fstat(fd)
	if err != nil {
		return err
	}
	e.Dev, e.Ino, e.Size = st.Dev, st.Ino, st.Size
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		e.Kind = File
	case syscall.S_IFBLK:
		e.Kind = Block
	case syscall.S_IFIFO:
		e.Kind = Pipe
	case syscall.S_IFCHR:
		e.Kind = device(st.Rdev)
	case syscall.S_IFSOCK:
		family, typ, err := calls.Socket(fd)
		switch {
		case err != nil:
			return err
		case typ != sys.Stream:
			e.Kind = Message
		case family == sys.FamilyInet || family == sys.FamilyInet6:
			e.Kind = TCP
		case family == sys.FamilyUnix:
			e.Kind = Unix
		default:
			e.Kind = Message
		}
	default:
		e.Kind = Other
	}
	return nil
}

// device tells character devices apart by their numbers, which are fixed by the
// kernel's Documentation/admin-guide/devices.txt.
func device(rdev uint64) Kind {
	major, minor := rdev>>8&0xfff|rdev>>32&^0xfff, rdev&0xff|rdev>>12&^0xff
	switch {
	case major == 1 && minor == 3:
		return Null
	case major == 1 && minor == 5:
		return Zero
	case major == 4, major == 5, major >= 136 && major <= 143:
		return TTY
	}
	return Device
}

// Known reports whether e is a descriptor at all.
func (e *End) Known() bool { return e.Kind != None }

// FSType returns the magic number of the filesystem that e is on, 0 if unknown.
func (e *End) FSType(calls *sys.Calls) (magic int64) {
	e.Raw.Control(func(fd uintptr) { magic, _ = calls.FSType(int(fd)) })
	return magic
}

// Unchanging reports whether e is a file whose content can neither change nor be cut: a
// memfd that is sealed.
func (e *End) Unchanging(calls *sys.Calls) (sealed bool) {
	if e.Kind == File && e.Raw != nil {
		e.Raw.Control(func(fd uintptr) { sealed = calls.Unchanging(int(fd)) })
	}
	return sealed
}

// Pollable reports whether a call on e that finds it not ready says EAGAIN and
// the runtime's poller can wait for it.
func (e *End) Pollable() bool {
	switch e.Kind {
	case Pipe, TCP, Unix, TTY:
		return e.Flags&sys.Nonblock != 0
	}
	return false
}

// Same reports whether a and b are the same file or the same pipe.
func Same(a, b *End) bool {
	return a.Kind == b.Kind && (a.Kind == File || a.Kind == Block || a.Kind == Pipe) && a.Ino == b.Ino && a.Dev == b.Dev
}

// refusals are the answers by which a kernel, a filesystem or a seccomp filter
// declines a mechanism and not the bytes: nothing was consumed, and read and
// write may still do.
func refusal(err error) bool {
	switch err {
	case syscall.EINVAL, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EPERM, syscall.EACCES,
		syscall.EBADF, syscall.EXDEV, syscall.ESPIPE, syscall.ENOMEM:
		return true
	}
	return false
}

// refused says what becomes of the errno of a mechanism that could have come from
// e. A file is asked again by the buffered copy, whose plain read or write then
// has the file's own error. A socket, also one that is an *os.File, forgets an
// error that it has told once, and would say end of file next, so only a refusal
// is handed on (H30), and EPIPE, which it repeats: a Write to an *os.File that is
// standard output has to see it (H06).
func (e *End) refused(err error) bool {
	return !e.Kind.Socket() || refusal(err) || e.File != nil && err == syscall.EPIPE
}

// Fail dresses the error of an operation on e as os or net would have: op is
// "read" or "write", call is the system call that gave errno.
func (e *End) Fail(op, call string, err error) error {
	var errno syscall.Errno
	if e.Conn != nil {
		var failed *net.OpError
		switch {
		case errors.As(err, &failed): // RawConn's own, named raw-read or raw-write
			relabelled := *failed
			relabelled.Op = op
			return &relabelled
		case errors.As(err, &errno):
			err = os.NewSyscallError(call, errno)
		}
		addr := e.Conn.LocalAddr()
		network := ""
		if addr != nil {
			network = addr.Network()
		}
		return &net.OpError{Op: op, Net: network, Source: addr, Addr: e.Conn.RemoteAddr(), Err: err}
	}
	switch {
	case errors.As(err, &errno):
		err = os.NewSyscallError(call, errno)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, os.ErrClosed):
	case e.Raw.Control(func(uintptr) {}) != nil:
		// What RawConn says of a closed file is not os.ErrClosed (H38).
		err = os.ErrClosed
	default:
		// RawConn cannot wait for a file that the poller does not have and says
		// so with a new error each time. io.Copy reports the EAGAIN before it.
		err = os.NewSyscallError(call, syscall.EAGAIN)
	}
	return &fs.PathError{Op: op, Path: e.File.Name(), Err: err}
}
