package broadcast_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var (
	randomTime = flag.Duration("broadcast.time", time.Second, "for how long TestH51Random begins new streams")
	randomSeed = flag.Uint64("broadcast.seed", 0, "the seed of TestH51Random; 0 is one of its own choice")
)

// TestH51Random: sinks of all kinds join, lag, stop, go on, leave and vanish at random,
// and the kernel says EAGAIN and EINTR and moves less than it could. Each sink has got
// exactly the bytes of the stream from where it joined to where it ended, and it has not
// ended but for a reason. A seed gives the same plan; what comes of it depends on timing.
//
// As an ordinary test it is short. The long form is
//
//	go test -run '^TestH51Random$' -broadcast.time 10m -timeout 15m ./broadcast
func TestH51Random(t *testing.T) {
	t.Parallel()
	seed := *randomSeed
	if seed == 0 {
		seed = rand.Uint64() | 1
	}
	start := time.Now()
	n := 0
	for ; n == 0 || time.Since(start) < *randomTime && !t.Failed(); n++ {
		t.Run(fmt.Sprintf("broadcast.seed=%d", seed), func(t *testing.T) {
			newRandom(t, seed).play()
		})
		if *randomSeed == 0 {
			seed = seed*6364136223846793005 + 1442695040888963407 | 1
		}
	}
	t.Logf("%d streams", n)
}

// A random is a show that follows no plan but its dice.
type random struct {
	*show
	rand     *rand.Rand
	recorded bool
	cancel   context.CancelCauseFunc
	actors   []*actor

	dice sync.Mutex // for the interceptor, which runs on many goroutines
	odds *rand.Rand
	evil int // of 1000 splices
}

// An actor is a viewer with what was done to it.
type actor struct {
	*viewer
	o             broadcast.SinkOptions
	closed, reset bool
}

var errCut = errors.New("cut short")

func newRandom(t *testing.T, seed uint64) *random {
	r := &random{rand: rand.New(rand.NewPCG(seed, 1)), odds: rand.New(rand.NewPCG(seed, 2))}
	settings := []setting{answering(r.answer)}
	r.evil = []int{0, 0, 20, 300}[r.rand.IntN(4)]
	if n := []int{0, 16, 48, 400}[r.rand.IntN(4)]; n > 0 {
		settings = append(settings, scarce(n))
	}
	if r.recorded = r.rand.IntN(4) > 0; r.recorded {
		_, s := recording(t, []ztest.Kind{ztest.File, ztest.Tmpfs}[r.rand.IntN(2)])
		settings = append(settings, s)
	}
	if r.rand.IntN(2) == 0 {
		settings = append(settings, func(_ *show, o *broadcast.Options) { o.Pages = zerocopy.Share })
	}
	r.show = newShow(t, []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe}[r.rand.IntN(3)], settings...)
	return r
}

// answer is an interceptor with moods.
func (r *random) answer(c *sys.Call, _ int) (int, error, bool) {
	r.dice.Lock()
	defer r.dice.Unlock()
	if c.Name != "splice" && c.Name != "tee" || r.odds.IntN(1000) >= r.evil {
		return 0, nil, false
	}
	switch mood := r.odds.IntN(4); {
	case mood == 0:
		return 0, syscall.EINTR, true
	case c.Name == "tee":
	case mood == 1:
		return 0, syscall.EAGAIN, true
	default:
		c.N = min(c.N, 1+r.odds.IntN(5000))
	}
	return 0, nil, false
}

// play runs the stream from its first to its last byte.
func (r *random) play() {
	ctx, cancel := context.WithCancelCause(r.t.Context())
	defer cancel(nil)
	r.cancel = cancel
	for range r.rand.IntN(4) {
		r.enter()
	}
	r.run(ctx)
	sizes := make([]int, 50)
	for i := range sizes {
		sizes[i] = 1 + r.rand.IntN([]int{3, 200, 1500, 20_000, 300_000}[r.rand.IntN(5)])
	}
	total := int64(1 + r.rand.IntN(4<<20))
	fed := ztest.Go(r.t, "feed", func() {
		r.tryFeed(total, sizes...) // fails if Run ends before
	})
	for range 5 + r.rand.IntN(60) {
		r.act()
		if r.rand.IntN(3) == 0 {
			time.Sleep(time.Duration(r.rand.IntN(300)) * time.Microsecond)
		}
	}
	for _, a := range r.actors {
		if a.Dest != nil {
			a.Resume()
		}
	}
	ending := r.rand.IntN(8)
	switch ending {
	case 0:
		r.b.End()
	case 1:
		cancel(errCut)
	}
	if ending < 2 {
		r.task.Wait()
		r.in.SetWriteDeadline(time.Unix(1, 0))
	}
	fed.Wait()
	if ending < 2 {
		r.wait()
	} else {
		r.end()
	}
	if r.err != nil && (r.err != errCut || ending != 1) {
		r.t.Errorf("Run: %v", r.err)
	}
	for _, a := range r.actors {
		r.judge(a, ending == 1)
	}
}

