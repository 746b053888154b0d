package ztest

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Task is a function that runs in a goroutine of its own, of which a test
// wants to know when it waits.
type Task struct {
	tb   testing.TB
	what string
	id   chan string // "goroutine 7 ["
	me   string
	done chan struct{}
}

// Go starts f. The test must see it end, by Wait.
func Go(tb testing.TB, what string, f func()) *Task {
	t := &Task{tb: tb, what: what, id: make(chan string, 1), done: make(chan struct{})}
	go func() {
		defer close(t.done)
		var b [64]byte
		s := string(b[:runtime.Stack(b[:], false)])
		s, _, _ = strings.Cut(s, "[")
		t.id <- "\n" + s + "["
		f()
	}()
	return t
}

// Done is closed when the function has returned.
func (t *Task) Done() <-chan struct{} { return t.done }

// Wait waits for the function to return. If it does not, the test fails with the
// stacks of all goroutines.
func (t *Task) Wait() {
	t.tb.Helper()
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case <-t.done:
	case <-timer.C:
		t.tb.Fatalf("%s: not done after %v\n\n%s", t.what, Patience, stacks())
	}
}

// AwaitParked waits until the function waits for a descriptor in the runtime's
// poller. A function that has returned is a failure.
func (t *Task) AwaitParked() {
	t.tb.Helper()
	t.awaitStack("IO wait", "")
}

// AwaitParkedToWrite is AwaitParked for a wait until a descriptor is writable.
func (t *Task) AwaitParkedToWrite() {
	t.tb.Helper()
	t.awaitStack("IO wait", "waitWrite(")
}

// AwaitSyscall waits until the function is in a system call.
func (t *Task) AwaitSyscall() {
	t.tb.Helper()
	t.awaitStack("syscall", "")
}

// AwaitAllParked waits until all of the tasks are parked at the same time, as
// AwaitParked does for one. It is for crowds: it asks once for all of them.
func AwaitAllParked(tb testing.TB, what string, tasks []*Task) {
	tb.Helper()
	for _, t := range tasks {
		t.identify()
	}
	Eventually(tb, Patience, fmt.Sprintf("%s: %d parked", what, len(tasks)), atLeisure(func() bool {
		parked := make(map[string]bool, len(tasks))
		withDump(func(dump []byte) {
			for line := range bytes.Lines(dump) {
				if me, state, ok := bytes.Cut(line, []byte("[")); ok && bytes.HasPrefix(state, []byte("IO wait")) {
					parked["\n"+string(me)+"["] = true
				}
			}
		})
		for _, t := range tasks {
			if !parked[t.me] {
				return false
			}
		}
		return true
	}))
}

// identify waits until the goroutine runs, and learns its number.
func (t *Task) identify() {
	if t.me == "" {
		t.me = <-t.id
	}
}

// awaitStack waits for a state, and for a stack that contains the call.
func (t *Task) awaitStack(want, call string) {
	t.tb.Helper()
	t.identify()
	in := poll(Patience, t.done, atLeisure(func() (in bool) {
		withDump(func(dump []byte) {
			_, state, _ := bytes.Cut(dump, []byte(t.me))
			state, _, _ = bytes.Cut(state, []byte("\n\n"))
			in = bytes.HasPrefix(state, []byte(want)) && bytes.Contains(state, []byte(call))
		})
		return in
	}))
	if !in {
		t.tb.Fatalf("%s: has not come to %q\n\n%s", t.what, want, stacks())
	}
}

// atLeisure is for a condition that takes a dump to know. The world stands still for
// that, a millisecond for every hundred goroutines: asked without a pause, the tests
// that wait would leave no time for what they wait for. So before each question but the
// first comes a sleep four times as long as the question before took.
func atLeisure(cond func() bool) func() bool {
	pause := 50 * time.Microsecond // most calls are in their wait by then
	return func() bool {
		time.Sleep(pause)
		start := time.Now()
		defer func() { pause = 4 * time.Since(start) }()
		return cond()
	}
}

// withDump runs f on the stacks of all goroutines, which f must not keep.
func withDump(f func(dump []byte)) {
	dump := dumps.Get().(*[]byte)
	defer dumps.Put(dump)
	n := 0
	for n = runtime.Stack(*dump, true); n == len(*dump); n = runtime.Stack(*dump, true) {
		*dump = make([]byte, 2*n)
	}
	f((*dump)[:n])
}

// dumps are buffers for the stacks of all goroutines, of which waiting tests ask
// for many.
var dumps = sync.Pool{New: func() any {
	b := make([]byte, 1<<20)
	return &b
}}
