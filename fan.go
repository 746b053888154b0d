package zerocopy

import (
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A copy with several destinations: those of a MultiWriter, and the Writer of each
// TeeReader that the bytes pass. All get each chunk before the next is taken, in the
// order in which io's types would write it (see distribute.go).

// A tap is where bytes are duplicated: a TeeReader, or a MultiWriter as the
// destination of a copy.
type tap struct {
	branches []*branch
	// depth is the index of the TeeReader's layer. Bytes from a layer outside of
	// it, a bufio.Reader's, have passed it before.
	depth int
	// final says that this is the destination. An error there ends the copy; that
	// of a TeeReader's Writer does so once the destination has got what it accepted.
	final bool
	// multi says that the branches are those of a MultiWriter, for which fewer
	// bytes without an error are io.ErrShortWrite. A TeeReader does not look.
	multi   bool
	flushed bool
}

// A branch is one Writer of a tap. Its bytes go by tee(2) into a pipe and by splice(2)
// out of it, or it is written to from user memory.
type branch struct {
	sink
	of     *tap
	under  io.Writer     // what a cancelled copy sets the write deadline of
	kernel bool          // by tee and splice
	m      *engine.Mover // for that; nil until it is used
}

// newTap returns a tap into w, or into the Writers of the MultiWriter that it is.
func (c *Copier) newTap(final bool, w io.Writer) *tap {
	p := &tap{final: final}
	c.addBranches(p, w)
	return p
}

// addBranches adds w to p. Layers of a writer that is no descriptor are left to its own
// Write, unless one wants to be told.
func (c *Copier) addBranches(p *tap, w io.Writer) {
	if writers, ok := multiWriters(w); ok {
		p.multi = true
		for _, w := range writers {
			c.addBranches(p, w)
		}
		return
	}
	b := &branch{of: p}
	c.detectWriter(&b.sink, w)
	b.under = b.leaf
	if b.standard && len(b.buffers) == 0 {
		c.inspectWriter(&b.sink)
	}
	if !b.end.Known() {
		if b.standard && len(b.buffers) == 0 && !isNil(b.leaf) { // but cannot be asked what it is: closed
			_, b.dead = b.leaf.Write(nil)
		}
		if b.why.reason == ReasonNone || len(b.buffers) > 0 {
			b.why = becauseOf(ReasonNested, DestinationEnd, w)
		}
		if !b.asks() || len(b.buffers) > 0 {
			b.sink = sink{leaf: w, why: b.why, dead: b.dead}
		}
	}
	p.branches = append(p.branches, b)
}

// release gives back what the branches have borrowed. A nil tap has none.
func (p *tap) release() {
	if p == nil {
		return
	}
	for _, b := range p.branches {
		if b.m != nil {
			b.m.Release()
			b.m = nil
		}
	}
}

// flush has the layers of the branches write what they hold back, once. A nil tap has
// none.
func (p *tap) flush() error {
	if p == nil || p.flushed {
		return nil
	}
	p.flushed = true
	for _, b := range p.branches {
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}

// done tells the layers of the branches that the copy, or its part of it, has ended.
func (p *tap) done(unwritten int64, err error) error {
	if p == nil {
		return err
	}
	for _, b := range p.branches {
		err = b.done(unwritten, err)
	}
	return err
}

// asks reports whether a layer of a branch has a callback. A nil tap has none.
func (p *tap) asks() bool {
	return p != nil && slices.ContainsFunc(p.branches, func(b *branch) bool { return b.asks() })
}

// multiWriters returns the Writers of io's MultiWriter or ours.
func multiWriters(w io.Writer) (writers []io.Writer, ok bool) {
	if m, ok := w.(*multiWriter); ok && m != nil {
		return m.writers, true
	}
	return stdtypes.MultiWriter(w)
}

// teeReaders looks into io's TeeReader or ours.
func teeReaders(r io.Reader) (inner io.Reader, w io.Writer, ok bool) {
	if t, ok := r.(*teeReader); ok && t != nil {
		return t.r, t.w, true
	}
	return stdtypes.TeeReader(r)
}

// branch collects the destinations that bytes of the current leaf come to, in the order
// in which they are written to. There is none where the copy has one only.
func (t *transfer) branch() {
	t.single.release()
	clear(t.branches)
	t.branches = t.branches[:0]
	for i := len(t.from.layers) - 1; i >= 0; i-- {
		if p := t.from.layers[i].tap; p != nil {
			p.depth = i
			t.branches = append(t.branches, p.branches...)
		}
	}
	switch {
	case t.to.tap != nil:
		t.fanned = true
		t.branches = append(t.branches, t.to.tap.branches...)
	case len(t.branches) > 0:
		t.fanned = true
		// Its layers are told by account, as those of any destination.
		single := &branch{sink: sink{leaf: t.to.leaf, end: t.to.end, why: t.to.why}, of: &t.single}
		t.single = tap{final: true, branches: []*branch{single}}
		t.branches = append(t.branches, single)
	default:
		t.fanned = false
	}
}

// first returns the destination that bytes from the layer at index at come to first.
func (t *transfer) first(at int) *sink {
	if !t.fanned {
		return &t.to
	}
	for _, b := range t.branches {
		if b.gets(at) {
			return &b.sink
		}
	}
	return &sink{} // an empty MultiWriter
}

// gets reports whether bytes from the layer at index at come to b.
func (b *branch) gets(at int) bool { return b.of.final || b.of.depth < at }

// chooseFan decides how bytes get to several destinations. The kernel duplicates those
// of sockets only, unless Pages is Share: what io's types write is what they have read,
// once, and with pages of a file the destinations could get different versions (H53).
func (t *transfer) chooseFan() ways {
	src := &t.from.end
	if !src.Known() {
		return ways{why: t.from.why}
	}
	hidden := becauseOf(ReasonNotDescriptor, DestinationEnd, t.to.leaf) // of an empty MultiWriter
	kernel := false
	for i, b := range t.branches {
		w := b.obstacle(&t.from)
		if b.kernel = w.reason == ReasonNone; b.kernel {
			kernel = true
		} else if i == 0 {
			hidden = w
		}
	}
	because := func(r Reason) ways { return ways{why: becauseOf(r, SourceEnd, t.from.leaf)} }
	switch {
	case !kernel:
		return ways{why: hidden}
	case t.from.conn != nil:
		return because(ReasonNested)
	case t.off.Has(Tee) || t.off.Has(Splice):
		return because(ReasonDisabled)
	case src.Kind.Socket() || t.c.Pages == Share || src.Unchanging(t.c.calls):
	case t.c.Pages == Stable:
		return because(ReasonStable)
	default:
		return because(ReasonPages)
	}
	w := ways{try: [2]way{wayTee}}
	if !t.c.refusals.Empty() {
		w = t.c.remembered(w, &t.first(len(t.from.layers)).end, src)
	}
	t.fanRoute()
	return w
}

// obstacle says why the kernel cannot move bytes of from to b.
func (b *branch) obstacle(from *chain) why {
	if !b.end.Known() {
		return b.why
	}
	w := obstacle(&b.end, &from.end)
	switch w.end {
	case SourceEnd:
		w.typ = reflect.TypeOf(from.leaf)
	case DestinationEnd:
		w.typ = reflect.TypeOf(b.leaf)
	}
	return w
}

// fanRoute names the kinds of descriptor that chunks pass, such as "tcp→pipe→2×tcp+file".
// What is no descriptor is "memory".
func (t *transfer) fanRoute() {
	var kinds []string
	count := map[string]int{}
	for _, b := range t.branches {
		kind := "memory"
		if b.kernel {
			kind = b.end.Kind.String()
		}
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	for i, kind := range kinds {
		if n := count[kind]; n > 1 {
			kinds[i] = strconv.Itoa(n) + "×" + kind
		}
	}
	t.route = t.from.end.Kind.String() + "→pipe→" + strings.Join(kinds, "+")
}

// askBranches finds out the modes of the connections among the destinations, and
// reports whether one is not what it was taken for.
func (t *transfer) askBranches() (changed bool) {
	for _, b := range t.branches {
		if b.end.Known() && b.end.Ask(t.c.calls) {
			changed = true
		}
	}
	return changed
}

// fits returns how many of max bytes are taken at a time: no more than a buffer, if one
// of the destinations wants them in memory.
func (t *transfer) fits(max int) int {
	for _, b := range t.branches {
		if !b.kernel {
			return min(max, t.buffer.large())
		}
	}
	return max
}
