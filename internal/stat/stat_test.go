package stat

import (
	"math"
	"slices"
	"testing"
)

func TestSpread(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		xs     []float64
		want   Spread
		reason string
	}{
		{nil, Spread{}, "nothing was measured"},
		{[]float64{3}, Spread{1, 3, 3, 3, 3, 3}, "one figure is all of them"},
		{[]float64{4, 1, 3, 2}, Spread{4, 1, 1.75, 2.5, 3.25, 4}, "an even number has its median between two, in any order"},
		{[]float64{5, 1, 4, 2, 3}, Spread{5, 1, 2, 3, 4, 5}, "an odd number has it in the middle"},
		{[]float64{1, 2, 3, 4, 1000}, Spread{5, 1, 2, 3, 4, 1000}, "an outlier moves nothing but the maximum"},
	} {
		xs := slices.Clone(row.xs)
		if got := SpreadOf(xs); got != row.want {
			t.Errorf("%s: SpreadOf(%v) = %+v, want %+v", row.reason, row.xs, got, row.want)
		}
		if !slices.Equal(xs, row.xs) {
			t.Errorf("%s: the figures were moved", row.reason)
		}
	}
}

func TestPlusMinus(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		s      Spread
		want   float64
		reason string
	}{
		{Spread{Q1: 1.75, Median: 2.5, Q3: 3.25}, 0.3, "half the distance of the quartiles"},
		{Spread{Q1: -3, Median: -2, Q3: -1}, 0.5, "of figures below zero, too"},
		{Spread{Q1: -1, Q3: 1}, 0, "relative to nothing there is none"},
	} {
		if got := row.s.PlusMinus(); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", row.reason, got, row.want)
		}
	}
}
