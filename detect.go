package zerocopy

import (
	"bufio"
	"io"
	"math"
	"net"
	"os"
	"reflect"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// Detection finds the descriptor under a Reader or a Writer. It knows exact
// standard types, types that say so themselves (ReaderUnwrapper, WriterUnwrapper)
// and types that the application vouches for. It moves no byte and calls no other
// method of a type that it does not know: Explain asks too.

// maxDepth ends the search in a wrapper that is its own inner Reader.
const maxDepth = 1000

// unlimited is the room of a source that nothing bounds.
const unlimited = math.MaxInt64

// A layer is one transparent wrapper above the descriptor of a source. Exactly
// one of its pointers is set.
type layer struct {
	limit   *io.LimitedReader
	buffer  *bufio.Reader
	section *io.SectionReader
	parts   *[]io.Reader // of an io.MultiReader; the first is the layer below
	opt     *InnerReader // an opt-in
	tap     *tap         // of a TeeReader

	left   int64 // of a section or a bounded opt-in: bytes it still lets through
	passed bool  // bytes went past a buffer
}

// buffered returns the bytes that the layer has already taken from its inner Reader.
func (l *layer) buffered() []byte {
	switch {
	case l.buffer != nil:
		return stdtypes.BufioBuffered(l.buffer)
	case l.opt != nil:
		return l.opt.Buffered
	}
	return nil
}

// room returns how many bytes the layer still lets through.
func (l *layer) room() int64 {
	switch {
	case l.limit != nil:
		return max(l.limit.N, 0)
	case l.section != nil, l.opt != nil && l.opt.Bounded:
		return max(l.left, 0)
	}
	return unlimited
}

// A chain is a source: its layers, the outermost first, and what lies under them.
type chain struct {
	layers []layer
	leaf   io.Reader
	end    engine.End // Kind is None unless leaf is a descriptor
	multi  int        // index of the innermost layer with parts, or -1
	why    why        // what hides the descriptor, if Kind is None
	// conn is set where leaf is a body of net/http: end is the socket under that connection,
	// and bytes are read through leaf. body is what else is known of it.
	conn engine.Marked
	body stdtypes.Body
}

// known reports that something is to be gained from walking the chain: it ends
// in a descriptor, or has parts of which another may, or layers that want to be told.
func (ch *chain) known() bool { return ch.end.Known() || ch.multi >= 0 || ch.asks(0) }

// asks reports whether a layer from index depth on has a callback. It is told what the
// destination has accepted, and its waits end with the copy, also where its own Read would
// serve.
func (ch *chain) asks(depth int) bool {
	for i := range ch.layers[depth:] {
		if ch.layers[depth+i].tap.asks() {
			return true
		}
		if opt := ch.layers[depth+i].opt; opt != nil &&
			(opt.Before != nil || opt.Moved != nil || opt.Done != nil || opt.limiter != nil) {
			return true
		}
	}
	return false
}

// reset drops what ch refers to and keeps its memory.
func (ch *chain) reset() {
	clear(ch.layers)
	ch.layers, ch.leaf, ch.multi, ch.why, ch.conn = ch.layers[:0], nil, -1, why{}, nil
	if ch.end.Known() { // it is large to clear
		ch.end, ch.body = engine.End{}, stdtypes.Body{}
	}
}

// around returns the index of the innermost layer with parts that is outside of
// the layer at index depth, or -1.
func (ch *chain) around(depth int) int {
	for i := min(depth, len(ch.layers)) - 1; i >= 0; i-- {
		if ch.layers[i].parts != nil {
			return i
		}
	}
	return -1
}

// truncate cuts ch to its n outermost layers.
func (ch *chain) truncate(n int) {
	clear(ch.layers[n:])
	ch.layers = ch.layers[:n]
	ch.multi = -1
	for i := range ch.layers {
		if ch.layers[i].parts != nil {
			ch.multi = i
		}
	}
	ch.leaf, ch.end, ch.why, ch.conn, ch.body = nil, engine.End{}, why{}, nil, stdtypes.Body{}
}

// detectReader adds the layers of r to ch.
func (c *Copier) detectReader(ch *chain, r io.Reader) {
	for range maxDepth {
		l, inner, reason, ok := c.readerLayer(r)
		if !ok {
			c.foundReader(ch, r, reason)
			return
		}
		if l != (layer{}) {
			ch.layers = append(ch.layers, l)
		}
		if l.parts != nil {
			ch.multi = len(ch.layers) - 1
		}
		if l.section != nil {
			c.foundSection(ch, l.section, inner.(*os.File))
			return
		}
		r = inner
	}
	c.foundReader(ch, r, ReasonNested)
}

// foundReader ends the chain at r, which is no transparent wrapper.
func (c *Copier) foundReader(ch *chain, r io.Reader, reason Reason) {
	switch r.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn:
		var ok bool
		if ch.end, ok = engine.Inspect(c.calls, r, true); ok {
			ch.leaf = r
			return
		}
		reason = ReasonAccess
	default:
		if b, is := stdtypes.HTTPBody(r); is {
			c.foundBody(ch, r, b)
			return
		}
	}
	ch.unknown(r, reason)
}

