package zerocopy_test

import (
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// BenchmarkChunk compares read + write with splice for chunks of one size, each of
// which is received before the next is sent. It is where shortDrain comes from: CPU is
// of the whole process, peers included, so what counts is the difference.
//
//	go test -run '^$' -bench Chunk -count 5 .
func BenchmarkChunk(b *testing.B) {
	for _, size := range []int{1 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 256 << 10} {
		for _, way := range []struct {
			name   string
			splice bool
		}{{"read+write", false}, {"splice", true}} {
			b.Run(fmt.Sprintf("size=%d/by=%s", size, way.name), func(b *testing.B) {
				in, src := tcpPair(b)
				dst, out := tcpPair(b)
				var c zerocopy.Copier
				var spliced int64
				c.Force(func(int64) bool { return way.splice })
				c.Report = func(r zerocopy.Report) { spliced = r.Bytes(zerocopy.Splice) }
				done := make(chan error)
				go func() {
					_, err := c.Copy(b.Context(), dst, src)
					done <- err
				}()
				sent, got := make([]byte, size), make([]byte, size)
				before := cpuTime(b)
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := in.Write(sent); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(out, got); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
				in.Close()
				if err := <-done; err != nil {
					b.Fatal(err)
				}
				if way.splice != (spliced > 0) {
					b.Errorf("%d bytes were spliced", spliced)
				}
			})
		}
	}
}

// cpuTime returns the CPU time of the process so far.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
