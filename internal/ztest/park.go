package ztest

import (
	"runtime"
	"strings"
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
	t.awaitState("IO wait")
}

// AwaitSyscall waits until the function is in a system call.
func (t *Task) AwaitSyscall() {
	t.tb.Helper()
	t.awaitState("syscall")
}

func (t *Task) awaitState(want string) {
	t.tb.Helper()
	if t.me == "" {
		t.me = <-t.id
	}
	parked := poll(Patience, t.done, func() bool {
		_, state, _ := strings.Cut("\n"+string(stacks()), t.me)
		return strings.HasPrefix(state, want)
	})
	if !parked {
		t.tb.Fatalf("%s: has not come to %q\n\n%s", t.what, want, stacks())
	}
}
