package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zerocopy-go/zerocopy"
)

// A tally is what was seen of one copy: the system calls of the worker that
// touched the source's or the destination's descriptor.
type tally struct {
	Calls []call `json:"calls"`
	// Err says why there are no calls, if tracing did not work.
	Err string `json:"-"`
}

// A call stands for all system calls that are alike in name, ends and outcome.
type call struct {
	Name string `json:"name"`
	// From and To are "src", "dst", "pipe" for a descriptor between them, or ""
	// for memory.
	From  string `json:"from,omitempty"`
	To    string `json:"to,omitempty"`
	Errno string `json:"errno,omitempty"`
	Times int64  `json:"times"`
	Bytes int64  `json:"bytes,omitempty"`
}

// add counts one call that moved n bytes or failed.
func (t *tally) add(c call, n int64) {
	i := slices.IndexFunc(t.Calls, func(have call) bool {
		return have.Name == c.Name && have.From == c.From && have.To == c.To && have.Errno == c.Errno
	})
	if i < 0 {
		i = len(t.Calls)
		t.Calls = append(t.Calls, c)
	}
	t.Calls[i].Times++
	t.Calls[i].Bytes += n
}

// main returns the calls that brought most bytes into the destination, the zero
// call if none did.
func (t *tally) main() call {
	var m call
	for _, c := range t.Calls {
		if c.To == "dst" && c.Bytes > m.Bytes {
			m = c
		}
	}
	return m
}

// mechanism returns what a Report would call t's main way.
func (t *tally) mechanism() zerocopy.Mechanism {
	m := zerocopy.Buffered
	m.UnmarshalText([]byte(t.main().Name)) // write and its like are no mechanism's name
	return m
}

// route returns the way most bytes took, in the words of [zerocopy.Step]: such
// as "sendfile file→tcp", "splice tcp→pipe→unix" or "read+write".
func (t *tally) route(src, dst kind) string {
	m := t.main()
	switch {
	case m.Name == "":
		return "?"
	case m.From == "src":
		return fmt.Sprintf("%s %s→%s", m.Name, src.descriptor(), dst.descriptor())
	case m.From == "pipe":
		return fmt.Sprintf("%s %s→pipe→%s", m.Name, src.descriptor(), dst.descriptor())
	case slices.ContainsFunc(t.Calls, func(c call) bool { return c.From == "src" && c.Bytes > 0 }):
		return "read+write"
	}
	return "write"
}

// refused returns the calls that the kernel refused, such as "sendfile EINVAL".
// EAGAIN is no refusal.
func (t *tally) refused() string {
	var s []string
	for _, c := range t.Calls {
		if c.Errno != "" && c.Errno != "EAGAIN" && c.Errno != "EINTR" {
			s = append(s, c.Name+" "+c.Errno)
		}
	}
	return strings.Join(s, ", ")
}

// mainStep returns the step that carried most bytes.
func mainStep(steps []step) (m step, ok bool) {
	for _, s := range steps {
		if !ok || s.Bytes > m.Bytes {
			m, ok = s, true
		}
	}
	return m, ok
}

// routeOf returns the way most bytes took by a Report, or seen if the Report has no steps.
func routeOf(steps []step, seen string) string {
	m, ok := mainStep(steps)
	switch {
	case !ok:
		return seen
	case m.Mechanism == zerocopy.Delegated:
		return fmt.Sprintf("%v (%s)", m.Mechanism, seen)
	case m.Route == "":
		return m.Mechanism.String()
	}
	return m.Mechanism.String() + " " + m.Route
}

// contradiction compares the Report of a copy with what was seen of the same
// copy. It returns "" if they agree, or if one of them says nothing.
func contradiction(steps []step, seen *tally) string {
	m, ok := mainStep(steps)
	if !ok || seen == nil || m.Mechanism == zerocopy.Delegated {
		return ""
	}
	if got := seen.mechanism(); got != m.Mechanism {
		return fmt.Sprintf("the Report says %v, the system calls were %s", m.Text, seen.main().Name)
	}
	return ""
}

// short makes a route fit for a table in which the row names the ends.
func short(route string) string {
	name, hops, _ := strings.Cut(route, " ")
	if strings.Count(hops, "→") > 1 {
		return name + " via pipe"
	}
	return name
}
