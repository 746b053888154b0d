package broadcast

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// One round: what the source has now, taken, and given to all sinks.

// switchedOff reports whether the kernel's part is switched off.
func switchedOff() bool {
	off := zerocopy.Disabled()
	return off.Has(zerocopy.Tee) || off.Has(zerocopy.Splice)
}

// off reports whether bytes have to pass user memory, since the kernel does not
// duplicate them or is not to.
func (b *Broadcast) off() bool { return b.refused.Load() || switchedOff() }

// take takes what the source has now into the master, or into user memory where that
// cannot be teed. io.EOF is its end.
func (b *Broadcast) take() error {
	f := &b.filling
	if f.master == nil && sys.Supported {
		var err error
		if f.master, err = b.newPipe(); err != nil {
			return fmt.Errorf("broadcast: no pipe is to be had: %w", err)
		}
	}
	if f.spare == nil && sys.Supported {
		f.spare, _ = b.newPipe()
	}
	off := b.off()
	if b.why != zerocopy.ReasonNone || f.plain || off {
		f.plain = false
		return b.read(off)
	}
	f.m.Load(f.master, 0)
	n, handled, err := f.m.Drain(f.master.Size)
	p := f.m.Mem()
	f.m.Hold(nil)
	f.master, f.n = f.m.Unload()
	switch {
	case !handled:
		f.plain = true // a plain read has to tell
		if err != nil {
			b.mu.Lock()
			b.why = zerocopy.ReasonRefused
			b.mu.Unlock()
		}
		return nil
	case err != nil:
		return err
	case len(p) > 0:
		f.m.Load(f.master, 0)
		return b.fill(p, false)
	case n == 0 && f.m.Src.Ask(b.calls) && !f.m.Src.Pollable():
		b.mu.Lock()
		b.why = zerocopy.ReasonBlocking
		b.mu.Unlock()
	}
	return nil
}

// readSize is how much is read at a time from a source that is not spliced. It fits into
// every pipe.
const readSize = 64 << 10

// read takes bytes by the source's own Read.
func (b *Broadcast) read(off bool) error {
	if b.filling.buf == nil {
		b.filling.buf = make([]byte, readSize)
	}
	n, err := b.src.Read(b.filling.buf)
	if n < 0 || n > readSize {
		return errors.New("broadcast: the source's Read returned an invalid count")
	}
	if n > 0 {
		if ferr := b.fill(b.filling.buf[:n], off); ferr != nil {
			return ferr
		}
	}
	return err
}

// fill writes p into the empty master, unless it shall stay in user memory.
func (b *Broadcast) fill(p []byte, off bool) error {
	f := &b.filling
	switch {
	case !sys.Supported:
		f.chunk = bytes.Clone(p)
		return nil
	case off:
		f.chunk = p
		return nil
	}
	n, err := b.calls.Write(f.master.W, p)
	if n == len(p) {
		f.n = n
		return nil
	}
	if err == nil {
		err = io.ErrShortWrite
	}
	b.put(f.master, n)
	f.master = nil
	return err
}

// send gives the round to all sinks.
func (b *Broadcast) send() {
	f := &b.filling
	n := f.n + len(f.chunk)
	f.ready = f.ready[:0]
	b.mu.Lock()
	b.pos += int64(n)
	var last *Sink // of those that only get it into their backlog
	b.eachLive(func(s *Sink) {
		if s.idle() {
			s.busy, s.ready = true, true
			f.ready = append(f.ready, s)
		} else {
			last = s
		}
	})
	b.eachLive(func(s *Sink) {
		if s.ready {
			return
		}
		err := b.give(s, n, s == last && len(f.ready) == 0)
		if err != nil || s.o.Policy != Block && b.pos-s.pos.Load() > s.maxLag {
			s.missed(err)
		}
		s.wake.Signal()
	})
	b.mu.Unlock()
	for i, s := range f.ready {
		b.serve(s, n, i == len(f.ready)-1)
	}
	b.drop(f.master, f.n)
	f.n, f.chunk = 0, nil
}

