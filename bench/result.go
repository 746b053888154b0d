package main

import "github.com/zerocopy-go/zerocopy/internal/stat"

// A result is all that a run has measured, as it is written to JSON.
type result struct {
	Began       string       `json:"began"`
	Command     string       `json:"command"`
	Machine     machine      `json:"machine"`
	Rounds      int          `json:"rounds"`
	Seconds     float64      `json:"seconds"`
	Bytes       int64        `json:"bytes,omitempty"`
	Remote      string       `json:"remote,omitempty"` // where source and sink ran, if not here
	Interrupted bool         `json:"interrupted,omitempty"`
	Cases       []caseResult `json:"cases"`
	Verdicts    []verdict    `json:"verdicts"`
}

// A machine is what the figures depend on.
type machine struct {
	CPU        string `json:"cpu"`
	CPUs       int    `json:"cpus"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	Congestion string `json:"congestion"` // what TCP sends by
	HAProxy    string `json:"haproxy,omitempty"`
	CC         string `json:"cc,omitempty"`
	Load       string `json:"load"` // the averages at the beginning
}

// A caseResult is what the contenders of a case have done.
type caseResult struct {
	Name       string            `json:"name"`
	Group      string            `json:"group,omitempty"`
	X          float64           `json:"x,omitempty"`
	About      string            `json:"about"`
	Note       string            `json:"note,omitempty"`
	Show       []string          `json:"show"`
	Contenders []contenderResult `json:"contenders"`
}

// A contenderResult is what one contender of a case has done.
type contenderResult struct {
	Name string `json:"name"`
	// Skipped says why it did not run, or why it failed.
	Skipped string `json:"skipped,omitempty"`
	// Verified is how many bytes arrived with the hash with which they were sent,
	// in a run of its own that was not timed.
	Verified int64                  `json:"verified,omitempty"`
	Samples  []sample               `json:"samples"`
	Metrics  map[string]stat.Spread `json:"metrics"`
	failed   bool
}

// contender returns the result of that name, and one that was skipped if it has
// no part in the case.
func (c *caseResult) contender(name string) *contenderResult {
	for i := range c.Contenders {
		if c.Contenders[i].Name == name {
			return &c.Contenders[i]
		}
	}
	return &contenderResult{Name: name, Skipped: "has no part in this case"}
}

// without says why the contender has no figure for m; "" if it has one.
func (r *contenderResult) without(m metric) string {
	switch {
	case r.Skipped != "":
		return r.Skipped
	case len(measured(values(m, r.Samples))) == 0:
		return "no " + m.Name
	}
	return ""
}

// sum fills in the spreads of what the samples say.
func (r *contenderResult) sum() {
	r.Metrics = make(map[string]stat.Spread)
	for _, m := range metrics {
		if xs := measured(values(m, r.Samples)); len(xs) > 0 {
			r.Metrics[m.Name] = stat.SpreadOf(xs)
		}
	}
}
