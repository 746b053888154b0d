package kpipe_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// TestConcurrent: a pipe belongs to one borrower at a time, all together stay inside
// a budget that is far too small for them, also while pipes are being made, and what
// is counted is what happened.
func TestConcurrent(t *testing.T) {
	checkClosed(t)
	const budget = 2*large + 5*small
	pool := &kpipe.Pool{Limits: allow(budget, large)}
	var made, got, refused, discarded atomic.Int64
	inside := func() {
		if s := pool.Stats(); s.Bytes > budget || s.Budget != budget || s.Bytes < 0 || s.Idle > s.Open {
			t.Errorf("%+v", s)
		}
	}
	calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		inside() // the pool is not locked while the kernel works
		if c.Name == "pipe2" && made.Add(1)%50 == 0 {
			return 0, syscall.EMFILE, true
		}
		return 0, nil, false
	}}
	const workers, rounds = 40, 60
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for j := range rounds {
				p, err := pool.Get(calls, (i+j)%3)
				if err != nil {
					if refused.Add(1); err != kpipe.ErrBudget && !errors.Is(err, syscall.EMFILE) {
						t.Error(err)
					}
					continue
				}
				got.Add(1)
				mark := []byte{byte(i), byte(j)}
				syscall.Write(p.W, mark)
				inside()
				if j%10 == 0 {
					discarded.Add(1)
					pool.Discard(p)
					continue
				}
				b := make([]byte, 3)
				if n, err := syscall.Read(p.R, b); n != 2 || err != nil || b[0] != mark[0] || b[1] != mark[1] {
					t.Errorf("read %v, %v, want %v", b, err, mark)
				}
				pool.Put(p)
			}
		})
	}
	wg.Wait()
	s := pool.Stats()
	if s.Open != s.Idle || s.Discarded != discarded.Load() || s.Refused != refused.Load() || got.Load()+refused.Load() != workers*rounds {
		t.Errorf("%+v; %d were had, %d refused, %d discarded", s, got.Load(), refused.Load(), discarded.Load())
	}
	if want := made.Load() - made.Load()/50; s.Created != want {
		t.Errorf("%+v: the kernel has made %d", s, want)
	}
	if got.Load() == 0 || refused.Load() == 0 {
		t.Logf("%d had, %d refused: the budget was not in contention", got.Load(), refused.Load())
	}
	pool.CloseIdle()
	check(t, "at the end", pool, kpipe.Stats{Budget: budget, Created: s.Created, Discarded: s.Discarded, Refused: s.Refused})
}
