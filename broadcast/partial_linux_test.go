package broadcast_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// kernel makes a call without the interceptor.
var kernel *sys.Calls

// partial returns an interceptor that counts the tees that found some slots, and not
// enough.
func partial(n *atomic.Int64) answer {
	return func(c *sys.Call, _ int) (int, error, bool) {
		if c.Name != "tee" {
			return 0, nil, false
		}
		got, err := kernel.Tee(c.In, c.Out, c.N)
		if got > 0 && got < c.N {
			n.Add(1)
		}
		return got, err, true
	}
}

// TestH51Slots: each byte of the stream is a segment of its own and takes a slot, so that
// pipes are full with next to nothing in them, and rounds are torn between two.
func TestH51Slots(t *testing.T) {
	t.Parallel()
	for _, policy := range []broadcast.Policy{broadcast.Block, broadcast.Demote} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			const total = 20_000
			var torn atomic.Int64
			_, recorded := recording(t, ztest.Tmpfs)
			s := newShow(t, ztest.Unix, scarce(128), recorded, answering(partial(&torn)))
			o := &broadcast.SinkOptions{Policy: policy}
			late := []*viewer{
				s.view(ztest.Pipe, o, ztest.StallAfter(100)),
				s.view(ztest.TCP4, o, ztest.StallAfter(100), ztest.Buffers(4096)),
				s.view(ztest.Unix, o, ztest.StallAfter(100), ztest.Buffers(4096)),
			}
			s.view(ztest.TCP4, o)
			s.view(ztest.File, o)
			s.run(t.Context())
			fed := ztest.Go(t, "feed", func() {
				if err := s.tryFeed(total, 1, 1, 2, 1, 1, 1, 3); err != nil {
					t.Error(err)
				}
			})
			if policy == broadcast.Block {
				s.awaitStill(-1)
			} else {
				fed.Wait()
			}
			for _, v := range late {
				v.Resume()
			}
			fed.Wait()
			s.finish()
			s.requireKernel()
			if torn.Load() == 0 {
				t.Errorf("no round was torn: %v", s.calls)
			}
			if policy == broadcast.Demote && late[0].sink.Stats().Demotions == 0 {
				t.Errorf("never served from the recording: %v", late[0].sink.Stats())
			}
		})
	}
}

// injected runs a stream to sinks of three kinds, one of which stands still for a while,
// with f between it and the kernel.
func injected(t *testing.T, policy broadcast.Policy, f answer) *show {
	_, recorded := recording(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, scarce(128), recorded, answering(f))
	o := &broadcast.SinkOptions{Policy: policy}
	s.view(ztest.TCP4, o)
	late := s.view(ztest.Unix, o, ztest.StallAfter(50_000), ztest.Buffers(4096))
	s.view(ztest.File, o)
	s.view(ztest.Pipe, o)
	s.run(t.Context())
	s.feed(150_000, 45_000)
	late.Resume()
	s.feed(150_000, 10_000, 1, 1448)
	s.end()
	return s
}

// TestH51Refused: a kernel that refuses a call, once or for ever, costs speed and nothing
// else.
func TestH51Refused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tee", "splice", "poll", "write"} {
		errnos := []syscall.Errno{syscall.EINTR, syscall.ENOSYS, syscall.EINVAL, syscall.EPERM, syscall.ENOMEM}
		switch name {
		case "write":
			errnos = errnos[:1] // there is nothing to fall back on
		case "splice", "tee":
			errnos = append(errnos, syscall.EAGAIN)
		}
		for _, errno := range errnos {
			for _, nth := range []int{1, 2, 7, -1, -3} {
				if errno == syscall.EINTR && nth < 0 {
					nth = -nth * 10 // for ever would be for ever
				}
				t.Run(fmt.Sprintf("%s/%v/%d", name, errno, nth), func(t *testing.T) {
					t.Parallel()
					s := injected(t, broadcast.Block, func(c *sys.Call, n int) (int, error, bool) {
						hit := n == nth || nth < 0 && n >= -nth || errno == syscall.EINTR && n <= nth
						return 0, errno, c.Name == name && hit
					})
					if s.err != nil {
						t.Errorf("Run: %v", s.err)
					}
					for _, v := range s.viewers {
						v.whole()
					}
				})
			}
		}
	}
}

