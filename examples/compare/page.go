package main

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").
	Funcs(template.FuncMap{"kinds": func() []kind { return kinds }}).Parse(pageText))

// writePage writes the results as one HTML page that needs no other resource
// and no script.
func writePage(w io.Writer, res *results) error {
	return pageTemplate.Execute(w, pageOf(res))
}

// A page is what the template shows. Numbers are between 0 and 1 where they are
// shades, and percentages of the axis where they are lengths.
type page struct {
	*results
	About, Summary string
	Theirs, Ours   [][]cell // by source, by destination; nil if there are no bare rows
	Groups         []bars
	Ticks          []tick
	Losses         []row
	Disputed       []row
	LeastCPU       float64 // percent
	LeastSpeed     float64
	Legend         []string
	Why            []row
}

// A cell is a field of a heat map.
type cell struct {
	Row   *row // nil if it was not measured
	Route string
	Big   string
	Small string
	Shade float64
	Class string // better, worse, tie
}

// bars are the rows of a group.
type bars struct {
	Title group
	Rows  []bar
}

type bar struct {
	row
	Theirs, Ours length
}

// A length is a bar with its whiskers.
type length struct {
	Class       string
	Width       float64
	Low, Spread float64 // from the least to the greatest measurement
	Cut         bool    // longer than the axis
	Text, Route string
}

type tick struct {
	At   float64
	Text string
}

func pageOf(res *results) page {
	p := page{results: res, About: res.Machine.String(), Summary: res.summary(), Legend: legend, LeastCPU: 100 * leastCPU, LeastSpeed: 100 * leastSpeed}
	p.Theirs, p.Ours = heat(res.Rows)
	axis := axisOf(res.Rows)
	for i := range 5 {
		v := axis * float64(i) / 4
		p.Ticks = append(p.Ticks, tick{25 * float64(i), fmt.Sprintf("%.2g", v)})
	}
	for _, r := range res.Rows {
		if r.loses() {
			p.Losses = append(p.Losses, r)
		}
		if r.Contradiction != "" {
			p.Disputed = append(p.Disputed, r)
		}
		if r.why() != "" {
			p.Why = append(p.Why, r)
		}
		if r.Rounds == 0 {
			continue
		}
		if n := len(p.Groups); n == 0 || p.Groups[n-1].Title != r.Group {
			p.Groups = append(p.Groups, bars{Title: r.Group})
		}
		g := &p.Groups[len(p.Groups)-1]
		g.Rows = append(g.Rows, bar{r, lengthOf("theirs", r.IOCopy, axis), lengthOf("ours", r.Copy, axis)})
	}
	return p
}

// What follows is for the template.

func (r row) Reason() string       { return r.why() }
func (r row) Words() string        { return r.marks() }
func (r row) CPUWord() string      { return cpuWords[r.CPUVerdict] }
func (r row) SpeedWord() string    { return speedWords[r.SpeedVerdict] }
func (r row) MiB() string          { return fmt.Sprintf("%.4g", float64(r.Bytes)/(1<<20)) }
func (r row) CPUs() [2]stat.Spread { return [2]stat.Spread{r.IOCopy.CPU, r.Copy.CPU} }

func (s side) Refused() string {
	if s.Seen == nil {
		return ""
	}
	return s.Seen.refused()
}

// heat returns the heat maps of the bare rows, io.Copy's shaded by CPU time,
// Copy's by the ratio of its CPU time to io.Copy's.
func heat(rows []row) (theirs, ours [][]cell) {
	most, any := 0.0, false
	for _, r := range rows {
		if r.Group == bare && r.Rounds > 0 {
			most, any = max(most, r.IOCopy.CPU.Median), true
		}
	}
	if !any {
		return nil, nil
	}
	for _, src := range kinds {
		var a, b []cell
		for _, dst := range kinds {
			i := slices.IndexFunc(rows, func(r row) bool {
				return r.Group == bare && r.Src == src && r.Dst == dst && r.Rounds > 0
			})
			if i < 0 {
				a, b = append(a, cell{}), append(b, cell{})
				continue
			}
			r := &rows[i]
			a = append(a, cell{r, short(r.IOCopy.Route), fmt.Sprintf("%.3f", r.IOCopy.CPU.Median), "", ratio(r.IOCopy.CPU.Median, most), "cost"})
			b = append(b, cell{r, short(r.Copy.Route), times(r.CPURatio), fmt.Sprintf("%.3f s/GB", r.Copy.CPU.Median),
				shade(r.CPURatio, r.CPUVerdict), r.CPUVerdict.String()})
		}
		theirs, ours = append(theirs, a), append(ours, b)
	}
	return theirs, ours
}

// shade is how strongly a ratio is coloured: not at all for a tie, fully at a
// quarter or four times io.Copy's.
func shade(ratio float64, v verdict) float64 {
	if v == tie || ratio <= 0 {
		return 0
	}
	return min(math.Abs(math.Log2(ratio))/2, 1)
}

// axisOf returns how many CPU seconds a GB the bars' axis spans. Rows that
// would leave the others nothing to be seen of, such as decompression, do not
// count: their bars are cut off.
func axisOf(rows []row) float64 {
	var all []float64
	for _, r := range rows {
		if r.Rounds > 0 {
			all = append(all, max(r.IOCopy.CPU.Median, r.Copy.CPU.Median))
		}
	}
	if len(all) == 0 {
		return 1
	}
	slices.Sort(all)
	axis := all[0]
	for _, v := range all {
		if v <= 3*stat.Quantile(all, 0.5) {
			axis = v
		}
	}
	step := math.Pow(10, math.Floor(math.Log10(axis)))
	for _, f := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10} { // quarters of which are short numbers
		if f*step >= axis*1.02 {
			return f * step
		}
	}
	return 20 * step
}

func lengthOf(class string, s side, axis float64) length {
	percent := func(v float64) float64 { return min(100*v/axis, 100) }
	return length{
		Class: class,
		Width: percent(s.CPU.Median), Low: percent(s.CPU.Min), Spread: percent(s.CPU.Max) - percent(s.CPU.Min),
		Cut: s.CPU.Median > axis, Text: fmt.Sprintf("%.3f", s.CPU.Median), Route: s.Route,
	}
}
