package broadcast_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH51SmallPipes: for a while the system grants pipes of 64 slots only, where those of
// the stream have 256. None of them gets into use: a round of 200 segments would not fit.
func TestH51SmallPipes(t *testing.T) {
	t.Parallel()
	for _, policy := range everyPolicy {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			var full atomic.Bool
			var gate sync.RWMutex // locked: the source is not drained
			_, recorded := recording(t, ztest.Tmpfs)
			var s *show
			s = newShow(t, ztest.Unix, recorded, answering(func(c *sys.Call, _ int) (int, error, bool) {
				if c.Name == "splice" && c.In == s.srcFD {
					gate.RLock()
					defer gate.RUnlock()
				}
				return 0, syscall.EPERM, c.Name == "F_SETPIPE_SZ" && c.N > 256<<10 && full.Load()
			}))
			o := &broadcast.SinkOptions{Policy: policy}
			late := s.view(ztest.Pipe, o, ztest.Buffers(4096)) // a single slot
			others := []*viewer{s.view(ztest.TCP4, o), s.view(ztest.TCP4, o)}
			s.run(t.Context())
			s.feed(1)
			s.awaitAll()
			full.Store(true)
			late.Stall()
			fed := ztest.Go(t, "feed", func() {
				for range 20 {
					gate.Lock()
					err := s.tryFeed(200, 1)
					if gate.Unlock(); err != nil {
						t.Error(err)
					}
					for s.b.Stats().Position < s.fed { // or there would be no room for more
						time.Sleep(10 * time.Microsecond)
					}
				}
			})
			if policy == broadcast.Block {
				s.awaitStill(-1)
				late.Resume()
			}
			fed.Wait()
			switch policy {
			case broadcast.Detach:
				late.detached(4 << 20)
			case broadcast.Demote:
				late.awaitState(broadcast.Recorded)
			}
			late.Resume()
			s.end()
			for _, v := range others {
				v.whole()
			}
			switch policy {
			case broadcast.Detach:
				late.check()
			default:
				late.whole()
			}
			s.requireKernel()
		})
	}
}

// TestH51NoPipes: where no pipe is to be had, that of one sink is of no concern to the
// others.
func TestH51NoPipes(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.EPERM} {
		for _, policy := range []broadcast.Policy{broadcast.Block, broadcast.Detach, broadcast.Demote} {
			t.Run(fmt.Sprintf("%v/%v", errno, policy), func(t *testing.T) {
				t.Parallel()
				var none atomic.Bool
				_, recorded := recording(t, ztest.Tmpfs)
				s := newShow(t, ztest.TCP4, recorded, answering(func(c *sys.Call, _ int) (int, error, bool) {
					return 0, errno, c.Name == "pipe2" && none.Load()
				}))
				o := &broadcast.SinkOptions{Policy: policy}
				a := s.view(ztest.TCP4, o)
				late := s.view(ztest.TCP4, o, ztest.StallAfter(0), ztest.Buffers(4096))
				s.run(t.Context())
				s.feed(10_000)
				a.await(s.fed)
				none.Store(true)
				var err error
				for range 10 { // there may be some left over
					var sink *broadcast.Sink
					if sink, err = s.b.Add(ztest.NewDest(t, ztest.TCP4).Writer, nil); err != nil {
						break
					}
					defer sink.Close()
				}
				if !errors.Is(err, errno) {
					t.Errorf("joined without a pipe: %v", err)
				}
				switch policy {
				case broadcast.Block:
					fed := ztest.Go(t, "feed", func() {
						if err := s.tryFeed(6<<20, 1448); err != nil {
							t.Error(err)
						}
					})
					s.awaitStill(-1)
					late.Resume()
					fed.Wait()
				default:
					for range 60 { // no faster than a sees it: there are no pipes for it, either
						s.feed(100_000, 1448)
						a.await(s.fed)
					}
				}
				switch policy {
				case broadcast.Detach:
					late.detached(4 << 20)
				case broadcast.Demote:
					late.awaitState(broadcast.Recorded)
				}
				late.Resume()
				s.end()
				if s.err != nil {
					t.Errorf("Run: %v", s.err)
				}
				a.whole()
				if policy == broadcast.Detach {
					late.check()
				} else {
					late.whole()
				}
				s.requireKernel()
			})
		}
	}
}

// TestH51FewPipes: n pipes are to be had, and no more. Who finds none does not join or
// has its policy applied, and one that the stream waits for goes on with what it has.
func TestH51FewPipes(t *testing.T) {
	t.Parallel()
	for _, policy := range everyPolicy {
		for n := 1; n < 10; n++ {
			t.Run(fmt.Sprintf("%v/%d", policy, n), func(t *testing.T) {
				t.Parallel()
				settings := []setting{answering(func(c *sys.Call, nth int) (int, error, bool) {
					return 0, syscall.EMFILE, c.Name == "pipe2" && nth > n
				})}
				if policy == broadcast.Demote {
					_, recorded := recording(t, ztest.Tmpfs)
					settings = append(settings, recorded)
				}
				s := newShow(t, ztest.TCP4, settings...)
				for _, opts := range [][]ztest.Option{nil, {ztest.StallAfter(0), ztest.Buffers(16 << 10)}, nil} {
					if _, err := s.tryView(ztest.TCP4, &broadcast.SinkOptions{Policy: policy}, opts...); err != nil && !errors.Is(err, syscall.EMFILE) {
						t.Error(err)
					}
				}
				s.run(t.Context())
				fed := ztest.Go(t, "feed", func() { s.tryFeed(1<<20, 60_000) })
				s.awaitStill(1 << 20)
				for _, v := range s.viewers {
					v.Resume()
				}
				if s.b.Stats().Ended {
					s.in.SetWriteDeadline(time.Unix(1, 0))
				}
				fed.Wait()
				s.end()
				if s.err != nil && (!errors.Is(s.err, syscall.EMFILE) || s.b.Stats().Position > 0) {
					t.Errorf("Run at byte %d: %v", s.b.Stats().Position, s.err)
				}
				for _, v := range s.viewers {
					st := v.check()
					var lag *broadcast.LagError
					switch {
					case s.err != nil && st.Err == s.err:
					case policy == broadcast.Detach && errors.As(st.Err, &lag) && errors.Is(lag, syscall.EMFILE):
					default:
						v.whole()
					}
				}
			})
		}
	}
}
