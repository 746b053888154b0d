package zcnet

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// An idle is the clock of a relay: a timer that is set to the end of the silence that
// there would be if nothing moved from now on. It costs a moving relay nothing but its
// Meters.
//
// Bytes that the kernel has accepted for a slow peer still move, and a Meter does not see that:
// some MiB may be in a send queue. So each look also asks what is queued, and counts what the
// queues have lost as movement.
type idle struct {
	waiting atomic.Int32 // directions that wait for a limiter
	mu      sync.Mutex
	timer   *time.Timer // nil where there is no limit, or no relay any more
	limit   time.Duration
	since   time.Time // when something happened last that no Meter shows
	untold  bool      // a side that has ended could not be passed on
	// At the last look: what had been accepted, and what of it was queued.
	accepted, queued int64
}

// often is how many looks there are in the time of the limit while something is queued, or
// has moved: so the silence of a peer that takes nothing more is seen at the latest a
// quarter of the limit too late.
const often = 4

// watchIdle begins to look for silence.
func (r *relay) watchIdle() {
	r.idle.since = r.began
	if r.idle.limit = r.options.IdleTimeout; r.idle.limit > 0 {
		r.idle.mu.Lock()
		defer r.idle.mu.Unlock()
		r.idle.timer = time.AfterFunc(r.idle.limit, r.look)
	}
}

// untoldLimit is for a side that may never learn that the other has ended, if the application
// has set no limit: as long as Linux keeps a connection that was closed and whose peer has not
// (tcp_fin_timeout, tcp(7)).
const untoldLimit = time.Minute

// untold notes that the end of a side could not be passed on.
func (r *relay) untold() {
	r.idle.mu.Lock()
	defer r.idle.mu.Unlock()
	r.idle.untold = true
}

// halfClosed has the other limit count from now on.
func (r *relay) halfClosed() {
	r.idle.mu.Lock()
	defer r.idle.mu.Unlock()
	limit := r.options.HalfClosedTimeout
	if limit <= 0 && r.options.IdleTimeout <= 0 && r.idle.untold {
		limit = untoldLimit
	}
	if limit <= 0 {
		return
	}
	r.idle.limit, r.idle.since = limit, time.Now()
	if r.idle.timer != nil {
		r.idle.timer.Stop()
	}
	r.idle.timer = time.AfterFunc(limit, r.look)
}

// endIdle stops looking.
func (r *relay) endIdle() {
	r.idle.mu.Lock()
	defer r.idle.mu.Unlock()
	if r.idle.timer != nil {
		r.idle.timer.Stop()
		r.idle.timer = nil
	}
}

// look is what the timer does: it ends the relay, or sets the timer again.
func (r *relay) look() {
	i := &r.idle
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.timer == nil {
		return
	}
	now := time.Now()
	accepted := r.meters.AToB.Bytes() + r.meters.BToA.Bytes()
	queued := outgoing(r.there.dst) + outgoing(r.back.dst)
	moved := accepted != i.accepted
	switch {
	case i.waiting.Load() > 0,
		queued > 0 && i.queued == 0,                           // since when they have been there is not known
		i.queued > 0 && accepted-queued > i.accepted-i.queued: // some have gone
		i.since = now
	}
	i.accepted, i.queued = accepted, queued
	last := i.since
	for _, m := range []*zerocopy.Meter{&r.meters.AToB, &r.meters.BToA} {
		if at := m.Moved(); at.After(last) {
			last = at
		}
	}
	left := i.limit - now.Sub(last)
	if left <= 0 {
		i.timer = nil
		if i.untold {
			r.fail(EndedByIdle, ErrNoCloseWrite)
		} else {
			r.fail(EndedByIdle, ErrIdle)
		}
		return
	}
	if moved || queued > 0 {
		left = min(left, max(i.limit/often, 1))
	}
	i.timer.Reset(left)
}

// outgoing returns how many bytes the kernel holds for the peer of c, as far as it can be asked.
func outgoing(c net.Conn) (n int64) {
	c = Inner(c)
	if t, ok := c.(netConn); ok { // TLS: what it has encrypted
		c = Inner(t.NetConn())
	}
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		raw, err := c.(syscall.Conn).SyscallConn()
		if err != nil {
			return 0
		}
		raw.Control(func(fd uintptr) {
			k, _ := (*sys.Calls)(nil).Outgoing(int(fd))
			n = int64(k)
		})
	}
	return n
}

// A pausing is a limiter whose waits are no silence.
type pausing struct {
	zerocopy.Limiter
	idle *idle
}

// WaitN implements zerocopy.Limiter.
func (p pausing) WaitN(ctx context.Context, n int) error {
	p.idle.waiting.Add(1)
	defer func() {
		p.idle.mu.Lock()
		defer p.idle.mu.Unlock()
		p.idle.since = time.Now()
		p.idle.waiting.Add(-1)
	}()
	return p.Limiter.WaitN(ctx, n)
}
