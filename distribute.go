package zerocopy

import (
	"io"

	"github.com/zerocopy-go/zerocopy/internal/engine"
)

// One chunk to several destinations, in step and in io's order:
//
//	source ─▶ pipe ─tee─▶ pipe ─▶ destination       for each but the last,
//	          pipe ─────────────▶ destination       which gets the pipe itself,
//	          pipe ─tee─▶ pipe ─▶ memory            once, for all that are no descriptors
//
// So there are two pipes at the most, however many destinations. An empty pipe as large
// as another takes all that the other holds (H11). Where one so large is not to be had,
// or the kernel refuses, the rest of the chunk is read and written.

// inStep delivers n bytes, which come from the layer at index at, to all branches.
// deliver returns how many a branch accepted, and why not all. The result is what the
// destination accepted, and the error that ends the copy.
func (t *transfer) inStep(at, n int, deliver func(i, n int) (int, error)) (got int, err error) {
	var failed error
	var skip *tap
	for i, b := range t.branches {
		if b.of == skip || !b.gets(at) || n == 0 {
			continue
		}
		got, err := deliver(i, n)
		switch {
		case err == nil:
		case b.of.final:
			return got, err
		default:
			n, failed, skip, t.sourceFailed = got, err, b.of, true
		}
	}
	return n, failed
}

// put writes p, which comes from the layer at index at, to the destination, or to all.
func (t *transfer) put(at int, p []byte) (n int, err error) {
	if t.fanned {
		return t.inStep(at, len(p), func(i, n int) (int, error) { return t.toWriter(t.branches[i], p[:n]) })
	}
	if t.to.end.Known() {
		t.m.Syscalls++
	}
	n, err = t.to.leaf.Write(p)
	if n < 0 || n > len(p) {
		return 0, cmpErr(err, errInvalidWrite)
	}
	if n < len(p) {
		err = cmpErr(err, io.ErrShortWrite)
	}
	return n, err
}

// toWriter writes p to b by its own Write. As in io, a TeeReader does not look at the
// count where there is no error, and a MultiWriter takes any other as a short write.
func (t *transfer) toWriter(b *branch, p []byte) (n int, err error) {
	if err := t.beforeBranch(b); err != nil {
		return 0, err
	}
	if b.end.Known() {
		t.m.Syscalls++
	}
	n, err = b.leaf.Write(p)
	switch {
	case err == nil && !b.of.final && !b.of.multi:
		n = len(p)
	case n < 0 || n > len(p):
		n = 0
		if !b.of.multi {
			err = cmpErr(err, errInvalidWrite)
		}
		err = cmpErr(err, io.ErrShortWrite)
	case n < len(p):
		err = cmpErr(err, io.ErrShortWrite)
	}
	if n > 0 {
		err = cmpErr(err, b.moved(t.watch, int64(n)))
	}
	return n, err
}

// beforeBranch asks the layers of b, and the context, before a wait.
func (t *transfer) beforeBranch(b *branch) error {
	if b.of.final {
		if err := t.to.before(); err != nil {
			return err
		}
	}
	if err := b.before(); err != nil {
		return err
	}
	return t.watch.err()
}

// A delivery is one chunk that was drained into the private pipe, on its way. It is in
// the pipe as long as that has bytes in it.
type delivery struct {
	n int
	p []byte // in user memory, once a branch wanted it there
	// The last branch that gets it from the kernel, the last from memory, or -1.
	kernel, memory int
	last           *engine.Mover // of the branch that got the pipe itself
	why            why           // it was not duplicated
}

// distribute delivers the n bytes in the private pipe. On an error, what follows those
// that the destination accepted is residue.
func (t *transfer) distribute(n int) error {
	d := delivery{n: n, kernel: -1, memory: -1}
	for i, b := range t.branches {
		if b.kernel {
			d.kernel = i
		} else {
			d.memory = i
		}
	}
	at := len(t.from.layers)
	got, err := t.inStep(at, n, func(i, n int) (int, error) { return t.toBranch(&d, i, n) })
	if kept := t.keep(&d, got); kept != nil {
		err = cmpErr(err, kept)
	}
	for _, b := range t.branches {
		if b.m != nil {
			t.m.Syscalls += b.m.Syscalls
			b.m.Syscalls = 0
		}
	}
	if got > 0 {
		if d.why.reason == ReasonNone {
			t.add(Tee, t.route, int64(got), t.calls(), why{})
		} else {
			t.add(Buffered, "", int64(got), t.calls(), d.why)
		}
		err = cmpErr(err, t.account(at, int64(got)))
	}
	return err
}

