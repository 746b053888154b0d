package zerocopy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// An End says which end of a copy a Step's Type stands at.
type End uint8

// The ends.
const (
	NoEnd End = iota
	SourceEnd
	DestinationEnd
)

// String returns "source", "destination" or "".
func (e End) String() string { return [...]string{"", "source", "destination"}[min(e, 2)] }

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (e End) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes what [End.String] returns and
// refuses any other.
func (e *End) UnmarshalText(text []byte) error {
	for end := NoEnd; end <= DestinationEnd; end++ {
		if end.String() == string(text) {
			*e = end
			return nil
		}
	}
	return fmt.Errorf("zerocopy: unknown end %q", text)
}

// A Step is a run of bytes that goes, or went, one way.
type Step struct {
	Mechanism Mechanism
	// Route names the kinds of descriptor that the bytes pass, such as
	// "tcp→pipe→tcp". It is empty where the route is not known.
	Route string `json:",omitempty"`
	// Bytes is how many bytes the destination accepted this way. In a Plan it
	// is how many there will be at the most, or -1 where that is not known.
	Bytes int64
	// Calls is how many system calls moved or asked for bytes in this step. It
	// is 0 in a Plan, and for Delegated. Waiting is not counted.
	Calls int64 `json:",omitempty"`
	// Reason says why the step is Buffered or Delegated.
	Reason Reason `json:",omitempty"`
	// End and Type name what stood in the way, such as SourceEnd and
	// "*gzip.Reader". They are empty where nothing did.
	End  End    `json:",omitempty"`
	Type string `json:",omitempty"`
	// Err is the answer of the kernel with ReasonRefused and ReasonNoPipe.
	Err error `json:"-"`
}

// why is the reason of a step, with the type that stood in the way.
type why struct {
	reason Reason
	end    End
	typ    reflect.Type
	err    error
}

// becauseOf returns the why whose type is v's.
func becauseOf(reason Reason, end End, v any) why {
	return why{reason: reason, end: end, typ: reflect.TypeOf(v)}
}

// A step is a Step in the making, without its strings.
type step struct {
	mechanism    Mechanism
	route        string
	bytes, calls int64
	why          why
}

// public returns the steps as the caller sees them.
func public(steps []step) []Step {
	out := make([]Step, len(steps))
	for i, s := range steps {
		out[i] = Step{
			Mechanism: s.mechanism, Route: s.route, Bytes: s.bytes, Calls: s.calls,
			Reason: s.why.reason, End: s.why.end, Err: s.why.err,
		}
		if s.why.typ != nil {
			out[i].Type = s.why.typ.String()
		}
	}
	return out
}

// String returns the step in words, such as "splice tcp→pipe→tcp" or
// "buffered: source *gzip.Reader is not a descriptor".
func (s Step) String() string {
	var b strings.Builder
	b.WriteString(s.Mechanism.String())
	if s.Route != "" {
		b.WriteString(" " + s.Route)
	}
	if s.Reason != ReasonNone {
		b.WriteString(":")
		if s.End != NoEnd {
			b.WriteString(" " + s.End.String())
		}
		if s.Type != "" {
			b.WriteString(" " + s.Type)
		}
		b.WriteString(" " + reasonTexts[min(s.Reason, reasons-1)])
	}
	var errno syscall.Errno
	if errors.As(s.Err, &errno) {
		b.WriteString(" (" + errno.Error() + ")")
	}
	return b.String()
}

// A Plan is what a copy would do, as far as that can be known without moving a
// byte. See [Explain].
type Plan struct {
	Steps []Step
}

// Main returns the step that will carry the bulk of the bytes: the last one
// that is neither a named prefix nor the start of a stream.
func (p Plan) Main() Step {
	for i := len(p.Steps) - 1; i >= 0; i-- {
		if r := p.Steps[i].Reason; r != ReasonPrefix && r != ReasonStart {
			return p.Steps[i]
		}
	}
	return Step{}
}

// String returns the plan in words, such as
// "splice tcp→pipe→tcp if bulk, after 312 buffered bytes".
func (p Plan) String() string {
	var main []string
	var prefix int64
	start := ""
	for _, s := range p.Steps {
		switch s.Reason {
		case ReasonPrefix:
			prefix += max(s.Bytes, 0)
			continue
		case ReasonStart:
			start = " if bulk"
			continue
		}
		main = append(main, s.String()+start)
		start = ""
	}
	if len(main) == 0 {
		return "nothing but " + strconv.FormatInt(prefix, 10) + " buffered bytes"
	}
	text := strings.Join(main, "; then ")
	if prefix > 0 {
		text += ", after " + strconv.FormatInt(prefix, 10) + " buffered bytes"
	}
	return text
}

// A Report is what one copy did. See [Copier.Report].
type Report struct {
	// Dst and Src are the types of the two ends as they were passed.
	Dst, Src string
	// Written is what the copy returned: the bytes the destination accepted.
	Written int64
	// Steps are in the order in which each was first taken; bytes that went the
	// same way for the same reason are added up in one step.
	Steps []Step
	// Elapsed is the time from call to return, waiting included.
	Elapsed time.Duration
	// Err is what the copy returned.
	Err error `json:"-"`
	// Failed is the end whose error Err is. It is NoEnd where there was no error, and
	// where a context, a callback or a method that was [Delegated] to ended the copy.
	Failed End `json:",omitempty"`
}

// Bytes returns how many bytes went by mechanism m.
func (r Report) Bytes(m Mechanism) int64 {
	var n int64
	for _, s := range r.Steps {
		if s.Mechanism == m {
			n += s.Bytes
		}
	}
	return n
}

