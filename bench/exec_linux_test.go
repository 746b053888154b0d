package main

import "testing"

// What a child writes arrives, whoever carries it.
func TestChildren(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, c := range children() {
		for _, who := range c.Contenders {
			x, err := s.run(t.Context(), job{spec: c, contender: who, verify: true})
			if err != nil || x.Bytes != verifyBytes {
				t.Errorf("%s, %s: %d bytes, %v", c.Name, who.Name, x.Bytes, err)
			}
		}
	}
}