// toBranch delivers the first n bytes of the chunk to the branch at index i.
func (t *transfer) toBranch(d *delivery, i, n int) (got int, err error) {
	b := t.branches[i]
	if !b.kernel || t.m.InPipe() == 0 {
		p, err := t.inMemory(d, i)
		if err != nil {
			return 0, err
		}
		return t.toWriter(b, p[:n])
	}
	if b.m == nil {
		b.m = engine.NewMover(t.m.Calls, t.m.Pool)
	}
	b.m.Dst = b.end
	if i >= d.kernel && (i >= d.memory || d.p != nil) {
		t.m.Hand(b.m)
		d.last = b.m
		return t.pump(b, n)
	}
	handled, err := t.m.Tee(b.m, n)
	if !handled {
		d.why = t.noTee(err)
		if err := t.unpipe(d, t.m); err != nil {
			return 0, err
		}
		return t.toWriter(b, d.p[:n])
	}
	got, err = t.pump(b, n)
	if err != nil {
		b.m.Discard() // a duplicate
	}
	return got, err
}

// noTee notes that a chunk could not be duplicated, and returns why.
func (t *transfer) noTee(err error) why {
	noPipe := t.m.NoPipe
	t.refused(err)
	switch {
	case noPipe:
		return t.noPipe
	case err == nil:
		return becauseOf(ReasonCheck, SourceEnd, t.from.leaf)
	}
	return t.ways.why
}

// pump moves n bytes from the pipe of b to its destination.
func (t *transfer) pump(b *branch, n int) (got int, err error) {
	for got < n {
		if err := t.beforeBranch(b); err != nil {
			return got, err
		}
		k, handled, err := b.m.Pump(n - got)
		if got += k; k > 0 {
			if err := b.moved(t.watch, int64(k)); err != nil {
				return got, err
			}
		}
		if !handled { // it is written to from now on
			b.kernel = false
			t.fanRoute()
			if err := b.m.Unpipe(); err != nil {
				return got, err
			}
			k, err := t.toWriter(b, b.m.Mem()[:n-got])
			b.m.TakeMem(k)
			return got + k, err
		}
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// inMemory returns the chunk in user memory, for the branch at index i. It is read
// from the pipe itself if no branch needs that any more.
func (t *transfer) inMemory(d *delivery, i int) ([]byte, error) {
	if d.p != nil {
		return d.p, nil
	}
	from := t.m
	if i < d.kernel {
		if t.copied == nil {
			t.copied = engine.NewMover(t.m.Calls, t.m.Pool)
		}
		if handled, err := t.m.Tee(t.copied, d.n); handled {
			from = t.copied
		} else {
			d.why = t.noTee(err)
		}
	}
	err := t.unpipe(d, from)
	return d.p, err
}

// unpipe reads the chunk out of the private pipe of m.
func (t *transfer) unpipe(d *delivery, m *engine.Mover) error {
	p := t.buffer.get()
	if len(p) < d.n {
		p = make([]byte, d.n)
	}
	n, err := m.ReadPipe(p[:d.n])
	d.p = p[:n:n]
	return err
}

// keep makes what follows the first got bytes of the chunk the residue, wherever that is.
func (t *transfer) keep(d *delivery, got int) error {
	m := t.m
	switch {
	case d.p != nil:
		m.Discard()
		if d.last != nil {
			d.last.Discard()
		}
		if got < len(d.p) {
			m.Hold(d.p[got:])
		}
	case d.last != nil:
		d.last.Hand(m) // what it has not accepted
	case got == d.n:
		m.Discard()
	default:
		if err := m.Unpipe(); err != nil {
			return err
		}
		m.TakeMem(got)
	}
	return nil
}
