package ztest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// childEnv marks a process that Child started; its value is the test's name.
const childEnv = "ZTEST_CHILD"

// InChild reports whether this process was started by Child.
func InChild() bool { return os.Getenv(childEnv) != "" }

// Child runs the one test of that name (subtests as Test/sub) of this test
// binary in a process of its own, where it is alone: nothing runs beside it
// that would blur a count. env is added to the environment ("KEY=value"). If
// the test fails there, or does not run, the calling test fails with its
// output; if it is skipped there, the calling test is skipped (see Missing).
// It returns the output.
func Child(tb testing.TB, name string, env ...string) string {
	tb.Helper()
	exe, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	var run []string
	for part := range strings.SplitSeq(name, "/") {
		run = append(run, "^"+regexp.QuoteMeta(part)+"$")
	}
	timeout := childTimeout(tb)
	ctx, cancel := context.WithTimeout(context.Background(), timeout+5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, "-test.run="+strings.Join(run, "/"),
		"-test.v", "-test.count=1", "-test.parallel=1", fmt.Sprintf("-test.timeout=%v", timeout))
	// Under the race detector a process sleeps for a second before it exits.
	race := "GORACE=" + strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0")
	cmd.Env = append(append(os.Environ(), race, childEnv+"="+name), env...)
	b, err := cmd.CombinedOutput()
	out := string(b)
	switch {
	case err != nil:
		tb.Fatalf("child %s: %v\n%s", name, err, out)
	case strings.Contains(out, "--- SKIP: "+name+" "):
		Missing(tb, "child %s was skipped:\n%s", name, out)
	case !strings.Contains(out, "--- PASS: "+name+" "):
		tb.Fatalf("child %s did not run:\n%s", name, out)
	}
	return out
}

// Isolated is for a test whose whole body needs a process of its own:
//
//	if !ztest.Isolated(t) {
//		return
//	}
//
// In the child it returns true. Elsewhere it runs the same test in a child, by
// Child, and returns false.
func Isolated(t *testing.T, env ...string) bool {
	t.Helper()
	if os.Getenv(childEnv) == t.Name() {
		return true
	}
	Child(t, t.Name(), env...)
	return false
}

// childTimeout leaves the parent time to report.
func childTimeout(tb testing.TB) time.Duration {
	const most = 5 * time.Minute
	t, ok := tb.(interface{ Deadline() (time.Time, bool) })
	if !ok {
		return most
	}
	deadline, ok := t.Deadline()
	if !ok {
		return most
	}
	return max(time.Second, min(most, time.Until(deadline)-10*time.Second))
}
