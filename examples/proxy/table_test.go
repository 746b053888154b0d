package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

var update = flag.Bool("update", false, "write the golden table anew")

var (
	splice = zerocopy.Step{Mechanism: zerocopy.Splice, Bytes: 1}
	start0 = zerocopy.Step{Mechanism: zerocopy.Buffered, Bytes: 1, Reason: zerocopy.ReasonStart}
	off    = zerocopy.Step{Mechanism: zerocopy.Buffered, Bytes: 1, Reason: zerocopy.ReasonDisabled}
)

var tableRows = []row{
	{1, "192.0.2.1:50000", "10.0.0.1:443", "a.example.org", 90 * time.Minute, way{1 << 30, 100 << 20}, way{999, 0}, splice, start0},
	{2, "[2001:db8:0:1:2:3:4:5]:50001", "unix:/run/a/rather/long/path/of/a.sock", "", 26 * time.Hour, way{}, way{5 << 40, 1}, zerocopy.Step{}, off},
	{7, "127.0.0.1:1", "", "", 0, way{}, way{}, zerocopy.Step{}, zerocopy.Step{}},
	{12, "198.51.100.200:65535", "10.0.0.2:443", "a-name-that-is-long.example.org", 99 * 24 * time.Hour, way{10 << 10, 1000}, way{1000, 1023}, start0, splice},
}

var tableTotals = totals{open: 4, ended: 1234, failed: 5, up: way{1 << 31, 101 << 20}, down: way{6 << 40, 1024}, kernel: 5 << 40}

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, size := range [][2]int{{160, 24}, {120, 24}, {100, 24}, {80, 24}, {60, 24}, {40, 24}, {80, 6}, {10, 3}} {
		fmt.Fprintf(&b, "%d × %d\n%s\n\n", size[0], size[1], strings.Join(render(tableRows, tableTotals, size[0], size[1]), "\n"))
	}
	name := filepath.Join("testdata", "table.txt")
	if *update {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("the table is\n%s, want (-update writes it)\n%s", &b, want)
	}
}

// Whatever the size of the terminal, the table fits in.
func TestTableFits(t *testing.T) {
	t.Parallel()
	for width := 1; width < 200; width++ {
		for height := 1; height < 12; height++ {
			lines := render(tableRows, tableTotals, width, height)
			if len(lines) > max(height-1, 4) {
				t.Fatalf("%d lines at a height of %d", len(lines), height)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > width {
					t.Fatalf("%d characters at a width of %d: %q", n, width, line)
				}
			}
		}
	}
	if lines := render(nil, totals{}, 80, 24); len(lines) != 2 {
		t.Errorf("without flows: %q", lines)
	}
}

// Rates are those of the last two seconds, and flows that have ended are forgotten.
func TestRates(t *testing.T) {
	t.Parallel()
	p := newProxy(new(options), log.New(io.Discard, "", 0))
	f := p.begin(zcnet.NewConn(&addressed{}))
	up := zerocopy.Copier{Meter: &f.live.AToB}
	for i, want := range []int64{1000, 1000, 1000, 1000, 1000, 750, 500, 250, 0} {
		if i < 5 { // 500 bytes a tick, and then none
			if _, err := up.Copy(t.Context(), io.Discard, strings.NewReader(strings.Repeat("x", 500))); err != nil {
				t.Fatal(err)
			}
		}
		rows, sum := p.rows(f.began.Add(time.Duration(i+1) * every))
		if len(rows) != 1 || rows[0].up != (way{int64(min(i+1, 5) * 500), want}) || sum.up != rows[0].up || sum.open != 1 {
			t.Errorf("tick %d: %+v, %+v, want a rate of %d", i, rows, sum, want)
		}
	}
	p.end(f, nil)
	if rows, sum := p.rows(time.Now()); len(rows) != 0 || sum.ended != 1 || sum.up != (way{2500, 0}) || len(p.samples) != 0 {
		t.Errorf("after the end: %+v, %+v, %d samples", rows, sum, len(p.samples))
	}
}

// An addressed connection has an address and nothing else.
type addressed struct{ net.Conn }

