package pages_test

import (
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// TestMain counts descriptors and goroutines before and after all tests. What Fastest does
// does not depend on the machine but in a child, whose test may measure.
func TestMain(m *testing.M) {
	if !ztest.InChild() {
		pages.SetFreshFaster(true)
	}
	ztest.Main(m, kpipe.Shared.CloseIdle)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
