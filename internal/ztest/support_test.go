package ztest

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakEnv tells a test in a child process to leave something behind.
const leakEnv = "ZTEST_LEAK"

func TestMain(m *testing.M) { Main(m, nil) }

// A fakeTB takes failures that are expected.
type fakeTB struct {
	testing.TB
	failed, skipped bool
	out             strings.Builder
	cleanups        []func()
}

func (f *fakeTB) Helper()          {}
func (f *fakeTB) Cleanup(c func()) { f.cleanups = append(f.cleanups, c) }
func (f *fakeTB) Errorf(format string, args ...any) {
	f.failed = true
	fmt.Fprintf(&f.out, format, args...)
}
func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}
func (f *fakeTB) Skipf(format string, args ...any) {
	f.skipped = true
	fmt.Fprintf(&f.out, format, args...)
	runtime.Goexit()
}

// run runs c and then the cleanups, as the testing package does.
func (f *fakeTB) run(c func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c()
	}()
	<-done
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
}

func TestWithin(t *testing.T) {
	f := &fakeTB{TB: t}
	f.run(func() { Within(f, time.Minute, "nothing", func() {}) })
	if f.failed {
		t.Error(f.out.String())
	}
	release := make(chan struct{})
	f.run(func() { Within(f, time.Millisecond, "a wait", func() { <-release }) })
	close(release)
	if s := f.out.String(); !f.failed || !strings.Contains(s, "a wait: not done") || !strings.Contains(s, "TestWithin") {
		t.Errorf("no stacks in %q", s)
	}
	f = &fakeTB{TB: t}
	f.run(func() {
		Within(f, time.Minute, "a failure", func() { f.Fatalf("inner") })
		t.Error("went on after FailNow")
	})
	if f.out.String() != "inner" {
		t.Error(f.out.String())
	}
}

func TestEventually(t *testing.T) {
	n := 0
	Eventually(t, Patience, "a count", func() bool { n++; return n > 20 })
	f := &fakeTB{TB: t}
	f.run(func() { Eventually(f, time.Millisecond, "never", func() bool { return false }) })
	if !strings.Contains(f.out.String(), "never: not so") {
		t.Error(f.out.String())
	}
}

func TestLeakOfGoroutineIsFound(t *testing.T) {
	before := snapshot()
	release := make(chan struct{})
	gone := make(chan struct{})
	go func() { <-release; close(gone) }()
	if s := leaked(before, time.Millisecond); !strings.Contains(s, "TestLeakOfGoroutineIsFound") {
		t.Errorf("not found in %q", s)
	}
	close(release)
	<-gone
	if s := leaked(before, settle); s != "" {
		t.Errorf("found what has gone: %s", s)
	}
}

func TestCheckLeaksDrains(t *testing.T) {
	release := make(chan struct{})
	CheckLeaks(t, func() { close(release) })
	go func() { <-release }()
}

func TestChild(t *testing.T) {
	if !Isolated(t, "ZTEST_TOLD=yes") {
		return
	}
	if !InChild() || os.Getenv("ZTEST_TOLD") != "yes" {
		t.Error("the environment does not say so")
	}
}

func TestChildThatDoesNotExist(t *testing.T) {
	f := &fakeTB{TB: t}
	f.run(func() { Child(f, "TestNoSuchTest") })
	if !strings.Contains(f.out.String(), "did not run") {
		t.Errorf("got %q", f.out.String())
	}
}

// TestVictim does what its environment says; only children have any.
func TestVictim(t *testing.T) {
	if os.Getenv(leakEnv) != "" {
		settle = 3 * time.Second
	}
	switch os.Getenv(leakEnv) {
	case "goroutine":
		go func() { select {} }()
	case "fd":
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(f.Name())
		kept = f
	case "fail":
		t.Error("as told")
	case "skip":
		t.Skip("as told")
	}
}

var kept *os.File

func TestChildReportsWhatWentWrong(t *testing.T) {
	cases := map[string]string{
		"goroutine": "leaked by the tests:\ngoroutine ",
		"fail":      "as told",
		"skip":      "was skipped",
	}
	if runtime.GOOS == "linux" {
		cases["fd"] = "leaked by the tests:\ndescriptor "
	}
	for what, want := range cases {
		f := &fakeTB{TB: t}
		f.run(func() { Child(f, "TestVictim", leakEnv+"="+what) })
		if s := f.out.String(); !strings.Contains(s, want) {
			t.Errorf("%s: got %q, want %q", what, s, want)
		}
		if skip := what == "skip" && !CI(); f.skipped != skip || f.failed == skip {
			t.Errorf("%s: failed %v, skipped %v", what, f.failed, f.skipped)
		}
	}
}
