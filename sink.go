package zerocopy

import (
	"bufio"
	"io"
	"net"
	"os"
	"reflect"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A sink is a destination: its layers, the outermost first, and what lies under them.
type sink struct {
	buffers []sinkBuffer // bufio.Writers, outside of every opt-in
	layers  []*InnerWriter
	leaf    io.Writer
	// standard says that leaf is of a type that can be a descriptor; end is that
	// once it was inspected, and its Kind None if it cannot be told.
	standard bool
	end      engine.End
	tap      *tap  // of a leaf that is a MultiWriter
	dead     error // what a Write to a closed leaf says
	why      why
}

// A sinkBuffer is a bufio.Writer, what it writes to, and its sticky error.
type sinkBuffer struct {
	w      *bufio.Writer
	wr     io.Writer
	sticky *error
}

// known reports that something is to be gained from the pipeline: the leaf is a
// descriptor, or leads to several destinations of which one may be.
func (s *sink) known() bool { return s.end.Known() || s.tap != nil }

// asks reports whether a layer has a callback.
func (s *sink) asks() bool {
	for _, opt := range s.layers {
		if opt.Flush != nil || opt.Before != nil || opt.Moved != nil || opt.Done != nil || opt.limiter != nil {
			return true
		}
	}
	return s.tap.asks()
}

// only makes s nothing but w, for the reason that it has.
//
//go:noinline
func (s *sink) only(w io.Writer) {
	*s = sink{buffers: s.buffers[:0], layers: s.layers[:0], leaf: w, why: s.why}
}

func (s *sink) reset() {
	clear(s.buffers)
	clear(s.layers)
	s.buffers, s.layers, s.leaf, s.standard, s.tap, s.dead, s.why = s.buffers[:0], s.layers[:0], nil, false, nil, nil, why{}
	if s.end.Known() {
		s.end = engine.End{}
	}
}

// detectWriter fills in s for w.
func (c *Copier) detectWriter(s *sink, w io.Writer) {
	reason := ReasonNested
	for range maxDepth {
		var ok bool
		var inner io.Writer
		if inner, reason, ok = c.writerLayer(s, w); !ok {
			break
		}
		w = inner
	}
	s.leaf = w
	s.standard = reason == ReasonNone
	if _, ok := multiWriters(w); ok && len(s.buffers) == 0 {
		s.tap = c.newTap(true, w)
	}
	s.why = becauseOf(reason, DestinationEnd, w)
}

// inspectWriter asks the descriptor under s what it is.
func (c *Copier) inspectWriter(s *sink) {
	var ok bool
	if s.end, ok = engine.Inspect(c.calls, s.leaf, false); !ok {
		s.why.reason = ReasonAccess
	}
}

// writerLayer looks into w and adds what it is to s.
func (c *Copier) writerLayer(s *sink, w io.Writer) (inner io.Writer, reason Reason, ok bool) {
	switch v := w.(type) {
	case nil:
		return nil, ReasonNotDescriptor, false
	case *os.File, *net.TCPConn, *net.UnixConn:
		return nil, ReasonNone, false
	case *bufio.Writer:
		if v == nil || len(s.layers) > 0 {
			return nil, ReasonNested, false
		}
		wr, sticky, verified := stdtypes.BufioWriter(v)
		if !verified {
			return nil, ReasonLayout, false
		}
		if wr == nil {
			return nil, ReasonNotDescriptor, false
		}
		s.buffers = append(s.buffers, sinkBuffer{v, wr, sticky})
		return wr, ReasonNone, true
	case *Writer:
		if v == nil {
			return nil, ReasonNotDescriptor, false
		}
		return v.w, ReasonNone, true
	case *Pipe:
		if v == nil {
			return nil, ReasonNotDescriptor, false
		}
		return v.w, ReasonNone, true
	}
	if writers, multi := multiWriters(w); multi {
		if len(writers) == 1 {
			return writers[0], ReasonNone, true
		}
		return nil, ReasonNested, false
	}
	if hidden, found := stdtypes.Hidden(w); found {
		if inner, found := hidden.(io.Writer); found {
			return inner, ReasonNone, true
		}
	}
	if rw, is, verified := stdtypes.ReadWriter(w); is {
		switch {
		case !verified:
			return nil, ReasonLayout, false
		case rw.Writer == nil:
			return nil, ReasonNotDescriptor, false
		}
		return rw.Writer, ReasonNone, true
	}
	in, reason, ok := c.unwrapWriter(w)
	if !ok {
		return nil, reason, false
	}
	opt := in // on the heap only here
	s.layers = append(s.layers, &opt)
	return in.Writer, ReasonNone, true
}

// unwrapWriter asks the application, then w itself.
func (c *Copier) unwrapWriter(w io.Writer) (in InnerWriter, reason Reason, ok bool) {
	if len(c.UnwrapWriter) > 0 && c.UnwrapWriter[reflect.TypeOf(w)] != nil {
		if in, ok = c.UnwrapWriter[reflect.TypeOf(w)](w); ok && in.Writer != nil {
			return in, ReasonNone, true
		}
		return in, ReasonNested, false
	}
	u, ok := w.(WriterUnwrapper)
	if !ok {
		return in, opaque(w), false
	}
	if in, ok = u.UnwrapWriter(); !ok || in.Writer == nil || !same(in.Self, w) {
		return in, ReasonNested, false
	}
	return in, ReasonNone, true
}

// chunk returns the least of n and what the layers have as the most bytes between two
// calls of Moved.
func (s *sink) chunk(n int) int {
	for _, opt := range s.layers {
		if opt.Chunk > 0 {
			n = min(n, opt.Chunk)
		}
	}
	return n
}

// flush has the layers write what they hold back, the outer first: it writes to the inner.
func (s *sink) flush() error {
	for _, opt := range s.layers {
		if opt.Flush != nil {
			if err := opt.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// before asks the layers before a wait, the inner first.
func (s *sink) before() error {
	for i := len(s.layers) - 1; i >= 0; i-- {
		if opt := s.layers[i]; opt.Before != nil {
			if err := opt.Before(); err != nil {
				return err
			}
		}
	}
	return nil
}

// moved tells the layers that the leaf has accepted n bytes, the inner first. All are
// told; the first error is returned.
func (s *sink) moved(w *watch, n int64) (err error) {
	for i := len(s.layers) - 1; i >= 0; i-- {
		if moved := s.layers[i].Moved; moved != nil {
			err = cmpErr(err, moved(n))
		}
		if l := s.layers[i].limiter; l != nil && err == nil {
			err = cmpErr(err, await(w.context(), l, n))
		}
	}
	return err
}

// done tells the layers that the copy has ended, the inner first, and returns what
// they make of its error.
func (s *sink) done(unwritten int64, err error) error {
	for i := len(s.layers) - 1; i >= 0; i-- {
		if done := s.layers[i].Done; done != nil {
			err = done(unwritten, err)
		}
	}
	return err
}
