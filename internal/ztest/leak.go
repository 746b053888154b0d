package ztest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// settle is how long goroutines and descriptors may take to go after a test:
// a peer that has been told to stop, a runtime that is still closing a socket. Only
// a leak takes all of it, for a test that is after one less.
var settle = 15 * time.Second

// Main is the body of a TestMain: it runs the tests and ends the process with
// their code, or with 1 and a list on standard error if descriptors or
// goroutines are left that were not there before. drain, if not nil, gives back
// what the library keeps on purpose (pooled pipes), before the count. Unless
// -parallel says otherwise, four parallel tests run for each processor: they wait
// for peers and the kernel most of their time.
func Main(m *testing.M, drain func()) {
	runMore()
	before := snapshot()
	code := m.Run()
	if drain != nil {
		drain()
	}
	if s := leaked(before, settle); s != "" {
		fmt.Fprintf(os.Stderr, "leaked by the tests:\n%s", s)
		if code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

// runMore sets how many parallel tests run at a time. To a fuzzing process -parallel
// is the number of its workers, each of them with a processor's work.
func runMore() {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" || f.Name == "test.fuzz" })
	if !asked {
		flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0)))
	}
}

// CheckLeaks fails the test if, at its end, descriptors or goroutines are left
// that were not there at this call. Cleanups registered later run before the
// count, so it comes first in a test. Only serial tests may use it: the
// descriptors of tests that run at the same time would be counted, too.
// Each drain is called before the count.
func CheckLeaks(tb testing.TB, drain ...func()) {
	tb.Helper()
	before := snapshot()
	tb.Cleanup(func() {
		for _, f := range drain {
			f()
		}
		if s := leaked(before, settle); s != "" {
			tb.Errorf("leaked:\n%s", s)
		}
	})
}

// A state is what is open and what runs. Both are keyed by what does not come
// twice: a descriptor with its target (which has the inode for pipes and
// sockets), a goroutine by its number.
type state struct {
	fds        map[string]bool
	goroutines map[string]string // "goroutine 7" to its stack
}

func snapshot() state {
	warmPoller()
	return state{fds: openFDs(), goroutines: goroutines()}
}

// leaked compares the present with before until nothing is left over or d has
// passed, and lists what is. There is no garbage collection in between: that
// would close a forgotten file and hide it. But where whole pipes are all that is left, those
// of package net's own splice may be, which only a collection closes; the library's pool
// of pipes it does not touch.
func leaked(before state, d time.Duration) string {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var report string
	looks := 0
	poll(d, nil, func() bool {
		if looks++; looks > 20 {
			time.Sleep(10 * time.Millisecond) // each look is a MiB of stacks, and stays
		}
		after := state{fds: openFDs(), goroutines: goroutines()}
		if report = extra(before, after); report != "" && looks > 20 && wholePipes(before, after) {
			runtime.GC()
		}
		return report == ""
	})
	return report
}

// wholePipes reports whether what after has more than before are pipes, both ends of each.
func wholePipes(before, after state) bool {
	ends := make(map[string]int)
	for fd := range after.fds {
		if _, target, _ := strings.Cut(fd, " -> "); !before.fds[fd] {
			if !strings.HasPrefix(target, "pipe:") {
				return false
			}
			ends[target]++
		}
	}
	for id := range after.goroutines {
		if _, old := before.goroutines[id]; !old {
			return false
		}
	}
	for _, n := range ends {
		if n != 2 {
			return false
		}
	}
	return len(ends) > 0
}

func extra(before, after state) string {
	var b strings.Builder
	for _, fd := range slices.Sorted(maps.Keys(after.fds)) {
		if !before.fds[fd] {
			fmt.Fprintf(&b, "descriptor %s\n", fd)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after.goroutines)) {
		if _, old := before.goroutines[id]; !old {
			fmt.Fprintf(&b, "%s\n\n", after.goroutines[id])
		}
	}
	return b.String()
}

// standing names functions whose goroutines the runtime and the standard
// library start once and keep.
var standing = []string{
	"os/signal.loop",
	"os/signal.signal_recv",
	"runtime.ReadTrace",
	"runtime/pprof.profileWriter",
	"testing.(*M).startAlarm",
	"testing.runFuzzing",
	"internal/fuzz.",
}

// goroutines lists all goroutines but the calling one and the standing ones.
func goroutines() map[string]string {
	all := strings.Split(string(stacks()), "\n\n")
	m := make(map[string]string, len(all))
next:
	for _, g := range all[1:] { // the first is the caller
		for _, f := range standing {
			if strings.Contains(g, f) {
				continue next
			}
		}
		id, _, _ := strings.Cut(g, " [")
		m[id] = strings.TrimSpace(g)
	}
	return m
}
