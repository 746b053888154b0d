package engine

import (
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// Raw calls: splices between a socket and the private pipe of which the scheduler is
// not told. It takes the processor away from a call that it is told of after 20 µs
// and hands it to another thread, and a splice of 1 MiB takes ten times as long.
//
// A raw call keeps its processor, so it must not sleep. It does not as long as the
// socket is in nonblocking mode; but the mode belongs to the description, and anybody
// who shares that can clear it behind our back (H35). So before the first raw call
// the socket gets a finite SO_RCVTIMEO or SO_SNDTIMEO, which nobody notices by itself,
// and which makes a sleep in the kernel end with EINTR at any signal (signal(7))
// instead of going on after it. The runtime sends one, SIGURG, to each thread that
// has kept a processor for 10 ms, and to all at the beginning of a collection. That
// is the bound of every raw call. After an EINTR no more of them are made.

// rawTimeout is the finite timeout, in seconds: one that a reader in another process,
// which shares the description in blocking mode, will hardly live to see.
const rawTimeout = 24 * 3600

// preemptible reports whether the runtime sends the signals that end a raw call.
var preemptible = sync.OnceValue(func() bool {
	set := os.Getenv("GODEBUG")
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "DefaultGODEBUG" {
				set += "," + s.Value
			}
		}
	}
	return !strings.Contains(set, "asyncpreemptoff=1")
})

// UseRaw has Drain and Pump make raw calls on those ends that are sockets of net.
func (m *Mover) UseRaw() {
	if !preemptible() {
		return
	}
	m.rawIn = m.Src.Conn != nil && (m.boundIn || m.bound(&m.Src, sys.ReceiveTimeout, &m.boundIn))
	m.rawOut = m.Dst.Conn != nil && (m.boundOut || m.bound(&m.Dst, sys.SendTimeout, &m.boundOut))
}

// bound gives the socket a finite timeout, unless it has one, and notes in set that
// it has to be taken away again. It fails where the timeout is that of another copy
// to or from the same socket, which would take it away under ours.
func (m *Mover) bound(e *End, option int, set *bool) (ok bool) {
	e.Raw.Control(func(fd uintptr) {
		switch seconds, err := m.Calls.Timeout(int(fd), option); {
		case err != nil || seconds == rawTimeout:
		case seconds == 0:
			*set = m.Calls.SetTimeout(int(fd), option, rawTimeout) == nil
			ok = *set
		default:
			ok = true
		}
	})
	return ok
}

// endRaw leaves the sockets as they were.
func (m *Mover) endRaw() {
	if m.boundIn {
		m.Src.Raw.Control(func(fd uintptr) { m.Calls.SetTimeout(int(fd), sys.ReceiveTimeout, 0) })
	}
	if m.boundOut {
		m.Dst.Raw.Control(func(fd uintptr) { m.Calls.SetTimeout(int(fd), sys.SendTimeout, 0) })
	}
	m.rawIn, m.rawOut, m.boundIn, m.boundOut = false, false, false, false
}

// spliceIn moves bytes from the source into the private pipe.
func (m *Mover) spliceIn(fd int) (int, error) {
	n := min(m.max, m.pipe.Size)
	if !m.rawIn {
		return m.Calls.Splice(fd, m.offset(), m.pipe.W, nil, n)
	}
	return m.Calls.RawSplice(fd, m.pipe.W, n)
}

// spliceOut moves bytes from the private pipe to the destination.
func (m *Mover) spliceOut(fd int) (n int, err error) {
	if !m.rawOut {
		return m.Calls.Splice(m.pipe.R, nil, fd, nil, m.pump)
	}
	return m.Calls.RawSplice(m.pipe.R, fd, m.pump)
}

// slept reports that a raw call was interrupted, so it has been sleeping: the
// description is in blocking mode. The caller shall Ask, and raw calls are over.
func (m *Mover) slept() bool {
	if m.err != syscall.EINTR {
		return false
	}
	m.err = nil
	m.endRaw()
	return true
}

// yield steps back after a raw call, as the goroutine would have by losing its
// processor: with many streams, of which none ever waits, others that are ready would
// have to wait until the runtime preempts each after 10 ms.
func (m *Mover) yield() {
	if m.rawIn || m.rawOut {
		runtime.Gosched()
	}
}