// eachLive calls f for the sinks that get this round from the stream.
func (b *Broadcast) eachLive(f func(*Sink)) {
	if b.rec != nil && b.rec.live() {
		f(b.rec)
	}
	for _, s := range b.sinks {
		if s.live() {
			f(s)
		}
	}
}

// give adds the round, n bytes, to the backlog of s: to the last pipe in it as far as
// that has slots, and the rest to an empty one, which takes the whole round (H11) and
// is relieved of what the other has. The last sink gets the master itself.
func (b *Broadcast) give(s *Sink, n int, last bool) error {
	f := &b.filling
	if !sys.Supported {
		s.backlog = append(s.backlog, segment{p: f.chunk, n: n})
		return nil
	}
	had := 0
	if k := len(s.backlog); k > 0 {
		tail := &s.backlog[k-1]
		had = b.duplicate(tail.pipe, n)
		if tail.n += had; had == n {
			return nil
		}
	}
	p, err := s.pipe()
	if err != nil {
		return err
	}
	if last && had == 0 && f.chunk == nil {
		s.backlog = append(s.backlog, segment{pipe: f.master, n: n})
		f.master, f.n = p, 0
		return nil
	}
	got := b.duplicate(p, n)
	if got < n { // which no kernel says of an empty pipe
		b.toMemory()
		if err = b.discard(p, got); err == nil {
			got, _ = b.calls.Write(p.W, f.chunk)
		}
	}
	if err == nil && got < n {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = b.discard(p, had)
	}
	if err != nil {
		b.put(p, got)
		s.pipes--
		return err
	}
	s.backlog = append(s.backlog, segment{pipe: p, n: n - had})
	return nil
}

// duplicate puts the round, or as much of it as finds a slot, into p as well.
func (b *Broadcast) duplicate(p *kpipe.Pipe, n int) int {
	f := &b.filling
	if f.chunk == nil {
		got, err := engine.Tee(b.calls, f.master, p, n)
		if err == nil {
			return got
		}
		b.refused.Store(true)
		b.toMemory()
	}
	got, _ := b.calls.Write(p.W, f.chunk)
	return got
}

// toMemory reads the round out of the master.
func (b *Broadcast) toMemory() {
	f := &b.filling
	if f.chunk != nil {
		return
	}
	chunk := make([]byte, f.n)
	f.m.Load(f.master, f.n)
	got, _ := f.m.ReadPipe(chunk)
	f.chunk = chunk[:got]
	f.master, f.n = f.m.Unload()
}

// serve gives the round to s, which has nothing else to do, and moves what it takes.
func (b *Broadcast) serve(s *Sink, n int, last bool) {
	var left segment
	var err error
	b.mu.Lock()
	given := b.give(s, n, last)
	if given == nil {
		seg := s.backlog[0]
		s.backlog = s.backlog[:0]
		b.mu.Unlock()
		began := time.Now()
		left, err = s.push(seg)
		b.mu.Lock()
		if s.m.Dst.Kind == engine.File && time.Since(began) > slowFile {
			s.slow = time.Now()
		}
	}
	defer b.mu.Unlock()
	s.busy = false
	switch {
	case given != nil:
		s.missed(given)
	case left.n > 0:
		s.backlog = append(s.backlog, left)
		if b.filling.spare == nil && err == nil && s.o.Policy != Block {
			// It is this sink that has to do without a pipe if there is no other, and
			// not the next.
			if b.filling.spare, given = b.newPipe(); given != nil {
				b.filling.spare = s.surrender()
				s.missed(given)
			}
		}
	default:
		s.giveBack(left.pipe)
	}
	s.ready = false
	if err != nil {
		s.fail(err)
	}
	if left.n > 0 || given != nil || s.stop != nil {
		s.wake.Signal()
	}
}
