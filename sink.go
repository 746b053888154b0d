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
	dead     error // what a Write to a closed leaf says
	why      why
}

// A sinkBuffer is a bufio.Writer, what it writes to, and its sticky error.
type sinkBuffer struct {
	w      *bufio.Writer
	wr     io.Writer
	sticky *error
}

func (s *sink) known() bool { return s.end.Known() }

func (s *sink) reset() {
	clear(s.buffers)
	clear(s.layers)
	s.buffers, s.layers, s.leaf, s.standard, s.dead, s.why = s.buffers[:0], s.layers[:0], nil, false, nil, why{}
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
	}
	if hidden, found := stdtypes.Hidden(w); found {
		if inner, found := hidden.(io.Writer); found {
			return inner, ReasonNone, true
		}
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
		return in, ReasonNotDescriptor, false
	}
	if in, ok = u.UnwrapWriter(); !ok || in.Writer == nil || !same(in.Self, w) {
		return in, ReasonNested, false
	}
	return in, ReasonNone, true
}
