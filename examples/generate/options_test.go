package main

import (
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

func TestParse(t *testing.T) {
	t.Parallel()
	defaults := options{format: "csv", line: "y", width: 1280, height: 720, limit: quota{math.MaxInt64, math.MaxInt64}, pages: pages.Options{Linger: -1}, grace: 5 * time.Second}
	all := options{
		format: "y4m", line: "z", width: 640, height: 360, seed: 9, limit: quota{7, 3 << 20}, duration: time.Second, rate: 25, to: "a:1",
		force: true, pages: pages.Options{Lend: pages.ReaderCopies, Size: 8 << 10, Huge: true, Check: true, Linger: -1}, grace: time.Minute, verbose: true,
	}
	for _, row := range []struct {
		args string
		want options
	}{
		{"", defaults},
		{"-format y4m -line z -frame 640x360 -seed 9 -n 7 -bytes 3M -duration 1s -rate 25 -to a:1 -force -lend reader-copies -size 8K -huge -check -grace 1m -v", all},
	} {
		var stderr strings.Builder
		got, err := parse(strings.Fields(row.args), &stderr)
		if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(options{}, quota{})); diff != "" || err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %v, %q, %s", row.args, err, &stderr, diff)
		}
	}
}

// Whatever is wrong is said in one line.
func TestUsage(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	for _, row := range []struct {
		args   string
		status int
		want   string
	}{
		{"more", 2, `unexpected argument "more"`},
		{"-fast", 2, "flag provided but not defined: -fast"},
		{"-format xml", 2, "-format xml: want csv, y4m, lines or zeros"},
		{"-to a:1 -listen b:1", 2, "-to and -listen exclude each other"},
		{"-n 0", 2, "-n 0: want more than 0"},
		{"-bytes 0", 2, "-bytes 0: want a number of bytes"},
		{"-bytes 4X", 2, "-bytes 4X: want a number of bytes"},
		{"-size 0", 2, "-size 0: want a number of bytes"},
		{"-size 257M", 2, "at most 256M"},
		{"-frame 5x4", 2, "-frame 5x4: want even numbers"},
		{"-frame 1280", 2, "-frame 1280: want even numbers"},
		{"-duration -1s", 2, "-duration -1s: want 0 or more"},
		{"-rate -1", 2, "-rate -1: want 0 or more"},
		{"-rate NaN", 2, "-rate NaN: want 0 or more"},
		{"-grace -1s", 2, "-grace -1s: want 0 or more"},
		{"-lend always", 2, "known: fastest, fresh-pages, reader-copies, never"},
		{"-listen " + taken.Addr().String(), 1, "listen tcp"},
		{"-to " + free.Addr().String(), 1, "start the receiver first"},
		{"-to 127.0.0.1", 1, "missing port in address"},
	} {
		var out ztest.Output
		status := run(strings.Fields(row.args), nil, os.Stdin, &out)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if last := lines[len(lines)-1]; status != row.status || !strings.HasPrefix(last, "generate: ") || !strings.Contains(last, row.want) {
			t.Errorf("%s: exit status %d, want %d, and %q at the end of\n%s", row.args, status, row.status, row.want, &out)
		}
	}
	var help strings.Builder
	if status := run([]string{"-h"}, nil, os.Stdin, &help); status != 0 || !strings.Contains(help.String(), "/dev/zero") || !strings.Contains(help.String(), "-lend") {
		t.Errorf("-h: exit status %d, and\n%s", status, &help)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"0": 0, "1K": 1 << 10, "65536": 65536, "4M": 4 << 20, "1024G": 1 << 40, "3T": 3 << 40} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "K", "-1", "1KK", "1X", "9999999T", "99999999999999999999"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", s, got)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 9999: "9999 B", 10_000: "10 kB", 12_340_000: "12.3 MB", 5_000_000_000: "5.00 GB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}
