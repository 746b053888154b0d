package engine

import (
	"io"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// Drain moves at most max bytes from the source into an empty private pipe,
// which it borrows only once there is something to move. On success n bytes are
// residue, in the pipe or, where only a plain read got anything, in user memory.
//
// io.EOF is the source's end. handled == false with a nil error means that splice
// moved nothing and a plain read has to tell what is. n == 0 with handled and no
// error says that the source, in blocking mode, was waited for: Ask what it is.
func (m *Mover) Drain(max int) (n int, handled bool, err error) {
	m.max, m.n, m.err, m.end, m.NoPipe = max, 0, nil, false, false
	m.mem = nil
	if m.Src.Section {
		err = m.Src.Raw.Control(func(fd uintptr) { m.drainReady(fd) })
	} else {
		err = m.Src.Raw.Read(m.drainFn)
		m.low.woken() // a deadline or Close ends the wait without a call of drainFn
	}
	switch {
	case err != nil:
		return 0, true, m.Src.Fail("read", "splice", err)
	case m.n > 0:
		return m.n, true, nil
	case len(m.mem) > 0:
		return len(m.mem), true, nil
	case m.end:
		return 0, true, io.EOF
	case m.slept():
		return 0, true, nil
	case m.err == nil || m.NoPipe || m.Src.refused(m.err):
		return 0, false, m.err
	}
	return 0, true, m.Src.Fail("read", "splice", m.err)
}

// drainReady borrows the pipe inside the source's lock and gives it back before
// waiting: an idle stream holds none. It waits where poll(2) finds the source not
// ready: the poller, too, hears of whatever comes after that.
func (m *Mover) drainReady(fd uintptr) bool {
	m.low.woken()
	if m.emptied && m.Src.Pollable() {
		// A call that would find nothing is dearer than the question (poll(2)).
		m.emptied = false
		if ready, err := m.Calls.Poll(int(fd)); err == nil && ready&sys.Readable == 0 {
			m.low.wait(int(fd))
			return false
		}
	}
	if m.pipe == nil {
		if m.pipe, m.err = m.Pool.Get(m.Calls, m.Class); m.err != nil {
			m.NoPipe = true
			return true
		}
	}
	for {
		m.Syscalls++
		n, err := m.spliceIn(int(fd))
		switch {
		case n > 0:
			m.n, m.inPipe, m.raced = n, n, false
			m.emptied = n < min(m.max, m.pipe.Size)/2 && m.Src.Pollable()
			return true
		case err != nil && err != syscall.EAGAIN:
			m.err = err
			m.putPipe()
			return true
		case err == nil || !m.Src.Pollable():
			m.putPipe()
			return true // a plain read tells an end from a mark, or a file that does not splice
		}
		ready := m.idle(int(fd))
		if !m.raced {
			m.putPipe()
			if !ready {
				m.low.wait(int(fd))
			}
			return ready
		}
	}
}

// Filled reports whether what is in the private pipe takes more than half of it.
func (m *Mover) Filled() bool { return m.pipe != nil && m.inPipe > m.pipe.Size/2 }

// Pump moves at most max bytes of residue from the private pipe to the destination by
// one splice that moves something; n is what the destination accepted. While it waits it holds
// nothing but the pipe. With handled == false the residue is still in the pipe and
// has to be delivered by a plain write.
func (m *Mover) Pump(max int) (n int, handled bool, err error) {
	m.n, m.err, m.pump = 0, nil, min(max, m.inPipe)
	err = m.Dst.Raw.Write(m.pumpFn)
	switch {
	case err != nil:
		return 0, true, m.Dst.Fail("write", "splice", err)
	case m.n > 0:
		if m.inPipe -= m.n; m.inPipe == 0 {
			m.putPipe()
		}
		m.yield()
		return m.n, true, nil
	case m.slept(), m.err == nil || m.err == syscall.EAGAIN || m.Dst.refused(m.err):
		return 0, false, m.err
	}
	return 0, true, m.Dst.Fail("write", "splice", m.err)
}

// TryPump is Pump for all that is in the pipe, and does not wait: n is 0 where the
// destination is not ready.
func (m *Mover) TryPump() (n int, handled bool, err error) {
	m.try = true
	n, handled, err = m.Pump(m.inPipe)
	m.try = false
	if !handled && err == syscall.EAGAIN {
		return 0, true, nil
	}
	return n, handled, err
}

// pumpReady waits only for a destination that is not ready by poll(2), too. For
// one that is, no edge may ever come (H17): once that is a race, after that a plain
// write tells.
func (m *Mover) pumpReady(fd uintptr) bool {
	for range contradictions {
		m.Syscalls++
		m.n, m.err = m.spliceOut(int(fd))
		if m.err != syscall.EAGAIN || !m.Dst.Pollable() || m.try {
			return true
		}
		if ready, err := m.Calls.Poll(int(fd)); err != nil || ready&sys.Writable == 0 {
			return false
		}
	}
	return true
}
