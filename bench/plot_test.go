package main

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

func TestScale(t *testing.T) {
	t.Parallel()
	s := scaleOf([]float64{1, 10, 100}, 0, 200, 1, false)
	for x, want := range map[float64]float64{1: 0, 10: 100, 100: 200, 0.1: 0, 1e6: 200} {
		if got := s.at(x); !near(got, want) {
			t.Errorf("at(%v) = %v, want %v", x, got, want)
		}
	}
	down := scaleOf([]float64{1, 100}, 200, 0, 1, false) // as a screen counts
	if got := down.at(10); !near(got, 100) {
		t.Errorf("downwards at(10) = %v, want 100", got)
	}
	zero := scaleOf([]float64{0, 10, 1000}, 0, 100, 1, true)
	for x, want := range map[float64]float64{0: 0, 10: 10, 100: 55, 1000: 100} {
		if got := zero.at(x); !near(got, want) {
			t.Errorf("with a place for 0: at(%v) = %v, want %v", x, got, want)
		}
	}
	for _, one := range [][]float64{nil, {0}, {5}, {5, 5}} {
		if s := scaleOf(one, 0, 100, 1, false); !(s.min > 0 && s.max > s.min) {
			t.Errorf("a scale of %v from %v to %v", one, s.min, s.max)
		}
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		min, max float64
		want     []float64
	}{
		{1, 1000, []float64{1, 10, 100, 1000}},
		{0.9, 40, []float64{1, 3, 10, 30}},
		{0.2, 1.1, []float64{0.2, 0.5, 1}},
	} {
		got := scale{min: row.min, max: row.max}.ticks()
		for _, w := range row.want {
			if !slices.ContainsFunc(got, func(x float64) bool { return near(x, w) }) {
				t.Errorf("ticks from %v to %v = %v, want %v among them", row.min, row.max, got, w)
			}
		}
		if len(got) < 3 || len(got) > 9 {
			t.Errorf("%d ticks from %v to %v", len(got), row.min, row.max)
		}
	}
}

func TestApart(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		at, want []float64
		reason   string
	}{
		{[]float64{10, 50, 90}, []float64{10, 50, 90}, "there is room"},
		{[]float64{50, 50, 10}, []float64{50, 60, 10}, "one makes way"},
		{[]float64{99, 98, 97}, []float64{100, 90, 80}, "at the end they go back"},
		{nil, nil, "nothing"},
	} {
		if got := apart(row.at, 10, 0, 100); !slices.Equal(got, row.want) {
			t.Errorf("%s: apart(%v) = %v, want %v", row.reason, row.at, got, row.want)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 0.3: "0.3", 0.12345: "0.123", 1.5: "1.5", 12.34: "12.3", 1234.5: "1234", -0.5: "-0.5", 1e-7: "0"} {
		if got := number(x); got != want {
			t.Errorf("number(%v) = %q, want %q", x, got, want)
		}
	}
	for x, want := range map[float64]string{64: "64 B", 512: "512 B", 4096: "4 KiB", 4 << 20: "4 MiB"} {
		if got := sizeName(x); got != want {
			t.Errorf("sizeName(%v) = %q, want %q", x, got, want)
		}
	}
}

// What is drawn is well-formed, whatever a name holds.
func TestSVG(t *testing.T) {
	t.Parallel()
	p := plot{"size", "CPU", sizeName, []series{
		{byIO, []point{{0, 1, 0.9, 1.1}, {512, 2, 2, 2}}},
		{"a<b&c", []point{{512, 3, 2, 4}}},
	}}
	for _, text := range []string{p.svg(), dots("a & b", []string{byIO, "<x>"}, []stat.Spread{stat.SpreadOf([]float64{1, 2}), {}})} {
		dec := xml.NewDecoder(strings.NewReader(text))
		for {
			if _, err := dec.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, text)
			}
		}
		if strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("a place that is no number in %s", text)
		}
	}
}
