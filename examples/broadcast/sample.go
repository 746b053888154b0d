package main

import (
	"fmt"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
)

const (
	interval  = 250 * time.Millisecond // between samples
	kept      = 240                    // samples: a minute
	remembers = 20 * time.Second       // how long the page shows a viewer that has left
	window    = 8                      // samples that the rate is the mean of
)

// A series is what the samples of a viewer were, the newest last.
type series struct {
	Lags   []int64 `json:"lags"`
	States string  `json:"states"` // a letter a sample: l, r, e or, without a stream, w
}

func (s *series) add(lag int64, state string) {
	if len(s.Lags) == kept {
		s.Lags = append(s.Lags[:0], s.Lags[1:]...)
		s.States = s.States[1:]
	}
	s.Lags = append(s.Lags, lag)
	s.States += state[:1]
}

// last returns a copy of the last n samples, or of as many as there are.
func (s *series) last(n int) series {
	at := len(s.Lags) - min(max(n, 0), len(s.Lags))
	return series{append([]int64{}, s.Lags[at:]...), s.States[at:]}
}

// A meter is what the samples of the stream were. The zero meter is ready for use.
type meter struct {
	tick      int // number of samples
	stats     broadcast.Stats
	sent      int64 // to viewers that have left
	positions []int64
	times     []time.Time
	rates     []float64 // bytes a second
}

func (m *meter) add(now time.Time, stats broadcast.Stats) {
	m.tick++
	m.stats = stats
	if len(m.positions) > window {
		m.positions, m.times = m.positions[1:], m.times[1:]
	}
	m.positions, m.times = append(m.positions, stats.Position), append(m.times, now)
	rate := 0.0
	if took := now.Sub(m.times[0]).Seconds(); took > 0 {
		rate = float64(stats.Position-m.positions[0]) / took
	}
	if len(m.rates) == kept {
		m.rates = append(m.rates[:0], m.rates[1:]...)
	}
	m.rates = append(m.rates, rate)
}

func (m *meter) rate() float64 {
	if len(m.rates) == 0 {
		return 0
	}
	return m.rates[len(m.rates)-1]
}

// tick takes samples until the function that it returns is called.
func (s *station) tick() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case now := <-t.C:
				s.scr.progress(s.sample(now))
			case <-quit:
				s.scr.progress("")
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// sample takes the counts of this moment. It returns them in one line.
func (s *station) sample(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var stats broadcast.Stats
	if s.stream != nil {
		stats = s.stream.Stats()
	}
	s.meter.add(now, stats)
	at, recorded := 0, 0
	for _, v := range s.viewers {
		if v.left.IsZero() && v.sink != nil {
			v.stats = v.sink.Stats()
		}
		if v.left.IsZero() || now.Sub(v.left) < remembers {
			s.viewers[at] = v
			at++
		}
		if v.state() == "recorded" {
			recorded++
		}
		v.series.add(v.stats.Lag, v.state())
	}
	clear(s.viewers[at:])
	s.viewers = s.viewers[:at]
	if s.phase == waiting {
		return ""
	}
	line := fmt.Sprintf("%v  %s at %.1f Mbit/s, %d viewers", now.Sub(s.start).Round(time.Second), size(stats.Position), s.meter.rate()*8/1e6, s.present())
	if recorded > 0 {
		line += fmt.Sprintf(", %d of them from the recording", recorded)
	}
	return line
}

// present counts the viewers that have not left.
func (s *station) present() (n int) {
	for _, v := range s.viewers {
		if v.left.IsZero() {
			n++
		}
	}
	return n
}

// state is the viewer's in a word.
func (v *viewer) state() string {
	if v.left.IsZero() && v.sink == nil {
		return "waiting"
	}
	return v.stats.State.String()
}
