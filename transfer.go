package zerocopy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// A transfer is one copy under way, on one goroutine.
type transfer struct {
	c      *Copier
	follow bool // c was the default: a later default's Disable counts, too
	watch  *watch
	buffer bufferSource

	from chain
	to   sink
	m    *engine.Mover // nil unless the pipeline runs

	// Where there are several destinations:
	fanned   bool
	branches []*branch
	single   tap           // the destination, behind TeeReaders
	copied   *engine.Mover // a chunk on its way to memory; nil until it is used
	route    string

	written      int64
	sourceFailed bool // the error that ends the copy comes from reading
	destFailed   bool // it comes from writing
	steps        []step
	last         lastReason
	started      time.Time // zero unless there is a Report

	// Of the current part of the source:
	ways     ways
	next     int // index into ways.try
	off      MechanismSet
	pace     pace
	noPipe   why  // why there was no pipe, while pace waits
	asked    bool // the modes of connections are known
	zeros    int  // how often the kernel moved nothing and gave no reason
	plainly  bool // a plain read has to tell why
	checked  int  // from layers before this one the destination takes bytes, as far as can be told
	consumed bool // the current way has moved bytes
	clone    int  // how much to ask copy_file_range for

	putFn func() // buffer.put, bound once a transfer: it would be allocated once a call
}

var transfers = sync.Pool{New: func() any {
	t := new(transfer)
	t.putFn = t.buffer.put
	return t
}}

func newTransfer(c *Copier, ctx context.Context, buf []byte) *transfer {
	t := transfers.Get().(*transfer)
	t.c, t.follow = c, c.follows || c == Default()
	t.buffer.pool, t.buffer.fixed = c.BufferPool, buf
	if ctx != nil && ctx.Done() != nil {
		t.watch = &watch{ctx: ctx}
	}
	if c.Report != nil {
		t.started = time.Now()
	}
	return t
}

// release gives back all that t has borrowed. It runs also when a Reader or a
// Writer panics.
func (t *transfer) release() {
	t.endPipeline()
	t.leave()
	if t.watch.end() {
		t.restore()
	}
	t.buffer.reset()
	t.from.reset()
	t.to.reset()
	clear(t.steps)
	clear(t.branches)
	t.fanned, t.branches, t.single, t.route = false, t.branches[:0], tap{}, ""
	t.c, t.watch, t.written, t.sourceFailed, t.destFailed = nil, nil, 0, false, false
	t.steps, t.started, t.ways, t.noPipe = t.steps[:0], time.Time{}, ways{}, why{}
	transfers.Put(t)
}

// end is release for a copy, which counts.
func (t *transfer) end() {
	t.release()
	counters.ended.Add(1)
}

// endPipeline gives back the Mover and with it whatever pipe it has.
func (t *transfer) endPipeline() {
	if t.m == nil {
		return
	}
	t.m.Release()
	t.m = nil
	for i := range t.from.layers {
		t.from.layers[i].tap.release()
	}
	t.to.tap.release()
	t.single.release()
	if t.copied != nil {
		t.copied.Release()
		t.copied = nil
	}
}

// copy runs the copy and accounts for it.
func (t *transfer) copy(dst io.Writer, src io.Reader) (int64, error) {
	err := t.watch.begin()
	if err == nil {
		err = t.run(dst, src)
	}
	if p, ok := dst.(*Pipe); ok && p != nil {
		err = p.whyClosed(err)
	}
	t.count(err)
	if t.c.Report != nil {
		t.report(dst, src, err)
	}
	return t.written, err
}

// report calls Report. It is apart since its frame is large: that of copy is on the stack of
// every copy that waits (docs/design.md, "4 KiB of stack").
//
//go:noinline
func (t *transfer) report(dst io.Writer, src io.Reader, err error) {
	t.c.Report(Report{
		Dst: typeName(dst), Src: typeName(src), Written: t.written,
		Steps: public(t.steps), Elapsed: time.Since(t.started), Err: err, Failed: t.failed(err),
	})
}

// failed says which end's error err is.
func (t *transfer) failed(err error) End {
	if w := t.watch; err != nil && w != nil {
		if told := w.told.Load(); told != nil && errors.Is(err, told.err) {
			return told.end
		}
	}
	switch {
	case err == nil, t.watch.cancelled():
	case t.sourceFailed:
		return SourceEnd
	case t.destFailed:
		return DestinationEnd
	}
	return NoEnd
}

// run copies from src to dst. It is entered again for a Reader inside another.
func (t *transfer) run(dst io.Writer, src io.Reader) error {
	dst, src = halves(dst, src)
	if !sys.Supported {
		return t.plain(dst, src)
	}
	t.detectReader(src)
	t.detectWriter(dst)
	if t.leavesTo(src) {
		t.watch.over(t.watched(dst), t.from.waits())
		return t.plain(dst, src)
	}
	t.watch.over(t.watched(t.to.leaf), t.from.waits())
	if !t.to.standard || len(t.to.buffers) == 0 {
		return t.between(dst, src)
	}

	buffers := slices.Clone(t.to.buffers)
	for _, b := range buffers {
		if ended, err := t.fill(b, src); ended || err != nil {
			return t.watch.instead(err)
		}
	}
	dst = buffers[len(buffers)-1].wr
	t.detectReader(src) // it has moved on
	t.detectWriter(dst)
	err := t.between(dst, src)
	for _, b := range buffers {
		// bufio keeps whatever error the ReadFrom below it returns; where there is
		// none it reads and writes itself and keeps that of a Write.
		if _, ok := b.wr.(io.ReaderFrom); ok || !t.sourceFailed {
			*b.sticky = err
		}
	}
	return err
}

