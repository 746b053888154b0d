package broadcast_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A viewer is a sink of a show, whose peer compares what comes with the stream.
type viewer struct {
	*ztest.Dest // nil for a Writer that is no descriptor
	t           testing.TB
	show        *show
	name        string
	sink        *broadcast.Sink
	got         *watcher
}

// A watcher compares what it is given, after the prefix, with the stream from where its
// sink joined. It takes all, right or wrong, so that nobody has to wait for it.
type watcher struct {
	p      ztest.Pattern
	prefix []byte
	joined chan struct{} // closed when from is known

	mu   sync.Mutex
	from int64
	n    int64 // of the stream
	diff string
}

func (w *watcher) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	<-w.joined
	w.mu.Lock()
	defer w.mu.Unlock()
	all := len(b)
	if k := min(len(w.prefix), all); k > 0 {
		if s := ztest.Diff(b[:k], w.prefix[:k]); s != "" && w.diff == "" {
			w.diff = "prefix: " + s
		}
		w.prefix, b = w.prefix[k:], b[k:]
	}
	if w.diff == "" {
		w.diff = w.p.Diff(b, w.from+w.n)
	}
	w.n += int64(len(b))
	return all, nil
}

// has returns how many bytes of the stream have come, and what is wrong with them.
func (w *watcher) has() (int64, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n, w.diff
}

// view adds a sink of the kind.
func (s *show) view(k ztest.Kind, o *broadcast.SinkOptions, opts ...ztest.Option) *viewer {
	s.t.Helper()
	v, err := s.tryView(k, o, opts...)
	if err != nil {
		s.t.Fatalf("%s cannot join: %v", k, err)
	}
	return v
}

func (s *show) tryView(k ztest.Kind, o *broadcast.SinkOptions, opts ...ztest.Option) (*viewer, error) {
	s.t.Helper()
	v := s.viewer(o)
	if k.Stream() {
		opts = append(opts, ztest.Into(v.got))
	}
	v.Dest = ztest.NewDest(s.t, k, opts...)
	return v, s.join(v, v.Dest.Writer, o)
}

// viewBy adds a Writer, which hands what it gets to the viewer's watcher.
func (s *show) viewBy(w func(io.Writer) io.Writer, o *broadcast.SinkOptions) *viewer {
	s.t.Helper()
	v := s.viewer(o)
	if err := s.join(v, w(v.got), o); err != nil {
		s.t.Fatalf("%s cannot join: %v", v.name, err)
	}
	return v
}

func (s *show) viewer(o *broadcast.SinkOptions) *viewer {
	v := &viewer{t: s.t, show: s, got: &watcher{p: s.pattern, joined: make(chan struct{})}}
	if o != nil {
		v.name, v.got.prefix = o.Name, bytes.Clone(o.Prefix)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.name == "" {
		v.name = fmt.Sprintf("viewer %d", len(s.viewers))
	}
	return v
}

// join has the viewer join by w.
func (s *show) join(v *viewer, w io.Writer, o *broadcast.SinkOptions) error {
	sink, err := s.b.Add(w, o)
	if err != nil {
		return err
	}
	v.sink, v.got.from = sink, sink.Stats().From
	close(v.got.joined)
	s.mu.Lock() // which interceptors take with the Broadcast's held
	defer s.mu.Unlock()
	s.viewers = append(s.viewers, v)
	return nil
}

// check waits for the end of the sink, and demands that its peer has got exactly the
// bytes from where it joined to its position. It returns the sink's last counts.
func (v *viewer) check() broadcast.SinkStats {
	v.t.Helper()
	ztest.Within(v.t, ztest.Patience, v.name+": end of the sink", func() { <-v.sink.Done() })
	st := v.sink.Stats()
	if st.State != broadcast.Ended || st.Pipes != 0 || st.Live+st.Recorded != st.Position-st.From || st.Err != v.sink.Wait() {
		v.t.Errorf("%s: counts %+v", v.name, st)
	}
	want := st.Position - st.From
	if v.Dest != nil && !v.Kind.Stream() {
		got := v.Finish()
		if !v.Discards && int64(len(got)) != want {
			v.t.Errorf("%s: %d bytes, want %d: %v", v.name, len(got), want, st)
		}
		v.show.pattern.Check(v.t, got, st.From)
		return st
	}
	if v.Dest != nil {
		v.Finish()
		if err := v.Err(); err != nil {
			v.t.Errorf("%s: peer: %v", v.name, err)
		}
	}
	if n, diff := v.got.has(); n != want || diff != "" {
		v.t.Errorf("%s: %d bytes, want %d: %v: %s", v.name, n, want, st, diff)
	}
	return st
}

// whole is check for a sink that has to have come to the end of the stream.
func (v *viewer) whole() broadcast.SinkStats {
	v.t.Helper()
	st := v.check()
	if pos := v.show.b.Stats().Position; st.Err != nil || st.Position != pos || st.Lag != 0 {
		v.t.Errorf("%s: ended at byte %d of %d: %v", v.name, st.Position, pos, st)
	}
	return st
}

// close ends the sink.
func (v *viewer) close() {
	v.t.Helper()
	must(v.t, v.sink.Close())
	ztest.Within(v.t, ztest.Patience, v.name+": end of the sink", func() {
		if err := v.sink.Wait(); err != broadcast.ErrClosed {
			v.t.Errorf("%s: closed: %v", v.name, err)
		}
	})
}

// detached demands that the sink has been ended because it lagged.
func (v *viewer) detached(maxLag int64) {
	v.t.Helper()
	ztest.Within(v.t, ztest.Patience, v.name+": end of the sink", func() { <-v.sink.Done() })
	st := v.sink.Stats()
	var lag *broadcast.LagError
	if !errors.As(st.Err, &lag) || lag.Name != st.Name || lag.Position != st.Position || lag.Max != maxLag ||
		lag.Lag <= 0 || lag.Lag > maxLag+v.show.b.PipeSize() {
		v.t.Errorf("%s: %+v, ended with %+v", v.name, st, st.Err)
	}
}

// await waits until the viewer has all of the stream from where it joined to pos.
func (v *viewer) await(pos int64) {
	v.t.Helper()
	ztest.Eventually(v.t, ztest.Patience, fmt.Sprintf("%s: bytes up to %d", v.name, pos), func() bool {
		st := v.sink.Stats()
		if st.State == broadcast.Ended && st.Position < pos {
			v.t.Fatalf("%s: %v, want it at byte %d", v.name, st, pos)
		}
		n := st.Position - st.From
		if v.Dest == nil || v.Kind.Stream() {
			n, _ = v.got.has()
		}
		return st.From+n >= pos
	})
}

// awaitState waits until the sink gets its bytes from there.
func (v *viewer) awaitState(want broadcast.State) {
	v.t.Helper()
	ztest.Eventually(v.t, ztest.Patience, fmt.Sprintf("%s: %v", v.name, want), func() bool { return v.sink.Stats().State == want })
}

// requireTee demands that the stream goes to the sink by tee and splice.
func (v *viewer) requireTee() {
	v.t.Helper()
	if st := v.sink.Stats(); st.Mechanism != zerocopy.Tee || st.Reason != zerocopy.ReasonNone || st.Type != "" || st.Why() != "tee" {
		v.t.Errorf("%s: by %s", v.name, st.Why())
	}
}
