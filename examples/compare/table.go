package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// cpuWords and speedWords say how Copy did. Losses are written large.
var (
	cpuWords   = [...]string{tie: "=", better: "cheaper", worse: "DEARER"}
	speedWords = [...]string{tie: "", better: "faster", worse: "SLOWER"}
)

// marks says in words how Copy did, such as "cheaper, faster".
func (r row) marks() string {
	m := cpuWords[r.CPUVerdict]
	if s := speedWords[r.SpeedVerdict]; s != "" {
		m += ", " + s
	}
	return m
}

// loses reports whether Copy is worse in any way.
func (r row) loses() bool {
	return r.Failed != "" || r.CPUVerdict == worse || r.SpeedVerdict == worse
}

// writeTable prints the results for people.
func writeTable(w io.Writer, res *results) error {
	var b strings.Builder
	b.WriteString(res.Command + "\n" + res.Machine.String() + "\n\n")
	t := grid{right: map[int]bool{3: true, 4: true, 5: true, 6: true, 7: true, 8: true}}
	t.row("source → destination", "io.Copy goes by", "Copy goes by", "io.Copy", "Copy", "CPU", "io.Copy", "Copy", "speed", "Copy is")
	t.row("", "", "", "CPU-s/GB", "CPU-s/GB", "ratio", "GB/s", "GB/s", "ratio", "")
	var last group
	for _, r := range res.Rows {
		if r.Group != last {
			last = r.Group
			t.heading(string(last))
		}
		if r.Rounds == 0 {
			t.row(r.Pair, short(r.IOCopy.Route), short(r.Copy.Route), "", "", "", "", "", "", "FAILED")
			continue
		}
		mark := r.marks()
		if r.Failed != "" {
			mark = "FAILED"
		} else if r.Contradiction != "" {
			mark += " (!)"
		}
		t.row(r.Pair, short(r.IOCopy.Route), short(r.Copy.Route),
			r.IOCopy.CPU.text(), r.Copy.CPU.text(), fmt.Sprintf("×%.2f", r.CPURatio),
			fmt.Sprintf("%.2f", r.IOCopy.GBps.Median), fmt.Sprintf("%.2f", r.Copy.GBps.Median),
			fmt.Sprintf("×%.2f", r.SpeedRatio), mark)
	}
	t.write(&b)
	b.WriteByte('\n')
	for _, n := range res.notes() {
		b.WriteString(n + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// text prints a spread as median and ±.
func (s spread) text() string {
	return fmt.Sprintf("%.3f ±%2.0f%%", s.Median, 100*s.plusMinus())
}

// String describes the machine on one line, without what is not known.
func (m machine) String() string {
	parts := []string{fmt.Sprintf("%s, %d cores", m.CPU, m.Cores)}
	for _, p := range [][2]string{
		{"Linux ", m.Kernel}, {"", m.Go}, {"", m.System}, {"files on ", m.Files}, {"", m.Date}, {"load ", m.Load}, {"ZEROCOPY=", m.Switch},
	} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

// summary counts the rows.
func (res *results) summary() string {
	var count [3]int
	var faster, slower, failed int
	for _, r := range res.Rows {
		if r.Rounds == 0 {
			failed++
			continue
		}
		count[r.CPUVerdict]++
		switch r.SpeedVerdict {
		case better:
			faster++
		case worse:
			slower++
		}
	}
	s := fmt.Sprintf("%d of %d rows in %.0f s. Copy is cheaper in %d, = in %d, dearer in %d; faster in %d, slower in %d.",
		len(res.Rows), res.Planned, res.Took, count[better], count[tie], count[worse], faster, slower)
	if failed > 0 {
		s += fmt.Sprintf(" %d failed.", failed)
	}
	if res.Interrupted {
		s += " Interrupted."
	}
	return s
}

// notes are the lines below the table.
func (res *results) notes() []string {
	notes := []string{res.summary()}
	section := func(title string, line func(row) string) {
		for _, r := range res.Rows {
			if l := line(r); l != "" {
				if title != "" {
					notes = append(notes, title)
					title = ""
				}
				notes = append(notes, "  "+r.Pair+": "+l)
			}
		}
	}
	section("Where Copy loses:", func(r row) string {
		switch {
		case r.Failed != "":
			return "failed: " + r.Failed
		case r.loses():
			return fmt.Sprintf("CPU ×%.2f, throughput ×%.2f: %s", r.CPURatio, r.SpeedRatio, r.marks())
		}
		return ""
	})
	section("(!) Where Copy's Report and its system calls disagree:", func(r row) string { return r.Contradiction })
	section("Where Copy does not leave the bytes in the kernel, and why, in its own words:", row.why)
	return append(notes, legend...)
}

// legend says what the columns are.
var legend = []string{
	"CPU is that of the copying process alone, user and system. 1 GB = 1e9 bytes. ± is half the distance of the quartiles.",
	"Throughput is over loopback and one machine's cores, which sender, copier and receiver share: judge by CPU.",
	"io.Copy's way is what its system calls were seen to be (?: tracing is not permitted), Copy's is its Report's.",
}

// why is the reason by which Copy's main step is not the kernel's work.
func (r row) why() string {
	if m, ok := mainStep(r.Copy.Steps); ok && m.Reason != 0 {
		return m.Text
	}
	return ""
}

// A grid is text in columns as wide as need be. The zero grid is ready for use.
type grid struct {
	right map[int]bool // columns whose cells are flush right
	lines [][]string   // a line of one cell is a heading
}

func (g *grid) row(cells ...string)  { g.lines = append(g.lines, cells) }
func (g *grid) heading(title string) { g.lines = append(g.lines, []string{title}) }

func (g *grid) write(b *strings.Builder) {
	var width []int
	for _, l := range g.lines {
		for i, c := range l {
			if i >= len(width) {
				width = append(width, 0)
			}
			if len(l) > 1 {
				width[i] = max(width[i], utf8.RuneCountInString(c))
			}
		}
	}
	for _, l := range g.lines {
		var line strings.Builder
		if len(l) == 1 {
			line.WriteString("— " + l[0] + " —")
			l = nil
		}
		for i, c := range l {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if g.right[i] {
				line.WriteString(pad + c + "  ")
			} else {
				line.WriteString(c + pad + "  ")
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}
