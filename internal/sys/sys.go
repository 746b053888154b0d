// Package sys holds the system calls of the project, one thin method a call,
// each retried on EINTR. It alone imports golang.org/x/sys. On systems other
// than Linux every call answers ENOSYS and Supported is false.
package sys

import "syscall"

// A Call is one system call about to be made, as [Calls.Intercept] sees it.
type Call struct {
	Name string // "splice", "sendfile", …, as in the man pages
	In   int    // the descriptor that bytes leave, or the only one
	Out  int    // the descriptor that bytes enter, or -1
	N    int    // how many bytes at most; an interceptor may lower it
}

// Calls is the kernel as one copy sees it. A nil *Calls is the kernel itself; a
// test puts its own answers in between.
type Calls struct {
	// Intercept is asked before each call. With done == true the call is not
	// made and has the result (n, err); EINTR is retried like the kernel's own.
	Intercept func(c *Call) (n int, err error, done bool)
	// Complete, if it is set, is asked in the place of a socket's error queue.
	Complete func(fd int) (c Completion, ok bool, err error)
}

// A Completion says that the sends First to Last, both included, are not held by the
// kernel any more. Sends with MSG_ZEROCOPY are counted from 0 as the socket is made,
// modulo 2³². Copied says that the bytes of at least one of them were copied after all.
type Completion struct {
	First, Last uint32
	Copied      bool
}

// HugePage is the size of a huge page, and the alignment of memory that may have some.
const HugePage = 2 << 20

// do makes call c by f, unless it is intercepted.
func (s *Calls) do(c Call, f func(n int) (int, error)) (int, error) {
	if s != nil && s.Intercept != nil {
		return s.intercepted(c, f)
	}
	for {
		n, err := f(c.N)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		return n, nil
	}
}

// intercepted is do under a test. It is apart because it costs an allocation.
func (s *Calls) intercepted(c Call, f func(n int) (int, error)) (int, error) {
	for {
		call := c
		n, err, done := s.Intercept(&call)
		if !done {
			n, err = f(call.N)
		}
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		return n, nil
	}
}

// The results of [Calls.Poll].
const (
	Readable = 1 << iota // a read would not wait: there are bytes, an end, or an error
	Writable             // a write would not wait
	Hung                 // the connection has failed, or both of its directions have ended
)

// A Stat is what fstat(2) and F_GETFL say of a descriptor.
type Stat struct {
	Mode           uint32 // S_IFMT and permission bits
	Dev, Ino, Rdev uint64
	Size           int64
}

// SpliceNonblock is SPLICE_F_NONBLOCK: it keeps pipes from blocking, not sockets.
const SpliceNonblock = 2

// What fcntl(2) F_GETFL says, the bits that matter here.
const (
	AccessMode = 3
	WriteOnly  = 1
	ReadWrite  = 2
	ReadOnly   = 0
	Append     = 0x400
	Nonblock   = 0x800
)

// Socket families and types as getsockopt(2) gives them.
const (
	FamilyUnix  = 1
	FamilyInet  = 2
	FamilyInet6 = 10
	Stream      = 1
)
