package main

import (
	"math"
	"slices"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }

func TestRatios(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, row := range []struct {
		as, bs, want []float64
		reason       string
	}{
		{[]float64{1, 2, 3}, []float64{2, 2, 2}, []float64{0.5, 1, 1.5}, "round by round"},
		{[]float64{2, 4}, []float64{4, 8}, []float64{0.5, 0.5}, "what a round has in common falls out"},
		{[]float64{1, 2, 3}, []float64{1}, []float64{1}, "a contender that failed has fewer"},
		{[]float64{1, nan, 3}, []float64{0, 1, nan}, nil, "rounds without a figure are left out"},
	} {
		if got := ratios(row.as, row.bs); !slices.Equal(got, row.want) {
			t.Errorf("%s: ratios = %v, want %v", row.reason, got, row.want)
		}
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	place := make([]int, 3)
	for round := range 10 {
		seq := order(round, 3)
		for at, who := range seq {
			place[who] += at
		}
	}
	if place[0] != place[1] || place[1] != place[2] {
		t.Errorf("over ten rounds the contenders stood at %v, want all alike", place)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	zero := 0.0
	s := sample{Bytes: 2e9, Seconds: 4, CPU: 0.5, Busy: 3, Ops: 1000, P50: 1e-4, Allocs: &zero, Slowest: &zero, Descriptors: 3, Involuntary: 10}
	for name, want := range map[string]float64{
		mCPU: 0.25, mRate: 0.5, mBusy: 1.5, mCPUOp: 500, mCPUNs: 500000, mTimeOp: 4e6, mP50: 100, mAllocs: 0, mSlowest: 0,
		mFDs: 3, mPipes: 0, mSwitches: 5, mSwitchesN: 10,
	} {
		if got := metricNamed(name).of(&s); !near(got, want) {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{mCPU, mRate, mP50, mAllocs, mSlowest, mTunnelFD, mTunnelRSS, mPipes} {
		if got := metricNamed(name).of(new(sample)); !math.IsNaN(got) {
			t.Errorf("%s of nothing = %v, want none", name, got)
		}
	}
	if got := metricNamed(mTunnelPip).of(&sample{Tunnels: 10}); got != 0 {
		t.Errorf("no pipe for ten tunnels is %v a tunnel, want 0", got)
	}
}
