package main

import (
	"fmt"
	"strings"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

// A bound is a figure to reach: a ratio to another contender of the same case
// or, where Against is empty, the figure itself.
type bound struct {
	Contender string   `json:"contender"`
	Against   []string `json:"against,omitempty"` // the best of them counts
	Metric    string   `json:"metric"`
	AtLeast   bool     `json:"atLeast,omitempty"` // else at most
	Limit     float64  `json:"limit"`
	// Plus, if not 0, is how much more than Limit times the other's figure is
	// allowed, in the metric's unit. What is measured is then what is more.
	Plus float64 `json:"plus,omitempty"`
	// Decided says which figure of the rounds decides: the median if not set.
	Decided decider `json:"decided,omitempty"`
}

// A decider names the figure of a bound's rounds that is compared with its limit.
type decider string

const (
	// byWorst is for what must not happen once.
	byWorst decider = "worst"
	// byQuartile is for bounds that both sides reach where nothing is wrong: ratios
	// around 1 would miss by chance half of the time. It is the quartile on the
	// bound's side, so that the bound is missed where three rounds of four miss it.
	byQuartile decider = "quartile"
)

// by returns the bound with another decider.
func (b bound) by(d decider) bound {
	b.Decided = d
	return b
}

func atMost(contender, metric string, limit float64, against ...string) bound {
	return bound{Contender: contender, Against: against, Metric: metric, Limit: limit}
}

func atLeast(contender, metric string, limit float64, against ...string) bound {
	return bound{Contender: contender, Against: against, Metric: metric, AtLeast: true, Limit: limit}
}

// A verdict is a bound with what was measured.
type verdict struct {
	bound
	Case string `json:"case"`
	// Best is the one of Against that was compared with.
	Best string `json:"best,omitempty"`
	// Measured is the ratio, the difference or the figure, a round each.
	Measured stat.Spread `json:"measured"`
	// Holds is decided by the median, unless the bound says otherwise.
	Holds bool `json:"holds"`
	// Missing says why nothing could be compared.
	Missing string `json:"missing,omitempty"`
}

// judge compares what a case measured with one of its bounds.
func (b bound) judge(c *caseResult) verdict {
	v := verdict{bound: b, Case: c.Name}
	m := metricNamed(b.Metric)
	own := c.contender(b.Contender)
	if why := own.without(m); why != "" {
		v.Missing = b.Contender + ": " + why
		return v
	}
	xs := values(m, own.Samples)
	if len(b.Against) == 0 {
		v.Measured = stat.SpreadOf(measured(xs))
		v.Holds = b.holds(v.Measured)
		return v
	}
	var other []float64
	var best float64
	for _, name := range b.Against {
		r := c.contender(name)
		if r.without(m) != "" {
			continue
		}
		ys := values(m, r.Samples)
		median := stat.SpreadOf(measured(ys)).Median
		if other == nil || (b.AtLeast && median > best) || (!b.AtLeast && median < best) {
			other, best, v.Best = ys, median, name
		}
	}
	if other == nil {
		v.Missing = b.Against[0] + ": " + c.contender(b.Against[0]).without(m)
		return v
	}
	if b.Plus != 0 {
		var more []float64
		for i := range min(len(xs), len(other)) {
			more = append(more, xs[i]-b.Limit*other[i])
		}
		v.Measured = stat.SpreadOf(measured(more))
		v.Holds = b.deciding(v.Measured) <= b.Plus
		return v
	}
	v.Measured = stat.SpreadOf(ratios(xs, other))
	v.Holds = v.Measured.N > 0 && b.holds(v.Measured)
	return v
}

func (b bound) holds(s stat.Spread) bool {
	if b.AtLeast {
		return b.deciding(s) >= b.Limit
	}
	return b.deciding(s) <= b.Limit
}

// deciding returns the figure that is compared with the limit.
func (b bound) deciding(s stat.Spread) float64 {
	switch {
	case b.Decided == byWorst && b.AtLeast:
		return s.Min
	case b.Decided == byWorst:
		return s.Max
	case b.Decided == byQuartile && b.AtLeast:
		return s.Q3
	case b.Decided == byQuartile:
		return s.Q1
	}
	return s.Median
}

// String returns the bound in words, such as "CPU-s/GB ≤ 0.9× io.Copy".
func (b bound) String() string {
	switch b.Decided {
	case byWorst:
		return b.by("").String() + " (worst round)"
	case byQuartile:
		return b.by("").String() + " (by the quartile)"
	}
	op := "≤"
	if b.AtLeast {
		op = "≥"
	}
	if len(b.Against) == 0 {
		return fmt.Sprintf("%s %s %.3g", b.Metric, op, b.Limit)
	}
	text := fmt.Sprintf("%s %s %.3g×", b.Metric, op, b.Limit)
	if b.Plus != 0 {
		return fmt.Sprintf("%s %s + %g", text, b.Against[0], b.Plus)
	}
	if len(b.Against) > 1 {
		return text + " the better of " + strings.Join(b.Against, ", ")
	}
	return text + " " + b.Against[0]
}

// figure prints what was measured in the bound's terms.
func (v verdict) figure() string {
	if v.Missing != "" {
		return "–"
	}
	text := number(v.Measured.Median)
	switch {
	case v.Plus != 0 && v.Measured.Median >= 0:
		text = "+" + text
	case v.Plus == 0 && len(v.Against) > 0:
		text += "×"
	}
	if v.Measured.N > 1 {
		text += " (" + number(v.Measured.Q1) + " to " + number(v.Measured.Q3)
		if v.Decided == byWorst {
			text += ", worst " + number(v.deciding(v.Measured))
		}
		text += ")"
	}
	return text
}

// word is the verdict in a word or, where there is none, the reason.
func (v verdict) word() string {
	switch {
	case v.Missing != "":
		return "not measured, " + v.Missing
	case v.Holds:
		return "holds"
	}
	return "MISSED"
}
