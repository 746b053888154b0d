package zcnet

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/bothends"
)

// ends are the deadlines of a connection, kept so that they can be set again, and the
// copies that are told when one passes or the connection is closed.
//
// The lock is held while the inner connection's deadline is set, so that the last one
// set is the one that is kept, and while a copy is told. Copies do not call back.
type ends struct {
	mu     sync.Mutex
	closed bool
	sides  [2]side // of reads and of writes
}

const (
	reads = iota
	writes
)

type side struct {
	deadline time.Time
	copies   []bothends.Copy
	timer    *time.Timer // at deadline, while there are copies
}

// Close implements net.Conn. Copies that wait at their other end are ended.
func (c *conn) Close() error {
	err := c.inner.Close()
	e := &c.ends
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return err
	}
	e.closed = true
	c.closed.Store(true)
	c.tell(reads, net.ErrClosed)
	c.tell(writes, net.ErrClosed)
	return err
}

// tell ends the copies that the connection is the source or the destination of.
func (c *conn) tell(which int, err error) {
	s := &c.ends.sides[which]
	for _, copy := range s.copies {
		copy.End(c.fail([...]string{"read", "write"}[which], err), which == reads)
	}
}

// fail dresses err as package net does.
func (c *conn) fail(op string, err error) error {
	e := &net.OpError{Op: op, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	if e.Source != nil {
		e.Net = e.Source.Network()
	}
	return e
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadline(t, c.inner.SetDeadline, reads, writes)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, c.inner.SetReadDeadline, reads)
}

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, c.inner.SetWriteDeadline, writes)
}

func (c *conn) setDeadline(t time.Time, set func(time.Time) error, which ...int) error {
	c.ends.mu.Lock()
	defer c.ends.mu.Unlock()
	if err := set(t); err != nil {
		return err
	}
	for _, i := range which {
		c.ends.sides[i].deadline = t
		c.hold(i)
		c.arm(i)
	}
	return nil
}

// hold puts the deadline of a side, which has just been set, into the past again as long as
// there are copies that were told to end: with any other one they would go on waiting, if
// they have not been scheduled since (runtime.poll_runtime_pollWait).
func (c *conn) hold(which int) {
	if !slices.ContainsFunc(c.ends.sides[which].copies, bothends.Copy.Ended) {
		return
	}
	if which == reads {
		c.inner.SetReadDeadline(aLongTimeAgo)
	} else {
		c.inner.SetWriteDeadline(aLongTimeAgo)
	}
}

// arm sets the timer of a side, whose lock is held, to its deadline.
func (c *conn) arm(which int) {
	s := &c.ends.sides[which]
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if len(s.copies) == 0 || s.deadline.IsZero() {
		return
	}
	if wait := time.Until(s.deadline); wait > 0 {
		s.timer = time.AfterFunc(wait, func() { c.passed(which) })
	} else {
		c.tell(which, os.ErrDeadlineExceeded)
	}
}

// passed is what the timer of a side does.
func (c *conn) passed(which int) {
	c.ends.mu.Lock()
	defer c.ends.mu.Unlock()
	c.arm(which) // the deadline may have moved meanwhile
}

// Join implements bothends.Conn.
func (c *conn) Join(copy bothends.Copy, source bool) {
	c.ends.mu.Lock()
	defer c.ends.mu.Unlock()
	which := writes
	if source {
		which = reads
	}
	s := &c.ends.sides[which]
	s.copies = append(s.copies, copy)
	if c.ends.closed {
		c.tell(which, net.ErrClosed)
	}
	c.arm(which)
}

// Leave implements bothends.Conn.
func (c *conn) Leave(copy bothends.Copy) {
	c.ends.mu.Lock()
	defer c.ends.mu.Unlock()
	for i := range c.ends.sides {
		s := &c.ends.sides[i]
		s.copies = slices.DeleteFunc(s.copies, func(other bothends.Copy) bool { return other == copy })
		if len(s.copies) == 0 {
			c.arm(i)
		}
	}
}

// Restore implements bothends.Conn.
func (c *conn) Restore(source bool) {
	c.ends.mu.Lock()
	defer c.ends.mu.Unlock()
	if source {
		c.inner.SetReadDeadline(c.ends.sides[reads].deadline)
		c.hold(reads)
	} else {
		c.inner.SetWriteDeadline(c.ends.sides[writes].deadline)
		c.hold(writes)
	}
}
