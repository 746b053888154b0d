package broadcast_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A gate is a Writer that hangs while it is shut.
type gate struct {
	mu   sync.Mutex
	cond sync.Cond
	shut bool
	hung bool // a Write waits
	buf  bytes.Buffer
}

func newGate() *gate {
	g := new(gate)
	g.cond.L = &g.mu
	return g
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut {
		g.hung = true
		g.cond.Wait()
	}
	g.hung = false
	return g.buf.Write(p)
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	g.cond.Broadcast()
}

func (g *gate) awaitHung(t testing.TB) {
	t.Helper()
	ztest.Eventually(t, ztest.Patience, "a Write that hangs", func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.hung
	})
}

// bytes returns what was written.
func (g *gate) bytes() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return bytes.Clone(g.buf.Bytes())
}

// A reading is a stream that the test writes, piece by piece.
type reading struct {
	t   testing.TB
	b   *broadcast.Broadcast
	in  *io.PipeWriter
	fed int64
	run *ztest.Task
	err error // of Run
}

const readingPattern = ztest.Pattern(56)

func newReading(t testing.TB, rec *os.File) *reading {
	t.Helper()
	src, in := io.Pipe()
	b, err := broadcast.New(src, &broadcast.Options{Recording: rec})
	must(t, err)
	return &reading{t: t, b: b, in: in}
}

func (r *reading) start(ctx context.Context) {
	r.run = ztest.Go(r.t, "Run", func() { r.err = r.b.Run(ctx) })
}

func (r *reading) add(w io.Writer, o *broadcast.SinkOptions) *broadcast.Sink {
	r.t.Helper()
	s, err := r.b.Add(w, o)
	must(r.t, err)
	return s
}

// feed writes n more bytes, and returns when the stream has taken them.
func (r *reading) feed(n int) {
	p := make([]byte, n)
	readingPattern.Fill(p, r.fed)
	for len(p) > 0 {
		k, err := r.in.Write(p[:min(len(p), 60_000)])
		r.fed += int64(k)
		if p = p[k:]; err != nil {
			r.t.Errorf("source: %v", err)
			return
		}
	}
}

// finish ends the stream, whose bytes have to be all in each of the gates.
func (r *reading) finish(all ...*gate) {
	r.t.Helper()
	r.in.Close()
	r.run.Wait()
	if r.err != nil {
		r.t.Errorf("Run: %v", r.err)
	}
	for _, g := range all {
		ztest.Equal(r.t, "written", g.bytes(), readingPattern.Bytes(int(r.fed)))
	}
}

// TestHungWriter: one sink is in a Write that does not return, which nothing can end. The
// others go on.
func TestHungWriter(t *testing.T) {
	t.Parallel()
	t.Run("detach", func(t *testing.T) {
		t.Parallel()
		r := newReading(t, nil)
		good, bad := newGate(), newGate()
		s := r.add(bad, &broadcast.SinkOptions{Policy: broadcast.Detach, Name: "bad"})
		r.add(good, nil)
		r.start(t.Context())
		r.feed(1000)
		bad.set(true)
		r.feed(1000)
		bad.awaitHung(t)
		r.feed(8 << 20)
		r.awaitAll(good)
		select {
		case <-s.Done():
			t.Error("Done is closed while the Writer is in use")
		default:
		}
		bad.set(false)
		err := s.Wait()
		var lag *broadcast.LagError
		if !errors.As(err, &lag) || lag.Name != "bad" || lag.Max != 4<<20 || lag.Lag < 1 || lag.Position != s.Stats().Position {
			t.Errorf("ended with %+v", err)
		} else if !strings.Contains(err.Error(), `"bad"`) {
			t.Error(err)
		}
		ztest.Equal(t, "bad", bad.bytes(), readingPattern.Bytes(int(s.Stats().Position)))
		r.finish(good)
	})
	t.Run("demote", func(t *testing.T) {
		t.Parallel()
		r := newReading(t, newFile(t))
		good, bad := newGate(), newGate()
		s := r.add(bad, &broadcast.SinkOptions{Policy: broadcast.Demote})
		r.add(good, nil)
		r.start(t.Context())
		for i := range 3 {
			r.feed(1000)
			bad.set(true)
			r.feed(8 << 20)
			r.awaitAll(good)
			if st := s.Stats(); st.State != broadcast.Recorded || st.Demotions < i+1 {
				t.Errorf("%+v", st)
			}
			bad.set(false)
			ztest.Eventually(t, ztest.Patience, "a sink that has caught up", func() bool {
				st := s.Stats()
				return st.State == broadcast.Live && st.Lag == 0
			})
		}
		r.feed(1000)
		r.finish(good, bad)
		if st := s.Stats(); st.Recorded == 0 || st.Live == 0 || st.Live+st.Recorded != r.fed {
			t.Errorf("%+v", st)
		}
	})
	t.Run("block", func(t *testing.T) {
		t.Parallel()
		r := newReading(t, nil)
		good, bad := newGate(), newGate()
		s := r.add(bad, nil)
		r.add(good, nil)
		r.start(t.Context())
		bad.set(true)
		r.feed(1000)
		bad.awaitHung(t)
		fed := ztest.Go(t, "feed", func() { r.feed(12 << 20) })
		still, pos := 0, int64(0)
		ztest.Eventually(t, ztest.Patience, "the stream to stand still", func() bool {
			if now := r.b.Stats().Position; now != pos || pos < 3<<20 {
				pos, still = now, 0
			}
			still++
			return still > 50
		})
		must(t, s.Close())
		fed.Wait() // though its Write hangs
		r.awaitAll(good)
		bad.set(false)
		if err := s.Wait(); err != broadcast.ErrClosed {
			t.Error(err)
		}
		r.finish(good)
		ztest.Equal(t, "bad", bad.bytes(), readingPattern.Bytes(int(s.Stats().Position)))
	})
}

// awaitAll waits until the gates have all that was fed.
func (r *reading) awaitAll(all ...*gate) {
	r.t.Helper()
	for _, g := range all {
		ztest.Eventually(r.t, ztest.Patience, "the bytes", func() bool { return int64(len(g.bytes())) == r.fed })
	}
}

// TestBlockBounds: the stream waits for a sink that lags by MaxLag, and for no less.
func TestBlockBounds(t *testing.T) {
	t.Parallel()
	for _, maxLag := range []int64{0, 1, 3 << 20} {
		r := newReading(t, nil)
		g := newGate()
		s := r.add(g, &broadcast.SinkOptions{MaxLag: maxLag})
		r.start(t.Context())
		r.feed(1000)
		r.awaitAll(g)
		g.set(true)
		fed := ztest.Go(t, "feed", func() { r.feed(9 << 20) })
		want := max(maxLag, 1<<16)
		if maxLag == 0 {
			want = 4 << 20
		}
		ztest.Eventually(t, ztest.Patience, "the lag", func() bool { return s.Stats().Lag >= want })
		for end := time.Now().Add(20 * time.Millisecond); time.Now().Before(end); {
			if st := s.Stats(); st.Lag > max(want, 1<<20)+64<<10 {
				t.Fatalf("MaxLag %d: %+v", maxLag, st)
			}
		}
		g.set(false)
		fed.Wait()
		r.finish(g)
	}
}
