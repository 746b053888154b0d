package broadcast_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A scene is a stream in which something waits.
type scene struct {
	name  string
	setup func(s *show) (waits *viewer) // after it, that viewer's sink waits for its peer
}

// What waits for the source when no sink waits is Run itself.
var scenes = []scene{
	{"source idle", func(s *show) *viewer {
		s.feed(100_000)
		s.awaitAll()
		return nil
	}},
	{"nothing yet", func(s *show) *viewer { return nil }},
	{"the stream waits", func(s *show) *viewer { return s.stuck(&broadcast.SinkOptions{MaxLag: 1}, 8<<20) }},
	{"mid-splice", func(s *show) *viewer { return s.stuck(&broadcast.SinkOptions{Policy: broadcast.Detach}, 1<<20) }},
	{"demoted, mid-splice", func(s *show) *viewer {
		return s.stuck(&broadcast.SinkOptions{Policy: broadcast.Demote, MaxLag: 1}, 3<<20)
	}},
	{"mid-sendfile", func(s *show) *viewer {
		s.feed(3 << 20)
		s.awaitAll()
		return s.stuck(&broadcast.SinkOptions{FromStart: true, MaxLag: 1}, 0)
	}},
	{"prefix", func(s *show) *viewer { return s.stuck(&broadcast.SinkOptions{Prefix: make([]byte, 9<<20)}, 1<<20) }},
}

// stuck adds a viewer that takes nothing, and feeds n bytes, as far as they are taken.
func (s *show) stuck(o *broadcast.SinkOptions, n int64) *viewer {
	o.Name = "stuck"
	v := s.view(ztest.TCP4, o, ztest.StallAfter(0), ztest.Buffers(16<<10))
	s.in.SetWriteDeadline(time.Now().Add(time.Hour))
	end := s.fed + n
	fed := ztest.Go(s.t, "feed", func() { s.tryFeed(n) })
	s.awaitStill(end)
	s.in.SetWriteDeadline(time.Unix(1, 0)) // the rest is not wanted
	fed.Wait()
	s.in.SetWriteDeadline(time.Time{})
	v.AwaitFull()
	return v
}

// enact begins a show with two viewers who take what comes, and brings it into the scene.
func (sc scene) enact(t *testing.T, ctx context.Context) (s *show, waits *viewer) {
	_, recorded := recording(t, ztest.Tmpfs)
	s = newShow(t, ztest.TCP4, scarce(200), recorded)
	s.view(ztest.TCP4, nil)
	s.view(ztest.File, nil)
	s.run(ctx)
	return s, sc.setup(s)
}

var errCause = errors.New("enough of this")

// TestCancel: the context ends every wait at once. The sinks end with its cause, at a byte
// up to which they have all.
func TestCancel(t *testing.T) {
	t.Parallel()
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s, _ := sc.enact(t, ctx)
			cancel(errCause)
			s.wait()
			if s.err != errCause {
				t.Errorf("Run: %v", s.err)
			}
			for _, v := range s.viewers {
				if st := v.check(); st.Err != errCause {
					t.Errorf("%v", st)
				}
			}
			if rec := s.b.Stats().Recording; rec.State != broadcast.Ended || rec.Err != nil || rec.Position != s.b.Stats().Position {
				t.Errorf("recording: %v", rec)
			}
			if _, err := s.src.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the source's deadline: %v", err)
			}
		})
	}
	t.Run("before Run", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errCause)
		s := newShow(t, ztest.TCP4)
		v := s.view(ztest.TCP4, nil)
		s.run(ctx)
		s.wait()
		if s.err != errCause || v.check().Err != errCause {
			t.Errorf("Run: %v, sink: %v", s.err, v.sink.Wait())
		}
	})
}

// TestEnd: End ends the stream where it is, and all get what it has given.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			s, waits := sc.enact(t, t.Context())
			select {
			case <-s.b.Ended():
				t.Error("ended before the end")
			default:
			}
			s.b.End()
			ztest.Within(t, ztest.Patience, "the end of the source", func() { <-s.b.Ended() })
			if st := s.b.Stats(); !st.Ended {
				t.Errorf("%+v", st)
			}
			if _, err := s.b.Add(ztest.NewDest(t, ztest.TCP4).Writer, nil); err != broadcast.ErrEnded {
				t.Errorf("after the end: %v", err)
			}
			if waits != nil {
				select {
				case <-s.task.Done():
					t.Error("Run has returned before the last sink has ended")
				case <-time.After(5 * time.Millisecond):
				}
				waits.Resume()
			}
			s.wait()
			if s.err != nil {
				t.Errorf("Run: %v", s.err)
			}
			for _, v := range s.viewers {
				v.whole()
			}
			s.b.End() // of an ended stream
		})
	}
}

// TestClose: Close ends a sink in every state, at a byte up to which it has all, and
// nobody else.
func TestClose(t *testing.T) {
	t.Parallel()
	for _, sc := range scenes {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			s, v := sc.enact(t, t.Context())
			if v == nil {
				v = s.view(ztest.TCP4, nil)
			}
			must(t, v.Writer.SetReadDeadline(time.Time{}))
			v.close()
			must(t, v.sink.Close()) // once more
			select {
			case <-v.sink.Done():
			default:
				t.Error("Done is open")
			}
			v.check()
			s.feed(200_000)
			s.end()
			if s.err != nil {
				t.Errorf("Run: %v", s.err)
			}
			for _, other := range s.viewers {
				if other != v {
					other.whole()
				}
			}
			must(t, v.sink.Close())
		})
	}
	t.Run("before Run", func(t *testing.T) {
		t.Parallel()
		s := newShow(t, ztest.TCP4)
		v, other := s.view(ztest.TCP4, nil), s.view(ztest.TCP4, nil)
		v.close()
		s.run(t.Context())
		s.feed(10)
		s.end()
		v.check()
		other.whole()
	})
}

