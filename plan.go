package zerocopy

import (
	"reflect"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/probe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A way is a mechanism together with its form.
type way uint8

const (
	wayBuffered  way = iota
	waySendfile      // file → socket
	wayCopyRange     // file → file
	wayPiped         // source → private pipe → destination
	wayDirect        // splice with no pipe between: the source is a pipe, or the destination of a file
	wayTee           // source → private pipe, duplicated → several destinations
)

var wayMechanism = [...]Mechanism{Buffered, Sendfile, CopyFileRange, Splice, Splice, Tee}

// smallFile is the size up to which a file is read and written: a sendfile of its
// own saves nothing there. See docs/performance.md, "Small files".
const smallFile = 16 << 10

// ways are what to try, in order. What is left when all are used up is Buffered.
type ways struct {
	try [2]way // wayBuffered ends them
	why why    // why Buffered, once it comes to that
}

// choose decides how bytes get from the leaf of from to that of to. room is how
// many there are at the most.
func (c *Copier) choose(to *sink, from *chain, room int64, off MechanismSet) ways {
	switch {
	case !from.end.Known():
		return ways{why: from.why}
	case !to.end.Known():
		return ways{why: to.why}
	}
	w := choose(&to.end, &from.end, room, c.lending(&to.end, &from.end), off)
	if !c.origin().refusals.Empty() {
		w = c.remembered(w, &to.end, &from.end)
	}
	switch w.why.end {
	case SourceEnd:
		w.why.typ = reflect.TypeOf(from.leaf)
	case DestinationEnd:
		w.why.typ = reflect.TypeOf(to.leaf)
	}
	return w
}

// lending returns the policy for pages of src. Those of a sealed memfd, such as a
// pages.Constant, cannot change, so that nobody sees whether they are lent.
func (c *Copier) lending(dst, src *engine.End) Pages {
	if c.Pages == Share || src.Kind != engine.File {
		return c.Pages
	}
	// Only where it makes a difference: it takes a system call.
	if (c.Pages == Stable || dst.Kind == engine.Pipe || dst.Kind.Socket() && dst.File != nil) && src.Unchanging(c.calls) {
		return Share
	}
	return c.Pages
}

// remembered drops the ways that this kernel has refused before.
func (c *Copier) remembered(w ways, dst, src *engine.End) ways {
	for i := 0; i < len(w.try) && w.try[i] != wayBuffered; {
		if err := c.origin().refusals.Refused(c.key(w.try[i], dst, src)); err != nil {
			w.drop(i, why{reason: ReasonRefused, end: SourceEnd, err: err})
			continue
		}
		i++
	}
	return w
}

// learn remembers that the kernel refused way, if its answer is conclusive.
func (c *Copier) learn(way way, dst, src *engine.End, err error) {
	if probe.Conclusive(err) {
		c.origin().refusals.Learn(c.key(way, dst, src), err)
	}
}

// key is what a refusal of way is remembered by.
func (c *Copier) key(way way, dst, src *engine.End) probe.Key {
	k := probe.Key{Mechanism: uint8(way), Src: uint8(src.Kind), Dst: uint8(dst.Kind)}
	if way == wayCopyRange {
		k.SrcFS, k.DstFS = src.FSType(c.calls), dst.FSType(c.calls)
		k.SameDev = src.Dev == dst.Dev
	}
	return k
}

// choose decides how bytes get from src to dst. room is how many there are at the
// most. It is the one place where a mechanism is chosen: Copy and Explain ask it.
// The table of docs/design.md, "Mechanism choice", is this function.
func choose(dst, src *engine.End, room int64, pages Pages, disabled MechanismSet) ways {
	if w := obstacle(dst, src); w.reason != ReasonNone {
		return ways{why: w}
	}
	var w ways
	switch {
	case src.Kind == engine.Pipe:
		w.try[0] = wayDirect
	case src.Kind.Socket():
		// Also to a pipe: straight into its few slots a splice moves so little that
		// the stream costs 2.3 times as much CPU (examples/compare, tcp → pipe).
		w.try[0] = wayPiped
	case pages == Stable && !(src.Kind == engine.File && dst.Kind == engine.File):
		w.why = why{reason: ReasonStable, end: SourceEnd}
	case pages != Share && src.Kind != engine.Zero && (dst.Kind == engine.Pipe || dst.Kind.Socket() && dst.File != nil):
		w.why = why{reason: ReasonPages, end: SourceEnd} // io.Copy reads and writes here
	case dst.Kind == engine.Pipe:
		w.try[0] = wayDirect
	case dst.Kind.Socket() && src.Kind == engine.File && min(src.Size, room) <= smallFile:
		w.why = why{reason: ReasonSmall, end: SourceEnd}
	case dst.Kind.Socket():
		w.try[0] = waySendfile
	case src.Kind == engine.File && dst.Kind == engine.File && pages == Stable:
		w.try[0] = wayCopyRange
	case src.Kind == engine.File && dst.Kind == engine.File:
		w.try = [2]way{wayCopyRange, wayPiped}
	default:
		w.try[0] = wayPiped
	}
	return w.without(disabled)
}

// without drops the ways whose mechanism is switched off.
func (w ways) without(disabled MechanismSet) ways {
	for i := 0; i < len(w.try); {
		if w.try[i] == wayBuffered || !disabled.Has(wayMechanism[w.try[i]]) {
			i++
			continue
		}
		w.drop(i, why{reason: ReasonDisabled, end: SourceEnd})
	}
	return w
}

// drop removes the way at index i because of reason.
func (w *ways) drop(i int, reason why) {
	copy(w.try[i:], w.try[i+1:])
	w.try[len(w.try)-1] = wayBuffered
	w.why = reason
}

// obstacle says what keeps the kernel from moving bytes from src to dst, whatever
// the mechanism.
func obstacle(dst, src *engine.End) why {
	s, d := src.Kind, dst.Kind
	switch {
	case s == engine.Other || src.File != nil && src.Flags&sys.AccessMode == sys.WriteOnly:
		return why{reason: ReasonAccess, end: SourceEnd}
	case d == engine.Other || dst.File != nil && dst.Flags&sys.AccessMode == sys.ReadOnly:
		return why{reason: ReasonAccess, end: DestinationEnd}
	case s == engine.Message:
		return why{reason: ReasonMessages, end: SourceEnd}
	case d == engine.Message:
		return why{reason: ReasonMessages, end: DestinationEnd}
	case s == engine.Device, s == engine.Null, s == engine.TTY:
		return why{reason: ReasonDevice, end: SourceEnd}
	case d == engine.Device, d == engine.Zero:
		return why{reason: ReasonDevice, end: DestinationEnd}
	case !s.Stored() && !src.Pollable():
		return why{reason: ReasonBlocking, end: SourceEnd}
	case (d == engine.Pipe || d.Socket() || d == engine.TTY) && !dst.Pollable():
		return why{reason: ReasonBlocking, end: DestinationEnd}
	case engine.Same(dst, src):
		return why{reason: ReasonSame, end: SourceEnd}
	case dst.Flags&sys.Append != 0:
		return why{reason: ReasonAppend, end: DestinationEnd}
	}
	return why{}
}

// route names the kinds of descriptor that a way passes.
func (w way) route(dst, src *engine.End) string {
	switch w {
	case wayBuffered:
		return ""
	case wayPiped:
		return routes[src.Kind][dst.Kind].piped
	}
	return routes[src.Kind][dst.Kind].direct
}

// routes are made once: a name for each chunk would be an allocation each.
var routes = func() (r [engine.Other + 1][engine.Other + 1]struct{ direct, piped string }) {
	for s := range r {
		for d := range r[s] {
			src, dst := engine.Kind(s).String(), engine.Kind(d).String()
			r[s][d].direct, r[s][d].piped = src+"→"+dst, src+"→pipe→"+dst
		}
	}
	return r
}()
