package zerocopy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A Mechanism is a way of moving bytes from a source to a destination.
// Which mechanism a copy takes is not part of the API's promise: it may change
// with the kernel and with the release. Its name is.
type Mechanism uint8

// The mechanisms. The names are those of the system calls, see their man pages.
const (
	// Buffered is read and write through a buffer in user memory. It is always
	// available and cannot be disabled.
	Buffered Mechanism = iota
	// Delegated is the source's own WriteTo or the destination's own ReadFrom:
	// the bytes are known, their route is not.
	Delegated
	// Sendfile is sendfile(2), from a file to a socket.
	Sendfile
	// Splice is splice(2), with or without a private pipe between the ends.
	Splice
	// Tee is tee(2), from one pipe to another without consuming.
	Tee
	// CopyFileRange is copy_file_range(2), from a file to a file.
	CopyFileRange
	// Vmsplice is vmsplice(2), user pages lent to a pipe.
	Vmsplice
	// MsgZerocopy is send(2) with MSG_ZEROCOPY, user pages lent to a socket.
	MsgZerocopy

	mechanisms // how many there are
)

var mechanismNames = [mechanisms]string{
	"buffered", "delegated", "sendfile", "splice", "tee", "copy_file_range", "vmsplice", "msg_zerocopy",
}

// String returns the mechanism's name as ZEROCOPY in the environment and
// [Mechanism.UnmarshalText] take it.
func (m Mechanism) String() string {
	if m < mechanisms {
		return mechanismNames[m]
	}
	return "Mechanism(" + strconv.Itoa(int(m)) + ")"
}

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (m Mechanism) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes the names that
// [Mechanism.String] returns and refuses any other.
func (m *Mechanism) UnmarshalText(text []byte) error {
	for i, name := range mechanismNames {
		if name == string(text) {
			*m = Mechanism(i)
			return nil
		}
	}
	return fmt.Errorf("zerocopy: unknown mechanism %q (known: %s)", text, strings.Join(mechanismNames[:], ", "))
}

// A MechanismSet is a set of mechanisms, the zero value is the empty one.
type MechanismSet uint16

// AllMechanisms holds every mechanism that can be switched off: all but Buffered.
const AllMechanisms MechanismSet = 1<<mechanisms - 1 - 1<<Buffered

// Mechanisms returns the set of ms.
func Mechanisms(ms ...Mechanism) MechanismSet {
	var s MechanismSet
	for _, m := range ms {
		s |= 1 << m
	}
	return s
}

// Has reports whether m is in s.
func (s MechanismSet) Has(m Mechanism) bool { return s&(1<<m) != 0 }

// String returns the names in the set, separated by commas.
func (s MechanismSet) String() string {
	names := make([]string, 0, bits.OnesCount16(uint16(s)))
	for m := Mechanism(0); m < mechanisms; m++ {
		if s.Has(m) {
			names = append(names, m.String())
		}
	}
	return strings.Join(names, ",")
}

// A Reason says why a step is [Buffered] or [Delegated] and not done by the
// kernel alone. It is a small closed enumeration, fit to be a metric's label.
type Reason uint8

// The reasons. Where a type stood in the way, [Step.Type] names it.
const (
	// ReasonNone: the step is not in want of a reason.
	ReasonNone Reason = iota
	// ReasonNotDescriptor: an end is of a type that is not known to be a
	// descriptor or a transparent wrapper of one. A type of your own that passes
	// bytes through unchanged can say so: see ReaderUnwrapper, WriterUnwrapper.
	ReasonNotDescriptor
	// ReasonOwnMethod: an end of an unknown type brings its own WriteTo or
	// ReadFrom, which was called in io.Copy's order.
	ReasonOwnMethod
	// ReasonPrefix: these bytes were in user memory before the copy began, in a
	// bufio.Reader or a wrapper's buffer, or had to go into a bufio.Writer's.
	ReasonPrefix
	// ReasonSmall: the file is so small that read and write cost less.
	ReasonSmall
	// ReasonPages: pages of a file are lent to a pipe only with Copier.Pages
	// set to Share, because later changes of the file would be seen through it.
	ReasonPages
	// ReasonStable: Copier.Pages is Stable, so no page goes by reference.
	ReasonStable
	// ReasonDisabled: the mechanism is switched off, by Copier.Disable or by
	// ZEROCOPY in the environment.
	ReasonDisabled
	// ReasonAppend: splice and copy_file_range refuse a destination that is
	// open with O_APPEND.
	ReasonAppend
	// ReasonBlocking: the descriptor is in blocking mode (O_NONBLOCK is clear),
	// so a call on it could neither be interrupted by Close nor by a deadline.
	ReasonBlocking
	// ReasonMessages: a datagram or seqpacket socket, whose message boundaries
	// splice would not keep.
	ReasonMessages
	// ReasonDevice: a character device, which may block or not splice at all.
	ReasonDevice
	// ReasonSame: the same file or the same pipe is at both ends.
	ReasonSame
	// ReasonAccess: an end is closed, a directory, or not open for this
	// direction. The error of the copy says which.
	ReasonAccess
	// ReasonNoPipe: no pipe was to be had (descriptors, or the user's share of
	// pipe memory, see pipe(7)).
	ReasonNoPipe
	// ReasonRefused: the kernel refused; [Step.Err] is its answer.
	ReasonRefused
	// ReasonCheck: the kernel moved nothing where a plain read found bytes, at
	// the mark of urgent data for instance.
	ReasonCheck
	// ReasonNested: the wrapper's own method or a pending error comes first, so
	// the wrapper was read as any other Reader.
	ReasonNested
	// ReasonLayout: the inside of a standard type is not as it was verified to
	// be for the supported Go releases.
	ReasonLayout
	// ReasonPlatform: not Linux.
	ReasonPlatform

	reasons // how many there are
)

