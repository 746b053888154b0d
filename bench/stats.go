package main

import (
	"math"
	"slices"
)

// A spread sums up the measurements of one quantity.
type spread struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Q1     float64 `json:"q1"`
	Median float64 `json:"median"`
	Q3     float64 `json:"q3"`
	Max    float64 `json:"max"`
}

// spreadOf returns the spread of xs, which it leaves as they are; the zero
// spread if there are none.
func spreadOf(xs []float64) spread {
	if len(xs) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(xs))
	return spread{len(s), s[0], quantile(s, 0.25), quantile(s, 0.5), quantile(s, 0.75), s[len(s)-1]}
}

// quantile returns the q-quantile of s, sorted and not empty, interpolated
// linearly between neighbours (type 7 of Hyndman and Fan, which most programs use).
func quantile(s []float64, q float64) float64 {
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// plusMinus is half the distance of the quartiles, relative to the median.
func (s spread) plusMinus() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.Q3 - s.Q1) / 2 / math.Abs(s.Median)
}

// ratios returns as[i]/bs[i] for each round that both have. What one round has
// in common (the clock of the processor, a neighbour's load) falls out of its
// ratio, which is why figures of one run are compared so and not by their medians.
// Rounds without a positive divisor are left out.
func ratios(as, bs []float64) []float64 {
	var rs []float64
	for i := range min(len(as), len(bs)) {
		if bs[i] > 0 && !math.IsNaN(as[i]) {
			rs = append(rs, as[i]/bs[i])
		}
	}
	return rs
}

// order returns the order in which n contenders run in a round: the first to the
// last in even rounds and back again in odd ones (A B B A), so that a drift of the
// machine meets all of them alike.
func order(round, n int) []int {
	seq := make([]int, n)
	for i := range seq {
		seq[i] = i
	}
	if round%2 == 1 {
		slices.Reverse(seq)
	}
	return seq
}
