package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// writeJSON writes all that was measured.
func writeJSON(w io.Writer, res *result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(res)
}

// printList prints the names of cases and what they are.
func printList(w io.Writer, chosen []spec) {
	rows := [][]string{{"case", "what", "contenders"}}
	for _, c := range chosen {
		var names []string
		for _, who := range c.Contenders {
			names = append(names, who.Name)
		}
		rows = append(rows, []string{c.Name, c.About, strings.Join(names, "; ")})
		for _, b := range c.Bounds {
			rows = append(rows, []string{"", "  to reach: " + b.Contender + ": " + b.String(), ""})
		}
	}
	printRows(w, rows, 3)
}

// printResult prints a table for each case, and then the bounds.
func printResult(w io.Writer, res *result) {
	m := res.Machine
	fmt.Fprintf(w, "%s, %d processors, %s, TCP with %s, %s; load %s at the start\n", m.CPU, m.CPUs, m.Kernel, m.Congestion, m.Go, m.Load)
	fmt.Fprintf(w, "%d rounds of %g s, interleaved; medians, ± half the distance of the quartiles\n", res.Rounds, res.Seconds)
	if res.Interrupted {
		fmt.Fprintln(w, "interrupted: the last case is not complete")
	}
	done := make(map[string]bool)
	for i := range res.Cases {
		c := &res.Cases[i]
		if isSizes(c.Group) {
			if !done[c.Group] {
				done[c.Group] = true
				printGroup(w, groupOf(res, c.Group))
			}
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", c.Name, c.About)
		if c.Note != "" {
			fmt.Fprintf(w, "(%s)\n", c.Note)
		}
		printRows(w, caseRows(c), 1)
	}
	if len(res.Verdicts) > 0 {
		fmt.Fprint(w, "\nto reach (ratios of the same round: median, and quartiles)\n")
		printRows(w, verdictRows(res.Verdicts), 6)
	}
}

// caseRows are the cells of a case's table: a row a contender.
func caseRows(c *caseResult) [][]string {
	rows := [][]string{append([]string{""}, c.Show...)}
	for _, r := range c.Contenders {
		row := []string{r.Name}
		if r.Skipped != "" && len(r.Samples) == 0 {
			row = append(row, r.Skipped)
		} else {
			for _, name := range c.Show {
				row = append(row, metricNamed(name).cell(r.Metrics[name]))
			}
			if r.Skipped != "" {
				row = append(row, r.Skipped)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func verdictRows(vs []verdict) [][]string {
	rows := [][]string{{"case", "contender", "bound", "measured", ""}}
	for _, v := range vs {
		what := v.bound.String()
		if len(v.Against) > 1 && v.Best != "" {
			what += " (" + v.Best + ")"
		}
		rows = append(rows, []string{v.Case, v.Contender, what, v.figure(), v.word()})
	}
	return rows
}

// isSizes reports whether the cases of a group differ by size alone and make one
// table.
func isSizes(group string) bool {
	return group == groupSockets || group == groupServe || group == groupFiles
}

// groupOf returns the cases of a group.
func groupOf(res *result, group string) (cs []*caseResult) {
	for i := range res.Cases {
		if res.Cases[i].Group == group {
			cs = append(cs, &res.Cases[i])
		}
	}
	return cs
}

// printGroup prints the first metric of each case of a group: a row a size, a
// column a contender.
func printGroup(w io.Writer, cs []*caseResult) {
	m := metricNamed(cs[0].Show[0])
	fmt.Fprintf(w, "\n%s: one copy by size, %s\n", cs[0].Group, m.Name)
	head := []string{"size"}
	for _, r := range cs[0].Contenders {
		head = append(head, r.Name)
	}
	rows := [][]string{head}
	for _, c := range cs {
		row := []string{sizeName(c.X)}
		for _, r := range c.Contenders {
			row = append(row, m.cell(r.Metrics[m.Name]))
		}
		rows = append(rows, row)
	}
	printRows(w, rows, 1)
	fmt.Fprintln(w, crossover(cs, m, byIO, byLoop32))
}

// crossover says from which size on the kernel's way is cheaper than read and write.
func crossover(cs []*caseResult, m metric, kernel, plain string) string {
	from := -1.0
	for _, c := range cs {
		k, p := c.contender(kernel).Metrics[m.Name], c.contender(plain).Metrics[m.Name]
		switch {
		case k.N == 0 || p.N == 0:
		case k.Median >= p.Median:
			from = -1
		case from < 0:
			from = c.X
		}
	}
	if from < 0 {
		return kernel + " does not become cheaper than " + plain
	}
	return fmt.Sprintf("from %s on %s stays cheaper than %s", sizeName(from), kernel, plain)
}

// printRows prints cells in columns, the first left of them aligned to the left,
// the others to the right.
func printRows(w io.Writer, rows [][]string, left int) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(row) > 2 { // a reason instead of figures may be long
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if i < left {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
