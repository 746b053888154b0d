package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// A summary adds up what copies report. It may be used by any goroutine.
type summary struct {
	mu    sync.Mutex
	files int // that are complete
	bytes int64
	ways  map[string]int64 // bytes by how they were moved and, if not by the kernel, why
	lines []string         // one a file
}

func (s *summary) add(j *job, r zerocopy.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += r.Written
	if r.Err == nil {
		s.files++
	}
	if s.ways == nil {
		s.ways = make(map[string]int64)
	}
	how := ""
	for _, step := range r.Steps {
		s.ways[step.String()] += step.Bytes
		how += fmt.Sprintf("; %s by %v", size(step.Bytes), step)
	}
	s.lines = append(s.lines, fmt.Sprintf("%s → %s: %s in %v%s", j.src, j.dst, size(r.Written), r.Elapsed.Round(time.Millisecond), how))
}

// printFiles prints a line for each file.
func (s *summary) printFiles(w io.Writer) {
	for _, line := range s.lines {
		fmt.Fprintln(w, line)
	}
}

// print prints what was copied, then how, the most first.
func (s *summary) print(w io.Writer, took time.Duration) {
	files := "files"
	if s.files == 1 {
		files = "file"
	}
	fmt.Fprintf(w, "%d %s, %s in %v", s.files, files, size(s.bytes), took.Round(time.Millisecond))
	if took > 0 && s.bytes > 0 {
		fmt.Fprintf(w, ", %s/s", size(int64(float64(s.bytes)/took.Seconds())))
	}
	fmt.Fprintln(w)
	ways := slices.SortedFunc(maps.Keys(s.ways), func(a, b string) int { return int(min(max(s.ways[b]-s.ways[a], -1), 1)) })
	for _, way := range ways {
		if s.ways[way] > 0 {
			fmt.Fprintf(w, "  %9s  %s\n", size(s.ways[way]), way)
		}
	}
}