// foundSection ends the chain at file, read from where section stands.
func (c *Copier) foundSection(ch *chain, section *io.SectionReader, file *os.File) {
	end, ok := engine.Inspect(c.calls, file, true)
	switch {
	case !ok:
		ch.unknown(section, ReasonAccess)
		return
	case end.Kind != engine.File && end.Kind != engine.Block:
		ch.unknown(section, ReasonDevice)
		return
	}
	_, end.Off, _ = sectionRange(section)
	end.Section = true
	ch.end, ch.leaf = end, file
}

// unknown ends the chain at r, in which no descriptor was found. A part of an
// io.MultiReader is then read as the MultiReader would read it, whole, unless a layer
// in it wants to be told.
func (ch *chain) unknown(r io.Reader, reason Reason) {
	if ch.multi >= 0 && !ch.asks(ch.multi) {
		ch.truncate(ch.multi + 1)
		ch.leaf = (*ch.layers[ch.multi].parts)[0]
	} else {
		ch.leaf = r
	}
	ch.why = becauseOf(reason, SourceEnd, r)
}

// sectionRange follows nested sections to what they are sections of; off is where
// the next byte stands in it and left how many follow.
func sectionRange(s *io.SectionReader) (r io.ReaderAt, off, left int64) {
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, 0, 0
	}
	r, base, size := s.Outer()
	off, left = base+at, max(size-at, 0)
	for range maxDepth {
		inner, ok := r.(*io.SectionReader)
		if !ok || inner == nil {
			return r, off, left
		}
		var innerBase, innerSize int64
		r, innerBase, innerSize = inner.Outer()
		left = min(left, max(innerSize-off, 0))
		off += innerBase
	}
	return nil, 0, 0
}

