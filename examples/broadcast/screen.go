package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"sync"
	"time"
)

// every is how often progress is printed where lines cannot be written over.
const every = 10 * time.Second

// A screen is standard error: lines about what happens and, on a terminal, one at
// the bottom that says how far the stream is. It may be used by any goroutine.
type screen struct {
	w        io.Writer
	terminal bool

	mu     sync.Mutex
	bottom string
	last   time.Time // of a bottom line that stays
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w, last: time.Now()}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" {
		info, err := f.Stat()
		s.terminal = err == nil && info.Mode()&fs.ModeCharDevice != 0
	}
	return s
}

// printf prints a line with the time of day.
func (s *screen) printf(format string, args ...any) {
	s.Write([]byte(time.Now().Format(time.TimeOnly) + " " + fmt.Sprintf(format, args...) + "\n"))
}

// logger is printf for those who want a log.Logger.
func (s *screen) logger() *log.Logger { return log.New(s, "", log.Ltime) }

// Write prints p, which others than printf have made, above the bottom line.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bottom == "" {
		return s.w.Write(p)
	}
	s.erase()
	n, err := s.w.Write(p)
	if bytes.HasSuffix(p, []byte("\n")) {
		s.draw()
	}
	return n, err
}

// progress says how far the stream is. An empty line ends that.
func (s *screen) progress(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal {
		s.erase()
		s.bottom = line
		s.draw()
	} else if line != "" && time.Since(s.last) >= every {
		s.last = time.Now()
		fmt.Fprintln(s.w, s.last.Format(time.TimeOnly), line)
	}
}

func (s *screen) erase() {
	if s.bottom != "" {
		fmt.Fprint(s.w, "\r\x1b[K")
	}
}

// draw turns automatic margins off, so that a narrow terminal cuts the line.
func (s *screen) draw() {
	if s.bottom != "" {
		fmt.Fprint(s.w, "\x1b[?7l"+s.bottom+"\x1b[?7h")
	}
}
