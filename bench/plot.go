package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"

	"github.com/zerocopy-go/zerocopy/internal/stat"
	"github.com/zerocopy-go/zerocopy/pages"
)

// A scale places figures on a logarithmic axis.
type scale struct {
	min, max float64 // of the figures, both above 0
	lo, hi   float64 // of the places
	// zero, if not 0, is how far from lo the axis begins: the figure 0, which a
	// logarithm has no place for, stands at lo.
	zero float64
}

// scaleOf returns a scale for the figures, those above 0 of them, from lo to hi.
// With withZero there is a place for 0. pad is the factor left free at both ends.
func scaleOf(xs []float64, lo, hi, pad float64, withZero bool) scale {
	s := scale{min: math.Inf(1), lo: lo, hi: hi}
	for _, x := range xs {
		if x > 0 {
			s.min, s.max = min(s.min, x/pad), max(s.max, x*pad)
		}
	}
	if s.max == 0 {
		s.min, s.max = 1, 10
	}
	if s.min == s.max {
		s.min, s.max = s.min/2, s.max*2
	}
	if withZero && slices.Contains(xs, 0) {
		s.zero = (hi - lo) * 0.1
	}
	return s
}

// at returns the place of x; what lies outside of the scale is at its end.
func (s scale) at(x float64) float64 {
	if x <= 0 && s.zero != 0 {
		return s.lo
	}
	from := s.lo + s.zero
	x = min(max(x, s.min), s.max)
	return from + (s.hi-from)*math.Log(x/s.min)/math.Log(s.max/s.min)
}

// ticks returns round figures within the scale, at least three if it can be, and
// no more than about nine.
func (s scale) ticks() []float64 {
	for _, steps := range [][]float64{{1}, {1, 3}, {1, 2, 5}, {1, 1.5, 2, 3, 5, 7}, {1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9}} {
		var ts []float64
		for e := math.Floor(math.Log10(s.min)); e <= math.Ceil(math.Log10(s.max)); e++ {
			for _, step := range steps {
				if t := step * math.Pow(10, e); t >= s.min*0.9999 && t <= s.max*1.0001 {
					ts = append(ts, t)
				}
			}
		}
		if len(ts) >= 3 {
			return ts
		}
	}
	return []float64{s.min, s.max}
}

// A point is a median with its quartiles.
type point struct{ x, y, lo, hi float64 }

// A series is a line of a plot.
type series struct {
	name   string
	points []point
}

// A plot is a diagram with two logarithmic axes.
type plot struct {
	xLabel, yLabel string
	xName          func(float64) string // of a tick
	series         []series
}

const (
	plotWidth, plotHeight           = 640.0, 340.0
	plotLeft, plotRight             = 58.0, 178.0 // on the right stand the names
	plotTop, plotBottom             = 14.0, 46.0
	nameHeight                      = 15.0
	dotsWidth, dotsHeight, dotsLeft = 640.0, 24.0, 190.0
)

// svg draws the plot. Colours are classes of the page's style sheet, so that
// they follow the reader's light or dark mode.
func (p plot) svg() string {
	var xs, ys []float64
	for _, s := range p.series {
		for _, pt := range s.points {
			xs = append(xs, pt.x)
			ys = append(ys, pt.lo, pt.hi)
		}
	}
	x := scaleOf(xs, plotLeft+8, plotWidth-plotRight, 1, true)
	y := scaleOf(ys, plotHeight-plotBottom, plotTop, 1.08, false)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, html.EscapeString(p.yLabel+" by "+p.xLabel))
	for _, t := range y.ticks() {
		at := y.at(t)
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/>`, plotLeft, plotWidth-plotRight+8, at, at)
		fmt.Fprintf(&b, `<text class="tick" text-anchor="end" x="%g" y="%.1f">%s</text>`, plotLeft-6, at+4, number(t))
	}
	slices.Sort(xs)
	last := math.Inf(-1)
	for _, t := range slices.Compact(xs) {
		at := x.at(t)
		if at-last < 40 {
			continue
		}
		last = at
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, at, at, plotTop, plotHeight-plotBottom)
		fmt.Fprintf(&b, `<text class="tick" text-anchor="middle" x="%.1f" y="%g">%s</text>`, at, plotHeight-plotBottom+16, html.EscapeString(p.xName(t)))
	}
	fmt.Fprintf(&b, `<text class="label" text-anchor="middle" x="%g" y="%g">%s</text>`, (plotLeft+plotWidth-plotRight)/2, plotHeight-8, html.EscapeString(p.xLabel))
	names := make([]float64, len(p.series))
	for i, s := range p.series {
		fmt.Fprintf(&b, `<g class="%s">`, class(s.name))
		var line []string
		for _, pt := range s.points {
			line = append(line, fmt.Sprintf("%.1f,%.1f", x.at(pt.x), y.at(pt.y)))
		}
		fmt.Fprintf(&b, `<polyline class="line" points="%s"/>`, strings.Join(line, " "))
		for _, pt := range s.points {
			px := x.at(pt.x)
			fmt.Fprintf(&b, `<line class="spread" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, px, px, y.at(pt.lo), y.at(pt.hi))
			fmt.Fprintf(&b, `<circle class="dot" cx="%.1f" cy="%.1f" r="3.2"><title>%s, %s: %s</title></circle>`,
				px, y.at(pt.y), html.EscapeString(s.name), html.EscapeString(p.xName(pt.x)), number(pt.y))
		}
		b.WriteString(`</g>`)
		names[i] = y.at(s.points[len(s.points)-1].y)
	}
	for i, at := range apart(names, nameHeight, plotTop, plotHeight-plotBottom) {
		s := p.series[i]
		end := s.points[len(s.points)-1]
		fmt.Fprintf(&b, `<g class="%s"><line class="spread" x1="%.1f" y1="%.1f" x2="%g" y2="%.1f"/>`,
			class(s.name), x.at(end.x)+5, y.at(end.y), plotWidth-plotRight+18, at)
		fmt.Fprintf(&b, `<text class="name" x="%g" y="%.1f">%s</text></g>`, plotWidth-plotRight+21, at+4, html.EscapeString(s.name))
	}
	b.WriteString(`</svg>`)
	return b.String()
}

