package engine

import (
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// vmsplice(2) lends pages of user memory to a pipe and says nothing when they come back:
// what is in a page when it is read is what arrives (H13). Who calls this knows why its
// pages do not change until then, see package pages.

// A PipeLender lends user memory to one pipe. It is used by one goroutine at a time.
type PipeLender struct {
	Calls *sys.Calls
	Dst   End

	p      []byte
	n      int
	err    error
	sendFn func(uintptr) bool
	askFn  func(uintptr) bool
}

// NewPipeLender returns a PipeLender for dst, which is a Pipe.
func NewPipeLender(calls *sys.Calls, dst End) *PipeLender {
	l := &PipeLender{Calls: calls, Dst: dst}
	l.sendFn = l.sendReady
	l.askFn = func(fd uintptr) bool {
		if l.n, l.err = l.Calls.Buffered(int(fd)); l.n == 0 {
			return true
		}
		if unread, err := l.Calls.Unread(int(fd)); err == nil && unread {
			l.err = syscall.EPIPE
		}
		return true
	}
	return l
}

// Vmsplice lends as much of p as finds a slot, and waits for the first: by the runtime's
// poller, or within the call where the pipe is in blocking mode, as a Write would. With
// handled == false nothing was lent and a Write decides: the kernel refused with err, or
// nobody can read the pipe any more, of which a Write to standard output has to be told
// (H06).
func (l *PipeLender) Vmsplice(p []byte) (n int, handled bool, err error) {
	l.p, l.n, l.err = p, 0, nil
	err = l.Dst.Raw.Write(l.sendFn)
	l.p = nil
	switch {
	case l.n > 0:
		return l.n, true, nil
	case err != nil:
		return 0, true, l.Dst.Fail("write", "vmsplice", err)
	}
	return 0, false, l.err
}

func (l *PipeLender) sendReady(fd uintptr) bool {
	l.n, l.err = l.Calls.Vmsplice(int(fd), l.p, !l.Dst.Pollable())
	return l.err != syscall.EAGAIN || !l.Dst.Pollable()
}

// Buffered returns how many bytes are in the pipe. It fails if the pipe is closed, if its
// write deadline has passed, and with EPIPE if there are some and nobody can read them.
func (l *PipeLender) Buffered() (int, error) {
	err := l.Dst.Raw.Write(l.askFn)
	switch {
	case err != nil:
		return 0, l.Dst.Fail("write", "FIONREAD", err)
	case l.err != nil:
		return 0, l.Dst.Fail("write", "FIONREAD", l.err)
	}
	return l.n, nil
}

// Size returns the capacity of the pipe.
func (l *PipeLender) Size() (int, error) { return PipeSize(l.Dst.File, l.Dst.File) }

// A PipeTaker reads one pipe into user memory.
type PipeTaker struct {
	Calls  *sys.Calls
	Src    End
	p      []byte
	splice bool
	n      int
	err    error
	takeFn func(uintptr) bool
}

// NewPipeTaker returns a PipeTaker for src, which is a Pipe.
func NewPipeTaker(calls *sys.Calls, src End) *PipeTaker {
	t := &PipeTaker{Calls: calls, Src: src}
	t.takeFn = t.takeReady
	return t
}

// Take takes what is in the pipe src, at most len(p) bytes, into p, by read(2) or, with
// splice set, by vmsplice(2). It waits for the first byte; 0 is the end of the stream.
// With handled == false the kernel refused with err.
func (t *PipeTaker) Take(p []byte, splice bool) (n int, handled bool, err error) {
	t.p, t.splice, t.n, t.err = p, splice, 0, nil
	err = t.Src.Raw.Read(t.takeFn)
	t.p = nil
	switch {
	case err != nil:
		return 0, true, t.Src.Fail("read", "vmsplice", err)
	case t.err != nil && splice && refusal(t.err):
		return 0, false, t.err
	case t.err != nil:
		return 0, true, t.Src.Fail("read", "read", t.err)
	}
	return t.n, true, nil
}

func (t *PipeTaker) takeReady(fd uintptr) bool {
	if t.splice {
		t.n, t.err = t.Calls.VmspliceRead(int(fd), t.p)
	} else {
		t.n, t.err = t.Calls.Read(int(fd), t.p)
	}
	return t.err != syscall.EAGAIN
}
