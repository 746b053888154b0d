package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zerocopy-go/zerocopy"
)

// A row is what the table shows of a flow.
type row struct {
	id           int64
	client       string
	backend      string
	name         string
	age          time.Duration
	up, down     way
	upBy, downBy zerocopy.Step
}

// A way is how much has gone in one direction, and goes in a second.
type way struct{ bytes, rate int64 }

// rateFrames is over how many frames a rate is taken: two seconds, since what is sent in
// bursts of half a second would come and go.
const rateFrames = 4

// A sample is what had gone when, from which the next frames have their rates.
type sample struct {
	at       time.Time
	up, down int64
}

// The totals are the last line of the table.
type totals struct {
	open, ended, failed int64
	up, down            way
	kernel              int64 // bytes, of both
}

// table returns what run of a screen wants: each call looks at the flows anew.
func (b *book) table(width, height int) []string {
	rows, t := b.rows(time.Now())
	return render(rows, t, width, height)
}

// rows returns a row for each open flow, oldest first, and the totals.
func (b *book) rows(now time.Time) (rows []row, t totals) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.samples == nil {
		b.samples = make(map[*flow][]sample)
	}
	t.open, t.ended, t.failed = int64(len(b.flows)), b.last-int64(len(b.flows)), int64(b.failed)
	for _, ended := range b.totals {
		t.up.bytes += ended.up
		t.down.bytes += ended.down
	}
	for m, n := range b.bytes {
		if m != zerocopy.Buffered && m != zerocopy.Delegated {
			t.kernel += n
		}
	}
	for f := range b.samples {
		if _, ok := b.flows[f]; !ok {
			delete(b.samples, f)
		}
	}
	for f := range b.flows {
		up, down := &f.live.AToB, &f.live.BToA
		r := row{id: f.id, client: printable(f.peer().String()), age: now.Sub(f.began), upBy: up.Step(), downBy: down.Step()}
		r.backend, r.name = f.route()
		past := b.samples[f]
		if past == nil {
			past = []sample{{at: f.began}}
		}
		last, next := past[0], sample{now, up.Bytes(), down.Bytes()}
		r.up, r.down = way{next.up, perSecond(next.up-last.up, now.Sub(last.at))}, way{next.down, perSecond(next.down-last.down, now.Sub(last.at))}
		b.samples[f] = append(past[max(len(past)+1-rateFrames, 0):], next)
		rows = append(rows, r)
		t.up.bytes += r.up.bytes
		t.up.rate += r.up.rate
		t.down.bytes += r.down.bytes
		t.down.rate += r.down.rate
		for _, m := range []*zerocopy.Meter{up, down} {
			t.kernel += m.Bytes() - m.By(zerocopy.Buffered) - m.By(zerocopy.Delegated)
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	return rows, t
}

// perSecond is n bytes in d as a rate. Below a tick of the table d says little.
func perSecond(n int64, d time.Duration) int64 {
	return int64(float64(n) / max(d, every/2).Seconds())
}

// A column of the table. One without a width is as wide as it has to be and can be.
type column struct {
	head  string
	width int
	left  bool
	tail  bool // is what is kept if there is no room for all
	cell  func(row) string
	total func(totals) string
}

// columns are those for a terminal of the given width, and the order in which they go
// if it is too narrow.
func columns(width int) (all []*column, gap int, dispensable []*column) {
	by, share, gap := 8, "%d%% kern", 1
	backend, mechanism := shortBackend, shortStep
	if width >= 120 {
		by, share, gap = 18, "%d %% by the kernel", 2
		backend, mechanism = longBackend, longStep
	}
	age := &column{head: "AGE", width: 4, cell: func(r row) string { return age(r.age) }}
	upRate := &column{head: "UP/S", width: 5, cell: func(r row) string { return orDash(r.up.rate) }, total: func(t totals) string { return orDash(t.up.rate) }}
	downRate := &column{head: "DN/S", width: 5, cell: func(r row) string { return orDash(r.down.rate) }, total: func(t totals) string { return orDash(t.down.rate) }}
	upBy := &column{head: "BY", width: by, left: true, cell: func(r row) string { return mechanism(r.upBy) }, total: func(t totals) string {
		return fmt.Sprintf(share, 100*t.kernel/max(t.up.bytes+t.down.bytes, 1))
	}}
	downBy := &column{head: "BY", width: by, left: true, cell: func(r row) string { return mechanism(r.downBy) }, total: func(totals) string { return "" }}
	return []*column{
		{head: "CLIENT", left: true, tail: true, cell: func(r row) string { return r.client }},
		{head: "BACKEND", left: true, cell: backend},
		age,
		{head: "UP", width: 5, cell: func(r row) string { return orDash(r.up.bytes) }, total: func(t totals) string { return orDash(t.up.bytes) }},
		upRate, upBy,
		{head: "DOWN", width: 5, cell: func(r row) string { return orDash(r.down.bytes) }, total: func(t totals) string { return orDash(t.down.bytes) }},
		downRate, downBy,
	}, gap, []*column{age, upRate, downRate, upBy, downBy}
}

// render returns the lines of the table, none wider than width, and fewer than height.
// Of more flows than there is room for it shows those that move most.
func render(rows []row, t totals, width, height int) []string {
	const least = 18 // columns for CLIENT and BACKEND, with which they can be told apart
	all, gap, dispensable := columns(width)
	flexible := func() int {
		room := width - gap*(len(all)-1)
		for _, c := range all {
			room -= c.width
		}
		return room
	}
	for len(dispensable) > 0 && flexible() < least {
		all = slices.DeleteFunc(all, func(c *column) bool { return c == dispensable[0] })
		dispensable = dispensable[1:]
	}
	hidden := 0
	if room := max(height-4, 1); len(rows) > room {
		hidden = len(rows) - room
		rows = busiest(rows, room)
	}
	share(all[0], all[1], rows, max(flexible(), 2))

	var heads []string
	for _, c := range all {
		heads = append(heads, c.fit(c.head))
	}
	lines := []string{strings.Join(heads, strings.Repeat(" ", gap))}
	for _, r := range rows {
		var cells []string
		for _, c := range all {
			cells = append(cells, c.fit(c.cell(r)))
		}
		lines = append(lines, strings.Join(cells, strings.Repeat(" ", gap)))
	}
	if hidden > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", hidden))
	}
	lines = append(lines, totalLine(all, t, gap))
	for i, line := range lines {
		lines[i] = cut(strings.TrimRight(line, " "), width)
	}
	return lines
}