// apart moves places from each other until they are gap apart, as little as it
// can, and keeps them between lo and hi if there is room. Order is kept.
func apart(at []float64, gap, lo, hi float64) []float64 {
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int {
		switch {
		case at[i] < at[j]:
			return -1
		case at[i] > at[j]:
			return 1
		}
		return 0
	})
	out := slices.Clone(at)
	next := lo
	for _, i := range order {
		out[i] = max(out[i], next)
		next = out[i] + gap
	}
	next = hi
	for _, i := range slices.Backward(order) {
		out[i] = min(out[i], next)
		next = out[i] - gap
	}
	return out
}

// dots draws a row for each name: its median as a dot, its quartiles as a line.
func dots(label string, names []string, spreads []stat.Spread) string {
	var xs []float64
	for _, s := range spreads {
		if s.N > 0 {
			xs = append(xs, s.Q1, s.Q3)
		}
	}
	x := scaleOf(xs, dotsLeft+10, dotsWidth-60, 1.1, false)
	height := dotsHeight*float64(len(names)) + 40
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, dotsWidth, height, html.EscapeString(label))
	for _, t := range x.ticks() {
		fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="4" y2="%g"/>`, x.at(t), x.at(t), height-36)
		fmt.Fprintf(&b, `<text class="tick" text-anchor="middle" x="%.1f" y="%g">%s</text>`, x.at(t), height-22, number(t))
	}
	fmt.Fprintf(&b, `<text class="label" text-anchor="middle" x="%g" y="%g">%s</text>`, (dotsLeft+dotsWidth-50)/2, height-5, html.EscapeString(label))
	for i, s := range spreads {
		at := dotsHeight*float64(i) + 16
		fmt.Fprintf(&b, `<g class="%s"><text class="name" text-anchor="end" x="%g" y="%g">%s</text>`, class(names[i]), dotsLeft-4, at+4, html.EscapeString(names[i]))
		if s.N == 0 {
			fmt.Fprintf(&b, `<text class="tick" x="%g" y="%g">not measured</text></g>`, dotsLeft+10, at+4)
			continue
		}
		fmt.Fprintf(&b, `<line class="spread wide" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, x.at(s.Q1), x.at(s.Q3), at, at)
		fmt.Fprintf(&b, `<circle class="dot" cx="%.1f" cy="%g" r="4.5"/><text class="tick" x="%.1f" y="%g">%s</text></g>`,
			x.at(s.Median), at, max(x.at(s.Q3), x.at(s.Median)+5)+6, at+4, number(s.Median))
	}
	b.WriteString(`</svg>`)
	return b.String()
}

// number prints a figure with three digits, and no exponent. Below a ten-thousandth
// it is as good as 0.
func number(x float64) string {
	if math.Abs(x) < 1e-4 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(x)))))
	text := fmt.Sprintf("%.*f", digits, x)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// alike are contenders, by what their names begin with, that have the colour of what
// stands in their place elsewhere, or of one that is not beside them in a plot.
var alike = []struct{ name, as string }{
	{byMulti, byIO}, {byBroadcast, byAllOn},
	{byProgress, byAllOn}, {byProgressWriter, byHATuned}, {byPace, byAllOn}, {byPaceWriter, byHATuned},
	{byWrite, byIO}, {byBlocking, byLoop256}, {byBufio, byLoop256},
	{lent(pages.Never, false).Name, byLoop32}, {lent(pages.Fastest, false).Name, byZerocopy},
	{lent(pages.FreshPages, false).Name, byHAProxy}, {lent(pages.ReaderCopies, false).Name, byHASplice}, {byConstant, byAllOn},
	{byExec, byIO}, {byZcexec, byZerocopy}, {byPassed, byLimit},
	{byRelay, byAllOn}, {byRelayFull, byProxy},
	{byHTTPDir, byIO}, {byHTTPFS, byLoop32}, {byFiles, byZerocopy}, {byFilesCache, byAllOn}, {byNginx, byHAProxy}, {byNginxCache, byHATuned},
	{byFastHTTP, byLoop256}, {byCaddy, byProxy}, {byHTTPProxy, byIO}, {byOurProxy, byZerocopy}, {byOurProxyOn, byAllOn},
	{byNginxKeep, byHATuned}, {byNginxPass, byHASplice}, {byOurBodyOn, byAllOn},
	{byPagesLimit + ",", byLimit}, {limitBy(wayZerocopy, false).Name, byUring}, {limitBy(waySame, false).Name, bySockmap},
}

// class is the class of a contender in the style sheet, by its variant: a name
// that begins as a variant's is that variant.
func class(name string) string {
	as, longest := name, 0
	for _, a := range alike {
		if strings.HasPrefix(name, a.name) && len(a.name) > longest {
			as, longest = a.as, len(a.name)
		}
	}
	found, longest := "other", 0
	for i, v := range []string{byIO, byLoop32, byLoop256, byZerocopy, byAllOn, byHAProxy, byHATuned, byHASplice, byLimit, byProxy, byUring, bySockmap} {
		if strings.HasPrefix(as, v) && len(v) > longest {
			found, longest = fmt.Sprintf("v%d", i), len(v)
		}
	}
	return found
}
