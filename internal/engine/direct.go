package engine

import (
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// contradictions is how often poll(2) may call both ends ready while the call
// says EAGAIN before a plain read has to tell. Once is a race.
const contradictions = 2

// direct moves bytes by op, a call that takes both descriptors with no pipe
// between them. The source is a pipe or a file, never a socket, which would tell
// an error once and then say that it is at its end.
//
// The destination's write lock is held during the call, so that its bytes do not
// land inside another goroutine's Write; the source is held open (Control), and
// locked too where op moves a file's own position. EAGAIN may mean either end:
// poll(2) tells which, and that one alone is waited for. After a wait direct
// returns with n == 0, since a deadline of the other end may have been set for less.
func (m *Mover) direct(op func(in, out int) (int, error), call string, max int) (n int, handled bool, err error) {
	m.op, m.max, m.mem = op, max, nil
	for tries := 0; tries < contradictions; {
		if !m.Src.Kind.Stored() {
			// A closed or expired source stops the copy before its next byte.
			if err := m.Src.Raw.Read(m.lookFn); err != nil {
				return 0, true, m.Src.Fail("read", call, err)
			}
		}
		m.n, m.err, m.srcErr, m.parked = 0, nil, nil, false
		err := m.Dst.Raw.Write(m.directFn)
		switch {
		case err != nil:
			return 0, true, m.Dst.Fail("write", call, err)
		case m.srcErr != nil:
			return 0, true, m.Src.Fail("read", call, m.srcErr)
		case m.n > 0:
			m.raced = false
			return m.n, true, nil
		case m.parked: // the destination is ready now
			return 0, true, nil
		case m.err == nil:
			return 0, false, nil
		case m.err != syscall.EAGAIN:
			if m.Dst.refused(m.err) || m.Src.File != nil && sourceOnly(m.err) {
				return 0, false, m.err
			}
			return 0, true, m.Dst.Fail("write", call, m.err)
		case m.Src.Pollable() && m.ready&sys.Readable == 0:
			err := m.Wait()
			return len(m.mem), true, err
		default:
			tries++
		}
	}
	return 0, false, nil
}

// sourceOnly reports whether err can only have come from reading a file, so that
// a plain read of it will say the same.
func sourceOnly(err error) bool {
	return err == syscall.EIO || err == syscall.EISDIR || err == syscall.ESTALE || err == syscall.EOVERFLOW
}

// directReady makes the call inside the destination's lock.
func (m *Mover) directReady(fd uintptr) bool {
	if m.parked {
		return true // woken: look at the source again first
	}
	m.out = int(fd)
	var err error
	if m.Src.Kind.Stored() && !m.Src.Section {
		err = m.Src.Raw.Read(m.lockedFn)
	} else {
		err = m.Src.Raw.Control(m.controlFn)
	}
	if err != nil {
		m.srcErr = err
		return true
	}
	if m.err != syscall.EAGAIN || !m.Dst.Pollable() {
		return true
	}
	ready, err := m.Calls.Poll(m.out)
	if err != nil || ready&sys.Writable != 0 {
		return true
	}
	m.parked = true
	return false
}

func (m *Mover) attempt(in int) {
	m.Syscalls++
	m.n, m.err = m.op(in, m.out)
	if m.err == syscall.EAGAIN && m.Src.Pollable() {
		m.ready, _ = m.Calls.Poll(in)
	}
}

// offset returns where a call shall read: nil is the file's own position.
func (m *Mover) offset() *int64 {
	if !m.Src.Section {
		return nil
	}
	m.at = m.Src.Off // the kernel moves at, accounting moves Off
	return &m.at
}
