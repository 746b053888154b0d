package engine

import (
	"errors"
	"io"
	"os"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// tee(2) duplicates what is at the head of one pipe into another and takes nothing out
// of the first. It stops where the second has no slot left; an empty pipe with at least
// as many slots takes all (H11).

// Tee duplicates the first n bytes of the private pipe into that of to, which holds
// nothing and gets a pipe for it. With handled == false none of them is there: there
// was no pipe, or none large enough, or the kernel refused with err.
func (m *Mover) Tee(to *Mover, n int) (handled bool, err error) {
	if to.pipe, err = m.Pool.Get(m.Calls, m.pipe.Class()); err != nil {
		m.NoPipe = true
		return false, err
	}
	m.Syscalls++
	to.inPipe, err = Tee(m.Calls, m.pipe, to.pipe, n)
	switch {
	case err == nil && to.inPipe == n:
		return true, nil
	case to.inPipe == 0:
		to.putPipe()
	}
	m.NoPipe = err == nil // a smaller one
	to.Discard()
	return false, err
}

// Tee duplicates the first n bytes of one private pipe into another, and returns
// how many found a slot there.
func Tee(calls *sys.Calls, from, to *kpipe.Pipe, n int) (int, error) {
	got, err := calls.Tee(from.R, to.W, n)
	if err == syscall.EAGAIN { // to is full
		return 0, nil
	}
	return got, err
}

// TeeFiles duplicates at most n bytes of the pipe src into the pipe dst. It waits
// until src has some and dst room. io.EOF is the end of src.
func TeeFiles(dst, src *os.File, n int) (int, error) {
	if !sys.Supported {
		return 0, errors.ErrUnsupported
	}
	m := NewMover(nil, nil)
	defer m.Release()
	var ok bool
	if m.Src, ok = Inspect(nil, src, true); !ok {
		return 0, closed("read", src)
	}
	if m.Dst, ok = Inspect(nil, dst, false); !ok {
		return 0, closed("write", dst)
	}
	for {
		if m.AtEnd() { // which the kernel says only where dst has room
			return 0, io.EOF
		}
		m.raced = false // or a plain read would tell, and take what it reads
		got, handled, err := m.direct(m.teeFn, "tee", n)
		switch {
		case err != nil && !handled:
			return 0, m.Dst.Fail("write", "tee", err)
		case err != nil || got > 0:
			return got, err
		case !handled && m.err == nil:
			return 0, io.EOF
		case !handled:
			return 0, m.Dst.Fail("write", "tee", m.err)
		}
	}
}

func (m *Mover) tee(in, out int) (int, error) { return m.Calls.Tee(in, out, m.max) }

// closed is the error of an operation on a file that is closed.
func closed(op string, f *os.File) error {
	return &os.PathError{Op: op, Path: f.Name(), Err: os.ErrClosed}
}
