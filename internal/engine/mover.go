package engine

import (
	"io"
	"sync"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// MaxChunk is the most that one system call is asked to move, so that deadlines,
// progress and pacing hold and other users of the file's lock get their turn.
const MaxChunk = 2 << 20

// probeSize is how much a plain read asks for where splice finds nothing and
// poll(2) something. It only has to step over a mark of urgent data; what follows
// is spliced again.
const probeSize = 512

// A Mover moves the bytes of one copy between Src and Dst. It is used by one
// goroutine at a time. Get one from [NewMover] and give it back with Release.
//
// What it took from Src and Dst has not accepted is its residue: either in user
// memory (Mem) or in the private pipe (InPipe), never in both; but after ReadThrough
// first in user memory, then in the pipe, and then in user memory again (Tail).
type Mover struct {
	Calls    *sys.Calls
	Pool     *kpipe.Pool
	Dst, Src End
	// Syscalls counts the system calls that moved bytes or asked for some.
	Syscalls int64
	// Class is the size of pipe that Drain asks for, see kpipe.Sizes.
	Class int
	// NoPipe says that the last Drain got no pipe.
	NoPipe bool

	pipe   *kpipe.Pipe // borrowed while it has bytes in it
	keep   bool        // it is the caller's: see Load
	inPipe int
	excess int    // bytes that follow in the pipe and are nobody's: it cannot be used again
	mem    []byte // residue in user memory
	tail   []byte // and that behind what is in the pipe
	thru   through

	// What a callback is asked for and what it leaves behind.
	max     int
	pump    int
	try     bool
	n       int
	err     error // the errno of the last call, nil with n == 0 is a zero
	srcErr  error // what the source's RawConn said from within the destination's
	parked  bool
	raced   bool // poll(2) has contradicted the last call, see idle
	emptied bool // the last drain has probably taken all there was
	end     bool
	ready   int // of the source, as poll(2) had it
	out     int
	at      int64
	p       []byte
	idleFn  func()
	op      func(in, out int) (int, error)

	low               lowWater
	rawIn, rawOut     bool // see raw.go
	boundIn, boundOut bool

	probe [probeSize]byte

	// The callbacks, bound once a Mover: they would be allocated once a call.
	drainFn, pumpFn, waitFn, readFn, directFn, lookFn func(uintptr) bool
	lockedFn                                          func(uintptr) bool
	controlFn                                         func(uintptr)
	sendfileFn, copyRangeFn, spliceFn, teeFn          func(in, out int) (int, error)
}

var movers = sync.Pool{New: func() any {
	m := new(Mover)
	m.drainFn, m.pumpFn, m.waitFn, m.readFn = m.drainReady, m.pumpReady, m.waitReady, m.readReady
	m.directFn, m.lookFn = m.directReady, func(uintptr) bool { return true }
	m.lockedFn = func(fd uintptr) bool { m.attempt(int(fd)); return true }
	m.controlFn = func(fd uintptr) { m.attempt(int(fd)) }
	m.sendfileFn, m.copyRangeFn, m.spliceFn, m.teeFn = m.sendfile, m.copyRange, m.splice, m.tee
	return m
}}

// NewMover returns a Mover for a copy from src to dst.
func NewMover(calls *sys.Calls, pool *kpipe.Pool) *Mover {
	m := movers.Get().(*Mover)
	m.Calls, m.Pool = calls, pool
	return m
}

// SetSrc goes on to another source. The last one is left as it was.
func (m *Mover) SetSrc(e End) {
	m.low.end()
	m.endRaw()
	m.endThrough()
	m.Src, m.raced, m.emptied = e, false, false
}

// Release gives m back. A pipe that still holds residue is closed.
func (m *Mover) Release() {
	m.Discard()
	m.low.end()
	m.endRaw()
	m.endThrough()
	m.Dst, m.Src = End{}, End{}
	m.Calls, m.Pool, m.mem, m.p, m.idleFn, m.op = nil, nil, nil, nil, nil, nil
	m.err, m.srcErr, m.Syscalls, m.Class, m.NoPipe, m.raced, m.emptied = nil, nil, 0, 0, false, false, false
	movers.Put(m)
}

// Discard drops the residue, together with its pipe: it never reaches another copy.
func (m *Mover) Discard() {
	if m.pipe != nil {
		m.Pool.Discard(m.pipe)
	}
	m.pipe, m.keep, m.inPipe, m.excess, m.mem, m.tail = nil, false, 0, 0, nil, nil
}

// Load lends m a pipe with n bytes in it, which are its residue then. It keeps the pipe,
// empty or not, until Unload.
func (m *Mover) Load(pipe *kpipe.Pipe, n int) { m.pipe, m.keep, m.inPipe = pipe, true, n }

// Unload takes the pipe back, and returns how many bytes are in it. It is nil if what was
// in it could neither be moved nor read.
func (m *Mover) Unload() (pipe *kpipe.Pipe, n int) {
	pipe, n = m.pipe, m.inPipe
	m.pipe, m.keep, m.inPipe = nil, false, 0
	return pipe, n
}

// InPipe returns how many bytes of residue are in the private pipe.
func (m *Mover) InPipe() int { return m.inPipe }

// Mem returns the residue in user memory. It is valid until the next call.
func (m *Mover) Mem() []byte { return m.mem }

// TakeMem removes the first n bytes from Mem: they have been written.
func (m *Mover) TakeMem(n int) {
	if m.mem = m.mem[n:]; len(m.mem) == 0 {
		m.mem = nil // an empty slice, too, keeps a buffer alive
	}
}

// Hold makes p the residue in user memory: bytes that were read elsewhere.
func (m *Mover) Hold(p []byte) {
	if m.mem = p; len(p) == 0 {
		m.mem = nil
	}
}

// Unpipe reads the residue in the private pipe back into fresh memory, where Mem
// has all there is from then on. It fails only if the kernel does, and what follows is
// lost then.
func (m *Mover) Unpipe() error {
	if m.inPipe == 0 {
		return nil
	}
	first, tail := m.mem, m.tail
	p := make([]byte, len(first)+m.inPipe, len(first)+m.inPipe+len(tail))
	copy(p, first)
	n, err := m.ReadPipe(p[len(first):])
	if p = p[:len(first)+n]; err == nil {
		p = append(p, tail...)
	}
	m.mem, m.tail = p, nil
	return err
}

// ReadPipe reads the residue in the private pipe, which is len(p) bytes, into p. It
// is residue no more. It fails only if the kernel does.
func (m *Mover) ReadPipe(p []byte) (got int, err error) {
	for got < len(p) {
		n, err := m.Calls.Read(m.pipe.R, p[got:])
		if err != nil || n == 0 {
			m.Discard()
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return got, err
		}
		got += n
	}
	m.inPipe = 0
	m.putPipe()
	return got, nil
}

// Hand makes the residue of m that of to, which has none, pipe and all.
func (m *Mover) Hand(to *Mover) {
	to.pipe, to.inPipe, to.mem = m.pipe, m.inPipe, m.mem
	m.pipe, m.inPipe, m.mem = nil, 0, nil
}

// putPipe gives the private pipe back, which has no residue any more.
func (m *Mover) putPipe() {
	switch {
	case m.pipe == nil || m.keep:
		return
	case m.excess > 0:
		m.Pool.Discard(m.pipe)
	default:
		m.Pool.Put(m.pipe)
	}
	m.pipe, m.excess = nil, 0
}

// Wait waits until the source has something, or found bytes by a plain read, which
// Mem has then, or returns io.EOF. Nothing is held while it waits. It is called
// after a call that found the source not ready.
func (m *Mover) Wait() error {
	m.parked, m.end, m.err = false, false, nil
	if err := m.Src.Raw.Read(m.waitFn); err != nil {
		return m.Src.Fail("read", "read", err)
	}
	return m.probed()
}

// probed says what a plain read of the source came to.
func (m *Mover) probed() error {
	switch {
	case m.err != nil:
		return m.Src.Fail("read", "read", m.err)
	case m.end:
		return io.EOF
	}
	return nil
}

func (m *Mover) waitReady(fd uintptr) bool {
	if m.parked {
		return true
	}
	m.parked = true
	return m.idle(int(fd))
}

// idle returns false if and only if there is nothing but to wait for the source,
// which a call has just found not ready. Where poll(2) says that it is, the call is
// made again, once: the bytes may have come in between. After that a plain read
// tells, for splice stops at the mark of urgent data, where poll says readable
// (H01), and what it says twice is final: no source makes a copy spin.
func (m *Mover) idle(fd int) bool {
	if ready, err := m.Calls.Poll(fd); err == nil && ready&sys.Readable == 0 {
		m.raced = false
		return false
	}
	if !m.raced {
		m.raced = true
		return true
	}
	m.raced = false
	m.Syscalls++
	n, err := m.Calls.Read(fd, m.probe[:])
	if err == syscall.EAGAIN {
		// At the mark a read says so, too, where a signal is pending (tcp_recvmsg), such as
		// the one by which the runtime preempts. It has been handled by the next read.
		m.Syscalls++
		n, err = m.Calls.Read(fd, m.probe[:])
	}
	switch {
	case n > 0:
		m.mem = m.probe[:n]
	case err == nil:
		m.end = true
	case err == syscall.EAGAIN:
		return false
	default:
		m.err = err
	}
	return true
}

// Read reads once from a pollable source into p; Mem has what it got. Where there is
// nothing yet it calls idle, after which it does not know p any more, waits, and returns
// with again: get a p and Read. The caller must not keep p alive meanwhile. It calls idle
// while it holds the source's lock; if idle is nil it does not wait, and the caller
// does, by Wait.
func (m *Mover) Read(p []byte, idle func()) (n int, again bool, err error) {
	m.p, m.n, m.err, m.parked, m.idleFn = p, 0, nil, false, idle
	err = m.Src.Raw.Read(m.readFn)
	if m.n > 0 {
		m.mem = m.p[:m.n:len(m.p)]
	}
	m.p, m.idleFn = nil, nil
	switch {
	case err != nil:
		return 0, false, m.Src.Fail("read", "read", err)
	case m.parked, m.err == syscall.EAGAIN:
		return 0, true, nil
	case m.err != nil:
		return 0, false, m.Src.Fail("read", "read", m.err)
	case m.n == 0:
		return 0, false, io.EOF
	}
	m.raced = false
	return m.n, false, nil
}

// readReady needs no second opinion on EAGAIN: a plain read sees what there is.
func (m *Mover) readReady(fd uintptr) bool {
	if m.parked {
		return true
	}
	m.Syscalls++
	m.n, m.err = m.Calls.Read(int(fd), m.p)
	if m.err != syscall.EAGAIN || m.idleFn == nil {
		return true
	}
	m.parked, m.p = true, nil
	m.idleFn()
	return false
}

// CheckDst reports whether the destination is closed or its write deadline has
// passed, and if so the error of a write to it.
func (m *Mover) CheckDst() error {
	if err := m.Dst.Raw.Write(m.lookFn); err != nil {
		return m.Dst.Fail("write", "write", err)
	}
	return nil
}

// AtEnd reports whether a stream source is at its end now. It neither waits nor
// consumes.
func (m *Mover) AtEnd() bool {
	end := false
	m.Src.Raw.Control(func(fd uintptr) {
		switch {
		case m.Src.Kind.Socket():
			end, _ = m.Calls.PeekEnd(int(fd))
		case m.Src.Kind == Pipe:
			ready, err := m.Calls.Poll(int(fd))
			n, err2 := m.Calls.Buffered(int(fd))
			end = err == nil && err2 == nil && ready&sys.Readable != 0 && n == 0
		}
	})
	return end
}