var reasonNames = [reasons]string{
	"", "not-descriptor", "own-method", "prefix", "small", "file-pages", "stable", "disabled", "append", "blocking",
	"messages", "device", "same-file", "access", "no-pipe", "refused", "check", "nested", "layout", "platform",
}

var reasonTexts = [reasons]string{
	ReasonNone:          "",
	ReasonNotDescriptor: "is not a descriptor",
	ReasonOwnMethod:     "brings its own method",
	ReasonPrefix:        "already in user memory",
	ReasonSmall:         "is too small for a system call of its own to pay",
	ReasonPages:         "has pages that would be lent to a pipe (Pages: Share allows it)",
	ReasonStable:        "has pages that Pages: Stable does not send by reference",
	ReasonDisabled:      "could be moved by a mechanism that is switched off",
	ReasonAppend:        "is open with O_APPEND",
	ReasonBlocking:      "is in blocking mode",
	ReasonMessages:      "is a socket with message boundaries",
	ReasonDevice:        "is a character device",
	ReasonSame:          "is the same file or pipe as the other end",
	ReasonAccess:        "is closed, or not open for this direction",
	ReasonNoPipe:        "would need a pipe and none was to be had",
	ReasonRefused:       "could be moved by a call that the kernel refused",
	ReasonCheck:         "had bytes that only a plain read sees",
	ReasonNested:        "is read through its own methods",
	ReasonLayout:        "has a layout that is not verified for this Go release",
	ReasonPlatform:      "is on a system without these calls",
}

// String returns the reason's short name, for logs and labels; "" for ReasonNone.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "Reason(" + strconv.Itoa(int(r)) + ")"
}

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes the names that
// [Reason.String] returns and refuses any other.
func (r *Reason) UnmarshalText(text []byte) error {
	for i, name := range reasonNames {
		if name == string(text) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("zerocopy: unknown reason %q", text)
}

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

// why is the part of a step that all its bytes have in common.
type why struct {
	reason Reason
	end    End
	typ    string
	err    error
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
// that is not a named prefix.
func (p Plan) Main() Step {
	for i := len(p.Steps) - 1; i >= 0; i-- {
		if p.Steps[i].Reason != ReasonPrefix {
			return p.Steps[i]
		}
	}
	return Step{}
}

// String returns the plan in words, such as
// "splice tcp→pipe→tcp, after 312 buffered bytes".
func (p Plan) String() string {
	var main []string
	var prefix int64
	for _, s := range p.Steps {
		if s.Reason == ReasonPrefix {
			prefix += max(s.Bytes, 0)
			continue
		}
		main = append(main, s.String())
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
	t := newTransfer(c, nil, nil)
	defer t.release()
	t.plan(dst, src)
	return Plan{slices.Clone(t.steps)}
}

// plan adds the steps that run would take, by the same decisions.
func (t *transfer) plan(dst io.Writer, src io.Reader) {
	if !sys.Supported {
		t.planPlain(dst, src)
		return
	}
	t.detect(dst, src)
	if !t.from.known() && t.writesItself(src) {
		t.planPlain(dst, src)
		return
	}
	if t.to.known() {
		for _, b := range t.to.buffers {
			if b.mustFill(src) {
				t.step(Buffered, "", int64(b.w.Available()), why{reason: ReasonPrefix, end: DestinationEnd, typ: "*bufio.Writer"})
			}
		}
	} else if _, ok := t.readsItself(dst); ok {
		t.planPlain(dst, src)
		return
	}
	if !t.from.known() {
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
			t.step(Buffered, "", n, why{reason: ReasonPrefix, end: SourceEnd, typ: l.name()})
			room -= n
		}
	}
	w := t.c.choose(&t.to, ch, room, t.off)
	bytes := int64(-1)
	if room < unlimited {
		bytes = room
	}
	if ch.end.Kind == engine.File && ch.end.Size > 0 {
		bytes = min(room, ch.end.Size)
	}
	if first := w.try[0]; first != wayBuffered {
		t.step(wayMechanism[first], first.route(&t.to.end, &ch.end), bytes, why{})
	} else {
		t.step(Buffered, "", bytes, w.why)
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

// planPlain adds the steps of a plain copy.
func (t *transfer) planPlain(dst io.Writer, src io.Reader) {
	if b, ok := src.(*bufio.Reader); ok && b != nil && b.Buffered() > 0 {
		t.step(Buffered, "", int64(b.Buffered()), why{reason: ReasonPrefix, end: SourceEnd, typ: typeName(b)})
	}
	if t.writesItself(src) {
		t.step(Delegated, "", -1, why{reason: ReasonOwnMethod, end: SourceEnd, typ: typeName(src)})
	} else if _, ok := t.readsItself(dst); ok {
		t.step(Delegated, "", -1, why{reason: ReasonOwnMethod, end: DestinationEnd, typ: typeName(dst)})
	} else {
		t.step(Buffered, "", -1, t.unknown(dst, src))
	}
}

// step adds one step to a plan.
func (t *transfer) step(m Mechanism, route string, n int64, w why) {
	t.steps = append(t.steps, Step{Mechanism: m, Route: route, Bytes: n, Reason: w.reason, End: w.end, Type: w.typ, Err: w.err})
}
