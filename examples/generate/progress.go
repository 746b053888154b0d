package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A progress is standard error: lines that stay and, on a terminal, one at the bottom
// that says how far things are. It may be used by any goroutine.
type progress struct {
	w        io.Writer
	terminal bool
	verbose  bool // without a terminal, print the latter as lines that stay

	mu     sync.Mutex
	bottom string
}

func newProgress(w io.Writer, verbose bool) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && isTerminal(f) && os.Getenv("TERM") != "dumb", verbose: verbose}
}

// printf prints a line that stays.
func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	bottom := p.bottom
	p.show("")
	fmt.Fprintf(p.w, format+"\n", args...)
	p.show(bottom)
}

// show replaces the line at the bottom. Without automatic margins a narrow terminal
// cuts it.
func (p *progress) show(line string) {
	if p.bottom != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	if p.bottom = line; line != "" {
		fmt.Fprint(p.w, "\x1b[?7l"+line+"\x1b[?7h")
	}
}

// every shows status from time to time until stop is called.
func (p *progress) every(d time.Duration, status func() string) (stop func()) {
	if !p.terminal && !p.verbose {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(d)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				if line := status(); p.terminal {
					p.mu.Lock()
					p.show(line)
					p.mu.Unlock()
				} else if line != "" {
					p.printf("%s", line)
				}
			case <-quit:
				p.mu.Lock()
				p.show("")
				p.mu.Unlock()
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
