package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"time"
)

// A progress says on standard error how far a run is: in place on a terminal, a
// line a case elsewhere.
type progress struct {
	w        io.Writer
	terminal bool
	began    time.Time
	total    int // runs, those for verification aside
	seen     map[string]bool
	cases    int
	steps    int
}

// perRun is about what a run takes besides its time, in seconds: processes start,
// connections open, what is under way arrives.
const perRun = 0.15

func newProgress(w io.Writer, chosen []spec, o options) *progress {
	p := &progress{w: w, began: time.Now(), seen: make(map[string]bool), cases: len(chosen)}
	if f, ok := w.(*os.File); ok {
		if fi, err := f.Stat(); err == nil {
			p.terminal = fi.Mode()&os.ModeCharDevice != 0
		}
	}
	var span float64
	for _, c := range chosen {
		n := o.rounds
		span += float64(n*len(c.Contenders)) * (c.length(o.seconds) + perRun)
		if c.verified() {
			n++
		}
		p.total += n * len(c.Contenders)
	}
	fmt.Fprintf(w, "%d cases, about %v\n", len(chosen), time.Duration(span*float64(time.Second)).Round(time.Second))
	return p
}

// length is how long a round of the case takes, in seconds.
func (c spec) length(seconds float64) float64 {
	span := cmp.Or(c.Scale, 1) * seconds
	switch c.Kind {
	case kindBlocking:
		return (flowTime + collectTime).Seconds()
	case kindFar:
		return openTime.Seconds() + span + 0.5 // and what is under way then
	}
	if c.Limit == limitMemory {
		span++ // the file is written
	}
	return span
}

// verified reports whether the bytes of a case are compared before it is timed.
func (c spec) verified() bool {
	if c.Kind == kindHTTP {
		return c.Mode != webTunnels
	}
	return (c.Kind == kindBulk || c.Kind == kindFar || c.Kind == kindFan || c.Kind == kindPages) && c.Streams <= 1 && !c.Discard && c.Rate == 0
}

// step says that a contender begins a round of a case.
func (p *progress) step(name, who string, round int) {
	if !p.seen[name] {
		p.seen[name] = true
		if !p.terminal {
			fmt.Fprintf(p.w, "%6s  case %d of %d: %s\n", time.Since(p.began).Round(time.Second), len(p.seen), p.cases, name)
		}
	}
	p.steps++
	if p.terminal {
		left := time.Duration(float64(time.Since(p.began)) / float64(p.steps) * float64(max(p.total-p.steps, 0)))
		fmt.Fprintf(p.w, "\r\x1b[Kcase %d of %d, %s: round %d, %s; about %v left", len(p.seen), p.cases, name, round, who, left.Round(time.Second))
	}
}

// done ends the line.
func (p *progress) done() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
