package kpipe_test

import (
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
)

// BenchmarkGet is what a pipe costs: one that is idle, one that has to be made and is
// closed after, and one that is refused for want of descriptors.
//
//	go test -run '^$' -bench Get ./internal/kpipe
func BenchmarkGet(b *testing.B) {
	b.Run("idle", func(b *testing.B) {
		var pool kpipe.Pool
		defer pool.CloseIdle()
		for b.Loop() {
			p, err := pool.Get(nil, kpipe.Largest)
			if err != nil {
				b.Fatal(err)
			}
			pool.Put(p)
		}
	})
	b.Run("made", func(b *testing.B) {
		var pool kpipe.Pool
		for b.Loop() {
			p, err := pool.Get(nil, kpipe.Largest)
			if err != nil {
				b.Fatal(err)
			}
			pool.Discard(p)
		}
	})
	b.Run("refused", func(b *testing.B) {
		var had syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &had); err != nil {
			b.Fatal(err)
		}
		none := syscall.Rlimit{Cur: 3, Max: had.Max} // the pipe would be above
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
			b.Fatal(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &had)
		var pool kpipe.Pool
		for b.Loop() {
			if _, err := pool.Get(nil, kpipe.Largest); err != syscall.EMFILE {
				b.Fatal(err)
			}
		}
	})
}