func (*addressed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1.0K", 1024: "1.0K", 10138: "9.9K", 10240: "10K", 1022 << 10: "1.0M",
		1 << 20: "1.0M", 1023 << 20: "1.0G", 1 << 40: "1.0T", 1<<63 - 1: "8.0E"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
	for s, want := range map[string]int64{"1": 1, "10K": 10 << 10, "3G": 3 << 30, "0": 0, "-1": 0, "K": 0, "": 0, "1.5M": 0} {
		if got, err := parseBytes(s); got != want || (err == nil) != (want > 0) {
			t.Errorf("parseBytes(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
}

// A terminal of so many lines, of which it understands what a screen sends.
type fakeTerminal struct {
	lines []string
	at    int
}

func (f *fakeTerminal) Write(p []byte) (int, error) {
	text := string(p)
	for _, mode := range []string{"\x1b[?2026h", "\x1b[?2026l", "\x1b[?7h", "\x1b[?7l", hideCursor, showCursor, "\r"} {
		text = strings.ReplaceAll(text, mode, "")
	}
	for text != "" {
		var n int
		switch {
		case strings.HasPrefix(text, clearBelow):
			f.lines = f.lines[:f.at]
			text = text[len(clearBelow):]
			continue
		case strings.HasPrefix(text, "\x1b["):
			if _, err := fmt.Sscanf(text, "\x1b[%dA", &n); err != nil {
				panic(text)
			}
			f.at -= n
			_, text, _ = strings.Cut(text, "A")
			continue
		}
		var line string
		line, text, _ = strings.Cut(text, "\n")
		f.lines = append(f.lines[:f.at:f.at], append([]string{strings.TrimSuffix(line, clearRight)}, f.lines[min(f.at+1, len(f.lines)):]...)...)
		f.at++
	}
	return len(p), nil
}

// Lines of the log stand above the table, which is there once, and gone at the end.
func TestScreen(t *testing.T) {
	t.Parallel()
	f := new(fakeTerminal)
	s := newScreen(f, "on")
	table := []string{"head", "total"}
	draw := func(int, int) []string { return table }
	expect := func(want ...string) {
		t.Helper()
		if got := strings.Join(f.lines, "|"); got != strings.Join(want, "|") {
			t.Errorf("the screen shows %s, want %s", got, strings.Join(want, "|"))
		}
	}
	fmt.Fprintln(s, "before")
	stop := s.run(draw)
	expect("before", "head", "total")
	fmt.Fprintln(s, "a line")
	expect("before", "a line", "head", "total")
	table = []string{"head", "a row", "total"}
	s.draw(draw, "")
	expect("before", "a line", "head", "a row", "total")
	table = []string{"head", "total"}
	s.draw(draw, "")
	expect("before", "a line", "head", "total")
	stop()
	stop()
	fmt.Fprintln(s, "after")
	expect("before", "a line", "after")
}

// Without a terminal there is no table, and no byte of what one needs.
func TestNoTable(t *testing.T) {
	t.Parallel()
	p, client, server := pair(t)
	send(t, client, "hello")
	receive(t, server, "hello")
	time.Sleep(every + every/2)
	p.stop(t)
	if text := p.String(); strings.Contains(text, "\x1b") || strings.Contains(text, "CLIENT") {
		t.Errorf("the output has\n%q", text)
	}
}

// A table that is asked for shows the flows, wherever it goes.
func TestTableOn(t *testing.T) {
	t.Parallel()
	p, client, server := pair(t, "-table", "on")
	send(t, client, "hello")
	receive(t, server, "hello")
	p.Await(t, client.LocalAddr().String()+` +127\.0\.0\.1:\d+ +\d+s +5 +\S+ buffered`)
	p.Await(t, `1 open, 0 ended, 0 failed`)
	p.stop(t)
	if text := p.String(); strings.Count(text, hideCursor) != 1 || strings.Count(text, showCursor) != 1 || strings.LastIndex(text, "\x1b") > strings.Index(text, "bytes: buffered 5") {
		t.Errorf("the output has\n%q", text)
	}
}
