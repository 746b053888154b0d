package peers_test

import (
	"flag"
	"runtime/debug"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests. A garbage collection
// would close a forgotten connection and hide it, so there is none during the count; but after
// benchmarks, since it is what closes the pipes of io.Copy.
func TestMain(m *testing.M) {
	ztest.Main(m, func() {
		if flag.Lookup("test.bench").Value.String() == "" {
			debug.SetGCPercent(-1)
		}
		kpipe.Shared.CloseIdle()
	})
}
