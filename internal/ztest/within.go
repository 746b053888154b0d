package ztest

import (
	"runtime"
	"testing"
	"time"
)

// Patience is how long this package waits for something that a right program
// does in milliseconds. It is long because -race on a loaded machine is slow,
// and costs nothing where nothing is wrong.
const Patience = time.Minute

// Within runs f in a goroutine of its own and fails the test, with the stacks
// of all goroutines, if f has not returned after d; f then goes on running.
// FailNow and SkipNow in f end the calling test as they would outside.
func Within(tb testing.TB, d time.Duration, what string, f func()) {
	tb.Helper()
	var returned bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
		returned = true
	}()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		if !returned { // runtime.Goexit: FailNow or SkipNow
			runtime.Goexit()
		}
	case <-timer.C:
		tb.Fatalf("%s: not done after %v\n\n%s", what, d, stacks())
	}
}

// Eventually waits until cond holds, asking again and again, and fails the test
// with the stacks of all goroutines if it does not within d. It is for
// conditions of which nobody tells: what the kernel has queued, what another
// process has done.
func Eventually(tb testing.TB, d time.Duration, what string, cond func() bool) {
	tb.Helper()
	if !poll(d, nil, cond) {
		tb.Fatalf("%s: not so after %v\n\n%s", what, d, stacks())
	}
}

// poll asks cond until it holds (true), d has passed or quit is closed (false).
// It yields first and sleeps later: most conditions hold within microseconds.
func poll(d time.Duration, quit <-chan struct{}, cond func() bool) bool {
	pause := 10 * time.Microsecond
	var start time.Time
	for i := 0; ; i++ {
		if cond() {
			return true
		}
		if i < 10 {
			runtime.Gosched()
			continue
		}
		if start.IsZero() {
			start = time.Now()
		} else if time.Since(start) > d {
			return false
		}
		select {
		case <-quit:
			return false
		default:
		}
		time.Sleep(pause)
		pause = min(2*pause, time.Millisecond)
	}
}

// stacks returns the stacks of all goroutines.
func stacks() []byte {
	for n := 1 << 18; ; n *= 2 {
		b := make([]byte, n)
		if k := runtime.Stack(b, true); k < n {
			return b[:k]
		}
	}
}