// readerLayer looks into r. ok is false where r is no transparent wrapper; reason
// then says why a type that could be one is not taken for one.
func (c *Copier) readerLayer(r io.Reader) (l layer, inner io.Reader, reason Reason, ok bool) {
	switch v := r.(type) {
	case nil:
		return l, nil, ReasonNotDescriptor, false
	case *os.File, *net.TCPConn, *net.UnixConn:
		return l, nil, ReasonNone, false
	case *io.LimitedReader:
		if v == nil {
			return l, nil, ReasonNotDescriptor, false
		}
		return layer{limit: v}, v.R, ReasonNone, true
	case *io.SectionReader:
		if v == nil {
			return l, nil, ReasonNotDescriptor, false
		}
		at, _, left := sectionRange(v)
		f, isFile := at.(*os.File)
		if !isFile || f == nil {
			return l, nil, ReasonNotDescriptor, false
		}
		return layer{section: v, left: left}, f, ReasonNone, true
	case *bufio.Reader:
		if v == nil {
			return l, nil, ReasonNotDescriptor, false
		}
		rd, pending, verified := stdtypes.BufioReader(v)
		switch {
		case !verified:
			return l, nil, ReasonLayout, false
		case pending != nil:
			return l, nil, ReasonNested, false // its Read has an error to tell first
		}
		return layer{buffer: v}, rd, ReasonNone, true
	case *Reader:
		if v == nil {
			return l, nil, ReasonNotDescriptor, false
		}
		return l, v.r, ReasonNone, true
	case *Pipe:
		if v == nil {
			return l, nil, ReasonNotDescriptor, false
		}
		return l, v.r, ReasonNone, true
	}
	if inner, w, tee := teeReaders(r); tee {
		return layer{tap: c.newTap(false, w)}, inner, ReasonNone, true
	}
	if hidden, found := stdtypes.Hidden(r); found {
		if inner, found := hidden.(io.Reader); found {
			return l, inner, ReasonNone, true
		}
	}
	if stdtypes.IsMultiReader(r) {
		parts, verified := stdtypes.MultiReader(r)
		switch {
		case !verified:
			return l, nil, ReasonLayout, false
		case len(*parts) == 0:
			return l, nil, ReasonNotDescriptor, false
		}
		return layer{parts: parts}, (*parts)[0], ReasonNone, true
	}
	if rw, is, verified := stdtypes.ReadWriter(r); is {
		switch {
		case !verified:
			return l, nil, ReasonLayout, false
		case rw.Reader == nil:
			return l, nil, ReasonNotDescriptor, false
		}
		return l, rw.Reader, ReasonNone, true
	}
	in, reason, ok := c.unwrapReader(r)
	if !ok {
		return l, nil, reason, false
	}
	opt := in // on the heap only here
	return layer{opt: &opt, left: in.Limit}, in.Reader, ReasonNone, true
}

// unwrapReader asks the application, then r itself.
func (c *Copier) unwrapReader(r io.Reader) (in InnerReader, reason Reason, ok bool) {
	if len(c.UnwrapReader) > 0 && c.UnwrapReader[reflect.TypeOf(r)] != nil {
		if in, ok = c.UnwrapReader[reflect.TypeOf(r)](r); ok && in.Reader != nil {
			in.Self = r
			return in, ReasonNone, true
		}
		return in, ReasonNested, false
	}
	u, ok := r.(ReaderUnwrapper)
	if !ok {
		return in, opaque(r), false
	}
	if in, ok = u.UnwrapReader(); !ok || in.Reader == nil || !same(in.Self, r) {
		return in, ReasonNested, false
	}
	return in, ReasonNone, true
}

// opaque is the reason of a type that nothing is known of, and of TLS.
func opaque(v any) Reason {
	if stdtypes.Encrypts(v) {
		return ReasonEncrypted
	}
	return ReasonNotDescriptor
}

// halves returns dst and src, and of a bufio.ReadWriter the half that the copy is about.
func halves(dst io.Writer, src io.Reader) (io.Writer, io.Reader) {
	if rw, _, ok := stdtypes.ReadWriter(src); ok && rw.Reader != nil {
		src = rw.Reader
	}
	if rw, _, ok := stdtypes.ReadWriter(dst); ok && rw.Writer != nil {
		dst = rw.Writer
	}
	return dst, src
}

// same reports whether self is a pointer identical to v. A type that embeds an
// unwrapper has the method but is not the receiver, and is not believed (H36).
func same(self, v any) bool {
	t := reflect.TypeOf(self)
	return t != nil && t.Kind() == reflect.Pointer && t == reflect.TypeOf(v) && self == v
}

// typeName returns the name of v's type as %T has it.
func typeName(v any) string {
	if t := reflect.TypeOf(v); t != nil {
		return t.String()
	}
	return "<nil>"
}
