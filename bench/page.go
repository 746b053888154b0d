package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

//go:embed page.html
var pageText string

// A figure is a plot with its heading.
type figure struct {
	Title, About string
	SVG          template.HTML
}

// A pageCase is a case as the page shows it.
type pageCase struct {
	caseResult
	Rows [][]string
	Dots template.HTML
}

// A pageVerdict is a row of the table of bounds.
type pageVerdict struct {
	verdict
	Bound, Figure, Word, Class string
	Strip                      template.HTML
}

// writePage writes one self-contained page: no script, no font, no request.
func writePage(w io.Writer, res *result) error {
	t, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	data := struct {
		*result
		Held, Judged int
		Verdicts     []pageVerdict
		Figures      []figure
		Singles      []pageCase
	}{result: res, Figures: figures(res)}
	for _, v := range res.Verdicts {
		p := pageVerdict{v, v.bound.String(), v.figure(), v.word(), "missed", template.HTML(v.strip())}
		switch {
		case v.Missing != "":
			p.Class = "missing"
		case v.Holds:
			p.Class = "holds"
			data.Held++
		}
		if v.Missing == "" {
			data.Judged++
		}
		if len(v.Against) > 1 && v.Best != "" {
			p.Bound += " (" + v.Best + ")"
		}
		data.Verdicts = append(data.Verdicts, p)
	}
	for i := range res.Cases {
		c := &res.Cases[i]
		if isSizes(c.Group) {
			continue
		}
		p := pageCase{caseResult: *c, Rows: caseRows(c)}
		if c.Group == "" && len(c.Contenders) > 1 {
			var names []string
			var spreads []stat.Spread
			for _, r := range c.Contenders {
				names, spreads = append(names, r.Name), append(spreads, r.Metrics[c.Show[0]])
			}
			p.Dots = template.HTML(dots(c.Show[0], names, spreads))
		}
		data.Singles = append(data.Singles, p)
	}
	return t.Execute(w, data)
}

// figures returns the plots that the run has figures for.
func figures(res *result) (out []figure) {
	count := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	for _, f := range []struct {
		group, metric, title, about, xLabel string
		xName                               func(float64) string
	}{
		{groupSockets, mCPUOp, "Crossover: socket → socket", "Two copies, there and back, a new one for each message.", "size of the message", sizeName},
		{groupServe, mCPUOp, "Crossover: file → socket", "One copy of a file that is in memory.", "size of the file", sizeName},
		{groupFiles, mCPUOp, "Crossover: file → file", "One copy over an existing file.", "size of the file", sizeName},
		{groupIdle, mCPU, "CPU by idle tunnels", "One stream as an unprivileged user, beside tunnels that do nothing: io.Copy's hold pipes, of which the user may have few.", "idle tunnels", count},
		{groupIdle, mRate, "Throughput by idle tunnels", "The same runs.", "idle tunnels", count},
		{groupLoad, mRate, "Aggregate throughput by streams", "", "streams at once", count},
		{groupLoad, mCPU, "CPU by streams", "The same runs.", "streams at once", count},
		{groupFan, mCPU, "CPU by sinks", "One stream to so many sockets, a GB of what arrives at all of them together.", "sinks", count},
		{groupFan, mRate, "Throughput by sinks", "The same runs, all sinks together.", "sinks", count},
		{groupPages, mCPU, "CPU by bytes a send", "A stream that is made for a connection on this machine, where the kernel copies all that it is lent.", "bytes a send", sizeName},
		{groupTrips, mP50, "Round trip, median", "Through a proxy and back.", "size of the message", sizeName},
		{groupTrips, mP99, "Round trip, 99th percentile", "The same runs.", "size of the message", sizeName},
	} {
		p := plot{xLabel: f.xLabel, yLabel: f.metric, xName: f.xName, series: seriesOf(groupOf(res, f.group), f.metric)}
		if len(p.series) > 0 {
			out = append(out, figure{f.title + ", " + f.metric, f.about, template.HTML(p.svg())})
		}
	}
	return out
}

// seriesOf returns a line for each contender of a group of cases.
func seriesOf(cs []*caseResult, metric string) (out []series) {
	at := make(map[string]int)
	for _, c := range cs {
		for _, r := range c.Contenders {
			s, ok := r.Metrics[metric]
			if !ok {
				continue
			}
			i, ok := at[r.Name]
			if !ok {
				i = len(out)
				at[r.Name] = i
				out = append(out, series{name: r.Name})
			}
			out[i].points = append(out[i].points, point{c.X, s.Median, s.Q1, s.Q3})
		}
	}
	return out
}

// strip draws how far a figure is from its bound, on an axis from an eighth of it
// to eight times: to the left of the middle it holds. The line is from quartile to
// quartile, or to the worst round where that decides.
func (v verdict) strip() string {
	if v.Missing != "" {
		return ""
	}
	x := scale{min: 1.0 / 8, max: 8, lo: 6, hi: 154}
	place := func(f float64) float64 {
		limit := v.Limit
		if v.Plus != 0 {
			limit = v.Plus
		}
		if v.AtLeast {
			f, limit = limit, f
		}
		if limit <= 0 {
			return x.hi
		}
		return x.at(math.Max(f/limit, x.min))
	}
	worst := v.Measured.Median
	if v.Decided == byWorst {
		worst = v.deciding(v.Measured)
	}
	return fmt.Sprintf(`<svg class="strip" viewBox="0 0 160 16"><rect class="good" x="6" y="3" width="74" height="10"/><line class="bound" x1="80" x2="80" y1="0" y2="16"/>`+
		`<line class="spread wide" x1="%.1f" x2="%.1f" y1="8" y2="8"/><circle class="dot" cx="%.1f" cy="8" r="4"/></svg>`,
		place(min(v.Measured.Q1, worst)), place(max(v.Measured.Q3, worst)), place(v.Measured.Median))
}