// act does something.
func (r *random) act() {
	if len(r.actors) == 0 || r.rand.IntN(4) == 0 && len(r.actors) < 12 {
		r.enter()
		return
	}
	a := r.actors[r.rand.IntN(len(r.actors))]
	stream := a.Dest != nil && a.Kind.Stream()
	switch what := r.rand.IntN(12); {
	case what < 4 && stream && !a.reset:
		a.Stall()
	case what < 9 && stream && !a.reset:
		a.Resume()
	case what == 9:
		a.closed = true
		must(r.t, a.sink.Close())
	case what == 10 && stream && r.rand.IntN(2) == 0:
		a.reset = true
		a.Reset()
	default:
		_ = r.b.Stats()
		_ = a.sink.Stats().String()
	}
}

// enter has a sink join.
func (r *random) enter() {
	policies := []broadcast.Policy{broadcast.Block, broadcast.Detach, broadcast.Demote}
	o := broadcast.SinkOptions{Policy: policies[r.rand.IntN(3)], MaxLag: int64(r.rand.IntN(2)) * int64(r.rand.IntN(1<<20))}
	if r.recorded {
		o.FromStart = r.rand.IntN(3) == 0
	} else if o.Policy == broadcast.Demote {
		o.Policy = broadcast.Block
	}
	if r.rand.IntN(4) == 0 {
		o.Prefix = []byte("a prefix of some bytes")
	}
	kinds := []ztest.Kind{ztest.TCP4, ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.SockFile, ztest.File, ztest.Tmpfs, ztest.Null, ""}
	k := kinds[r.rand.IntN(len(kinds))]
	opts := []ztest.Option{ztest.Pieces(1+r.rand.IntN(100_000), 1+r.rand.IntN(3000))}
	if r.rand.IntN(2) == 0 {
		opts = append(opts, ztest.Buffers(4096<<r.rand.IntN(4)))
	}
	if !k.Stream() {
		o.Prefix = nil // a file is compared as a whole
	}
	v := r.viewer(&o)
	v.name = fmt.Sprintf("%s %d %v", k, len(r.actors), o.Policy)
	o.Name = v.name
	w := io.Writer(struct{ io.Writer }{v.got})
	if k != "" {
		if k.Stream() {
			opts = append(opts, ztest.Into(v.got))
		}
		v.Dest = ztest.NewDest(r.t, k, opts...)
		w = v.Dest.Writer
	}
	if err := r.join(v, w, &o); err != nil {
		if st := r.b.Stats(); !errors.Is(err, broadcast.ErrEnded) && st.Ended || !st.Ended && r.pipes.Stats().Budget > 4<<20 {
			r.t.Errorf("%s cannot join: %v", v.name, err)
		}
		return
	}
	r.actors = append(r.actors, &actor{viewer: v, o: o})
}

// judge demands that a has what its sink says that it has, and that the sink has not
// ended before the stream but for a reason.
func (r *random) judge(a *actor, cut bool) {
	var st broadcast.SinkStats
	if a.reset {
		<-a.sink.Done()
		st = a.sink.Stats()
		<-a.peerDone()
		if n, diff := a.got.has(); diff != "" || n > st.Position-st.From {
			r.t.Errorf("%s: %d bytes, %v: %s", a.name, n, st, diff)
		}
	} else {
		st = a.check()
	}
	var lag *broadcast.LagError
	switch err := st.Err; {
	case err == nil && st.Position == r.b.Stats().Position:
	case err == broadcast.ErrClosed && a.closed, err == errCut && cut:
	case errors.As(err, &lag) && a.o.Policy == broadcast.Detach && lag.Position == st.Position:
	case a.reset && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)):
	default:
		r.t.Errorf("%s: ended at %d of %d: %v", a.name, st.Position, r.b.Stats().Position, st)
	}
}

// peerDone is closed when the peer has stopped.
func (a *actor) peerDone() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		a.Err()
		close(done)
	}()
	return done
}
