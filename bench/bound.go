package main

import (
	"fmt"
	"strings"
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
	Measured spread `json:"measured"`
	// Holds is decided by the median.
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
		v.Measured = spreadOf(measured(xs))
		v.Holds = b.holds(v.Measured.Median)
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
		median := spreadOf(measured(ys)).Median
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
		v.Measured = spreadOf(measured(more))
		v.Holds = v.Measured.Median <= b.Plus
		return v
	}
	v.Measured = spreadOf(ratios(xs, other))
	v.Holds = v.Measured.N > 0 && b.holds(v.Measured.Median)
	return v
}

func (b bound) holds(x float64) bool {
	if b.AtLeast {
		return x >= b.Limit
	}
	return x <= b.Limit
}

// String returns the bound in words, such as "CPU-s/GB ≤ 0.9× io.Copy".
func (b bound) String() string {
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
		text += " (" + number(v.Measured.Q1) + " to " + number(v.Measured.Q3) + ")"
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
