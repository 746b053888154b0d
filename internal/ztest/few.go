package ztest

import (
	"runtime"
	"sync"
	"testing"
)

// Few runs the subtests of a long table, a few at a time.
//
//	few := ztest.NewFew(t)
//	defer few.Wait()
//	for _, tt := range table {
//		few.Run(tt.name, func(t *testing.T) { ... })
//	}
//
// t.Parallel in each would do the same with a goroutine for every row, thousands of
// them: what looks at all goroutines (AwaitParked does) then takes most of the time
// of all tests.
type Few struct {
	t    *testing.T
	free chan struct{}
	runs sync.WaitGroup
}

// NewFew returns a Few with as many places as two tests for each processor: most
// rows wait for their peers most of the time.
func NewFew(t *testing.T) *Few {
	return &Few{t: t, free: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
}

// Run runs f as t.Run does, but returns as soon as there was a place for it. f must not
// call t.Parallel.
func (f *Few) Run(name string, test func(*testing.T)) {
	f.free <- struct{}{}
	f.runs.Go(func() {
		defer func() { <-f.free }()
		f.t.Run(name, test)
	})
}

// Wait waits for all of them. It comes before the test function returns.
func (f *Few) Wait() { f.runs.Wait() }
