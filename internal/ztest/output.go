package ztest

import (
	"regexp"
	"strings"
	"sync"
	"testing"
)

// An Output is what a program has printed so far. It is safe for concurrent use.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds p to it.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String returns it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await returns the submatches of pattern once the output has it.
func (o *Output) Await(tb testing.TB, pattern string) (match []string) {
	tb.Helper()
	re := regexp.MustCompile(pattern)
	if !poll(Patience, nil, func() bool {
		match = re.FindStringSubmatch(o.String())
		return match != nil
	}) {
		tb.Fatalf("no %q in the output:\n%s", pattern, o)
	}
	return match
}
