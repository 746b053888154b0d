//go:build !race

package zccompress_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
)

// A stream after another allocates no codec. With the race detector a pool drops what it is given
// at random.
func TestAllocations(t *testing.T) {
	want := text(100_000)
	buf := make([]byte, 32<<10)
	for _, f := range all {
		stream := compress(t, f, want)
		once := func() {
			z := zccompress.NewReader(bytes.NewReader(stream), any_)
			if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, bare{z}, buf); n != int64(len(want)) || err != nil {
				t.Fatal(n, err)
			}
		}
		once()
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			once()
		}
		runtime.ReadMemStats(&after)
		// The Reader and the bytes.Reader are 400; a collection may empty the pool once or twice.
		if got := (after.TotalAlloc - before.TotalAlloc) / runs; got > 20_000 {
			t.Errorf("%v: %d bytes a stream", f, got)
		}
	}
}
