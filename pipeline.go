package zerocopy

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// The pipeline moves a chain to a sink, a chunk a turn:
//
//	what is buffered in a layer  → written
//	what the descriptor has      → moved by the first of the ways that works, else read and written
//
// After each chunk the layers are told (account). Bytes taken and not accepted are
// residue of the Mover; they are delivered before anything else is taken, and on
// an error settle hands them back.

// pipeline copies t.from to t.to.
func (t *transfer) pipeline() error {
	t.m = engine.NewMover(t.c.calls, t.c.pipes())
	t.m.Dst = t.to.end
	err := t.flow()
	err = t.settle(err)
	t.endPipeline()
	return err
}

// errEnd is the end of a leaf. It is not io.EOF, which a Writer or a callback may
// well return as an error of its own.
var errEnd = errors.New("end of the source")

// sourceError is the error of reading the leaf.
func sourceError(err error) error {
	if err == io.EOF {
		return errEnd
	}
	return err
}

// flow runs until the source ends (nil) or something fails.
func (t *transfer) flow() error {
	for i := range t.to.layers { // the outer first: it writes to the inner
		if flush := t.to.layers[i].Flush; flush != nil {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	t.checked = false
	t.part()
	for {
		at, room := t.from.ahead()
		if room == 0 {
			if more, err := t.nextPart(at); !more {
				return err
			}
			continue
		}
		if err := t.watch.err(); err != nil {
			return err
		}
		var err error
		if !t.checked && (at < len(t.from.layers) || t.from.end.Known()) {
			err = t.refusing(at)
			t.checked = err == nil
		}
		switch {
		case err != nil:
		case at < len(t.from.layers):
			err = t.prefix(at, room)
		default:
			err = t.turn(room)
		}
		if err == errEnd {
			t.charge()
			if more, err := t.nextPart(len(t.from.layers)); !more {
				return err
			}
		} else if err != nil {
			return err
		}
	}
}

// ahead returns what comes next: the index of the layer whose buffered bytes do,
// or that of the leaf, and how many bytes may. room == 0 says that the layer at
// that index lets nothing more through.
func (ch *chain) ahead() (at int, room int64) {
	room = unlimited
	for i := range ch.layers {
		l := &ch.layers[i]
		if room = min(room, l.room()); room == 0 {
			return i, 0
		}
		if n := len(l.buffered()); n > 0 {
			return i, min(room, int64(n))
		}
	}
	return len(ch.layers), room
}

// beyond returns how many bytes of the leaf can follow what is buffered in layers.
func (ch *chain) beyond() int64 {
	room := int64(unlimited)
	for i := range ch.layers {
		l := &ch.layers[i]
		if room = min(room, l.room()); room < unlimited {
			room -= min(room, int64(len(l.buffered())))
		}
	}
	return room
}

// part prepares for the leaf that the source has now.
func (t *transfer) part() {
	t.m.Src = t.from.end
	t.off = t.disabled()
	t.choose()
	t.zeros, t.plainly, t.clone = 0, false, engine.MaxChunk
	t.watch.over(t.to.leaf, t.from.leaf)
}

// choose asks for the ways from the leaf to the destination.
func (t *transfer) choose() {
	t.next, t.consumed = 0, false
	t.ways = t.c.choose(&t.to, &t.from, t.from.beyond(), t.off)
}

// nextPart goes on to what follows the layer at index depth, which has come to
// its end: the next part of an io.MultiReader around it. more is false where there
// is none. The layers of the part that ended are done.
func (t *transfer) nextPart(depth int) (more bool, err error) {
	ch := &t.from
	for i := ch.around(depth); i >= 0; i = ch.around(i) {
		for j := len(ch.layers) - 1; j > i; j-- {
			l := ch.layers[j]
			ch.layers = ch.layers[:j]
			if err := l.done(0, nil); err != nil {
				return false, err
			}
		}
		parts := ch.layers[i].parts
		(*parts)[0] = stdtypes.AtEnd{}
		*parts = (*parts)[1:]
		ch.truncate(i + 1)
		if len(*parts) > 0 {
			t.c.detectReader(ch, (*parts)[0])
			t.part()
			return true, nil
		}
	}
	return false, nil
}

// done tells the layer that the copy, or its part of it, has ended with err, and
// returns what the error shall be. A bufio.Reader that bytes went past forgets the
// last byte it has read itself, as its own WriteTo makes it.
func (l *layer) done(unwritten int64, err error) error {
	if l.buffer != nil && l.passed {
		l.buffer.Peek(0)
	}
	if l.opt != nil && l.opt.Done != nil {
		return l.opt.Done(unwritten, err)
	}
	return err
}

// refusing returns the error of a destination that can be told not to take bytes
// before one is taken from the source: closed, past its write deadline, or not open
// for writing. It is errEnd if nothing comes from the layer at index at, because
// that is the leaf and at its end: then nobody has to write.
func (t *transfer) refusing(at int) error {
	m := t.m
	err := t.to.dead
	if t.to.known() {
		if err = m.CheckDst(); err == nil && m.Dst.File != nil && m.Dst.Flags&sys.AccessMode == sys.ReadOnly {
			err = m.Dst.Fail("write", "write", syscall.EBADF)
		}
	}
	if err != nil && at == len(t.from.layers) && t.from.end.Known() && t.atEnd() {
		err = errEnd
	}
	return err
}

// atEnd reports whether the leaf has nothing more to give, without waiting.
func (t *transfer) atEnd() bool {
	src := &t.m.Src
	if src.Kind != engine.File {
		return t.m.AtEnd()
	}
	off := src.Off
	if !src.Section {
		var err error
		if off, err = src.File.Seek(0, io.SeekCurrent); err != nil {
			return false
		}
	}
	var p [1]byte
	n, err := src.File.ReadAt(p[:], off)
	return n == 0 && err == io.EOF
}

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
	switch way {
	case wayPiped:
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

// cloneRange is copy_file_range, asked for more as long as that takes no longer:
// a filesystem that clones answers for a GiB as fast as for a page. 32 bytes a
// nanosecond is beyond what memory can be copied at (here 10).
func (t *transfer) cloneRange(max int) (n int, handled bool, err error) {
	began := time.Now()
	n, handled, err = t.m.CopyFileRange(max)
	if n == max {
		if float64(n) > 32*float64(time.Since(began)) {
			t.clone = min(t.clone*8, engine.MaxClone)
		} else {
			t.clone = engine.MaxChunk
		}
	}
	return n, handled, err
}

// piped moves one chunk through a private pipe.
func (t *transfer) piped(max int) error {
	m := t.m
	if err := t.beforeRead(); err != nil {
		return err
	}
	_, handled, err := m.Drain(max)
	if !handled {
		return t.refused(err)
	}
	if err != nil {
		return sourceError(err)
	}
	if len(m.Mem()) > 0 {
		return t.deliver(len(t.from.layers), t.check())
	}
	t.consumed, t.zeros = true, 0
	route := wayPiped.route(&m.Dst, &m.Src)
	for m.InPipe() > 0 {
		if err := t.beforeWrite(); err != nil {
			return err
		}
		n, handled, err := m.Pump()
		if n > 0 {
			t.add(Splice, route, int64(n), t.calls(), why{})
			if err := t.account(len(t.from.layers), int64(n)); err != nil {
				return err
			}
		}
		if !handled {
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
			return err
		}
	}
	return nil
}

// direct moves one chunk by a mechanism that needs no pipe of its own.
func (t *transfer) direct(way way, max int, call func(int) (int, bool, error)) error {
	m := t.m
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
		return sourceError(err)
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
// an errno the way is given up; without one a plain read has to tell first.
func (t *transfer) refused(err error) error {
	if err == nil {
		t.plainly = true
		if t.zeros++; t.zeros < maxZeros {
			return nil
		}
	}
	way := t.ways.try[t.next]
	if err != nil && !t.consumed && !t.m.NoPipe {
		t.c.learn(way, &t.m.Dst, &t.m.Src, err)
	}
	t.next++
	t.zeros, t.consumed = 0, false
	t.ways.why = becauseOf(ReasonRefused, SourceEnd, t.from.leaf)
	t.ways.why.err = err
	if t.m.NoPipe {
		t.ways.why.reason, t.m.NoPipe = ReasonNoPipe, false
	}
	return nil
}

// buffered reads and writes one buffer. Nothing is held while it waits for a
// stream.
func (t *transfer) buffered(max int, w why) error {
	m := t.m
	if err := t.beforeRead(); err != nil {
		return err
	}
	buf := t.buffer.get()
	buf = buf[:min(len(buf), max):min(len(buf), max)]
	var n int
	var er error
	switch src := &m.Src; {
	case !src.Known():
		n, er = t.from.leaf.Read(buf)
	case src.Section:
		n, er = src.File.ReadAt(buf, src.Off)
		m.Syscalls++
	case !src.Pollable() || src.Kind == engine.TTY:
		n, er = t.from.leaf.Read(buf)
		m.Syscalls++
	default:
		var again bool
		if n, again, er = m.ReadOnce(buf); again {
			t.buffer.put()
			if err := m.Wait(); err != nil {
				return sourceError(err)
			}
			return t.deliver(len(t.from.layers), w)
		}
	}
	if n > 0 {
		m.Hold(buf[0:n:len(buf)]) // panics, as io.Copy, where n > len(buf) (H39)
		if err := t.deliver(len(t.from.layers), w); err != nil {
			return err
		}
	}
	return sourceError(er)
}

// prefix writes what the layer at index at has buffered, at most room bytes.
func (t *transfer) prefix(at int, room int64) error {
	l := &t.from.layers[at]
	p := l.buffered()[:room]
	return t.write(at, p, l.prefix(), nil)
}

// prefix is the reason of bytes that the layer had buffered.
func (l *layer) prefix() why {
	if l.buffer != nil {
		return becauseOf(ReasonPrefix, SourceEnd, l.buffer)
	}
	return becauseOf(ReasonPrefix, SourceEnd, l.opt.Self)
}

// deliver writes the residue in user memory.
func (t *transfer) deliver(at int, w why) error { return t.write(at, t.m.Mem(), w, t.m.TakeMem) }

// write writes p, which comes from the layer at index at, by the destination's own
// Write. taken is told what was accepted before anybody else is.
func (t *transfer) write(at int, p []byte, w why, taken func(int)) error {
	for len(p) > 0 {
		if err := t.beforeWrite(); err != nil {
			return err
		}
		piece := p[:min(len(p), t.chunk())]
		n, ew := t.to.leaf.Write(piece)
		if n < 0 || n > len(piece) {
			n = 0
			ew = cmpErr(ew, errInvalidWrite)
		}
		if t.to.known() {
			t.m.Syscalls++
		}
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
		if n < len(piece) {
			return io.ErrShortWrite
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
		counters.calls[last.mechanism].Add(n)
	}
}

// chunk returns the most bytes that may move between two calls of Moved.
func (t *transfer) chunk() int {
	n := engine.MaxClone
	for i := range t.from.layers {
		if opt := t.from.layers[i].opt; opt != nil && opt.Chunk > 0 {
			n = min(n, opt.Chunk)
		}
	}
	for _, opt := range t.to.layers {
		if opt.Chunk > 0 {
			n = min(n, opt.Chunk)
		}
	}
	return n
}

// beforeRead asks the source's layers before a wait, the inner first.
func (t *transfer) beforeRead() error {
	asked := false
	for i := len(t.from.layers) - 1; i >= 0; i-- {
		if opt := t.from.layers[i].opt; opt != nil && opt.Before != nil {
			asked = true
			if err := opt.Before(); err != nil {
				return err
			}
		}
	}
	if asked {
		return t.watch.err() // it may have moved the deadline that ends the copy
	}
	return nil
}

// beforeWrite asks the destination's layers before a wait, the inner first. They,
// and a Moved before, may have moved the deadline that ends the copy.
func (t *transfer) beforeWrite() error {
	for i := len(t.to.layers) - 1; i >= 0; i-- {
		if opt := t.to.layers[i]; opt.Before != nil {
			if err := opt.Before(); err != nil {
				return err
			}
		}
	}
	return t.watch.err()
}

// account tells everybody that the destination accepted n bytes which came from
// the layer at index at: the layers they passed, the inner first, then those of
// the destination. The first error of a Moved is returned; all are told.
func (t *transfer) account(at int, n int64) (err error) {
	t.written += n
	if at == len(t.from.layers) {
		t.m.Src.Off += n
	}
	for i := min(at, len(t.from.layers)-1); i >= 0; i-- {
		l := &t.from.layers[i]
		switch {
		case l.limit != nil:
			l.limit.N -= n
		case l.buffer != nil && i == at:
			t.from.discard(i, int(n))
		case l.buffer != nil:
			l.passed = true
		case l.section != nil:
			l.section.Seek(n, io.SeekCurrent)
			l.left -= n
		case l.opt != nil:
			l.left -= n
			if i == at {
				l.opt.Buffered = l.opt.Buffered[n:]
			}
			if l.opt.Moved != nil {
				err = cmpErr(err, l.opt.Moved(n))
			}
		}
	}
	for i := len(t.to.layers) - 1; i >= 0; i-- {
		if moved := t.to.layers[i].Moved; moved != nil {
			err = cmpErr(err, moved(n))
		}
	}
	return err
}

// discard drops the first n bytes that the bufio.Reader at index at has buffered.
// Under a limit io.Copy reads them, and the last can be unread (H37).
func (ch *chain) discard(at, n int) {
	b := ch.layers[at].buffer
	for i := range ch.layers[:at] {
		if ch.layers[i].limit != nil {
			b.Discard(n - 1)
			b.ReadByte()
			return
		}
	}
	b.Discard(n)
}

// settle ends the copy: residue is handed back, the layers are told, and the error
// is made what the caller shall see.
func (t *transfer) settle(err error) error {
	m := t.m
	var unwritten []byte
	if err != nil {
		unwritten = t.residue()
		err = t.watch.instead(err)
	}
	cause := err
	for i := len(t.from.layers) - 1; i >= 0; i-- {
		if l := &t.from.layers[i]; l.limit != nil {
			// What is handed back has passed the limit: whoever writes it and
			// copies on gets as many bytes as the limit says.
			l.limit.N -= int64(len(unwritten))
		}
		err = t.from.layers[i].done(int64(len(unwritten)), err)
	}
	for i := len(t.to.layers) - 1; i >= 0; i-- {
		if done := t.to.layers[i].Done; done != nil {
			err = done(int64(len(unwritten)), err)
		}
	}
	m.Discard()
	if len(unwritten) == 0 {
		return err
	}
	// Done may replace the error, and not hide that bytes are left over.
	return &PartialError{Written: t.written, Unwritten: unwritten, Err: cmpErr(err, cause)}
}

// residue returns what was taken from a stream and not accepted, in memory of its
// own. A file's position is moved back instead.
func (t *transfer) residue() []byte {
	m := t.m
	if m.InPipe() > 0 {
		m.Unpipe()
	}
	left := m.Mem()
	if len(left) == 0 || m.Src.Section || m.Src.Kind == engine.Zero {
		return nil
	}
	if m.Src.Kind == engine.File || m.Src.Kind == engine.Block {
		if _, err := m.Src.File.Seek(int64(-len(left)), io.SeekCurrent); err == nil {
			return nil
		}
	}
	return bytes.Clone(left)
}
