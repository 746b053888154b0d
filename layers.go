package zerocopy

import (
	"io"

	"github.com/zerocopy-go/zerocopy/internal/engine"
)

// What the layers of a source and a destination are asked and told.

// chunk returns the most bytes that may move between two calls of Moved.
func (t *transfer) chunk() int {
	n := engine.MaxClone
	for i := range t.from.layers {
		opt := t.from.layers[i].opt
		if opt != nil && opt.Chunk > 0 {
			n = min(n, opt.Chunk)
		}
		if opt != nil && opt.limiter != nil {
			n = min(n, tokens(opt.limiter))
		}
	}
	n = paced(t.to.chunk(n), t.to.layers)
	for _, b := range t.branches {
		n = paced(b.chunk(n), b.layers)
	}
	return n
}

// paced returns the least of n and what limiters let go at a time now: a burst may
// change while the copy runs.
func paced(n int, layers []*InnerWriter) int {
	for _, opt := range layers {
		if opt.limiter != nil {
			n = min(n, tokens(opt.limiter))
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
	if err := t.to.before(); err != nil {
		return err
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
			if l.opt.limiter != nil && err == nil {
				err = cmpErr(err, await(t.watch.context(), l.opt.limiter, n))
			}
		}
	}
	return cmpErr(err, t.to.moved(t.watch, n))
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
	return l.tap.done(unwritten, err)
}

// prefix is the reason of bytes that the layer had buffered.
func (l *layer) prefix() why {
	if l.buffer != nil {
		return becauseOf(ReasonPrefix, SourceEnd, l.buffer)
	}
	return becauseOf(ReasonPrefix, SourceEnd, l.opt.Self)
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
