package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func TestSeries(t *testing.T) {
	t.Parallel()
	var s series
	if got := s.last(5); len(got.Lags) != 0 || got.Lags == nil || got.States != "" {
		t.Errorf("nothing was sampled: %+v", got)
	}
	for i := range kept + 10 {
		state := "live"
		if i >= kept {
			state = "recorded"
		}
		s.add(int64(i), state)
	}
	for _, row := range []struct {
		why    string
		n      int
		lags   []int64
		states string
	}{
		{"the last ones", 2, []int64{kept + 8, kept + 9}, "rr"},
		{"none that is new", 0, []int64{}, ""},
		{"the page is of an earlier run of the program", -7, []int64{}, ""},
	} {
		if got := s.last(row.n); !slices.Equal(got.Lags, row.lags) || got.States != row.states {
			t.Errorf("%s: last(%d) = %+v", row.why, row.n, got)
		}
	}
	got := s.last(1 << 30)
	if len(got.Lags) != kept || got.Lags[0] != 10 || got.States != strings.Repeat("l", kept-10)+strings.Repeat("r", 10) {
		t.Errorf("all that is kept: %d from %d, %s", len(got.Lags), got.Lags[0], got.States)
	}
	before := got.Lags[0]
	if s.add(0, "live"); got.Lags[0] != before {
		t.Error("what was handed out has changed")
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	var m meter
	if m.rate() != 0 {
		t.Error("a rate before the first sample")
	}
	start := time.Unix(1000, 0)
	at := func(i int, position int64) {
		m.add(start.Add(time.Duration(i)*interval), broadcast.Stats{Position: position})
	}
	at(0, 500)
	if m.rate() != 0 {
		t.Error("a rate by one sample")
	}
	for i := 1; i <= window; i++ {
		at(i, 500+int64(i)*250) // 1000 bytes a second
	}
	if m.rate() != 1000 {
		t.Errorf("rate = %v, want 1000", m.rate())
	}
	for i := window + 1; i <= 2*window; i++ {
		at(i, 500+window*250)
	}
	if m.rate() != 0 {
		t.Errorf("rate = %v, want 0 after a standstill of the whole window", m.rate())
	}
	for i := range 2 * kept {
		at(2*window+1+i, 1<<20)
	}
	if len(m.rates) != kept || len(m.positions) != window+1 || m.tick != 2*window+1+2*kept {
		t.Errorf("%d rates, %d positions, %d ticks", len(m.rates), len(m.positions), m.tick)
	}
}

// A viewer that has left is shown for a while, and what it was sent counts for ever.
func TestLeft(t *testing.T) {
	t.Parallel()
	s := newStation(options{}, newScreen(new(ztest.Output)))
	left := time.Now()
	s.viewers = []*viewer{{id: 1, left: left, why: "has gone", stats: broadcast.SinkStats{State: broadcast.Ended, Live: 5}}, {id: 2}}
	s.meter.sent = 5
	for _, row := range []struct {
		after time.Duration
		want  []int
	}{{0, []int{1, 2}}, {remembers - 1, []int{1, 2}}, {remembers, []int{2}}} {
		s.sample(left.Add(row.after))
		var got []int
		st := s.status(0)
		for _, v := range st.Viewers {
			got = append(got, v.ID)
		}
		if !slices.Equal(got, row.want) || st.Sent != 5 {
			t.Errorf("after %v: viewers %v, %d bytes sent, want %v and 5", row.after, got, st.Sent, row.want)
		}
	}
}

// The page asks for what is new since its last tick.
func TestSince(t *testing.T) {
	t.Parallel()
	s := newStation(options{}, newScreen(new(ztest.Output)))
	s.viewers = []*viewer{{id: 1}}
	for i := range 3 {
		s.sample(time.Unix(int64(i), 0))
	}
	for since, want := range map[int]int{0: 3, 1: 2, 3: 0, 100: 0, -1: 3} {
		st := s.status(since)
		if st.Tick != 3 || len(st.Rates) != want || st.Rates == nil || len(st.Viewers[0].Lags) != want || len(st.Viewers[0].States) != want {
			t.Errorf("since %d: %d rates, %+v of tick %d, want %d samples", since, len(st.Rates), st.Viewers[0].series, st.Tick, want)
		}
	}
}

// On a terminal lines are printed above the one that says how far the stream is.
func TestScreen(t *testing.T) {
	t.Parallel()
	var out ztest.Output
	s := newScreen(&out)
	s.progress("not yet")
	s.last = time.Time{}
	s.progress("now and then")
	if got := out.String(); !strings.HasSuffix(got, " now and then\n") || strings.Contains(got, "not yet") {
		t.Errorf("no terminal: %q", got)
	}
	out = ztest.Output{}
	s.terminal = true
	s.progress("one")
	s.Write([]byte("a line\n"))
	s.progress("two")
	s.progress("")
	s.Write([]byte("the end\n"))
	const erase, on, off = "\r\x1b[K", "\x1b[?7h", "\x1b[?7l"
	if got, want := out.String(), off+"one"+on+erase+"a line\n"+off+"one"+on+erase+off+"two"+on+erase+"the end\n"; got != want {
		t.Errorf("terminal: %q, want %q", got, want)
	}
}
