package peers_test

import (
	"runtime/debug"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests. A garbage collection
// would close a forgotten connection and hide it, so there is none during the count.
func TestMain(m *testing.M) {
	ztest.Main(m, func() {
		debug.SetGCPercent(-1)
		kpipe.Shared.CloseIdle()
	})
}
