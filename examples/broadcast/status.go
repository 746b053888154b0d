package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
)

// A status is what /status.json says. Rates and Series hold the samples after that
// of the request's parameter since.
type status struct {
	Tick       int             `json:"tick"`
	IntervalMS int64           `json:"interval_ms"`
	Kept       int             `json:"kept"`
	Phase      phase           `json:"phase"`
	Source     string          `json:"source"`
	Mechanism  string          `json:"mechanism"` // by which the source's bytes are taken
	Why        string          `json:"why"`
	Seconds    float64         `json:"seconds"`
	Position   int64           `json:"position"`
	Rate       float64         `json:"rate"` // bytes a second
	Rates      []float64       `json:"rates"`
	Sent       int64           `json:"sent"` // to all viewers there were
	Policy     string          `json:"policy"`
	MaxLag     int64           `json:"max_lag"`
	Recording  *recordStatus   `json:"recording"`
	Viewers    []*viewerStatus `json:"viewers"`
}

type recordStatus struct {
	File      string `json:"file"`
	State     string `json:"state"`
	Position  int64  `json:"position"`
	Lag       int64  `json:"lag"`
	Mechanism string `json:"mechanism"`
	Why       string `json:"why"`
	Error     string `json:"error,omitempty"`
}

type viewerStatus struct {
	ID        int     `json:"id"`
	Kind      string  `json:"kind"`
	Name      string  `json:"name"`
	State     string  `json:"state"` // waiting, live, recorded, ended
	Left      string  `json:"left,omitempty"`
	Seconds   float64 `json:"seconds"`
	From      int64   `json:"from"`
	Position  int64   `json:"position"`
	Lag       int64   `json:"lag"`
	Live      int64   `json:"live"`
	Recorded  int64   `json:"recorded"`
	Demotions int     `json:"demotions"`
	Pipes     int     `json:"pipes"`
	Mechanism string  `json:"mechanism"`
	Why       string  `json:"why"`
	series
}

// status returns the counts of the last sample.
func (s *station) status(since int) *status {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	fresh := s.meter.tick - since
	st := &status{
		Tick: s.meter.tick, IntervalMS: interval.Milliseconds(), Kept: kept,
		Phase: s.phase, Source: s.from, Seconds: now.Sub(s.start).Seconds(),
		Position: s.meter.stats.Position, Rate: s.meter.rate(), Sent: s.meter.sent,
		Rates:  append([]float64{}, s.meter.rates[len(s.meter.rates)-min(max(fresh, 0), len(s.meter.rates)):]...),
		Policy: s.opt.policy.String(), MaxLag: s.opt.maxLag, Viewers: []*viewerStatus{},
	}
	if s.stream != nil {
		in := s.meter.stats
		st.Mechanism, st.Why = in.Mechanism.String(), why(in.Mechanism, in.Reason, zerocopy.SourceEnd, in.Type)
	}
	if s.opt.record != "" {
		st.Recording = recording(s.opt.record, s.meter.stats.Recording)
	}
	for _, v := range s.viewers {
		vs := &viewerStatus{
			ID: v.id, Kind: v.kind, Name: v.name, State: v.state(), Left: v.why, Seconds: now.Sub(v.since).Seconds(),
			From: v.stats.From, Position: v.stats.Position, Lag: v.stats.Lag, Live: v.stats.Live, Recorded: v.stats.Recorded,
			Demotions: v.stats.Demotions, Pipes: v.stats.Pipes, series: v.series.last(fresh),
		}
		if v.left.IsZero() {
			st.Sent += v.written()
		} else {
			vs.Seconds = v.left.Sub(v.since).Seconds()
		}
		if v.sink != nil {
			vs.Mechanism, vs.Why = v.stats.Mechanism.String(), whySink(v.stats)
		}
		st.Viewers = append(st.Viewers, vs)
	}
	return st
}

// recording is what is to be said of a recording, whose counts may not be there yet.
func recording(file string, r *broadcast.SinkStats) *recordStatus {
	st := &recordStatus{File: file, State: string(waiting)}
	if r == nil {
		return st
	}
	st.State, st.Position, st.Lag = r.State.String(), r.Position, r.Lag
	st.Mechanism, st.Why = r.Mechanism.String(), whySink(*r)
	if r.Err != nil {
		st.Error = r.Err.Error()
	}
	return st
}

// why says what keeps bytes from staying in the kernel; it is empty where nothing does.
func why(mechanism zerocopy.Mechanism, reason zerocopy.Reason, end zerocopy.End, typ string) string {
	if reason == zerocopy.ReasonNone {
		return ""
	}
	return zerocopy.Step{Mechanism: mechanism, Reason: reason, End: end, Type: typ}.String()
}

func whySink(s broadcast.SinkStats) string {
	return why(s.Mechanism, s.Reason, zerocopy.DestinationEnd, s.Type)
}

func (s *station) serveStatus(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.Atoi(r.URL.Query().Get("since"))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(s.status(since))
}