// busiest returns the n rows that move most, in the order in which they were.
func busiest(rows []row, n int) []row {
	most := slices.Clone(rows)
	slices.SortStableFunc(most, func(a, b row) int {
		return cmp.Compare(b.up.rate+b.down.rate, a.up.rate+a.down.rate)
	})
	most = most[:n]
	slices.SortFunc(most, func(a, b row) int { return cmp.Compare(a.id, b.id) })
	return most
}

// share divides room between two columns, by what they have to show.
func share(a, b *column, rows []row, room int) {
	wide := func(c *column) int {
		w := len(c.head)
		for _, r := range rows {
			w = max(w, utf8.RuneCountInString(c.cell(r)))
		}
		return w
	}
	a.width, b.width = wide(a), wide(b)
	if over := a.width + b.width - room; over > 0 {
		b.width = max(b.width-over, min(b.width, room/2))
		a.width = room - b.width
	}
}

// totalLine says in words what is in the columns without totals, and has the others.
func totalLine(all []*column, t totals, gap int) string {
	var cells []string
	words := -gap
	for _, c := range all {
		if c.total == nil {
			words += gap + c.width
		} else {
			cells = append(cells, c.fit(c.total(t)))
		}
	}
	text := fmt.Sprintf("%d open, %d ended, %d failed", t.open, t.ended, t.failed)
	first := column{width: words, left: true}
	if pad := strings.Repeat(" ", gap); utf8.RuneCountInString(text) <= words || len(cells) == 0 {
		return first.fit(text) + pad + strings.Join(cells, pad)
	}
	return text + strings.Repeat(" ", gap) + strings.TrimLeft(strings.Join(cells, strings.Repeat(" ", gap)), " ")
}

// fit returns s as wide as the column.
func (c *column) fit(s string) string {
	if over := utf8.RuneCountInString(s) - c.width; over > 0 && c.tail {
		s = "…" + string([]rune(s)[over+1:])
	}
	s = cut(s, c.width)
	pad := strings.Repeat(" ", c.width-utf8.RuneCountInString(s))
	if c.left {
		return s + pad
	}
	return pad + s
}

// cut returns s with at most width characters.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(width-1, 0)]) + "…"
}

func shortBackend(r row) string { return cmp.Or(r.name, r.backend, "…") }

func longBackend(r row) string {
	if r.name != "" {
		return r.name + " → " + r.backend
	}
	return cmp.Or(r.backend, "…")
}

func shortStep(s zerocopy.Step) string {
	if s.Bytes == 0 {
		return "-"
	}
	return s.Mechanism.String()
}

func longStep(s zerocopy.Step) string {
	if s.Bytes > 0 && s.Reason != zerocopy.ReasonNone {
		return s.Mechanism.String() + ": " + s.Reason.String()
	}
	return shortStep(s)
}

// orDash is the size of n, with which nothing does not catch the eye.
func orDash(n int64) string {
	if n == 0 {
		return "-"
	}
	return size(n)
}

// age is d in at most four characters.
func age(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < 100*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}
