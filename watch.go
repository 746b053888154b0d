package zerocopy

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/bothends"
	"github.com/zerocopy-go/zerocopy/internal/engine"
)

// A watch ends a copy when its context is done, or a connection of package zcnet that the
// copy does not wait for says so. A nil watch never does.
type watch struct {
	ctx  context.Context
	stop func() bool
	done chan struct{} // closed when fire has run

	joined [2]bothends.Conn     // source and destination, or none
	told   atomic.Pointer[told] // what one of them has said

	mu       sync.Mutex
	fired    bool
	dst, src any
	expired  [][2]any // those whose deadlines were set to the past
	// waits is done when the copy is to end. It is what limiters are given, if a joined
	// connection can end the copy, and else nil.
	waits context.Context
	cut   context.CancelCauseFunc
}

// begin starts the watch. What it ends is not known before over has said so: the ends as they
// were passed may be connections of package zcnet, which keep the deadlines set to them for
// their user's.
func (w *watch) begin() error {
	if w == nil {
		return nil
	}
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	w.done = make(chan struct{})
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
	w.expired = append(w.expired, [2]any{w.dst, w.src})
	if src, ok := w.src.(interface{ SetReadDeadline(time.Time) error }); ok {
		src.SetReadDeadline(aLongTimeAgo)
	}
	if dst, ok := w.dst.(interface{ SetWriteDeadline(time.Time) error }); ok {
		dst.SetWriteDeadline(aLongTimeAgo)
	}
}

// end ends the watch. No deadline is set after it. It reports whether the deadlines that
// were are not to stay: then they are cleared.
func (w *watch) end() (cleared bool) {
	if w == nil {
		return false
	}
	if w.stop != nil && !w.stop() {
		<-w.done
	}
	if w.cut != nil {
		w.cut(nil)
	}
	var passing *bothends.Passing
	if len(w.expired) == 0 || !errors.As(w.err(), &passing) {
		return false
	}
	for _, ends := range w.expired {
		if dst, ok := ends[0].(interface{ SetWriteDeadline(time.Time) error }); ok {
			dst.SetWriteDeadline(time.Time{})
		}
		if src, ok := ends[1].(interface{ SetReadDeadline(time.Time) error }); ok {
			src.SetReadDeadline(time.Time{})
		}
	}
	return true
}

// restore sets the deadlines of zcnet's connections to what their users have set, where the
// watch has cleared them.
func (t *transfer) restore() {
	src, dst := t.conns()
	if src != nil {
		src.Restore(true)
	}
	if dst != nil {
		dst.Restore(false)
	}
}

// context returns the context of the copy.
func (w *watch) context() context.Context {
	switch {
	case w == nil:
		return context.Background()
	case w.waits != nil:
		return w.waits
	}
	return w.ctx
}

// err returns the cause once the copy is to end.
func (w *watch) err() error {
	switch {
	case w == nil:
		return nil
	case w.ctx.Err() != nil:
		return context.Cause(w.ctx)
	}
	if told := w.told.Load(); told != nil {
		return told.err
	}
	return nil
}

// A told is what has happened to a connection that a copy did not wait for.
type told struct {
	err error
	end End
}

// cancelled reports whether the context of the copy is done.
func (w *watch) cancelled() bool { return w != nil && w.ctx.Err() != nil }

// instead returns the cause in the place of the timeout that it made of err.
func (w *watch) instead(err error) error {
	if err == nil || !isTimeout(err) {
		return err
	}
	return cmpErr(w.err(), err)
}

// End implements bothends.Copy.
func (w *watch) End(err error, source bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := DestinationEnd
	if source {
		end = SourceEnd
	}
	w.told.CompareAndSwap(nil, &told{err, end}) // before the deadlines: see Ended
	w.fired = true
	w.expire()
	if w.cut != nil {
		w.cut(err)
	}
}

// Ended implements bothends.Copy.
func (w *watch) Ended() bool { return w.err() != nil }

// join has the copy end with either of its connections, if both are package zcnet's. Where
// a Before arms a deadline, one that has passed at the other end means nothing: it
// will be armed again. Of several destinations nobody could restore the deadlines.
func (t *transfer) join() {
	if t.from.multi >= 0 || len(t.from.layers) == 0 || len(t.to.layers) == 0 ||
		slices.ContainsFunc(t.from.layers, func(l layer) bool { return l.tap != nil }) {
		return
	}
	src, dst := t.conns()
	if src == nil || dst == nil || t.asksBefore() {
		return
	}
	if t.watch == nil {
		t.watch = &watch{ctx: context.Background(), dst: t.to.leaf, src: t.from.leaf}
	}
	if t.limited() {
		t.watch.waits, t.watch.cut = context.WithCancelCause(t.watch.ctx)
	}
	t.watch.joined = [2]bothends.Conn{src, dst}
	src.Join(t.watch, true)
	dst.Join(t.watch, false)
}

// conns returns the connections of package zcnet that the copy is between, or nil.
func (t *transfer) conns() (src, dst bothends.Conn) {
	for _, l := range t.from.layers {
		if l.opt != nil && src == nil {
			src, _ = l.opt.Self.(bothends.Conn)
		}
	}
	for _, opt := range t.to.layers {
		if dst == nil {
			dst, _ = opt.Self.(bothends.Conn)
		}
	}
	return src, dst
}

// limited reports whether a layer has a limiter.
func (t *transfer) limited() bool {
	return slices.ContainsFunc(t.from.layers, func(l layer) bool { return l.opt != nil && l.opt.limiter != nil }) ||
		slices.ContainsFunc(t.to.layers, func(opt *InnerWriter) bool { return opt.limiter != nil })
}

// asksBefore reports whether a layer has a Before.
func (t *transfer) asksBefore() bool {
	return slices.ContainsFunc(t.from.layers, func(l layer) bool { return l.opt != nil && l.opt.Before != nil }) ||
		slices.ContainsFunc(t.to.layers, func(opt *InnerWriter) bool { return opt.Before != nil })
}

// leave ends what join began.
func (t *transfer) leave() {
	if t.watch == nil || t.watch.joined[0] == nil {
		return
	}
	// Neither may tell any more before either sets its deadlines again.
	joined := t.watch.joined
	joined[0].Leave(t.watch)
	joined[1].Leave(t.watch)
	if t.watch.told.Load() != nil {
		joined[0].Restore(true)
		joined[1].Restore(false)
	}
	t.watch.joined = [2]bothends.Conn{}
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
