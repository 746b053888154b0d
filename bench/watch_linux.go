package main

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"slices"
	"sync"
	"time"
)

// collectEvery is how often a watched process is made to collect garbage. It is a
// busy server's rate; what counts is that each round has enough stops to see a
// long one.
const collectEvery = 50 * time.Millisecond

// The runtime's histograms of how long collections stop the process: in all, and
// the part until the last goroutine stands. Their buckets are a quarter of a power
// of two wide.
const (
	histogramStop     = "/sched/pauses/total/gc:seconds"
	histogramStopping = "/sched/pauses/stopping/gc:seconds"
)

// A watch observes the process that it is part of while that copies: how long
// garbage collections stop it, which it forces, and how late goroutines run that
// have nothing to do with the copies.
//
// One of them is woken by a timer each millisecond. Its times are fixed from the
// beginning: after being late by 10 ms it was late nine times more, as requests
// that arrive in that time would be. It hands a small task to the second one by a
// channel, each of which counts from the sending to the end of the task.
type watch struct {
	stop        chan struct{}
	all         sync.WaitGroup
	before      []runtimemetrics.Sample
	timer, task []time.Duration
	collections int
	longest     time.Duration
	took        time.Duration // by the forced collections
	forced      int
}

func startWatch() *watch {
	const room = 1 << 14 // none of the two shall allocate while it is measured
	w := &watch{
		stop: make(chan struct{}), before: readStops(),
		timer: make([]time.Duration, 0, room), task: make([]time.Duration, 0, room),
	}
	tasks := make(chan time.Time, room) // so that a late second does not hold up the first
	w.all.Go(func() { w.keepTime(tasks) })
	w.all.Go(func() { w.work(tasks) })
	w.all.Go(w.collect)
	return w
}

// end ends the watch and returns what was seen.
func (w *watch) end() *Observed {
	close(w.stop)
	w.all.Wait()
	after := readStops()
	return &Observed{
		Collections: w.collections,
		Collecting:  w.took.Seconds() / float64(max(w.forced, 1)),
		Stop:        w.longest.Seconds(),
		StopBucket:  highest(w.before[0].Value.Float64Histogram(), after[0].Value.Float64Histogram()),
		Stopping:    highest(w.before[1].Value.Float64Histogram(), after[1].Value.Float64Histogram()),
		Timer:       percentile(w.timer, 0.999).Seconds(),
		Task:        percentile(w.task, 0.999).Seconds(),
	}
}

func (w *watch) keepTime(tasks chan<- time.Time) {
	defer close(tasks)
	for due := time.Now(); ; {
		due = due.Add(time.Millisecond)
		time.Sleep(time.Until(due))
		now := time.Now()
		w.timer = append(w.timer, now.Sub(due))
		select {
		case <-w.stop:
			return
		default:
			tasks <- now
		}
	}
}

func (w *watch) work(tasks <-chan time.Time) {
	x := uint64(1)
	for sent := range tasks {
		for range 10_000 { // some µs
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
		w.task = append(w.task, time.Since(sent))
	}
	runtime.KeepAlive(x)
}

// collect forces collections, and notes the longest stop: the sum of a cycle's,
// which the runtime keeps for the last 256 cycles, to the nanosecond.
func (w *watch) collect() {
	var s debug.GCStats
	debug.ReadGCStats(&s)
	first := s.NumGC
	seen := first
	t := time.NewTicker(collectEvery)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			w.collections = int(seen - first)
			return
		case <-t.C:
		}
		began := time.Now()
		runtime.GC()
		w.took += time.Since(began)
		w.forced++
		debug.ReadGCStats(&s)
		for _, d := range s.Pause[:min(int(s.NumGC-seen), len(s.Pause))] {
			w.longest = max(w.longest, d)
		}
		seen = s.NumGC
	}
}

func readStops() []runtimemetrics.Sample {
	s := []runtimemetrics.Sample{{Name: histogramStop}, {Name: histogramStopping}}
	runtimemetrics.Read(s)
	return s
}

// highest returns the upper end of the highest bucket in which something was
// counted between two states of a histogram, its lower end where the bucket has
// no upper one, and 0 if nothing was.
func highest(before, after *runtimemetrics.Float64Histogram) float64 {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] == before.Counts[i] {
			continue
		}
		if top := after.Buckets[i+1]; !math.IsInf(top, 1) {
			return top
		}
		return after.Buckets[i]
	}
	return 0
}

// percentile sorts ds and returns their q-quantile, one of them; 0 of none.
func percentile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	slices.Sort(ds)
	return ds[int(q*float64(len(ds)-1))]
}

// press makes a file of so many bytes and reads it over and over, for as long as
// the process lives. In a group that may hold less than the file, each piece has to
// push out another: the group stays at its limit and yet has memory to give back,
// so that nothing has to be killed.
func press(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for at := int64(0); at < size; at += chunk {
		if _, err := f.Write(block()); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil { // pages can be dropped at once only when they are clean
		return err
	}
	go func() {
		buf := make([]byte, chunk)
		for at := int64(0); ; at = (at + chunk) % size {
			if _, err := f.ReadAt(buf, at); err != nil {
				report(err)
				return
			}
			time.Sleep(2 * time.Millisecond) // the copies shall have the processors
		}
	}()
	return nil
}
