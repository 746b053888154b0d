package zchttp_test

import (
	"log"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests.
func TestMain(m *testing.M) { ztest.Main(m, func() { kpipe.Shared.CloseIdle() }) }

// must fails the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quiet returns a log that goes to the test's.
func quiet(t testing.TB) *log.Logger { return log.New(logTo{t}, "", 0) }

type logTo struct{ t testing.TB }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Logf("server: %s", p)
	return len(p), nil
}
