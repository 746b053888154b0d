package zcnet

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// An idle is the clock of a relay: a timer that is set to the end of the silence that
// there would be if nothing moved from now on. It costs a moving relay nothing but its
// Meters.
type idle struct {
	waiting atomic.Int32 // directions that wait for a limiter
	mu      sync.Mutex
	timer   *time.Timer // nil where there is no limit, or no relay any more
	limit   time.Duration
	since   time.Time // when something happened last that no Meter shows
}

// watchIdle begins to look for silence.
func (r *relay) watchIdle() {
	r.idle.since = r.began
	if r.idle.limit = r.options.IdleTimeout; r.idle.limit > 0 {
		r.idle.mu.Lock()
		defer r.idle.mu.Unlock()
		r.idle.timer = time.AfterFunc(r.idle.limit, r.look)
	}
}

// halfClosed has the other limit count from now on.
func (r *relay) halfClosed() {
	limit := r.options.HalfClosedTimeout
	if limit <= 0 {
		return
	}
	r.idle.mu.Lock()
	defer r.idle.mu.Unlock()
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
	r.idle.mu.Lock()
	defer r.idle.mu.Unlock()
	if r.idle.timer == nil {
		return
	}
	last := r.idle.since
	if r.idle.waiting.Load() > 0 {
		last = time.Now()
	}
	for _, m := range []*zerocopy.Meter{&r.meters.AToB, &r.meters.BToA} {
		if at := m.Moved(); at.After(last) {
			last = at
		}
	}
	if left := r.idle.limit - time.Since(last); left > 0 {
		r.idle.timer.Reset(left)
		return
	}
	r.idle.timer = nil
	r.fail(EndedByIdle, ErrIdle)
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
