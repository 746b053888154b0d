package zerocopy

import (
	"context"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
)

// A watch ends a copy when its context is done. A nil watch never does.
type watch struct {
	ctx  context.Context
	stop func() bool
	done chan struct{} // closed when fire has run

	mu       sync.Mutex
	fired    bool
	dst, src any
}

// begin starts the watch over a copy whose ends are, until more is known, dst and
// src as they were passed.
func (w *watch) begin(dst, src any) error {
	if w == nil {
		return nil
	}
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	w.dst, w.src, w.done = dst, src, make(chan struct{})
	w.stop = context.AfterFunc(w.ctx, w.fire)
	return nil
}

// over names the ends that have the deadlines. They can change with the parts of
// a source.
func (w *watch) over(dst, src any) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dst, w.src = dst, src
	if w.fired {
		w.expire()
	}
}

func (w *watch) fire() {
	defer close(w.done)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fired = true
	w.expire()
}

func (w *watch) expire() {
	if src, ok := w.src.(interface{ SetReadDeadline(time.Time) error }); ok {
		src.SetReadDeadline(aLongTimeAgo)
	}
	if dst, ok := w.dst.(interface{ SetWriteDeadline(time.Time) error }); ok {
		dst.SetWriteDeadline(aLongTimeAgo)
	}
}

// end ends the watch. No deadline is set after it.
func (w *watch) end() {
	if w != nil && w.stop != nil && !w.stop() {
		<-w.done
	}
}

// context returns the context of the copy.
func (w *watch) context() context.Context {
	if w == nil {
		return context.Background()
	}
	return w.ctx
}

// err returns the cause once the context is done.
func (w *watch) err() error {
	if w == nil || w.ctx.Err() == nil {
		return nil
	}
	return context.Cause(w.ctx)
}

// instead returns the cause in the place of the timeout that it made of err.
func (w *watch) instead(err error) error {
	if err == nil || w == nil || w.ctx.Err() == nil || !isTimeout(err) {
		return err
	}
	return context.Cause(w.ctx)
}

// canEnd reports whether a cancellation can end a call that the watch cannot look
// into: one of the ends has deadlines that work. Those of a file do not.
func (w *watch) canEnd() bool {
	if w == nil {
		return true
	}
	w.mu.Lock()
	src, dst := w.src, w.dst
	w.mu.Unlock()
	_, r := src.(interface{ SetReadDeadline(time.Time) error })
	return r && works(src) || canExpire(dst)
}

// canExpire reports whether dst, or one of several, has a write deadline that works.
func canExpire(dst any) bool {
	if several, ok := dst.(deadlines); ok {
		return slices.ContainsFunc(several, func(w io.Writer) bool { return canExpire(w) })
	}
	_, ok := dst.(interface{ SetWriteDeadline(time.Time) error })
	return ok && works(dst)
}

// works reports whether v's deadlines do: an *os.File has the methods in any case.
func works(v any) bool {
	if _, ok := v.(*os.File); !ok {
		return true
	}
	e, ok := engine.Inspect(nil, v, false)
	return ok && e.Pollable()
}

// deadlines are several destinations, as a watch sees them.
type deadlines []io.Writer

// SetWriteDeadline sets that of each which has one.
func (d deadlines) SetWriteDeadline(at time.Time) error {
	for _, w := range d {
		if w, ok := w.(interface{ SetWriteDeadline(time.Time) error }); ok {
			w.SetWriteDeadline(at)
		}
	}
	return nil
}

// watched returns what a cancelled copy to dst sets the write deadline of: dst, and the
// Writers of the TeeReaders and the MultiWriter that its bytes pass.
func (t *transfer) watched(dst io.Writer) any {
	if t.watch == nil {
		return dst
	}
	var d deadlines
	for i := range t.from.layers {
		d = t.from.layers[i].tap.deadlines(d)
	}
	if t.to.tap != nil {
		return t.to.tap.deadlines(d)
	}
	if writers, ok := multiWriters(dst); ok {
		return flatten(d, writers)
	}
	if d == nil {
		return dst
	}
	return append(d, dst)
}

// deadlines appends to d what has the write deadlines of the branches. A nil tap has none.
func (p *tap) deadlines(d deadlines) deadlines {
	if p != nil {
		for _, b := range p.branches {
			d = append(d, b.under)
		}
	}
	return d
}
