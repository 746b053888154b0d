package ztest

import (
	"math"
	"os"
	"syscall"
	"time"
)

// feed is the peer.
func (s *Source) feed() {
	defer close(s.done)
	for i, b := 0, s.Content; ; i++ {
		if s.cfg.step != nil {
			s.cfg.step(s.sent.Load())
		}
		if len(b) == 0 {
			break
		}
		if s.cfg.pause > 0 && !s.sleep(s.cfg.pause) {
			return
		}
		piece := b[:s.cfg.pieceAt(i, len(b))]
		b = b[len(piece):]
		n, err := s.far.Write(piece)
		s.sent.Add(int64(n))
		if err != nil {
			s.err = err
			return
		}
		if s.cfg.barrier && !poll(Patience, s.quit, s.taken) {
			return
		}
	}
	if s.cfg.noEOF || s.Endless {
		select {
		case <-s.end:
		case <-s.quit:
			return
		}
	}
	if s.Kind == PTY && !s.Endless && !poll(math.MaxInt64, s.quit, s.taken) {
		return // the EIO of a close can overtake bytes: see read
	}
	s.err = s.endStream()
}

// endStream tells the copy's end that nothing follows.
func (s *Source) endStream() error {
	if s.Endless {
		_, err := s.far.Write(endMark)
		return err
	}
	return closeWrite(s.Kind, s.far)
}

func (s *Source) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.quit:
		return false
	}
}

// taken reports whether all that the peer has written has been read from the
// copy's end. An end that is closed counts as read.
func (s *Source) taken() bool {
	if s.Kind.IP() {
		// On the way is neither here nor there.
		if n, err := received(s.Reader); err == nil && n < s.sent.Load() {
			return false
		}
	}
	if s.Kind == PTY {
		// Asking for readiness makes the terminal move what it still has in
		// its line buffer, asking for the queue does not.
		readable, _, err := Poll(s.Reader)
		return err != nil || !readable
	}
	n, err := Queued(s.Reader)
	return err != nil || n == 0
}

// Feed has the peer of a Manual source write b. It returns when the kernel has
// all of it. Content grows by b.
func (s *Source) Feed(b []byte) {
	s.tb.Helper()
	n, err := s.far.Write(b)
	s.sent.Add(int64(n))
	s.Content = append(s.Content[:len(s.Content):len(s.Content)], b[:n]...)
	if err != nil {
		s.tb.Fatalf("%s: peer: %v", s.Kind, err)
	}
}

// FeedUrgent has the peer of a TCP source send b as urgent data: the mark is at
// its last byte (hazard H01). From then on Reader is roused.
func (s *Source) FeedUrgent(b []byte) error {
	s.roused.Do(func() { go s.rouse() })
	return control(s.far, func(fd uintptr) error {
		return os.NewSyscallError("sendto", syscall.Sendto(int(fd), b, syscall.MSG_OOB, nil))
	})
}

// rouse wakes whoever waits for Reader although there is something to be read. At
// the mark a read says EAGAIN, whatever has come behind it, to a thread with a signal
// pending (tcp_recvmsg), and the runtime preempts by signals: then package net waits
// for an edge that may never come.
func (s *Source) rouse() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		readable, _, err := Poll(s.Reader)
		if err == nil && readable {
			err = control(s.Reader, func(fd uintptr) error { // is an edge (tcp_set_rcvlowat)
				return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, 1)
			})
		}
		if err != nil {
			return // closed
		}
	}
}

// End lets the peer end the stream after the content (after what was fed, for
// Manual). It does not wait. (For a Manual PTY, AwaitTaken comes first: EIO can
// overtake bytes.)
func (s *Source) End() {
	s.endOnce.Do(func() {
		close(s.end)
		if s.cfg.manual {
			s.err = s.endStream()
		}
	})
}
