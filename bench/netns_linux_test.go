package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A namespace has what it is told to have, and its connections work.
func TestCongestion(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05, congestion: "reno"}, func(string) bool { return false })
	if errors.Is(err, os.ErrPermission) || err != nil && strings.Contains(err.Error(), "needs root") {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if got := congestionIn(s.place); got != "reno" {
		t.Errorf("TCP sends by %q", got)
	}
	if x, err := s.run(t.Context(), job{spec: spec{Mode: modeBare}, contender: contender{Variant: byIO}}); err != nil || x.Bytes == 0 {
		t.Errorf("%d bytes, %v", x.Bytes, err)
	}
}
