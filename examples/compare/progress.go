package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progress tells how far the run is: on a terminal by a line that is written
// over and over, elsewhere by a line a row.
type progress struct {
	w        io.Writer
	terminal bool
	start    time.Time
	i, n     int
	name     string
}

// newProgress writes to w about n rows, counting time from start.
func newProgress(w io.Writer, n int, start time.Time) *progress {
	p := &progress{w: w, n: n, start: start}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		fi, err := f.Stat()
		p.terminal = err == nil && fi.Mode()&os.ModeCharDevice != 0
	}
	return p
}

// begin says that the next row is being measured.
func (p *progress) begin(name string) {
	p.i++
	p.name = name
	p.status("starting")
}

// status says what is done for the row.
func (p *progress) status(what string) {
	if p.terminal {
		// Without automatic margins, so that a narrow terminal cuts it off.
		fmt.Fprintf(p.w, "\r\x1b[K\x1b[?7l%2.0fs  %d/%d  %s: %s\x1b[?7h", time.Since(p.start).Seconds(), p.i, p.n, p.name, what)
	}
}

// end says what came of the row.
func (p *progress) end(r row) {
	switch {
	case r.Failed != "":
		p.clear()
		fmt.Fprintf(p.w, "%d/%d  %s: FAILED: %s\n", p.i, p.n, p.name, r.Failed)
	case !p.terminal:
		fmt.Fprintf(p.w, "%2.0fs  %d/%d  %s: %.3f and %.3f CPU-s/GB, %s\n", time.Since(p.start).Seconds(),
			p.i, p.n, p.name, r.IOCopy.CPU.Median, r.Copy.CPU.Median, r.marks())
	}
}

// clear removes the line from a terminal.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