// Summary returns how many bytes went and how, and for those that the kernel alone did not
// move why: "81 bytes (splice tcp→pipe→tcp)". It is String without the ends, the time and the
// error.
func (r Report) Summary() string {
	var ways []string
	for _, s := range r.Steps {
		switch s.Bytes {
		case 0:
		case r.Written:
			ways = append(ways, s.String())
		default:
			ways = append(ways, fmt.Sprintf("%d by %v", s.Bytes, s))
		}
	}
	text := fmt.Sprintf("%d bytes", r.Written)
	if len(ways) > 0 {
		text += " (" + strings.Join(ways, ", ") + ")"
	}
	return text
}

// String returns the report on one line, for logs.
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s → %s: %d bytes in %v", r.Src, r.Dst, r.Written, r.Elapsed.Round(time.Microsecond))
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "; %d by %v", s.Bytes, s)
	}
	if r.Err != nil {
		fmt.Fprintf(&b, "; ended with %v", r.Err)
	}
	return b.String()
}

// Explain predicts what [Copy] would do with dst and src and why. It moves no
// byte, takes no pipe and calls no method of a type it does not know, other than
// the opt-in interfaces [ReaderUnwrapper] and [WriterUnwrapper], which are asked
// without side effect. It is safe whenever Copy would be, and as expensive as
// the beginning of a Copy: one or two cheap system calls an end.
func Explain(dst io.Writer, src io.Reader) Plan { return Default().Explain(dst, src) }

// Explain is the package's [Explain] with the settings of c.
func (c *Copier) Explain(dst io.Writer, src io.Reader) Plan {
	t := newTransfer(c, context.Background(), nil)
	defer t.release()
	t.plan(dst, src)
	return Plan{public(t.steps)}
}

// plan adds the steps that run would take, by the same decisions.
func (t *transfer) plan(dst io.Writer, src io.Reader) {
	dst, src = halves(dst, src)
	if !sys.Supported {
		t.planPlain(dst, src)
		return
	}
	t.detectReader(src)
	t.detectWriter(dst)
	if t.leavesTo(src) {
		t.planPlain(dst, src)
		return
	}
	if t.to.standard {
		for _, b := range t.to.buffers {
			if b.mustFill(src) {
				t.foresee(Buffered, "", int64(b.w.Available()), becauseOf(ReasonPrefix, DestinationEnd, (*bufio.Writer)(nil)))
			}
		}
	} else if t.delegates(dst) {
		t.planPlain(dst, src)
		return
	}
	if !t.from.known() && !t.to.asks() {
		t.planPlain(dst, src)
		return
	}
	t.off = t.disabled()
	t.planChain(0)
}

// planChain adds the steps of the current leaf, with what the layers from index
// depth on have buffered, and those of the parts that follow it.
func (t *transfer) planChain(depth int) {
	ch := &t.from
	room := int64(unlimited)
	for i := range ch.layers {
		l := &ch.layers[i]
		room = min(room, l.room())
		if n := min(room, int64(len(l.buffered()))); n > 0 && i >= depth {
			t.foresee(Buffered, "", n, l.prefix())
			if room < unlimited {
				room -= n
			}
		}
	}
	if room > 0 {
		t.planLeaf(room)
	}
	for i := ch.around(len(ch.layers)); i >= depth && i >= 0; i = ch.around(i) {
		for _, part := range (*ch.layers[i].parts)[1:] {
			ch.truncate(i + 1)
			t.c.detectReader(ch, part)
			t.planChain(i + 1)
		}
		ch.truncate(i + 1)
	}
}

// planLeaf adds the step of the current leaf.
func (t *transfer) planLeaf(room int64) {
	end := &t.from.end
	n := int64(-1)
	if room < unlimited {
		n = room
	}
	if end.Kind == engine.File && end.Size > 0 {
		n = min(room, end.Size)
	}
	t.from.end.Ask(t.c.calls)
	t.to.end.Ask(t.c.calls)
	t.branch()
	t.askBranches()
	w := t.waysFor(room)
	if first := w.try[0]; (first == wayPiped || first == wayTee) && end.Kind.Socket() {
		t.foresee(Buffered, "", -1, becauseOf(ReasonStart, SourceEnd, t.from.leaf))
	}
	switch first := w.try[0]; first {
	case wayBuffered:
		t.foresee(Buffered, "", n, w.why)
	case wayTee:
		t.foresee(Tee, t.route, n, why{})
	default:
		t.foresee(wayMechanism[first], first.route(&t.to.end, end), n, why{})
	}
}

// planPlain adds the steps of a plain copy.
func (t *transfer) planPlain(dst io.Writer, src io.Reader) {
	if b, ok := src.(*bufio.Reader); ok && b != nil && b.Buffered() > 0 {
		t.foresee(Buffered, "", int64(b.Buffered()), becauseOf(ReasonPrefix, SourceEnd, b))
	}
	if t.writesItself(src) {
		t.foresee(Delegated, "", -1, becauseOf(ReasonOwnMethod, SourceEnd, src))
	} else if _, ok := t.readsItself(dst); ok {
		t.foresee(Delegated, "", -1, becauseOf(ReasonOwnMethod, DestinationEnd, dst))
	} else {
		t.foresee(Buffered, "", -1, t.unknown(dst, src))
	}
}

// foresee adds one step to a plan.
func (t *transfer) foresee(m Mechanism, route string, n int64, w why) {
	t.steps = append(t.steps, step{mechanism: m, route: route, bytes: n, why: w})
}
