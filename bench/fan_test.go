package main

import (
	"fmt"
	"math"
	"testing"

	"github.com/zerocopy-go/zerocopy/broadcast"
)

func TestNewFan(t *testing.T) {
	t.Parallel()
	if _, ok := newFan(byZerocopy, 0, ""); ok {
		t.Errorf("%s is a contender of fans", byZerocopy)
	}
	f, ok := newFan(byBroadcast, 1, policyDemote)
	if !ok || f.stopped != 1 || f.policy != broadcast.Demote || f.behind() != 0 {
		t.Errorf("%+v, %v", f, ok)
	}
	if !leftBehind(fmt.Errorf("wrapped: %w", &broadcast.LagError{})) || leftBehind(broadcast.ErrClosed) || leftBehind(nil) {
		t.Error("only a LagError says that a sink was left behind")
	}
}

// Figures of a fan are those of all its sinks, or of one.
func TestDelivery(t *testing.T) {
	t.Parallel()
	growth, behind := -2e6, int64(0)
	s := sample{Bytes: 8e9, Sinks: 4, Seconds: 2, CPU: 1, PipeMem: 3e6, Growth: &growth, Behind: &behind}
	for name, want := range map[string]float64{mRate: 4, mEach: 1, mCPU: 0.125, mPipeMem: 3, mGrowth: -2, mBehind: 0} {
		if got := metricNamed(name).of(&s); !near(got, want) {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
		if got := metricNamed(name).of(new(sample)); !math.IsNaN(got) {
			t.Errorf("%s of nothing = %v, want none", name, got)
		}
	}
	if got := metricNamed(mEach).of(&sample{Bytes: 1, Seconds: 1}); !math.IsNaN(got) {
		t.Errorf("%v for each of no sinks", got)
	}
}
