package main

import (
	"math"
	"testing"
)

// What decides: the median, the worst round, or the quartile on the bound's side.
func TestDeciders(t *testing.T) {
	t.Parallel()
	c := &caseResult{Name: "case", Contenders: []contenderResult{{Name: byIO}, {Name: byZerocopy}}}
	for i, gap := range []float64{0.010, 0.020, 0.030, 0.040, 0.250} {
		c.Contenders[0].Samples = append(c.Contenders[0].Samples, sample{Bytes: gb, Seconds: 1})
		rate := []float64{0.9, 0.95, 0.99, 1.0, 1.1}[i]
		c.Contenders[1].Samples = append(c.Contenders[1].Samples, sample{Gap: gap, Bytes: int64(rate * gb), Seconds: 1})
	}
	gap, rate := atMost(byZerocopy, mGap, 200), atLeast(byZerocopy, mGoodput, 1, byIO)
	for _, row := range []struct {
		reason string
		b      bound
		holds  bool
		text   string
		figure string
	}{
		{"most rounds are below", gap, true, "longest gap ms ≤ 200", "30 (20 to 40)"},
		{"one is not", gap.by(byWorst), false, "longest gap ms ≤ 200 (worst round)", "30 (20 to 40, worst 250)"},
		{"most rounds are below the other's", rate, false, "MB/s ≥ 1× io.Copy", "0.99× (0.95 to 1)"},
		{"a round of four is not", rate.by(byQuartile), true, "MB/s ≥ 1× io.Copy (by the quartile)", "0.99× (0.95 to 1)"},
		{"all but one are", atLeast(byZerocopy, mGoodput, 1.05, byIO).by(byQuartile), false, "MB/s ≥ 1.05× io.Copy (by the quartile)", "0.99× (0.95 to 1)"},
		{"the lower quartile of what shall be low", atMost(byZerocopy, mGoodput, 0.96, byIO).by(byQuartile), true, "MB/s ≤ 0.96× io.Copy (by the quartile)", "0.99× (0.95 to 1)"},
		{"the lowest of what shall be high", atLeast(byZerocopy, mGoodput, 900).by(byWorst), true, "MB/s ≥ 900 (worst round)", "990 (950 to 1000, worst 900)"},
	} {
		v := row.b.judge(c)
		if v.Holds != row.holds || row.b.String() != row.text || v.figure() != row.figure {
			t.Errorf("%s: holds %v, %q, %q; want %v, %q, %q", row.reason, v.Holds, row.b.String(), v.figure(), row.holds, row.text, row.figure)
		}
	}
}

func TestObserved(t *testing.T) {
	t.Parallel()
	none, hits := 0, int64(7)
	s := sample{
		Observed: &Observed{Collections: 20, Collecting: 0.05, Stop: 1e-3, StopBucket: 2e-3, Stopping: 0, Timer: 4e-3, Task: 5e-3},
		Hits:     &hits, Gap: 0.2, Blocked: &none, Bytes: 50e6, Seconds: 2, Trip: 0.1, Resent: new(int64),
	}
	for name, want := range map[string]float64{
		mGCs: 20, mCollect: 50, mStop: 1000, mStopOne: 2000, mStopping: 0, mTimer: 4000, mTask: 5000, mHits: 7, mGap: 200, mBlocked: 0,
		mGoodput: 25, mTrip: 100, mResent: 0,
	} {
		if got := metricNamed(name).of(&s); !near(got, want) {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
		if got := metricNamed(name).of(new(sample)); !math.IsNaN(got) {
			t.Errorf("%s of nothing = %v, want none", name, got)
		}
	}
}
