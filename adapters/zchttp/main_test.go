package zchttp_test

import (
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
