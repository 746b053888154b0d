package main

import (
	"fmt"
	"math"
	"strconv"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

// A sample is what one contender did in one round.
type sample struct {
	Bytes   int64   `json:"bytes,omitempty"`   // that arrived at the sink
	Ops     int64   `json:"ops,omitempty"`     // round trips, or copies
	Seconds float64 `json:"seconds,omitempty"` // from the first byte to the last end
	CPU     float64 `json:"cpu,omitempty"`     // seconds of the contender's process, user and kernel
	Busy    float64 `json:"busy,omitempty"`    // seconds that all processors were busy, with whatever

	P50  float64 `json:"p50,omitempty"` // seconds a round trip
	P99  float64 `json:"p99,omitempty"`
	P999 float64 `json:"p999,omitempty"`

	Descriptors int   `json:"descriptors,omitempty"` // of the contender, in the middle of the round
	Pipes       int   `json:"pipes,omitempty"`       // of these, ends of pipes
	RSS         int64 `json:"rss,omitempty"`         // bytes resident, at the same moment
	Involuntary int64 `json:"involuntary,omitempty"` // context switches of all its threads

	Slowest *float64 `json:"slowest,omitempty"` // bytes of the slowest stream by those of the median
	Allocs  *float64 `json:"allocs,omitempty"`  // heap allocations a copy

	Tunnels    int     `json:"tunnels,omitempty"`   // idle ones, which the next three are for
	TunnelFDs  float64 `json:"tunnelFDs,omitempty"` // each a tunnel
	TunnelPipe float64 `json:"tunnelPipes,omitempty"`
	TunnelRSS  float64 `json:"tunnelRSS,omitempty"` // bytes

	*Observed         // of a process that was watched
	Hits      *int64  `json:"hits,omitempty"`    // how often its group was at the limit
	Gap       float64 `json:"gap,omitempty"`     // seconds, the longest between two ticks
	Blocked   *int    `json:"blocked,omitempty"` // threads that wait in a read, a write or a splice
	Trip      float64 `json:"trip,omitempty"`    // seconds to open a connection
	Resent    *int64  `json:"resent,omitempty"`  // segments that TCP sent again

	Sinks   int      `json:"sinks,omitempty"`   // that Bytes is the sum of
	PipeMem int64    `json:"pipeMem,omitempty"` // bytes that the contender's pipes have room for
	Growth  *float64 `json:"growth,omitempty"`  // bytes of RSS more in the second half of a round
	Behind  *int64   `json:"behind,omitempty"`  // sinks that were detached or demoted

	Reader float64  `json:"reader,omitempty"` // seconds of CPU of the process that reads a stream
	Faults *int64   `json:"faults,omitempty"` // page faults of the contender that took no disk
	Lent   *float64 `json:"lent,omitempty"`   // part of the bytes that the kernel had by reference

	Aim float64 `json:"aim,omitempty"` // bytes a second that were to be kept
}

// Observed is what a process saw of itself while it copied. Times are in seconds.
type Observed struct {
	Collections int     `json:"collections"` // of garbage
	Collecting  float64 `json:"collecting"`  // mean time of one that was forced
	Stop        float64 `json:"stop"`        // longest that a collection stopped the process
	StopBucket  float64 `json:"stopBucket"`  // longest single stop, by the runtime's histogram
	Stopping    float64 `json:"stopping"`    // longest until all goroutines stood, likewise
	Timer       float64 `json:"timer"`       // 99.9th percentile of how late a timer's goroutine was
	Task        float64 `json:"task"`        // and of how long a small task of another took
}

// A metric is a figure that a sample gives.
type metric struct {
	Name string
	// of returns the figure, and NaN where the sample has none.
	of func(s *sample) float64
	// digits are shown after the point.
	digits int
}

const (
	mCPU       = "CPU-s/GB"
	mRate      = "GB/s"
	mBusy      = "busy-s/GB"
	mCPUOp     = "CPU µs/op"
	mCPUNs     = "CPU ns/op"
	mTimeOp    = "ns/op"
	mP50       = "p50 µs"
	mP99       = "p99 µs"
	mP999      = "p99.9 µs"
	mFDs       = "fds"
	mPipes     = "pipe ends"
	mRSS       = "RSS MB"
	mSwitches  = "invol. switches/GB"
	mSwitchesN = "invol. switches"
	mSlowest   = "slowest/median"
	mAllocs    = "allocs/op"
	mTunnelFD  = "fds/tunnel"
	mTunnelPip = "pipe ends/tunnel"
	mTunnelRSS = "RSS KiB/tunnel"
	mStop      = "GC stop µs"
	mStopOne   = "single stop µs"
	mStopping  = "stopping µs"
	mTimer     = "timer p99.9 µs"
	mTask      = "task p99.9 µs"
	mGCs       = "collections"
	mCollect   = "collection ms"
	mHits      = "limit hit"
	mGap       = "longest gap ms"
	mBlocked   = "blocked threads"
	mGoodput   = "MB/s"
	mTrip      = "round trip ms"
	mResent    = "resent"
	mEach      = "GB/s a sink"
	mPipeMem   = "pipes MB"
	mGrowth    = "RSS growth MB"
	mBehind    = "left behind"
	mBoth      = "with the reader's"
	mFaults    = "faults/GB"
	mLent      = "lent %"
	mOff       = "off the rate %"
	mReqs      = "requests/s"
	mBusyOp    = "busy µs/op"
)

const gb = 1e9

var metrics = []metric{
	{mCPU, func(s *sample) float64 { return per(s.CPU, float64(s.Bytes)/gb) }, 3},
	{mRate, func(s *sample) float64 { return per(float64(s.Bytes)/gb, s.Seconds) }, 2},
	{mBusy, func(s *sample) float64 { return per(s.Busy, float64(s.Bytes)/gb) }, 3},
	{mCPUNs, func(s *sample) float64 { return per(s.CPU*1e9, float64(s.Ops)) }, 0},
	{mTimeOp, func(s *sample) float64 { return per(s.Seconds*1e9, float64(s.Ops)) }, 0},
	{mP50, func(s *sample) float64 { return per(s.P50*1e6, 1) }, 1},
	{mP99, func(s *sample) float64 { return per(s.P99*1e6, 1) }, 1},
	{mP999, func(s *sample) float64 { return per(s.P999*1e6, 1) }, 1},
	{mReqs, func(s *sample) float64 { return per(float64(s.Ops), s.Seconds) }, 0},
	{mBusyOp, func(s *sample) float64 { return per(s.Busy*1e6, float64(s.Ops)) }, 1},
	{mCPUOp, func(s *sample) float64 { return per(s.CPU*1e6, float64(s.Ops)) }, 2},
	{mAllocs, func(s *sample) float64 { return optional(s.Allocs) }, 2},
	{mTunnelFD, func(s *sample) float64 { return tunnel(s, s.TunnelFDs) }, 2},
	{mTunnelPip, func(s *sample) float64 { return tunnel(s, s.TunnelPipe) }, 2},
	{mTunnelRSS, func(s *sample) float64 { return tunnel(s, s.TunnelRSS/1024) }, 1},
	{mFDs, func(s *sample) float64 { return per(float64(s.Descriptors), 1) }, 0},
	{mPipes, func(s *sample) float64 {
		if s.Descriptors == 0 {
			return math.NaN()
		}
		return float64(s.Pipes)
	}, 0},
	{mRSS, func(s *sample) float64 { return per(float64(s.RSS)/1e6, 1) }, 1},
	{mSwitches, func(s *sample) float64 {
		if s.Bytes == 0 {
			return math.NaN()
		}
		return float64(s.Involuntary) / (float64(s.Bytes) / gb)
	}, 0},
	{mSwitchesN, func(s *sample) float64 { return float64(s.Involuntary) }, 0},
	{mSlowest, func(s *sample) float64 { return optional(s.Slowest) }, 2},
	{mStop, observed(func(o *Observed) float64 { return o.Stop * 1e6 }), 0},
	{mStopOne, observed(func(o *Observed) float64 { return o.StopBucket * 1e6 }), 0},
	{mStopping, observed(func(o *Observed) float64 { return o.Stopping * 1e6 }), 0},
	{mTimer, observed(func(o *Observed) float64 { return o.Timer * 1e6 }), 0},
	{mTask, observed(func(o *Observed) float64 { return o.Task * 1e6 }), 0},
	{mGCs, observed(func(o *Observed) float64 { return float64(o.Collections) }), 0},
	{mCollect, observed(func(o *Observed) float64 { return o.Collecting * 1e3 }), 1},
	{mHits, func(s *sample) float64 { return optional(s.Hits) }, 0},
	{mGap, func(s *sample) float64 { return per(s.Gap*1e3, 1) }, 1},
	{mBlocked, func(s *sample) float64 { return optional(s.Blocked) }, 0},
	{mGoodput, func(s *sample) float64 { return per(float64(s.Bytes)/1e6, s.Seconds) }, 1},
	{mTrip, func(s *sample) float64 { return per(s.Trip*1e3, 1) }, 0},
	{mResent, func(s *sample) float64 { return optional(s.Resent) }, 0},
	{mEach, func(s *sample) float64 { return per(float64(s.Bytes)/gb, s.Seconds*float64(s.Sinks)) }, 3},
	{mPipeMem, func(s *sample) float64 { return per(float64(s.PipeMem)/1e6, 1) }, 1},
	{mGrowth, func(s *sample) float64 { return optional(s.Growth) / 1e6 }, 2},
	{mBehind, func(s *sample) float64 { return optional(s.Behind) }, 0},
	{mBoth, func(s *sample) float64 { return per(s.CPU+per(s.Reader, 1), float64(s.Bytes)/gb) }, 3},
	{mFaults, func(s *sample) float64 { return optional(s.Faults) / (float64(s.Bytes) / gb) }, 0},
	{mLent, func(s *sample) float64 { return 100 * optional(s.Lent) }, 0},
	{mOff, func(s *sample) float64 { return 100 * math.Abs(per(per(float64(s.Bytes), s.Seconds), s.Aim)-1) }, 2},
}

// per is a/b, and NaN where either was not measured.
func per(a, b float64) float64 {
	if a == 0 || b == 0 {
		return math.NaN()
	}
	return a / b
}

// optional is *x, and NaN without it: here 0 is a figure.
func optional[T int | int64 | float64](x *T) float64 {
	if x == nil {
		return math.NaN()
	}
	return float64(*x)
}

// observed is f of what a process saw of itself, and NaN where it was not watched.
func observed(f func(*Observed) float64) func(*sample) float64 {
	return func(s *sample) float64 {
		if s.Observed == nil {
			return math.NaN()
		}
		return f(s.Observed)
	}
}

func tunnel(s *sample, x float64) float64 {
	if s.Tunnels == 0 {
		return math.NaN()
	}
	return x
}

// metricNamed returns the metric of that name. A name that does not exist is a
// mistake in a table of this program.
func metricNamed(name string) metric {
	for _, m := range metrics {
		if m.Name == name {
			return m
		}
	}
	panic("no metric " + name)
}

// values returns the figures of a metric, one a round, NaN where there is none.
func values(m metric, samples []sample) []float64 {
	xs := make([]float64, len(samples))
	for i := range samples {
		xs[i] = m.of(&samples[i])
	}
	return xs
}

// measured returns xs without its NaN.
func measured(xs []float64) []float64 {
	var ys []float64
	for _, x := range xs {
		if !math.IsNaN(x) {
			ys = append(ys, x)
		}
	}
	return ys
}

// format prints a figure of the metric.
func (m metric) format(x float64) string { return strconv.FormatFloat(x, 'f', m.digits, 64) }

// cell prints the median and, from two rounds on, the spread around it.
func (m metric) cell(s stat.Spread) string {
	switch {
	case s.N == 0:
		return "–"
	case s.N == 1 || s.Q1 == s.Q3:
		return m.format(s.Median)
	}
	return fmt.Sprintf("%s ±%.0f%%", m.format(s.Median), 100*s.PlusMinus())
}

// sizeName prints a number of bytes that is a power of two, or near.
func sizeName(n float64) string {
	switch {
	case n >= 1<<20:
		return strconv.FormatFloat(n/(1<<20), 'g', 4, 64) + " MiB"
	case n >= 1<<10:
		return strconv.FormatFloat(n/(1<<10), 'g', 4, 64) + " KiB"
	}
	return strconv.FormatFloat(n, 'g', 4, 64) + " B"
}
