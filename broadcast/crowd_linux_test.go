package broadcast_test

import (
	"crypto/sha256"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A crowd is eight sinks: five that take what comes, one that is stopped, one that takes
// a byte a second, and one that goes away while the stream runs.
type crowd struct {
	*show
	healthy            []*viewer
	stopped, slow, cut *viewer
}

// fragments are the sizes of writes, of which each is a segment of its own: a single
// byte, a transport stream's packet, what an Ethernet carries.
var fragments = []int{1, 188, 1448, 188, 188, 1448}

func newCrowd(t *testing.T, o broadcast.SinkOptions, settings ...setting) *crowd {
	s := newShow(t, ztest.TCP4, settings...)
	c := &crowd{show: s}
	add := func(name string, k ztest.Kind, opts ...ztest.Option) *viewer {
		o.Name = name
		return s.view(k, &o, opts...)
	}
	few := ztest.Buffers(16 << 10)
	c.healthy = append(c.healthy, add("first", ztest.TCP4), add("second", ztest.TCP4, few))
	c.stopped = add("stopped", ztest.TCP4, ztest.StallAfter(0), few)
	c.healthy = append(c.healthy, add("unix", ztest.Unix))
	c.slow = add("a byte a second", ztest.TCP4, ztest.Pieces(1), ztest.Slow(time.Second), few)
	c.healthy = append(c.healthy, add("pipe", ztest.Pipe))
	c.cut = add("cut", ztest.TCP4, few)
	c.healthy = append(c.healthy, add("last", ztest.TCP4))
	return c
}

// bounds checks, until Run returns, that no sink and not all together have more pipes
// than they may.
func (s *show) bounds(maxLag int64) *ztest.Task {
	size := s.b.PipeSize()
	most := max(maxLag, size)/size + 2
	return ztest.Go(s.t, "bounds", func() {
		for tick := time.Tick(100 * time.Microsecond); ; {
			st := s.b.Stats()
			for _, sink := range st.Sinks {
				if int64(sink.Pipes) > most {
					s.t.Errorf("%v has %d pipes, at most %d are allowed", sink, sink.Pipes, most)
					return
				}
			}
			// The recording may have 8 MiB of its own.
			if p := s.pipes.Stats(); p.Bytes > (int64(len(s.viewers)+2)*most+2)*size+8<<20 {
				s.t.Errorf("%+v in pipes", p)
				return
			}
			select {
			case <-s.task.Done():
				return
			case <-tick:
			}
		}
	})
}

// TestH50Crowd: whatever becomes of some, the others get the stream whole and in time,
// and nobody's lag takes more memory than it may.
func TestH50Crowd(t *testing.T) {
	t.Parallel()
	const total, maxLag = 2 << 20, 256 << 10
	for _, policy := range []broadcast.Policy{broadcast.Block, broadcast.Detach, broadcast.Demote} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			rec, recorded := recording(t, ztest.File)
			c := newCrowd(t, broadcast.SinkOptions{Policy: policy, MaxLag: maxLag}, scarce(256), recorded)
			c.run(t.Context())
			bounds := c.bounds(maxLag)
			c.burst(20_000)
			c.cut.await(20_000)
			c.cut.Reset()
			if policy == broadcast.Block {
				fed := ztest.Go(t, "feed", func() {
					if err := c.tryFeed(total-c.fed, fragments...); err != nil {
						t.Error(err)
					}
				})
				c.unblock(maxLag)
				fed.Wait()
			}
			for c.fed < total {
				c.burst(min(20_000, total-c.fed))
			}
			c.cut.awaitState(broadcast.Ended)
			if st := c.cut.sink.Stats(); st.State != broadcast.Ended || !errors.Is(st.Err, syscall.ECONNRESET) && !errors.Is(st.Err, syscall.EPIPE) {
				t.Errorf("the sink of a dead peer: %v", st)
			}
			switch policy {
			case broadcast.Detach:
				c.stopped.detached(maxLag)
				c.stopped.check()
				c.slow.detached(maxLag)
			case broadcast.Demote:
				for _, v := range []*viewer{c.stopped, c.slow} {
					if st := v.sink.Stats(); st.State != broadcast.Recorded || st.Demotions == 0 || st.Pipes > 1 {
						t.Errorf("%s: %+v", v.name, st)
					}
				}
				c.stopped.Resume()
				c.slow.close()
			}
			c.end()
			bounds.Wait()
			if c.err != nil {
				t.Errorf("Run: %v", c.err)
			}
			if policy == broadcast.Demote {
				c.stopped.whole()
			}
			if n, diff := c.slow.got.has(); diff != "" || n > c.slow.sink.Stats().Position {
				t.Errorf("a byte a second: %d bytes, %s", n, diff)
			}
			want := sha256.Sum256(c.pattern.Bytes(total))
			if got := sha256.Sum256(rec.Finish()); got != want {
				t.Error("the recording differs")
			}
			for _, v := range c.healthy {
				if st := v.whole(); st.Live != total {
					t.Errorf("%s: %+v", v.name, st)
				}
			}
			c.requireKernel()
		})
	}
}

// burst feeds n bytes in fragments and waits until the healthy ones have them.
func (c *crowd) burst(n int64) {
	c.t.Helper()
	c.feed(n, fragments...)
	for _, v := range c.healthy {
		v.await(c.fed)
	}
}

// unblock waits until the stream stands still because of the sinks that do not keep up,
// first both and then one of them, and closes them.
func (c *crowd) unblock(maxLag int64) {
	c.t.Helper()
	for _, v := range []*viewer{c.stopped, c.slow} {
		c.awaitStill(-1)
		st := v.sink.Stats()
		if st.Lag > maxLag+c.b.PipeSize() || st.Lag == 0 {
			c.t.Errorf("the stream waits for %v", st)
		}
		for _, other := range c.healthy { // whatever waits, they have all that there is
			other.await(c.b.Stats().Position)
		}
		v.close()
	}
}

// awaitStill waits until the stream takes nothing, for a while, since it waits for a sink,
// though there is something, or has ended or come to byte end.
func (s *show) awaitStill(end int64) {
	s.t.Helper()
	last, same := int64(-1), 0
	ztest.Eventually(s.t, ztest.Patience, "the stream to stand still", func() bool {
		st := s.b.Stats()
		queued, err := ztest.Queued(s.src)
		if must(s.t, err); st.Position != last || queued == 0 || !s.b.Waits() {
			last, same = st.Position, 0
		}
		same++
		return same > 50 || st.Ended || st.Position == end
	})
}

// TestH50Greed: those that stand still have taken all pipes that are granted. Those that
// keep up do not notice.
func TestH50Greed(t *testing.T) {
	t.Parallel()
	for _, policy := range []broadcast.Policy{broadcast.Detach, broadcast.Demote} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			_, recorded := recording(t, ztest.Tmpfs)
			s := newShow(t, ztest.TCP4, scarce(20), recorded)
			o := &broadcast.SinkOptions{Policy: policy}
			var still, healthy []*viewer
			for range 3 {
				still = append(still, s.view(ztest.TCP4, o, ztest.StallAfter(0), ztest.Buffers(16<<10)))
				healthy = append(healthy, s.view(ztest.TCP4, o))
			}
			s.run(t.Context())
			for s.fed < 4<<20 {
				s.feed(10_000)
				for _, v := range healthy {
					v.await(s.fed)
				}
			}
			for _, v := range still {
				v.Resume()
			}
			s.end()
			for _, v := range healthy {
				if st := v.whole(); st.Demotions > 0 {
					t.Errorf("%v", st)
				}
			}
			s.requireKernel()
		})
	}
}