// leavesTo reports whether the copy is src's own WriteTo: it is of an unknown type, and no
// layer of the destination wants to be told.
func (t *transfer) leavesTo(src io.Reader) bool {
	return !t.from.known() && !t.to.asks() && t.writesItself(src)
}

// detectReader finds out what src is.
func (t *transfer) detectReader(src io.Reader) {
	t.from.reset()
	t.c.detectReader(&t.from, src)
}

// detectWriter finds out what dst is. Its descriptor is asked only if something is
// known of the source, since otherwise it does not matter.
func (t *transfer) detectWriter(dst io.Writer) {
	t.to.reset()
	t.c.detectWriter(&t.to, dst)
	if t.to.standard && (t.from.known() || t.to.asks()) {
		t.c.inspectWriter(&t.to)
	}
}

// between copies by the pipeline where something is known of the source or a layer wants to
// be told, and plainly where not or an unknown destination does the copy itself.
func (t *transfer) between(dst io.Writer, src io.Reader) error {
	if !t.from.known() && !t.to.asks() {
		return t.plain(dst, src)
	}
	if !t.to.known() {
		if t.delegates(dst) {
			return t.plain(dst, src)
		}
		if t.to.standard && !isNil(t.to.leaf) { // but cannot even be asked what it is: closed
			_, t.to.dead = t.to.leaf.Write(nil)
		}
		// A bufio.Writer outside of the layers may hold bytes: it is written to, too.
		if t.to.dead == nil && (!t.to.asks() || len(t.to.buffers) > 0) {
			t.to.only(dst)
		}
	}
	return t.pipeline()
}

// fill does what bufio.Writer.ReadFrom does before the stream can go past b: what
// fits stays in b's buffer. It returns with ended == false when b is empty and the
// rest may go direct.
func (t *transfer) fill(b sinkBuffer, src io.Reader) (ended bool, err error) {
	const maxConsecutiveEmptyReads = 100 // as bufio has it
	if *b.sticky != nil {
		return true, *b.sticky
	}
	if !b.mustFill(src) {
		return false, nil
	}
	for filled := false; ; filled = true {
		if b.w.Available() == 0 {
			if err := b.w.Flush(); err != nil {
				return true, t.destError(err)
			}
		}
		if filled && b.w.Buffered() == 0 {
			return false, nil
		}
		p := b.w.AvailableBuffer()
		p = p[:cap(p)]
		var n int
		for empty := 0; n == 0 && err == nil; empty++ {
			if empty == maxConsecutiveEmptyReads {
				return true, t.sourceError(io.ErrNoProgress)
			}
			n, err = src.Read(p)
		}
		if n > 0 {
			b.w.Write(p[0:n:cap(p)])
			t.written += int64(n)
			t.add(Buffered, "", int64(n), 0, becauseOf(ReasonPrefix, DestinationEnd, (*bufio.Writer)(nil)))
		}
		if err == io.EOF {
			if b.w.Available() == 0 {
				err = t.destError(b.w.Flush())
			} else {
				err = nil
			}
			return true, err
		}
		if err != nil {
			return true, t.sourceError(err)
		}
	}
}

// mustFill reports whether io.Copy from src would read into b's buffer first.
func (b sinkBuffer) mustFill(src io.Reader) bool {
	_, direct := b.wr.(io.ReaderFrom)
	return b.w.Buffered() > 0 || !direct || startsInMemory(src)
}

// startsInMemory reports whether io.Copy writes to a bufio.Writer, before it
// calls its ReadFrom, bytes that may stay in its buffer.
func startsInMemory(src io.Reader) bool {
	switch s := src.(type) {
	case *Reader:
		return s != nil && startsInMemory(s.r)
	default:
		_, src = halves(nil, src)
		b, _ := peekBuffer(src)
		return b || stdtypes.IsMultiReader(src)
	}
}

// add counts n bytes that went one way. Bytes that go the same way for the same
// reason make one step.
func (t *transfer) add(m Mechanism, route string, n, calls int64, w why) {
	tally.Bytes[m].Add(n)
	if calls != 0 {
		tally.Calls[m].Add(calls)
	}
	if t.c.Meter != nil {
		t.c.Meter.add(step{mechanism: m, route: route, why: w}, n)
	}
	for i := len(t.steps) - 1; i >= 0; i-- {
		if s := &t.steps[i]; s.mechanism == m && s.route == route && s.why == w {
			s.bytes += n
			s.calls += calls
			return
		}
	}
	t.steps = append(t.steps, step{m, route, n, calls, w})
}

// disabled returns what is off now.
func (t *transfer) disabled() MechanismSet {
	off := t.c.disabled()
	if t.follow {
		off |= Default().Disable
	}
	return off
}

// pipes returns where private pipes come from.
func (c *Copier) pipes() *kpipe.Pool {
	if c.pool != nil {
		return c.pool
	}
	return &kpipe.Shared
}
