package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

// cpuWords and speedWords say how Copy did. Losses are written large.
var (
	cpuWords   = [...]string{tie: "=", better: "cheaper", worse: "DEARER", undecided: "?"}
	speedWords = [...]string{tie: "", better: "faster", worse: "SLOWER", undecided: ""}
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

// writeTable prints the results for people: a line a row, or three where that
// does not fit into width columns. Width 0 is no limit.
func writeTable(w io.Writer, res *results, width int) error {
	var b, table strings.Builder
	b.WriteString(res.Command + "\n" + res.Machine.String() + "\n\n")
	g := wide(res.Rows)
	g.write(&table)
	if width > 0 && g.width() > width {
		table.Reset()
		narrow(res.Rows, &table)
	}
	b.WriteString(table.String() + "\n")
	for _, n := range res.notes() {
		b.WriteString(n + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// wide is the table with a line a row.
func wide(rows []row) *grid {
	g := &grid{right: map[int]bool{3: true, 4: true, 5: true, 6: true, 7: true, 8: true}}
	g.row("source → destination", "io.Copy goes by", "Copy goes by", "io.Copy", "Copy", "CPU", "io.Copy", "Copy", "speed", "Copy is")
	g.row("", "", "", "CPU-s/GB", "CPU-s/GB", "ratio", "GB/s", "GB/s", "ratio", "")
	var last group
	for _, r := range rows {
		if r.Group != last {
			last = r.Group
			g.heading(string(last))
		}
		a, b := r.IOCopy.cells(), r.Copy.cells()
		g.row(r.Pair, a[0], b[0], a[1], b[1], times(r.CPURatio), a[2], b[2], times(r.SpeedRatio), r.mark())
	}
	return g
}

// narrow writes the table with three lines a row.
func narrow(rows []row, b *strings.Builder) {
	var last group
	for _, r := range rows {
		if r.Group != last {
			last = r.Group
			b.WriteString("— " + string(last) + " —\n")
		}
		b.WriteString(r.Pair + ": " + r.mark() + "\n")
		io, zc := r.IOCopy.cells(), r.Copy.cells()
		fmt.Fprintf(b, "  io.Copy  %-15s  %10s CPU-s/GB %6s  %5s GB/s\n", io[0], io[1], "", io[2])
		fmt.Fprintf(b, "  Copy     %-15s  %10s CPU-s/GB %6s  %5s GB/s %6s\n", zc[0], zc[1], times(r.CPURatio), zc[2], times(r.SpeedRatio))
	}
}

// mark is the row's last column.
func (r row) mark() string {
	switch {
	case r.Failed != "":
		return "FAILED"
	case r.Contradiction != "":
		return r.marks() + " (!)"
	}
	return r.marks()
}

// cells are a side's way, CPU time and throughput.
func (s side) cells() [3]string {
	if len(s.cpu) == 0 {
		return [3]string{short(s.Route)}
	}
	return [3]string{short(s.Route), plusMinus(s.CPU), fmt.Sprintf("%.2f", s.GBps.Median)}
}

// times prints a ratio.
func times(ratio float64) string {
	if ratio == 0 {
		return ""
	}
	return fmt.Sprintf("×%.2f", ratio)
}

// plusMinus prints a spread as median and ±.
func plusMinus(s stat.Spread) string {
	return fmt.Sprintf("%.3f ±%2.0f%%", s.Median, 100*s.PlusMinus())
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
	var cpu, speed [undecided + 1]int
	failed := 0
	for _, r := range res.Rows {
		if r.Failed != "" {
			failed++
			continue
		}
		cpu[r.CPUVerdict]++
		speed[r.SpeedVerdict]++
	}
	s := fmt.Sprintf("%d of %d rows in %.0f s. Copy is cheaper in %d, = in %d, dearer in %d; faster in %d, slower in %d.",
		len(res.Rows), res.Planned, res.Took, cpu[better], cpu[tie], cpu[worse], speed[better], speed[worse])
	if cpu[undecided] > 0 {
		s += fmt.Sprintf(" %d got too few rounds to say (?).", cpu[undecided])
	}
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

// columns returns how wide each column is.
func (g *grid) columns() []int {
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
	return width
}

// width returns how wide the longest line may be.
func (g *grid) width() (n int) {
	for _, w := range g.columns() {
		n += w + 2
	}
	return n - 2
}

func (g *grid) write(b *strings.Builder) {
	width := g.columns()
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
