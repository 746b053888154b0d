package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// every is how often a live table is drawn.
const every = 500 * time.Millisecond

// A screen is where the lines of the log go and, on a terminal, a table below them that
// is drawn again and again. It may be used by any goroutine.
type screen struct {
	w    io.Writer
	live bool // there is to be a table

	mu    sync.Mutex
	table []string // on the screen
	shown bool     // the table is being kept up
}

// newScreen returns the screen on w. Where there is no terminal on w it has a table only
// if that is on. Consoles of Windows may know no escape sequences.
func newScreen(w io.Writer, when string) *screen {
	s := &screen{w: w}
	onTerminal := false
	control(w, func(fd int) { onTerminal = term.IsTerminal(fd) })
	s.live = when == "on" || when == "auto" && onTerminal && smartTerminal() && runtime.GOOS != "windows"
	return s
}

// control calls f with the descriptor of w if that is a file. File.Fd would put it into
// blocking mode.
func control(w io.Writer, f func(fd int)) {
	if file, ok := w.(*os.File); ok {
		if raw, err := file.SyscallConn(); err == nil {
			raw.Control(func(fd uintptr) { f(int(fd)) })
		}
	}
}

// size returns the width and height of the terminal, and VT100's where there is none.
func (s *screen) size() (width, height int) {
	width, height = 80, 24
	control(s.w, func(fd int) {
		if w, h, err := term.GetSize(fd); err == nil && w > 0 && h > 0 {
			width, height = w, h
		}
	})
	return width, height
}

// What a frame begins and ends with: a terminal that knows of synchronized output (2026)
// shows nothing in between, and without automatic margins (7) it cuts what is too wide.
const (
	beginFrame = "\x1b[?2026h\x1b[?7l"
	endFrame   = "\x1b[?7h\x1b[?2026l"
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearBelow = "\x1b[J"
	clearRight = "\x1b[K"
)

// run keeps the table up until stop is called, which removes it.
func (s *screen) run(render func(width, height int) []string) (stop func()) {
	if !s.live {
		return func() {}
	}
	s.draw(render, hideCursor)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				s.draw(render, "")
			case <-quit:
				s.erase()
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(quit)
		<-done
	})
}

// draw replaces the table in one write, line by line, so that what has not changed does
// not flicker.
func (s *screen) draw(render func(width, height int) []string, prefix string) {
	width, height := s.size()
	lines := render(width, height)
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	b.WriteString(prefix + beginFrame)
	s.up(&b, width)
	s.put(&b, lines)
	b.WriteString(clearBelow + endFrame)
	s.table, s.shown = lines, true
	s.w.Write(b.Bytes())
}

// erase removes the table for good.
func (s *screen) erase() {
	width, _ := s.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	var b bytes.Buffer
	s.up(&b, width)
	b.WriteString(clearBelow + showCursor)
	s.table, s.shown = nil, false
	s.w.Write(b.Bytes())
}

// up puts the cursor where the table begins. A terminal that has become narrower since has
// folded its lines.
func (s *screen) up(b *bytes.Buffer, width int) {
	n := 0
	for _, line := range s.table {
		n += max(1, (utf8.RuneCountInString(line)+width-1)/width)
	}
	b.WriteString("\r")
	if n > 0 {
		fmt.Fprintf(b, "\x1b[%dA", n)
	}
}

func (s *screen) put(b *bytes.Buffer, lines []string) {
	for _, line := range lines {
		b.WriteString(line + clearRight + "\n")
	}
}

// Write prints p, whole lines, above the table.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.shown {
		return s.w.Write(p)
	}
	width, _ := s.size()
	var b bytes.Buffer
	b.WriteString(beginFrame)
	s.up(&b, width)
	b.WriteString("\x1b[?7h" + clearBelow) // lines of the log may be long
	b.Write(p)
	b.WriteString("\x1b[?7l")
	s.put(&b, s.table)
	b.WriteString(endFrame)
	_, err := s.w.Write(b.Bytes())
	return len(p), err
}