// TestH51Short: calls that move less than they could, and calls that say EAGAIN though
// they could.
func TestH51Short(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		f    answer
	}{
		{"one byte at first", func(c *sys.Call, nth int) (int, error, bool) {
			if nth < 5 {
				c.N = min(c.N, 1)
			}
			return 0, nil, false
		}},
		{"777 bytes each", func(c *sys.Call, nth int) (int, error, bool) { c.N = min(c.N, 777); return 0, nil, false }},
		{"a zero at first", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, nth == 1 }},
		{"a zero each third time", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, nth%3 == 0 }},
		{"nothing but zeros", func(c *sys.Call, nth int) (int, error, bool) { return 0, nil, true }},
		{"EAGAIN each second time", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, nth%2 == 0 }},
		{"EAGAIN two of three times", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EAGAIN, nth%3 != 0 }},
		{"EINTR four of five times", func(c *sys.Call, nth int) (int, error, bool) { return 0, syscall.EINTR, nth%5 != 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := injected(t, broadcast.Block, func(c *sys.Call, nth int) (int, error, bool) {
				if c.Name != "splice" {
					return 0, nil, false
				}
				return tt.f(c, nth)
			})
			if s.err != nil {
				t.Errorf("Run: %v", s.err)
			}
			for _, v := range s.viewers {
				v.whole()
			}
		})
	}
}

// TestH51ShortTee: an empty pipe takes all (H11). Should a kernel ever duplicate less, no
// sink gets a byte twice or misses one: it gets the rest another way or ends with an
// error, and no pipe is lost.
func TestH51ShortTee(t *testing.T) {
	t.Parallel()
	for _, policy := range []broadcast.Policy{broadcast.Block, broadcast.Detach, broadcast.Demote} {
		for name, most := range map[string]func(n, nth int) int{
			"a byte less":   func(n, nth int) int { return max(n-1, 1) },
			"a byte":        func(n, nth int) int { return 1 },
			"half at times": func(n, nth int) int { return n / (1 + nth/2%2) },
		} {
			t.Run(fmt.Sprintf("%v/%s", policy, name), func(t *testing.T) {
				t.Parallel()
				s := injected(t, policy, func(c *sys.Call, nth int) (int, error, bool) {
					if c.Name == "tee" {
						c.N = most(c.N, nth)
					}
					return 0, nil, false
				})
				if s.err != nil {
					t.Errorf("Run: %v", s.err)
				}
				for _, v := range s.viewers {
					v.whole()
				}
			})
		}
	}
}

// TestH51TeeIsGone: from the moment when the kernel has refused to duplicate, rounds are
// read and written, and the counts say so.
func TestH51TeeIsGone(t *testing.T) {
	t.Parallel()
	for _, nth := range []int{1, 2, 9} {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			t.Parallel()
			s := newShow(t, ztest.TCP4, answering(func(c *sys.Call, n int) (int, error, bool) {
				return 0, syscall.ENOSYS, c.Name == "tee" && n >= nth
			}))
			a, b := s.view(ztest.TCP4, nil), s.view(ztest.TCP4, nil)
			s.run(t.Context())
			for range 20 {
				s.feed(10_000)
				a.await(s.fed)
				b.await(s.fed)
			}
			s.finish()
			if s.count("write") == 0 {
				t.Error("nothing was written")
			}
			if n := s.count("tee"); n > nth+1 {
				t.Errorf("tee was asked %d times after it had refused", n-nth)
			}
			if st := a.sink.Stats(); st.Mechanism != zerocopy.Buffered || st.Reason != zerocopy.ReasonRefused {
				t.Errorf("without tee: %v", st.Why())
			}
		})
	}
}
