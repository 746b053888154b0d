package zerocopy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// plain copies as io.Copy does: by the source's WriteTo, else by the destination's
// ReadFrom, else by a loop. It differs in what it hands to whom: the standard
// library's own WriteTo and ReadFrom are not called, since they trust the
// SyscallConn of types that they do not know (H25).
func (t *transfer) plain(dst io.Writer, src io.Reader) error {
	if done, err := t.peel(dst, src); done {
		return err
	}
	w := t.unknown(dst, src)
	if t.writesItself(src) && t.watch.canEnd() {
		if d, ok := enter(src); ok {
			defer leave(d)
			n, err := src.(io.WriterTo).WriteTo(t.bareWriter(dst, src))
			return t.delegated(n, err, becauseOf(ReasonOwnMethod, SourceEnd, src))
		}
		w = becauseOf(ReasonNested, SourceEnd, src)
	}
	if rf, ok := t.readsItself(dst); ok && t.watch.canEnd() {
		if d, ok := enter(callee(dst)); ok {
			defer leave(d)
			n, err := t.readFromDeclared(dst, rf, t.bare(src))
			return t.delegated(n, err, becauseOf(ReasonOwnMethod, DestinationEnd, dst))
		}
		w = becauseOf(ReasonNested, DestinationEnd, dst)
	}
	return t.loop(dst, src, w)
}

// fromMemory is plain for the sources that are copied from most and where there is
// least to find out. Whatever a Copy does before it calls WriteTo is a loss there:
// a transfer is 90 ns more (BenchmarkHelpless).
func (c *Copier) fromMemory(dst io.Writer, src io.Reader) (n int64, err error, ok bool) {
	if c.disabled().Has(Delegated) {
		return 0, nil, false
	}
	if w, ok := dst.(*Writer); ok && w != nil {
		dst = w.w
	}
	if _, opts := dst.(WriterUnwrapper); opts {
		return 0, nil, false // it may want to be told, a chunk at a time
	}
	switch s := src.(type) {
	case *bytes.Reader:
		n, err = s.WriteTo(dst)
	case *bytes.Buffer:
		n, err = s.WriteTo(dst)
	case *strings.Reader:
		n, err = s.WriteTo(dst)
	default:
		return 0, nil, false
	}
	counters.memory.Add(1)
	tally.Bytes[Delegated].Add(n)
	if err != nil {
		counters.failed.Add(1)
	}
	return n, err, true
}

// delegated accounts for a WriteTo or ReadFrom that has returned.
func (t *transfer) delegated(n int64, err error, w why) error {
	t.written += n
	t.add(Delegated, "", n, 0, w)
	return t.watch.instead(err)
}

// unknown says what keeps the bytes of a plain copy from the kernel.
func (t *transfer) unknown(dst io.Writer, src io.Reader) why {
	switch {
	case t.from.why.reason != ReasonNone:
		return t.from.why
	case t.to.why.reason != ReasonNone:
		return t.to.why
	}
	return why{reason: ReasonPlatform}
}

// loop reads and writes. Its errors are exactly those of the two ends.
func (t *transfer) loop(dst io.Writer, src io.Reader, w why) error {
	defer t.buffer.put()
	for {
		if err := t.watch.err(); err != nil {
			return err
		}
		buf := t.buffer.get()
		nr, er := src.Read(buf)
		t.buffer.read(nr)
		if nr > 0 {
			nw, ew := dst.Write(buf[0:nr:len(buf)]) // panics, as io.Copy, where nr > len(buf) (H39)
			if nw < 0 || nr < nw {
				nw = 0
				if ew == nil {
					ew = errInvalidWrite
				}
			}
			t.written += int64(nw)
			t.add(Buffered, "", int64(nw), 0, w)
			if ew != nil {
				err := t.watch.instead(t.destError(ew))
				if nw < nr && isTimeout(ew) && t.watch.err() != nil {
					err = &PartialError{Written: t.written, Unwritten: bytes.Clone(buf[nw:nr]), Err: err}
				}
				return err
			}
			if nr != nw {
				return t.destError(io.ErrShortWrite)
			}
		}
		if er == io.EOF {
			return nil
		}
		if er != nil {
			t.sourceFailed = true
			return t.watch.instead(er)
		}
	}
}

