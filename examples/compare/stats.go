package main

import "github.com/zerocopy-go/zerocopy/internal/stat"

// A verdict says how Copy did beside io.Copy.
type verdict int

const (
	tie verdict = iota
	better
	worse
	undecided // too few measurements
)

// String returns the verdict in JSON's and the page's word.
func (v verdict) String() string { return [...]string{"tie", "better", "worse", "undecided"}[v] }

// MarshalText implements encoding.TextMarshaler.
func (v verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// agreement is how large a part of all pairs of one measurement of each
// contender must say the same before there is a winner. With ten measurements
// of each, two contenders that are alike get a winner by chance in 0.2 % of rows
// (Mann-Whitney, two-sided), while one outlier changes nothing.
const agreement = 0.9

// enough is how many measurements of each a verdict takes. With five, one row in
// thirty gets a winner by chance.
const enough = 5

// judge compares measurements of which less is better. Differences of the medians
// below least, a fraction, are a tie, and so is what the spread may have caused.
func judge(ioCopy, ours []float64, least float64) verdict {
	if min(len(ioCopy), len(ours)) < enough {
		return undecided
	}
	var less, more float64
	for _, a := range ioCopy {
		for _, b := range ours {
			switch {
			case b < a:
				less++
			case b > a:
				more++
			}
		}
	}
	a, b := stat.SpreadOf(ioCopy).Median, stat.SpreadOf(ours).Median
	need := agreement * float64(len(ioCopy)*len(ours))
	switch {
	case less >= need && b < a*(1-least):
		return better
	case more >= need && b > a*(1+least):
		return worse
	}
	return tie
}

// ratio returns a/b, or 0 where there is none.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
