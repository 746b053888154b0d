package zerocopy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

func ExampleProgress() {
	var done int64
	src := zerocopy.Progress(strings.NewReader("twenty bytes, no more"), func(n int64) {
		done += n // or bar.IncrInt64(n), bar.Add64(n): what a progress bar has
	})
	n, err := zerocopy.Copy(io.Discard, src)
	fmt.Println(n, done, err)
	// Output: 21 21 <nil>
}

func ExampleProgressWriter() {
	dst := zerocopy.ProgressWriter(os.Stdout, func(n int64) { fmt.Printf(" (%d bytes)\n", n) })
	zerocopy.Copy(dst, strings.NewReader("hello"))
	// Output: hello (5 bytes)
}

// A bucket is the least there is of a limiter. rate.NewLimiter(10<<20, 1<<20) of
// golang.org/x/time/rate is a better one.
type bucket struct{ perSecond, burst int }

func (b bucket) Burst() int { return b.burst }

func (b bucket) WaitN(ctx context.Context, n int) error {
	select {
	case <-time.After(time.Duration(n) * time.Second / time.Duration(b.perSecond)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ExamplePace() {
	src := bytes.NewReader(make([]byte, 50_000))
	start := time.Now()
	n, err := zerocopy.Copy(io.Discard, zerocopy.Pace(src, bucket{perSecond: 1_000_000, burst: 10_000}))
	took := time.Since(start)
	fmt.Println(n, err, took >= 50*time.Millisecond)
	// Output: 50000 <nil> true
}

func ExamplePaceWriter() {
	dst := zerocopy.PaceWriter(os.Stdout, bucket{perSecond: 1000, burst: 6})
	zerocopy.Copy(dst, strings.NewReader("not so fast\n"))
	// Output: not so fast
}
