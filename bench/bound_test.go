package main

import (
	"strings"
	"testing"
)

// caseOf is a case whose contenders needed so many CPU seconds for a GB each.
func caseOf(cpu map[string][]float64) *caseResult {
	c := &caseResult{Name: "case", Show: []string{mCPU, mRate}}
	for _, name := range []string{byIO, byLoop32, byZerocopy} {
		r := contenderResult{Name: name}
		for _, x := range cpu[name] {
			r.Samples = append(r.Samples, sample{Bytes: gb, Ops: 1000, Seconds: 1, CPU: x})
		}
		if len(r.Samples) == 0 {
			r.Skipped = "not installed"
		}
		r.sum()
		c.Contenders = append(c.Contenders, r)
	}
	return c
}

func TestJudge(t *testing.T) {
	t.Parallel()
	c := caseOf(map[string][]float64{byIO: {1, 2, 4}, byLoop32: {3, 3, 3}, byZerocopy: {0.5, 1, 2}})
	some := caseOf(map[string][]float64{byZerocopy: {0.5}})
	for _, row := range []struct {
		reason string
		c      *caseResult
		b      bound
		holds  bool
		best   string
		median float64
		text   string
	}{
		{"by the ratio of each round", c, atMost(byZerocopy, mCPU, 0.5, byIO), true, byIO, 0.5, "CPU-s/GB ≤ 0.5× io.Copy"},
		{"just missed", c, atMost(byZerocopy, mCPU, 0.49, byIO), false, byIO, 0.5, "CPU-s/GB ≤ 0.49× io.Copy"},
		{"the better of two", c, atMost(byZerocopy, mCPU, 0.5, byLoop32, byIO), true, byIO, 0.5, "CPU-s/GB ≤ 0.5× the better of loop 32 KiB, io.Copy"},
		{"of rates, more is better", c, atLeast(byZerocopy, mRate, 1.1, byIO), false, byIO, 1, "GB/s ≥ 1.1× io.Copy"},
		{"a figure alone", c, atMost(byZerocopy, mCPU, 1), true, "", 1, "CPU-s/GB ≤ 1"},
		{"more than the other by so much", c, bound{Contender: byLoop32, Against: []string{byIO}, Metric: mCPU, Limit: 1, Plus: 1.5}, true, byIO, 1, "CPU-s/GB ≤ 1× io.Copy + 1.5"},
		{"more than that", c, bound{Contender: byLoop32, Against: []string{byIO}, Metric: mCPU, Limit: 1, Plus: 0.5}, false, byIO, 1, "CPU-s/GB ≤ 1× io.Copy + 0.5"},
	} {
		v := row.b.judge(row.c)
		if v.Holds != row.holds || v.Best != row.best || !near(v.Measured.Median, row.median) || v.Missing != "" {
			t.Errorf("%s: %+v, want holds %v, best %q, median %v", row.reason, v, row.holds, row.best, row.median)
		}
		if got := row.b.String(); got != row.text {
			t.Errorf("%s: %q, want %q", row.reason, got, row.text)
		}
	}
	for _, row := range []struct{ contender, against, want string }{
		{byZerocopy, byIO, "not installed"},
		{byHAProxy, byZerocopy, "no part"},
		{byZerocopy, byHAProxy, "no part"},
	} {
		v := atMost(row.contender, mCPU, 1, row.against).judge(some)
		if v.Holds || !strings.Contains(v.word(), row.want) || v.figure() != "–" {
			t.Errorf("%s against %s: %q, %q, want not measured, %s", row.contender, row.against, v.word(), v.figure(), row.want)
		}
	}
}

// Every bound names contenders and metrics of its case, and every case is named once.
func TestCases(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, c := range cases() {
		if seen[c.Name] || len(c.Contenders) == 0 || len(c.Show) == 0 {
			t.Errorf("case %q is there twice or has nothing to show", c.Name)
		}
		seen[c.Name] = true
		in := make(map[string]bool)
		for _, who := range c.Contenders {
			in[who.Name] = true
			if class(who.Name) == "other" {
				t.Errorf("%s: %s has no colour", c.Name, who.Name)
			}
		}
		for _, name := range c.Show {
			metricNamed(name) // panics
		}
		for _, b := range c.Bounds {
			metricNamed(b.Metric)
			for _, name := range append([]string{b.Contender}, b.Against...) {
				if !in[name] {
					t.Errorf("%s: %v names %s, which has no part", c.Name, b, name)
				}
			}
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	c := caseOf(map[string][]float64{byIO: {1, 2, 4}, byZerocopy: {0.5, 1, 2}})
	c.Contenders[1].Skipped = "not installed"
	b := atMost(byZerocopy, mCPU, 0.9, byIO)
	res := &result{Rounds: 3, Seconds: 1, Cases: []caseResult{*c}, Verdicts: []verdict{b.judge(c)}}
	for _, size := range []float64{512, 1024, 2048} {
		s := caseOf(map[string][]float64{byIO: {2}, byLoop32: {size / 500}})
		s.Group, s.X = groupSockets, size
		res.Cases = append(res.Cases, *s)
	}
	var text, page strings.Builder
	printResult(&text, res)
	if err := writePage(&page, res); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"io.Copy         2.000 ±38%", "loop 32 KiB  not installed", "CPU-s/GB ≤ 0.9× io.Copy", "0.5× (0.5 to 0.5)", "holds",
		"1 KiB", "from 1 KiB on io.Copy stays cheaper than loop 32 KiB",
	} {
		if !strings.Contains(strings.Join(strings.Fields(text.String()), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	for _, want := range []string{"1 of 1 hold", "<polyline", "not installed", "prefers-color-scheme: dark"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q on the page", want)
		}
	}
	for _, not := range []string{"<script", "http-equiv", " src=", "@import", "ZgotmplZ"} {
		if strings.Contains(page.String(), not) {
			t.Errorf("%q is on the page", not)
		}
	}
}
