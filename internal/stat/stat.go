// Package stat sums up measurements, for bench and examples/compare.
package stat

import (
	"math"
	"slices"
)

// A Spread sums up the measurements of one quantity.
type Spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	Max    float64 `json:"max"`
}

// SpreadOf returns the spread of xs, which it leaves as they are; the zero
// Spread if there are none.
func SpreadOf(xs []float64) Spread {
	if len(xs) == 0 {
		return Spread{}
	}
	s := slices.Sorted(slices.Values(xs))
	return Spread{len(s), s[0], Quantile(s, 0.25), Quantile(s, 0.5), Quantile(s, 0.75), s[len(s)-1]}
}

// Quantile returns the q-quantile of s, sorted and not empty, interpolated
// linearly between neighbours (type 7 of Hyndman and Fan, which most programs use).
func Quantile(s []float64, q float64) float64 {
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// PlusMinus is half the distance of the quartiles, relative to the median.
func (s Spread) PlusMinus() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Q3 - s.Q1) / 2 / math.Abs(s.Median)
}
