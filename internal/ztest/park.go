package ztest

import (
	"bytes"
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
	in := poll(Patience, t.done, func() bool {
		dump := dumps.Get().(*[]byte)
		defer dumps.Put(dump)
		n := 0
		for n = runtime.Stack(*dump, true); n == len(*dump); n = runtime.Stack(*dump, true) {
			*dump = make([]byte, 2*n)
		}
		_, state, _ := bytes.Cut((*dump)[:n], []byte(t.me))
		return bytes.HasPrefix(state, []byte(want))
	})
	if !in {
		t.tb.Fatalf("%s: has not come to %q\n\n%s", t.what, want, stacks())
	}
}

// dumps are buffers for the stacks of all goroutines, of which waiting tests ask
// for many.
var dumps = sync.Pool{New: func() any {
	b := make([]byte, 1<<20)
	return &b
}}
