package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why, args string
		want      options
	}{
		{"with a recording viewers fall back to it", "-source - -record x",
			options{source: "-", record: "x", policy: broadcast.Demote, maxLag: 4 << 20, grace: 10 * time.Second}},
		{"without one they are detached", "-source x.ts -http :0",
			options{source: "x.ts", http: ":0", policy: broadcast.Detach, maxLag: 4 << 20, grace: 10 * time.Second}},
		{"a recording alone does not demote", "-exec x -record x -tcp :0 -policy block -max-lag 1G -send-buffer 64K -grace 0s -share",
			options{exec: "x", record: "x", tcp: ":0", policy: broadcast.Block, maxLag: 1 << 30, sendBuffer: 64 << 10, share: true}},
	} {
		var stderr strings.Builder
		if got, err := parse(strings.Fields(row.args), &stderr); got != row.want || err != nil || stderr.Len() > 0 {
			t.Errorf("%s: %+v, %v, %q, want %+v", row.why, got, err, &stderr, row.want)
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
	for _, row := range []struct {
		args   string
		status int
		want   string
	}{
		{"-record x", 2, "-source or -exec is required"},
		{"-source - -exec x -record x", 2, "exclude each other"},
		{"-source -", 2, "nothing to do without any of -record, -http and -tcp"},
		{"-source - -http :0 more", 2, `unexpected argument "more"`},
		{"-source - -http :0 -policy demote", 2, "-policy demote needs -record"},
		{"-source - -http :0 -policy drop", 2, "-policy drop: want detach, demote or block"},
		{"-source - -http :0 -max-lag 4X", 2, "-max-lag 4X: want a number of bytes"},
		{"-source - -http :0 -max-lag 0", 2, "-max-lag 0: want a number of bytes"},
		{"-source - -http :0 -send-buffer 2G", 2, "-send-buffer 2G: want a number of bytes"},
		{"-source - -http :0 -grace -1s", 2, "-grace -1s: want 0 or more"},
		{"-source - -http :0 -grace soon", 2, `invalid value "soon" for flag -grace`},
		{"-source - -fast", 2, "flag provided but not defined: -fast"},
		{"-source /nonexistent -http 127.0.0.1:0", 1, "/nonexistent: no such file"},
		{"-source - -http " + taken.Addr().String(), 1, "listen tcp"},
		{"-source - -http 127.0.0.1:0 -tcp " + taken.Addr().String(), 1, "listen tcp"},
		{"-source listen:" + taken.Addr().String() + " -tcp 127.0.0.1:0", 1, "listen tcp"},
	} {
		var out ztest.Output
		status := run(strings.Fields(row.args), nil, &out)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if last := lines[len(lines)-1]; status != row.status || !strings.HasPrefix(last, "broadcast: ") || !strings.Contains(last, row.want) {
			t.Errorf("%s: exit status %d, want %d, and %q at the end of\n%s", row.args, status, row.status, row.want, &out)
		}
	}
	var help strings.Builder
	if status := run([]string{"-h"}, nil, &help); status != 0 || !strings.Contains(help.String(), "/live?from=start") || !strings.Contains(help.String(), "-max-lag") {
		t.Errorf("-h: exit status %d, and\n%s", status, &help)
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"0": 0, "1K": 1 << 10, "65536": 65536, "4M": 4 << 20, "1024G": 1 << 40} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "K", "-1", "1KK", "1T", "1025G", "99999999999999999999"} {
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
