package pages

import (
	"errors"
	"fmt"
	"os"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// What Commit and Flush come to: how a run goes to the destination, and how pages come back.

// buffer makes b.buf the run at the ring's head.
func (b *Writer) buffer() error {
	for again := true; b.buf == nil; {
		p, err := b.ring.take(b.o.Size)
		if err != nil && b.fresh && again { // the kernel does not take back what was given
			again = false
			if err = b.renew(); err == nil {
				continue
			}
		}
		if err == nil && p == nil {
			if err = b.reclaim(); err == nil {
				p, err = b.ring.take(b.o.Size)
			}
		}
		if err == nil && p == nil {
			err = b.makeRoom()
		}
		if _, pipe := b.route.(*toPipe); pipe && isBrokenPipe(err) {
			err = b.renew() // the next write has to meet it, for the sake of standard output (H06)
		}
		if err != nil {
			return err
		}
		b.buf, b.off, b.fill, b.lent = p, 0, 0, false
	}
	return nil
}

// makeRoom waits for memory, or gets more where a pipe has been enlarged since.
func (b *Writer) makeRoom() error {
	if r, pipe := b.route.(*toPipe); pipe {
		size, err := r.l.Size()
		if err != nil {
			return err
		}
		// It has been enlarged, or somebody else writes to it, too, so that it cannot be told
		// when what is lent has been read.
		b.capacity = max(b.capacity, size)
		b.o.Memory = max(b.o.Memory, roundUp(b.need()))
		return b.renew()
	}
	l, ok := b.ring.oldest()
	if !ok {
		return errors.New("pages: the memory is used up and nothing is lent")
	}
	told, err := b.route.await(l)
	if err == nil && !told {
		err = b.renew()
	}
	return err
}

// renew leaves the memory to the kernel, which keeps what it holds of it, and gets new.
func (b *Writer) renew() error {
	r, err := newRing(b.calls, b.o.Memory, b.o.Huge, b.o.Check)
	if err != nil {
		return fmt.Errorf("pages: no memory for %d bytes: %w", b.o.Memory, err)
	}
	r.poison, r.fresh = b.ring.poison, b.fresh
	b.ring.close()
	b.ring = r
	b.count.abandoned.Add(b.count.held.Swap(0))
	return nil
}

// reclaim takes back what was given back.
func (b *Writer) reclaim() error {
	if _, ok := b.ring.oldest(); !ok {
		return nil
	}
	if err := b.route.look(); err != nil {
		return err
	}
	b.count.held.Add(-b.ring.reclaim(b.route))
	b.note()
	return nil
}

// flush sends what is between off and fill.
func (b *Writer) flush() error {
	if b.err != nil {
		return b.err
	}
	if b.buf == nil {
		return nil
	}
	for b.off < b.fill {
		n, err := b.send(b.buf[b.off:b.fill])
		b.off += n
		if err != nil {
			if !isTimeout(err) {
				b.err = err
			}
			return err
		}
	}
	return b.sent()
}

// send sends as much of p as finds room.
func (b *Writer) send(p []byte) (int, error) {
	by, _ := b.route.lends()
	lend := b.lend && by != zerocopy.Buffered && b.fill >= b.o.LendFrom && !zerocopy.Disabled().Has(by)
	n, l, lent, err := b.route.send(p, lend)
	b.count.bytes.Add(int64(n))
	if lent {
		b.count.lent.Add(int64(n))
		b.lent = true
		if !b.fresh {
			l.n = n
			b.count.held.Add(int64(n))
			b.ring.lend(b.off+n, l)
		}
	} else {
		by = zerocopy.Buffered
	}
	tally.Add(uint8(by), int64(n))
	if now, _ := b.route.lends(); b.lend && now != b.count.by {
		b.note()
	}
	return n, err
}

// sent ends the use of a buffer that was sent.
func (b *Writer) sent() error {
	n := b.fill
	b.ring.protect(len(b.buf))
	switch {
	case !b.lent:
	case b.fresh:
		if err := b.ring.give(n); err != nil {
			if err = b.renew(); err != nil {
				b.err = err
				return err
			}
		}
		b.probation()
	default:
		b.ring.pass(n)
	}
	b.buf, b.off, b.fill, b.lent, b.kept = nil, 0, 0, false, false
	if b.bulk > 0 && b.count.bytes.Load() >= b.bulk {
		b.prove()
	}
	return nil
}

// probation looks from time to time whether Fastest really gets huge pages: a system whose
// memory is fragmented has none, and then fresh memory costs more than plain writes. The count
// of page faults is that of the process; if it is others that fault, plain writes are the safe
// side to err on.
func (b *Writer) probation() {
	if b.o.Lend != Fastest || b.count.bytes.Load() < b.look {
		return
	}
	faults := sys.PageFaults()
	if b.look > 0 && faults-b.faults > lookAfter/int64(pageSize)/4 {
		b.lend, b.look, b.bulk = false, 0, b.count.bytes.Load()+lookAgain
		b.note()
		return
	}
	b.look, b.faults = b.count.bytes.Load()+lookAfter, faults
}

// prove takes huge pages once a Writer that may lend fresh ones has proved to be bulk: to
// clear the first takes as long as some hundred KB take to be written.
func (b *Writer) prove() {
	b.bulk = 0
	before := b.o
	b.o.Huge = true
	b.o.Memory = roundHuge(b.o.Size) + sys.HugePage
	if b.renew() != nil {
		b.o, b.bulk = before, b.count.bytes.Load()+lookAgain
		return // and goes on as it is
	}
	b.lend = true
	b.note()
}

// isTimeout reports whether err is a deadline that has passed, after which the destination
// can be used again. (A connection that TCP has given up says Timeout, too: ETIMEDOUT.)
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// note brings the part of the counts up to date that is not counted as it happens.
func (b *Writer) note() {
	c := &b.count
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by, c.why = b.route.lends(); !b.lend && c.by != zerocopy.Buffered {
		c.by, c.why = zerocopy.Buffered, why{zerocopy.ReasonStart, nil}
		if b.bulk > bulkFrom {
			c.why.reason = zerocopy.ReasonMeasured
		}
	}
}
