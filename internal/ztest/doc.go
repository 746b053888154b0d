// Package ztest is the support of this module's own tests: byte patterns that
// tell where they belong, both ends of every kind of descriptor with faults to
// order, leak checks, tests in child processes, and what a golden table is
// keyed by. Only tests import it.
//
// Nothing in it copies with splice, sendfile or copy_file_range: peers read and
// write in plain loops, so that a mistake in the library cannot hide behind the
// same mistake here.
package ztest

import (
	"os"
	"testing"
)

// CI reports whether the run is one in which nothing that the machine can do
// may be left out (CI=true in the environment).
func CI() bool { return os.Getenv("CI") == "true" }

// Missing skips the test because something that could be installed or granted
// is not there. Under CI it fails instead: there, a skip is a gap in the tests.
func Missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if CI() {
		tb.Fatalf("CI=true and a test cannot run: "+format, args...)
	}
	tb.Skipf(format, args...)
}
