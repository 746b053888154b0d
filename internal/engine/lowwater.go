package engine

import (
	"sync"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// The low-water mark: a bulk stream that has to wait wakes up when a good part of a
// pipe has arrived and not for every few segments (SO_RCVLOWAT, tcp(7), socket(7)).
//
// What the mark holds back is let through when lowWaterHold has passed: a timer sets
// it to 1 again, upon which the kernel wakes the reader. It is 1 again, too, when the
// copy ends. Raising it enlarges the receive buffer for good where that is less than
// twice the mark or so (H19), so it is kept to an eighth of the buffer. A socket whose
// mark is not 1 belongs to somebody else's scheme and is left alone.

const (
	// lowWaterMark is the most that is waited for: a quarter of the largest pipe.
	lowWaterMark = 256 << 10
	// lowWaterHold bounds how long a short message can be held back.
	lowWaterHold = 2 * time.Millisecond
	// lowWaterRest is for how many waits a stream does without a mark once it has held
	// bytes back.
	lowWaterRest = 32
)

// A lowWater is the mark on the source of one Mover.
type lowWater struct {
	mu     sync.Mutex
	calls  *sys.Calls
	raw    syscall.RawConn // of the source, nil without a mark
	timer  *time.Timer     // runs while the Mover waits behind a mark
	marked bool            // the mark is not 1
	waits  bool
	rest   int
}

// UseLowWater has Drain wait behind a low-water mark, if the source is a TCP
// connection of net whose mark nobody else uses.
func (m *Mover) UseLowWater() {
	l := &m.low
	if m.Src.Conn == nil || m.Src.Kind != TCP || l.raw != nil {
		return
	}
	mark := 0
	m.Src.Raw.Control(func(fd uintptr) { mark, _ = m.Calls.ReceiveLowWater(int(fd)) })
	if mark == 1 {
		l.calls, l.raw, l.rest = m.Calls, m.Src.Raw, 0
	}
}

// EndLowWater leaves the source's mark as it was: whoever waits for it next may be
// content with a byte.
func (m *Mover) EndLowWater() { m.low.end() }

// wait is called before the Mover waits for the source, in its RawConn's callback.
func (l *lowWater) wait(fd int) {
	if l.raw == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rest > 0 {
		l.rest--
		return
	}
	if !l.marked {
		size, err := l.calls.ReceiveBuffer(fd)
		if err != nil || l.calls.SetReceiveLowWater(fd, max(1, min(size/8, lowWaterMark))) != nil {
			return
		}
		l.marked = true
	}
	l.waits = true
	if l.timer == nil {
		l.timer = time.AfterFunc(lowWaterHold, l.expire)
	} else {
		l.timer.Reset(lowWaterHold)
	}
}

// expire lets through what the mark holds back. It runs on the timer's goroutine.
func (l *lowWater) expire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits {
		l.rest = lowWaterRest
		l.unmark()
	}
}

// woken is called after a wait.
func (l *lowWater) woken() {
	if l.raw == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waits {
		l.waits = false
		l.timer.Stop()
	}
}

// unmark sets the mark back to 1. The kernel then wakes who waits for less.
func (l *lowWater) unmark() {
	if l.marked {
		l.marked = false
		l.raw.Control(func(fd uintptr) { l.calls.SetReceiveLowWater(int(fd), 1) })
	}
}

// end leaves the socket as it was. A timer that is just firing finds nothing to do.
func (l *lowWater) end() {
	if l.raw == nil {
		return
	}
	l.woken()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unmark()
	l.raw, l.calls = nil, nil
}
