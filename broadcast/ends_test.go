package broadcast_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestRunTwice: the second Run fails at once, during the first and after it.
func TestRunTwice(t *testing.T) {
	t.Parallel()
	r := newReading(t, nil)
	g := newGate()
	r.add(g, nil)
	r.start(t.Context())
	r.feed(1000)
	for range 2 {
		if err := runAll(t, r.b); err == nil || err == r.err {
			t.Errorf("Run, again: %v", err)
		}
	}
	r.finish(g)
	if err := runAll(t, r.b); err == nil {
		t.Error("Run, after the end: no error")
	}
	if _, err := r.b.Add(new(bytes.Buffer), nil); err != broadcast.ErrEnded {
		t.Errorf("Add, after the end: %v", err)
	}
	r.b.End()
}

// TestNeverRun: sinks of a Broadcast that is not run can be closed, and cost nothing then.
func TestNeverRun(t *testing.T) {
	t.Parallel()
	rec := newFile(t)
	b, err := broadcast.New(strings.NewReader("text"), &broadcast.Options{Recording: rec})
	must(t, err)
	for _, fromStart := range []bool{false, true} {
		s, err := b.Add(new(bytes.Buffer), &broadcast.SinkOptions{FromStart: fromStart})
		must(t, err)
		must(t, s.Close())
		if err := s.Wait(); err != broadcast.ErrClosed {
			t.Error(err)
		}
	}
	// Ended before it began.
	b.End()
	if err := runAll(t, b); err != nil || b.Stats().Position != 0 {
		t.Errorf("Run: %v, %+v", err, b.Stats())
	}
}

// TestSourceWithoutDeadlines: a Read that nothing can end is waited for, once.
func TestSourceWithoutDeadlines(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	for name, tt := range map[string]struct {
		act  func(b *broadcast.Broadcast, cancel context.CancelCauseFunc)
		want error
	}{
		"End":     {func(b *broadcast.Broadcast, _ context.CancelCauseFunc) { b.End() }, nil},
		"context": {func(_ *broadcast.Broadcast, cancel context.CancelCauseFunc) { cancel(cause) }, cause},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			r := newReading(t, nil)
			g := newGate()
			s := r.add(g, nil)
			r.start(ctx)
			r.feed(1000)
			tt.act(r.b, cancel)
			fed := ztest.Go(t, "feed", func() { // so that the Read returns, if Run is in one
				for p := make([]byte, 1); ; {
					readingPattern.Fill(p, r.fed)
					n, err := r.in.Write(p)
					if r.fed += int64(n); err != nil {
						return
					}
				}
			})
			r.run.Wait()
			r.in.Close()
			fed.Wait()
			if r.err != tt.want || s.Wait() != tt.want {
				t.Errorf("Run: %v, sink: %v", r.err, s.Wait())
			}
			if got := g.bytes(); int64(len(got)) != s.Stats().Position || readingPattern.Diff(got, 0) != "" {
				t.Errorf("%d bytes: %v", len(got), s.Stats())
			}
		})
	}
}

// TestReports: reports come one at a time, in the order of things, hold nobody up, and
// have all returned when Run returns.
func TestReports(t *testing.T) {
	t.Parallel()
	src, in := io.Pipe()
	var b *broadcast.Broadcast
	var mu sync.Mutex
	var got []string
	running := 0
	open := make(chan struct{})
	b, err := broadcast.New(src, &broadcast.Options{Recording: newFile(t), Report: func(s *broadcast.Sink, st broadcast.SinkStats) {
		mu.Lock()
		if running++; running > 1 {
			t.Error("two reports at the same time")
		}
		got = append(got, st.Name+" "+st.State.String())
		mu.Unlock()
		<-open
		_, _ = b.Stats(), s.Stats() // it may ask
		mu.Lock()
		running--
		mu.Unlock()
	}})
	must(t, err)
	g := newGate()
	s, err := b.Add(g, &broadcast.SinkOptions{Name: "a", Policy: broadcast.Demote})
	must(t, err)
	done := ztest.Go(t, "Run", func() {
		if err := b.Run(t.Context()); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	in.Write(make([]byte, 1000))
	late, err := b.Add(new(bytes.Buffer), &broadcast.SinkOptions{Name: "b"})
	must(t, err)
	g.set(true)
	for range 100 {
		in.Write(make([]byte, 60_000))
	}
	ztest.Eventually(t, ztest.Patience, "falling back", func() bool { return s.Stats().State == broadcast.Recorded })
	must(t, late.Close())
	late.Wait()
	g.set(false)
	ztest.Eventually(t, ztest.Patience, "catching up", func() bool { return s.Stats().State == broadcast.Live })
	in.Close()
	s.Wait()
	ztest.Eventually(t, ztest.Patience, "the end of the recording", func() bool { return b.Stats().Recording.State == broadcast.Ended })
	select {
	case <-done.Done():
		t.Error("Run has returned before the reports")
	default:
	}
	close(open)
	done.Wait()
	want := "a live, b live, a recorded, b ended, a live, a ended, recording ended"
	other := "a live, b live, a recorded, b ended, a live, recording ended, a ended"
	if list := strings.Join(got, ", "); list != want && list != other {
		t.Errorf("reported %s, want %s", list, want)
	}
}

// TestWords: what is printed, and what JSON makes of it.
func TestWords(t *testing.T) {
	t.Parallel()
	lag := &broadcast.LagError{Name: "slow", Position: 5, Lag: 7, Max: 6}
	for _, tt := range []struct{ got, want string }{
		{fmt.Sprint(broadcast.Block, broadcast.Detach, broadcast.Demote, broadcast.Policy(200)), "block detach demote invalid"},
		{fmt.Sprint(broadcast.Live, broadcast.Recorded, broadcast.Ended, broadcast.State(200)), "live recorded ended invalid"},
		{lag.Error(), `broadcast: "slow" was detached at byte 5: 7 bytes behind the stream, where 6 are allowed`},
		{broadcast.SinkStats{Name: "a", Position: 3, Lag: 4, Mechanism: zerocopy.Tee}.String(), "a live at byte 3, 4 behind, by tee"},
		{broadcast.SinkStats{
			Name: "a", State: broadcast.Ended, Position: 3, Live: 1, Recorded: 2, Demotions: 1,
			Reason: zerocopy.ReasonNotDescriptor, Type: "*gzip.Writer", Err: lag,
		}.String(), "a ended at byte 3, 0 behind, 1 by the stream and 2 by the recording, to which it fell back 1 times, " +
			"by buffered: destination *gzip.Writer is not a descriptor: " + lag.Error()},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
	text, err := json.Marshal(broadcast.Stats{Position: 1, Sinks: []broadcast.SinkStats{{Name: "a", Policy: broadcast.Demote, State: broadcast.Recorded, Err: lag}}})
	must(t, err)
	for _, part := range []string{`"Policy":"demote"`, `"State":"recorded"`, `"Mechanism":"buffered"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	if errors.Unwrap(lag) != nil || !errors.Is(&broadcast.LagError{Err: io.ErrNoProgress}, io.ErrNoProgress) {
		t.Error("Unwrap")
	}
}
