package ztest_test

import (
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestFew: each row runs once and has ended after Wait, and there are never more than
// there are places.
func TestFew(t *testing.T) {
	t.Parallel()
	var now, most, ended atomic.Int64
	t.Run("rows", func(t *testing.T) {
		few := ztest.NewFew(t)
		for i := range 100 {
			few.Run(strconv.Itoa(i), func(t *testing.T) {
				n := now.Add(1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
				runtime.Gosched()
				now.Add(-1)
				ended.Add(1)
			})
		}
		few.Wait()
		if ended.Load() != 100 || most.Load() > int64(2*runtime.GOMAXPROCS(0)) {
			t.Errorf("%d rows have ended, %d were under way at a time", ended.Load(), most.Load())
		}
	})
}
