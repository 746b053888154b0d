package kpipe_test

import (
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
)

// The pipes of these tests are real and the time is not: inside of a bubble of
// synctest the pool's timer runs when everybody waits.

// idleAfter waits, demands that so many pipes are idle then, and no more ends open.
func idleAfter(t *testing.T, pool *kpipe.Pool, d time.Duration, want int) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if s := pool.Stats(); s.Idle != int64(want) || s.Open != s.Idle || s.Bytes < int64(want)*small || want == 0 && s.Bytes != 0 {
		t.Errorf("%v later: %+v, want %d idle", d, s, want)
	}
}

// TestTrim: pipes that nobody has needed for five seconds are closed, of each class
// as many as were idle all that time.
func TestTrim(t *testing.T) {
	checkClosed(t)
	synctest.Test(t, func(t *testing.T) {
		before := openPipes(t)
		pool := roomy()
		var all []*kpipe.Pipe
		for class := range kpipe.Sizes {
			for range 3 {
				all = append(all, mustGet(t, pool, nil, class))
			}
		}
		for _, p := range all {
			pool.Put(p)
		}
		idleAfter(t, pool, 4*time.Second, 9)
		time.Sleep(5 * time.Second) // the first look may have come before the last Put
		p := mustGet(t, pool, nil, 0)
		q := mustGet(t, pool, nil, kpipe.Largest)
		pool.Put(p)
		pool.Put(q)
		idleAfter(t, pool, 2*time.Second, 2)
		if s := pool.Stats(); s.Bytes != small+large || openPipes(t) != before+4 {
			t.Errorf("%+v, %d ends are open, %d were", s, openPipes(t), before)
		}
		idleAfter(t, pool, 5*time.Second, 0)
		check(t, "at the end", pool, kpipe.Stats{Budget: 1 << 30, Created: 9})
	})
}

// TestTrimSparesWhatIsUsed: a pipe that is needed every few seconds is kept and made
// but once; so are as many as are in use at the same time.
func TestTrimSparesWhatIsUsed(t *testing.T) {
	checkClosed(t)
	synctest.Test(t, func(t *testing.T) {
		pool, k := roomy(), new(kernel)
		for range 20 {
			p, q := mustGet(t, pool, k.calls(), 1), mustGet(t, pool, k.calls(), 1)
			pool.Put(p)
			pool.Put(q)
			idleAfter(t, pool, 3*time.Second, 2)
		}
		// Of the two one alone is still needed.
		for range 5 {
			pool.Put(mustGet(t, pool, k.calls(), 1))
			time.Sleep(3 * time.Second)
		}
		idleAfter(t, pool, 0, 1)
		if n := k.took("pipe2"); n != 2 {
			t.Errorf("%d pipes were made", n)
		}
		idleAfter(t, pool, 10*time.Second, 0)
		pool.Put(mustGet(t, pool, k.calls(), 1))
		if n := k.took("pipe2"); n != 1 {
			t.Errorf("%d pipes were made after the idle time", n)
		}
		idleAfter(t, pool, 10*time.Second, 0)
	})
}

// TestTrimLeavesTheBorrowed: a pipe with bytes in it is no idle one, however long
// they stay.
func TestTrimLeavesTheBorrowed(t *testing.T) {
	checkClosed(t)
	synctest.Test(t, func(t *testing.T) {
		pool := roomy()
		p, q := mustGet(t, pool, nil, 0), mustGet(t, pool, nil, 0)
		pool.Put(q)
		syscall.Write(p.W, []byte("held"))
		time.Sleep(time.Minute)
		synctest.Wait()
		check(t, "a minute later", pool, kpipe.Stats{Open: 1, Bytes: small, Budget: 1 << 30, Created: 2})
		b := make([]byte, 10)
		if n, err := syscall.Read(p.R, b); string(b[:max(n, 0)]) != "held" || err != nil {
			t.Errorf("%q, %v", b[:max(n, 0)], err)
		}
		pool.Put(p)
		idleAfter(t, pool, 4*time.Second, 1)
		idleAfter(t, pool, 2*time.Second, 0)
	})
}

// TestCloseIdleEndsTheTimer: what is given back after CloseIdle has its full time.
func TestCloseIdleEndsTheTimer(t *testing.T) {
	checkClosed(t)
	synctest.Test(t, func(t *testing.T) {
		pool := roomy()
		pool.Put(mustGet(t, pool, nil, 0))
		time.Sleep(4 * time.Second)
		pool.CloseIdle()
		check(t, "after CloseIdle", pool, kpipe.Stats{Budget: 1 << 30, Created: 1})
		pool.Put(mustGet(t, pool, nil, 0))
		idleAfter(t, pool, 4*time.Second, 1)
		idleAfter(t, pool, 2*time.Second, 0)
		pool.CloseIdle()
		pool.CloseIdle() // with nothing to close
	})
}

// TestRetryAfter: a size that the kernel has refused is not asked for again for a
// second, so that each Get would not make a pipe and close it. Then it is, once.
func TestRetryAfter(t *testing.T) {
	checkClosed(t)
	for _, tt := range []struct {
		name           string
		largest        int
		want           int
		sizes, retries int // calls of F_SETPIPE_SZ: at first, and a second later
	}{
		{"1 MiB is refused", medium, medium, 2, 2},
		{"256 KiB is refused", small, small, 3, 3},
		{"each size is refused, the default is enough", small - 1, small, 3, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pool, k := roomy(), &kernel{largest: tt.largest}
				var held []*kpipe.Pipe
				get := func(pipes, sizes int) {
					t.Helper()
					p := mustGet(t, pool, k.calls(), kpipe.Largest)
					if held = append(held, p); p.Size != tt.want {
						t.Errorf("%d bytes, want %d", p.Size, tt.want)
					}
					if n, m := k.took("pipe2"), k.took("F_SETPIPE_SZ"); n != pipes || m != sizes {
						t.Errorf("%d pipes were made, %d sizes asked for, want %d and %d", n, m, pipes, sizes)
					}
				}
				get(1, tt.sizes)
				time.Sleep(999 * time.Millisecond)
				get(1, 1) // the one that was granted
				pool.Put(held[1])
				held = held[:1]
				get(0, 0)
				time.Sleep(2 * time.Millisecond)
				get(1, tt.retries)
				k.largest = 0
				tt.want = large
				time.Sleep(time.Second + time.Millisecond)
				get(1, 1)
				for _, p := range held {
					pool.Put(p)
				}
				pool.CloseIdle()
			})
		})
	}
}

// TestTrimWhileInUse: the timer runs at any moment.
func TestTrimWhileInUse(t *testing.T) {
	checkClosed(t)
	synctest.Test(t, func(t *testing.T) {
		pool := roomy()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				for j := range 200 {
					p, err := pool.Get(nil, i%3)
					if err != nil {
						t.Error(err)
						return
					}
					if n, err := syscall.Write(p.W, []byte("1")); n != 1 || err != nil {
						t.Errorf("%d, %v", n, err) // closed under the borrower
					}
					time.Sleep(time.Duration(i*j) * time.Millisecond)
					syscall.Read(p.R, make([]byte, 1))
					pool.Put(p)
				}
			})
		}
		wg.Wait()
		idleAfter(t, pool, 11*time.Second, 0)
	})
}
