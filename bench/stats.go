package main

import (
	"math"
	"slices"
)

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