// peel takes off those standard wrappers whose own WriteTo would hand dst on to
// the WriteTo and ReadFrom of what they wrap.
func (t *transfer) peel(dst io.Writer, src io.Reader) (done bool, err error) {
	if r, ok := src.(*Reader); ok && r != nil {
		return true, t.run(dst, r.r)
	}
	if w, ok := dst.(*Writer); ok && w != nil {
		return true, t.run(w.w, src)
	}
	if hidden, ok := stdtypes.Hidden(src); ok {
		if inner, ok := hidden.(io.Reader); ok {
			return true, t.run(dst, inner)
		}
	}
	if parts, ok := stdtypes.MultiReader(src); ok {
		for len(*parts) > 0 {
			if err := t.run(dst, (*parts)[0]); err != nil {
				return true, err
			}
			(*parts)[0] = stdtypes.AtEnd{}
			*parts = (*parts)[1:]
		}
		return true, nil
	}
	if b, ok := src.(*bufio.Reader); ok && b != nil {
		return t.peelBuffer(dst, b)
	}
	return false, nil
}

// peelBuffer writes what b has buffered and goes on with what is under it, as
// bufio.Reader.WriteTo does.
func (t *transfer) peelBuffer(dst io.Writer, b *bufio.Reader) (done bool, err error) {
	rd, pending, ok := stdtypes.BufioReader(b)
	if !ok || pending != nil {
		return true, t.loop(dst, b, becauseOf(ReasonNested, SourceEnd, b))
	}
	_, writes := rd.(io.WriterTo)
	_, reads := dst.(io.ReaderFrom)
	if !writes && !reads {
		return true, t.loop(dst, b, t.unknown(dst, b))
	}
	prefix, _ := b.Peek(b.Buffered())
	if len(prefix) > 0 {
		n, err := dst.Write(prefix)
		if n < 0 || n > len(prefix) {
			n, err = 0, cmpErr(err, errInvalidWrite)
		}
		b.Discard(n)
		t.written += int64(n)
		t.add(Buffered, "", int64(n), 0, becauseOf(ReasonPrefix, SourceEnd, b))
		if err == nil && n < len(prefix) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return true, t.watch.instead(t.destError(err))
		}
	}
	return true, t.run(dst, rd)
}

// cmpErr returns err, or other where there is none.
func cmpErr(err, other error) error {
	if err == nil {
		return other
	}
	return err
}

// peekBuffer reports whether src is a bufio.Reader with bytes in its buffer.
func peekBuffer(src io.Reader) (holds, ok bool) {
	b, ok := src.(*bufio.Reader)
	return ok && b != nil && b.Buffered() > 0, ok
}

// writesItself reports whether src is of an unknown type with a WriteTo of its
// own, which io.Copy would call. A type that has declared itself transparent is
// read: its WriteTo may well be a call of Copy.
func (t *transfer) writesItself(src io.Reader) bool {
	if _, ok := src.(io.WriterTo); !ok {
		return false
	}
	switch src.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn, *bufio.Reader, *Reader, *Pipe, *teeReader, ReaderUnwrapper:
		return isNil(src)
	}
	return !t.disabled().Has(Delegated) && (len(t.c.UnwrapReader) == 0 || t.c.UnwrapReader[reflect.TypeOf(src)] == nil)
}

// readsItself is the same of a destination and its ReadFrom.
func (t *transfer) readsItself(dst io.Writer) (io.ReaderFrom, bool) {
	switch dst.(type) {
	case *os.File, *net.TCPConn, *net.UnixConn, *Writer, *Pipe, *multiWriter, WriterUnwrapper:
		if !isNil(dst) {
			return nil, false
		}
	}
	rf, ok := dst.(io.ReaderFrom)
	ok = ok && !t.disabled().Has(Delegated) && (len(t.c.UnwrapWriter) == 0 || t.c.UnwrapWriter[reflect.TypeOf(dst)] == nil)
	return rf, ok
}

// delegates reports whether a source of which something is known is left to the ReadFrom
// of dst. That of the two known ones does what Write does, so behind a layer with a callback
// they are written to, and behind a TeeReader, whose Writer may be a descriptor. A limiter
// has to know the context, which a ReadFrom does not.
func (t *transfer) delegates(dst io.Writer) bool {
	_, ok := t.readsItself(dst)
	if _, known := dst.(*bytes.Buffer); known || dst == io.Discard {
		return ok && !t.from.asks(0) && !slices.ContainsFunc(t.from.layers, func(l layer) bool { return l.tap != nil })
	}
	return ok && (t.watch == nil || !slices.ContainsFunc(t.from.layers, func(l layer) bool { return l.opt != nil && l.opt.limiter != nil }))
}