// TestSourceEnds: what came before the source's error is delivered, live and from the
// recording, and the error is Run's and the sinks'.
func TestSourceEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		kind ztest.Kind
		end  func(s *show)
		want error
	}{
		{"reset", ztest.TCP4, func(s *show) {
			s.in.(*net.TCPConn).SetLinger(0)
			s.in.Close()
		}, syscall.ECONNRESET},
		{"deadline", ztest.TCP4, func(s *show) { s.src.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"deadline", ztest.Unix, func(s *show) { s.src.SetReadDeadline(time.Now().Add(time.Millisecond)) }, os.ErrDeadlineExceeded},
		{"closed", ztest.TCP4, func(s *show) { s.src.Close() }, net.ErrClosed},
		{"closed", ztest.Unix, func(s *show) { s.src.Close() }, net.ErrClosed},
		{"closed", ztest.Pipe, func(s *show) { s.src.Close() }, os.ErrClosed},
		{"the end", ztest.Pipe, func(s *show) { s.in.Close() }, nil},
	} {
		t.Run(fmt.Sprintf("%s/%s", tt.name, tt.kind), func(t *testing.T) {
			t.Parallel()
			_, recorded := recording(t, ztest.Tmpfs)
			s := newShow(t, tt.kind, recorded)
			few := ztest.Buffers(16 << 10)
			s.view(ztest.TCP4, nil)
			s.view(ztest.TCP4, &broadcast.SinkOptions{Policy: broadcast.Detach}, ztest.StallAfter(0), few)
			s.view(ztest.TCP4, &broadcast.SinkOptions{Policy: broadcast.Demote, MaxLag: 1}, ztest.StallAfter(0), few)
			s.run(t.Context())
			s.feed(3 << 20)
			s.awaitTaken()
			s.view(ztest.TCP4, &broadcast.SinkOptions{FromStart: true}, ztest.StallAfter(0), few)
			tt.end(s)
			ztest.Within(t, ztest.Patience, "the end of the source", func() { <-s.b.Ended() })
			for _, v := range s.viewers {
				v.Resume()
			}
			s.wait()
			if !errors.Is(s.err, tt.want) {
				t.Errorf("Run: %v, want %v", s.err, tt.want)
			}
			for _, v := range s.viewers {
				if st := v.check(); st.Err != s.err || st.Position != s.fed {
					t.Errorf("%v, want %v", st, s.err)
				}
			}
			if rec := s.b.Stats().Recording; rec.Position != s.fed || rec.Err != nil {
				t.Errorf("recording: %v", rec)
			}
		})
	}
}

// TestPrefix: the prefix comes before the first byte of the stream, whatever the sink is
// and wherever it begins, and is in no count.
func TestPrefix(t *testing.T) {
	t.Parallel()
	_, recorded := recording(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, recorded)
	prefix := []byte("HTTP/1.1 200 OK\r\n\r\n")
	add := func(fromStart bool) {
		for i, k := range streams {
			s.view(k, &broadcast.SinkOptions{Policy: everyPolicy[i%3], FromStart: fromStart, Prefix: prefix})
		}
		s.viewBy(func(w io.Writer) io.Writer { return struct{ io.Writer }{w} }, &broadcast.SinkOptions{FromStart: fromStart, Prefix: prefix})
	}
	add(false)
	s.run(t.Context())
	add(true)
	s.feed(100_000)
	s.awaitAll()
	add(false)
	add(true)
	s.feed(100_000)
	s.awaitAll()
	alone := s.view(ztest.TCP4, &broadcast.SinkOptions{Prefix: prefix}) // gets nothing else
	s.finish()
	if st := alone.sink.Stats(); st.Position != st.From || st.Live != 0 {
		t.Errorf("%+v", st)
	}
	alone.got.mu.Lock()
	if len(alone.got.prefix) > 0 {
		t.Errorf("%d bytes of the prefix are missing", len(alone.got.prefix))
	}
	alone.got.mu.Unlock()
}

// TestConcurrent: everything at the same time, for the race detector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	_, recorded := recording(t, ztest.Tmpfs)
	s := newShow(t, ztest.Unix, recorded)
	s.run(t.Context())
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 6 {
		wg.Go(func() {
			for n := 0; ; n++ {
				sink, err := s.b.Add(&struct{ io.Writer }{io.Discard}, &broadcast.SinkOptions{Policy: everyPolicy[n%3], FromStart: n%2 == 0, Name: fmt.Sprint(i)})
				if err == broadcast.ErrEnded {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				var inner sync.WaitGroup
				inner.Go(func() { _ = sink.Stats().String() })
				inner.Go(func() { sink.Close() })
				inner.Go(func() { sink.Close() })
				if err := sink.Wait(); err != nil && err != broadcast.ErrClosed {
					t.Error(err)
				}
				inner.Wait()
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = s.b.Stats()
			}
		}
	})
	for range 20 {
		s.feed(30_000, 1000)
	}
	s.b.End()
	s.b.End()
	s.wait()
	close(stop)
	wg.Wait()
	if s.err != nil {
		t.Error(s.err)
	}
}
