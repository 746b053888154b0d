package zerocopy

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/bodies"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A body of net/http is read through its own Read, which knows where it ends, and yet spliced,
// by the connection of package zcnet that is under it: see engine.Mover.ReadThrough.

// foundBody ends the chain at r, a body.
func (c *Copier) foundBody(ch *chain, r io.Reader, b stdtypes.Body) {
	at, reason := r, ReasonNone
	conn, ours := b.Conn.(engine.Marked)
	switch {
	case bodiesOff() || !bodies.On():
		reason = ReasonBodiesOff
		if bodies.Unverified() {
			reason = ReasonUnverified
		}
	case b.Unverified:
		reason = ReasonUnverified
	case b.Foreign != nil:
		at, _ = b.Foreign.(io.Reader)
		reason = opaque(at)
	case b.Conn == nil: // closed, at its end, or somebody reads it
		reason = ReasonNested
	case !ours:
		at, reason = b.Conn, ReasonForeignConn
		if stdtypes.Encrypts(at) {
			reason = ReasonEncrypted
		}
	default:
		end, ok := engine.Inspect(c.calls, conn.Under(), true)
		if ok && end.Kind.Socket() {
			ch.leaf, ch.end, ch.conn, ch.body = r, end, conn, b
			return
		}
		at, reason = b.Conn, ReasonAccess
		if end.Kind == engine.None {
			reason = ReasonNotDescriptor
		}
	}
	ch.unknown(r, reason)
	ch.why = becauseOf(reason, SourceEnd, at)
}

// bodiesOff reports whether ZEROCOPY has httpbody=off. It is read once.
var bodiesOff = sync.OnceValue(func() bool { return switchedOff(os.Getenv("ZEROCOPY"), "httpbody") })

// waits returns what has the deadline that ends a wait for the leaf.
func (ch *chain) waits() any {
	if ch.conn != nil {
		return &bodyDeadline{ch.body, ch.conn.Under()}
	}
	return ch.leaf
}

// A bodyDeadline is the read deadline of a body's connection, which is another request's once the body
// has been read to its end.
type bodyDeadline struct {
	body stdtypes.Body
	conn net.Conn
}

// SetReadDeadline is what a watch calls.
func (d *bodyDeadline) SetReadDeadline(at time.Time) error { return d.body.Expire(d.conn, at) }

// declaredBulk is how long a body has to be said to be for it to be taken for bulk at once: longer
// than what would prove it (bulkReads). A peer that sends it slowly unmakes that.
const declaredBulk = (bulkReads + 1) * bufferSize

// bodyPace returns the pace that a body begins with.
func (ch *chain) bodyPace() pace {
	if ch.conn != nil && !ch.body.Chunked && ch.body.Left >= declaredBulk {
		return pace{bulk: true, class: kpipe.Largest}
	}
	return pace{}
}

// through moves one chunk of a body.
func (t *transfer) through(max int) error {
	m := t.m
	if !bodies.On() {
		t.ways = ways{why: becauseOf(ReasonBodiesOff, SourceEnd, t.from.leaf)}
		t.next = 0
		return nil
	}
	t.buffer.put()
	if err := t.beforeRead(); err != nil {
		return err
	}
	m.Class = t.pace.class
	n, refused, err := m.ReadThrough(t.from.conn, t.from.leaf.Read, t.from.body.Chunked, t.from.body.Chunk(), max)
	noPipe := m.NoPipe
	if n > 0 {
		t.pace.drained(n, max, m.Filled())
		if err := t.emit(); err != nil {
			return err
		}
	}
	if noPipe || refused != nil {
		m.NoPipe = noPipe
		t.refused(refused)
	} else if n > 0 {
		t.consumed, t.zeros = true, 0
	}
	return t.sourceError(err)
}

// emit delivers what a Read of a body has come to: what net/http had read ahead, what is in the
// pipe, and what follows.
func (t *transfer) emit() error {
	ahead := becauseOf(ReasonPrefix, SourceEnd, t.from.leaf)
	if t.m.InPipe() == 0 {
		ahead.reason = ReasonSmall
	}
	if err := t.deliver(len(t.from.layers), ahead); err != nil {
		return err
	}
	if err := t.pumpOut(); err != nil {
		return err
	}
	t.m.Tail()
	return t.deliver(len(t.from.layers), ahead)
}