// isNil reports whether v is a nil pointer: its own methods say what io.Copy says.
func isNil(v any) bool {
	p := reflect.ValueOf(v)
	return p.Kind() == reflect.Pointer && p.IsNil()
}

// bareReader hides every method of a Reader but Read.
type bareReader struct{ io.Reader }

// bare returns what a ReadFrom is handed for src: src as it was passed, unless
// there is something in it that the ReadFrom of the standard library would splice
// or send past its Read. That is an unknown type with a SyscallConn, a file with
// Stable, and any type once the kernel's mechanisms are switched off.
func (t *transfer) bare(src io.Reader) io.Reader {
	if t.kernelOff() {
		return bareReader{src}
	}
	r := src
	for {
		l, ok := r.(*io.LimitedReader)
		if !ok || l == nil {
			break
		}
		r = l.R
	}
	if hidden, ok := stdtypes.Hidden(r); ok { // as os and net hand themselves on
		if inner, ok := hidden.(io.Reader); ok {
			r = inner
		}
	}
	switch r.(type) {
	case *os.File:
		if t.c.Pages == Stable {
			return bareReader{src}
		}
	case *net.TCPConn, *net.UnixConn:
	case syscall.Conn:
		return bareReader{src}
	}
	return src
}

// kernelOff reports whether a mechanism is off that the standard library's own
// methods would use without asking.
func (t *transfer) kernelOff() bool {
	return t.disabled()&Mechanisms(Sendfile, Splice, CopyFileRange) != 0
}

// writerOnly hides every method of a Writer but Write.
type writerOnly struct{ io.Writer }

// bareWriter returns what a WriteTo is handed for dst: dst as it was passed,
// unless src could be a file or connection by embedding, whose WriteTo would send
// pages in spite of Stable or use what is switched off. net.Buffers is not one,
// and needs to see the connection for its writev.
func (t *transfer) bareWriter(dst io.Writer, src io.Reader) io.Writer {
	if t.c.Pages != Stable && !t.kernelOff() {
		return dst
	}
	if _, ok := src.(*net.Buffers); ok {
		return dst
	}
	switch dst.(type) {
	case io.ReaderFrom, syscall.Conn:
		return writerOnly{dst}
	}
	return dst
}

// delegations are the values whose WriteTo or ReadFrom a copy has called and that
// have not returned; of a value that cannot be compared, its type.
var delegations struct {
	mu   sync.Mutex
	busy map[any]struct{}
}

// enter notes that a method of v is about to be called for a copy; leave notes its
// end. ok is false where that call is under way already: a method that calls Copy
// on its own receiver would call itself for ever (H34), so the inner Copy reads and
// writes.
func enter(v any) (d any, ok bool) {
	switch v.(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader, *net.Buffers:
		return nil, true // known not to
	}
	if v == any(io.Discard) {
		return nil, true // nor that, and all the process's copies to it have one value
	}
	if d = v; !isKey(v) {
		d = reflect.TypeOf(v)
	}
	delegations.mu.Lock()
	defer delegations.mu.Unlock()
	if _, busy := delegations.busy[d]; busy {
		return nil, false
	}
	if delegations.busy == nil {
		delegations.busy = make(map[any]struct{})
	}
	delegations.busy[d] = struct{}{}
	return d, true
}

func leave(d any) {
	if d == nil {
		return
	}
	delegations.mu.Lock()
	delete(delegations.busy, d)
	delegations.mu.Unlock()
}

// callee is whose ReadFrom a call of w's comes to: a bufio.Writer hands it on.
func callee(w io.Writer) io.Writer {
	for range maxDepth {
		b, ok := w.(*bufio.Writer)
		if !ok || b == nil {
			break
		}
		wr, _, ok := stdtypes.BufioWriter(b)
		if !ok || wr == nil {
			break
		}
		w = wr
	}
	return w
}

// isKey reports whether v can be found in a map: it is comparable and, as a NaN in
// it would prevent, equal to itself.
func isKey(v any) bool {
	r, itself := reflect.ValueOf(v), v
	return r.Kind() == reflect.Pointer || r.Comparable() && v == itself
}

// isTimeout reports whether err is what an expired deadline gives.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
