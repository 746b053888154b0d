package zerocopy

import (
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// A turn moves one chunk from the leaf to the destination, one function a way.

// turn moves one chunk of the leaf, at most room bytes. io.EOF is its end.
func (t *transfer) turn(room int64) error {
	if off := t.disabled(); off != t.off {
		t.off = off
		t.choose()
	}
	way := wayBuffered
	if t.next < len(t.ways.try) && !t.plainly {
		way = t.ways.try[t.next]
	}
	n := int(min(room, int64(t.chunk()), engine.MaxChunk))
	if way == wayPiped || way == wayTee {
		if w := t.unpiped(room); w.reason != ReasonNone {
			return t.buffered(n, w)
		}
	}
	if way != wayBuffered && !t.asked {
		if t.asked = true; t.ask() {
			t.choose()
			return nil
		}
		if way == wayPiped && t.c.RawCalls {
			t.m.UseRaw()
		}
		if way == wayPiped && t.c.LowWater && t.from.conn == nil { // what follows a body may never come
			t.m.UseLowWater()
		}
	}
	switch way {
	case wayPiped, wayTee:
		if t.from.conn != nil {
			return t.through(n)
		}
		return t.piped(n)
	case wayDirect:
		return t.direct(way, n, t.m.Splice)
	case waySendfile:
		return t.direct(way, n, t.m.SendFile)
	case wayCopyRange:
		return t.direct(way, int(min(room, int64(t.chunk()), int64(t.clone))), t.cloneRange)
	}
	w := t.ways.why
	if t.plainly {
		t.plainly = false
		w = becauseOf(ReasonCheck, SourceEnd, t.from.leaf)
	}
	return t.buffered(n, w)
}

// unpiped says why a chunk that could go through a pipe is read and written: there
// was none to be had, or the source is a socket that has not proved to be bulk, or
// has so little left that a splice does not pay.
func (t *transfer) unpiped(room int64) why {
	if t.pace.waits() {
		return t.noPipe
	}
	if !t.m.Src.Kind.Socket() {
		return why{}
	}
	bulk := t.pace.bulk && room >= shortDrain
	if t.c.force != nil {
		bulk = t.c.force(t.written)
	}
	if bulk {
		return why{}
	}
	t.asked = false
	t.buffer.shrink()
	return becauseOf(ReasonStart, SourceEnd, t.from.leaf)
}

// ask finds out what detection has put off, the modes of connections, and reports
// whether they are not what they were taken for.
func (t *transfer) ask() (changed bool) {
	m := t.m
	changed = m.Src.Ask(m.Calls)
	t.from.end.Flags = m.Src.Flags
	if t.fanned {
		return t.askBranches() || changed
	}
	changed = m.Dst.Ask(m.Calls) || changed
	t.to.end.Flags = m.Dst.Flags
	return changed
}

// cloneRange is copy_file_range, asked for more as long as that takes no longer:
// a filesystem that clones answers for a GiB as fast as for a page. 32 bytes a
// nanosecond is beyond what memory can be copied at (here 10).
func (t *transfer) cloneRange(max int) (n int, handled bool, err error) {
	began := time.Now()
	n, handled, err = t.m.CopyFileRange(max)
	if n == max {
		if float64(n) > 32*float64(time.Since(began)) {
			t.clone = 8 * min(t.clone, engine.MaxClone/8) // no overflow of a 32-bit int
		} else {
			t.clone = engine.MaxChunk
		}
	}
	return n, handled, err
}

// piped moves one chunk through a private pipe.
func (t *transfer) piped(max int) error {
	m := t.m
	t.buffer.put() // of chunks that were read and written
	if err := t.beforeRead(); err != nil {
		return err
	}
	m.Class = kpipe.Largest // a file always has more
	if m.Src.Kind.Socket() {
		m.Class = t.pace.class
	}
	if t.fanned {
		max = t.fits(max)
	}
	n, handled, err := m.Drain(max)
	if !handled {
		return t.refused(err)
	}
	if err != nil {
		return t.sourceError(err)
	}
	if len(m.Mem()) > 0 {
		return t.deliver(len(t.from.layers), t.check())
	}
	if n == 0 {
		t.asked = false
		return nil
	}
	t.consumed, t.zeros = true, 0
	t.pace.drained(n, max, m.Filled())
	if t.fanned {
		return t.distribute(n)
	}
	return t.pumpOut()
}

// pumpOut moves what is in the private pipe to the destination.
func (t *transfer) pumpOut() error {
	m := t.m
	route := wayPiped.route(&m.Dst, &m.Src)
	for m.InPipe() > 0 {
		if err := t.beforeWrite(); err != nil {
			return err
		}
		n, handled, err := m.Pump(m.InPipe())
		if n > 0 {
			t.add(Splice, route, int64(n), t.calls(), why{})
			if err := t.account(len(t.from.layers), int64(n)); err != nil {
				return err
			}
		}
		if !handled {
			t.asked = false
			t.refused(err)
			if err := m.Unpipe(); err != nil {
				return err
			}
			w := t.ways.why
			if err == nil {
				w = becauseOf(ReasonCheck, DestinationEnd, t.to.leaf)
			}
			return t.deliver(len(t.from.layers), w)
		}
		if err != nil {
			return t.destError(err)
		}
	}
	return nil
}

// direct moves one chunk by a mechanism that needs no pipe of its own.
func (t *transfer) direct(way way, max int, call func(int) (int, bool, error)) error {
	m := t.m
	t.buffer.put()
	if err := t.beforeRead(); err != nil {
		return err
	}
	if err := t.beforeWrite(); err != nil {
		return err
	}
	n, handled, err := call(max)
	if !handled {
		return t.refused(err)
	}
	if err != nil {
		return t.directError(err)
	}
	if len(m.Mem()) > 0 {
		return t.deliver(len(t.from.layers), t.check())
	}
	if n == 0 {
		return nil // it has waited
	}
	t.consumed, t.zeros = true, 0
	t.add(wayMechanism[way], way.route(&m.Dst, &m.Src), int64(n), t.calls(), why{})
	return t.account(len(t.from.layers), int64(n))
}

// check is the reason of bytes that only a plain read found. Where that happens
// time and again, a whole buffer is read plainly before the kernel is asked again.
func (t *transfer) check() why {
	if t.zeros++; t.zeros > 1 {
		t.plainly = true
	}
	return becauseOf(ReasonCheck, SourceEnd, t.from.leaf)
}

// maxZeros is how often in a row a mechanism may move nothing, with a plain read
// finding bytes each time, before it is given up for this source.
const maxZeros = 3

// refused notes that the kernel declined the current way and moved nothing. With
// an errno the way is given up, unless it only wants a pipe; without one a plain read
// has to tell first.
func (t *transfer) refused(err error) error {
	if t.m.NoPipe {
		t.m.NoPipe = false
		t.noPipe = becauseOf(ReasonNoPipe, SourceEnd, t.from.leaf)
		t.noPipe.err = err
		t.pace.noPipe()
		return nil
	}
	if err == nil {
		t.plainly = true
		if t.zeros++; t.zeros < maxZeros {
			return nil
		}
	}
	way := t.ways.try[t.next]
	if err != nil && !t.consumed {
		t.c.learn(way, &t.m.Dst, &t.m.Src, err)
	}
	t.next++
	t.zeros, t.consumed = 0, false
	t.ways.why = becauseOf(ReasonRefused, SourceEnd, t.from.leaf)
	t.ways.why.err = err
	return nil
}

// buffered reads and writes one buffer.
func (t *transfer) buffered(max int, w why) error {
	m := t.m
	m.EndLowWater()
	if err := t.beforeRead(); err != nil {
		return err
	}
	src := &m.Src
	if src.Pollable() && src.Kind != engine.TTY && t.from.conn == nil {
		return t.stream(max, w)
	}
	buf := t.cut(max)
	var n int
	var er error
	if src.Section {
		n, er = src.File.ReadAt(buf, src.Off)
	} else {
		n, er = t.from.leaf.Read(buf)
	}
	if src.Known() {
		m.Syscalls++
	}
	if n > 0 {
		m.Hold(buf[0:n:len(buf)]) // panics, as io.Copy, where n > len(buf) (H39)
	}
	return t.pass(n, len(buf), er, w)
}

// stream is buffered for a source that can be waited for. Nothing is held while it
// waits, and nothing refers to a buffer, or the collector would have to keep it.
func (t *transfer) stream(max int, w why) error {
	idle := t.putFn
	if t.buffer.pool != nil || w.reason == ReasonCheck {
		// The pool's Put is not ours to call inside of the source's lock. And at a mark
		// EAGAIN is not the last word: Wait asks for a second opinion.
		idle = nil
	}
	buf := t.cut(max)
	size := len(buf)
	n, again, err := t.m.Read(buf, idle)
	if !again {
		return t.pass(n, size, err, w)
	}
	if idle != nil {
		return nil
	}
	t.buffer.put()
	if err := t.m.Wait(); err != nil {
		return t.sourceError(err)
	}
	return t.deliver(len(t.from.layers), w)
}

// cut returns a buffer of at most max bytes.
func (t *transfer) cut(max int) []byte {
	buf := t.buffer.get()
	n := min(len(buf), max)
	return buf[:n:n]
}

// pass writes what a read has got, n bytes of at most size, and then returns err.
func (t *transfer) pass(n, size int, err error, w why) error {
	switch {
	case w.reason == ReasonStart:
		t.pace.read(n == size)
	case w.reason == ReasonCheck: // the kernel is asked again at once
	case w.reason == ReasonSame: // what a file overwrites of itself depends on the size of the buffer
	case t.m.Dst.Kind == engine.Pipe: // takes 64 KiB at a time: more than that has to wait for its reader
	default:
		t.buffer.read(n)
	}
	if n > 0 {
		if err := t.deliver(len(t.from.layers), w); err != nil {
			return err
		}
	}
	return t.sourceError(err)
}

// prefix writes what the layer at index at has buffered, at most room bytes.
func (t *transfer) prefix(at int, room int64) error {
	l := &t.from.layers[at]
	p := l.buffered()[:room]
	return t.write(at, p, l.prefix(), nil)
}

// deliver writes the residue in user memory.
func (t *transfer) deliver(at int, w why) error { return t.write(at, t.m.Mem(), w, t.m.TakeMem) }

// write writes p, which comes from the layer at index at, by the destination's own
// Write. taken is told what was accepted before anybody else is.
func (t *transfer) write(at int, p []byte, w why, taken func(int)) error {
	for len(p) > 0 {
		if !t.fanned { // else each branch asks
			if err := t.beforeWrite(); err != nil {
				return err
			}
		}
		n, ew := t.put(at, p[:min(len(p), t.chunk())])
		t.destFailed = ew != nil && !t.sourceFailed
		p = p[n:]
		if taken != nil {
			taken(n)
		}
		t.add(Buffered, "", int64(n), t.calls(), w)
		if n > 0 {
			if err := t.account(at, int64(n)); err != nil && ew == nil {
				ew = err
			}
		}
		if ew != nil {
			return ew
		}
	}
	return nil
}

// calls returns the system calls that were made since it was last asked.
func (t *transfer) calls() int64 {
	n := t.m.Syscalls
	t.m.Syscalls = 0
	return n
}

// charge adds the calls that found the end of the source to the last step.
func (t *transfer) charge() {
	if n := t.calls(); n > 0 && len(t.steps) > 0 {
		last := &t.steps[len(t.steps)-1]
		last.calls += n
		tally.Calls[last.mechanism].Add(n)
	}
}
