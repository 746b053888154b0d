package main

import (
	"math"
	"testing"
)

// Under each wrapper the bytes arrive as they were sent.
func TestWrapped(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, c := range wrappers() {
		if !c.verified() {
			continue
		}
		for _, who := range c.Contenders {
			if x, err := s.run(t.Context(), job{spec: c, contender: who, verify: true}); err != nil || x.Bytes != verifyBytes {
				t.Errorf("%s, %s: %d bytes, %v", c.Name, who.Name, x.Bytes, err)
			}
		}
	}
}

// A rate is kept, and what a sample says of it is how far it is off, to either side. A
// tenth of a second goes for nothing, which is a fifth of this round.
func TestPaced(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	seen := 0
	for _, c := range wrappers() {
		if c.Rate == 0 || c.Rate > 50e6 {
			continue
		}
		if c.MaxGB = 0.5 * c.Rate / gb; c.verified() {
			t.Errorf("%s is verified, at that rate for minutes", c.Name)
		}
		for _, who := range c.Contenders {
			seen++
			x, err := s.run(t.Context(), job{spec: c, contender: who})
			if err != nil || x.Aim != c.Rate {
				t.Errorf("%s, %s: aim %v, %v", c.Name, who.Name, x.Aim, err)
			}
			if got := float64(x.Bytes) / x.Seconds; got > 1.6*c.Rate || got < 0.2*c.Rate {
				t.Errorf("%s, %s: %.0f bytes a second", c.Name, who.Name, got)
			}
		}
	}
	if seen != 6 {
		t.Errorf("%d contenders", seen)
	}
	m := metricNamed(mOff)
	for _, row := range []struct{ rate, want float64 }{{100, 0}, {102, 2}, {97, 3}} {
		if got := m.of(&sample{Bytes: int64(row.rate) * 10, Seconds: 10, Aim: 100}); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%v instead of 100 a second is off by %v, want %v", row.rate, got, row.want)
		}
	}
	if got := m.of(&sample{Bytes: 1, Seconds: 1}); !math.IsNaN(got) {
		t.Errorf("without a rate to keep it is off by %v", got)
	}
}

// Every contender of these cases is a variant.
func TestWrappersNamed(t *testing.T) {
	t.Parallel()
	for _, c := range wrappers() {
		for _, who := range c.Contenders {
			if _, ok := variantNamed(who.Variant); !ok {
				t.Errorf("%s: no variant %s", c.Name, who.Variant)
			}
		}
	}
}
