package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// TestMain lets the test binary play the children, as main does.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role))
	}
	// Under the race detector a process sleeps for a second before it exits, and
	// there are many of them.
	os.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0"))
	os.Exit(m.Run())
}

func TestJudge(t *testing.T) {
	t.Parallel()
	ten := func(from, step float64) (xs []float64) {
		for i := range 10 {
			xs = append(xs, from+step*float64(i))
		}
		return xs
	}
	outlier := append(ten(1, 0.01)[:9:9], 50)
	for _, tt := range []struct {
		why    string
		io, zc []float64
		want   verdict
	}{
		{"clearly less", ten(2, 0.01), ten(1, 0.01), better},
		{"clearly more", ten(1, 0.01), ten(2, 0.01), worse},
		{"the same", ten(1, 0.01), ten(1, 0.01), tie},
		{"apart, but by less than counts", ten(1.02, 0.0001), ten(1, 0.0001), tie},
		{"medians differ, spreads overlap", ten(1.2, 0.1), ten(1, 0.1), tie},
		{"one outlier does not hide a gain", ten(2, 0.01), outlier, better},
		{"one outlier does not hide a loss", outlier, ten(2, 0.01), worse},
		{"few measurements prove nothing", ten(2, 0.01)[:4], ten(1, 0.01)[:4], undecided},
		{"no measurement", nil, nil, undecided},
	} {
		if got := judge(tt.io, tt.zc, leastCPU); got != tt.want {
			t.Errorf("%s: judge = %v, want %v", tt.why, got, tt.want)
		}
	}
}

func TestSizeFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		rate float64
		each time.Duration
		most int64
		want int64
	}{
		{1e9, 70 * time.Millisecond, maxSize, 64 << 20},
		{1e9, 110 * time.Millisecond, maxSize, 128 << 20},
		{1e6, 100 * time.Millisecond, maxSize, minSize},
		{1e12, time.Second, maxSize, maxSize},
		{1e12, time.Second, maxFileSize, maxFileSize},
		{1e9, -time.Second, maxSize, minSize}, // the time is used up
	} {
		if got := sizeFor(tt.rate, tt.each, tt.most); got != tt.want {
			t.Errorf("sizeFor(%g, %v, %d) = %d, want %d", tt.rate, tt.each, tt.most, got, tt.want)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{"1K": 1 << 10, "65536": 65536, "64M": 64 << 20, "64G": 64 << 30} {
		if got, err := parseSize(s); got != want || err != nil {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "M", "1023", "65G", "1KK", "-1M", "1T", "99999999999G"} {
		if got, err := parseSize(s); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", s, got)
		}
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		why, want, short string
		mechanism        zerocopy.Mechanism
		calls            []call
	}{
		{"nothing seen", "?", "?", zerocopy.Buffered, nil},
		{"a refused call is not the way", "read+write", "read+write", zerocopy.Buffered, []call{
			{Name: "sendfile", From: "src", To: "dst", Errno: "EINVAL", Times: 1},
			{Name: "read", From: "src", Times: 2, Bytes: 10}, {Name: "write", To: "dst", Times: 1, Bytes: 10}}},
		{"memory is not read", "write", "write", zerocopy.Buffered, []call{{Name: "write", To: "dst", Times: 1, Bytes: 10}}},
		{"no pipe between", "sendfile pipe→tcp", "sendfile", zerocopy.Sendfile, []call{
			{Name: "sendfile", From: "src", To: "dst", Times: 1, Bytes: 10}}},
		{"most bytes decide", "splice pipe→pipe→tcp", "splice via pipe", zerocopy.Splice, []call{
			{Name: "read", From: "src", Times: 3, Bytes: 3}, {Name: "write", To: "dst", Times: 3, Bytes: 3},
			{Name: "splice", From: "src", To: "pipe", Times: 9, Bytes: 90}, {Name: "splice", From: "pipe", To: "dst", Times: 9, Bytes: 90}}},
	} {
		seen := tally{Calls: tt.calls}
		route := seen.route(aPipe, aTCP)
		if route != tt.want || short(route) != tt.short || seen.mechanism() != tt.mechanism {
			t.Errorf("%s: %q, %q, %v, want %q, %q, %v", tt.why, route, short(route), seen.mechanism(), tt.want, tt.short, tt.mechanism)
		}
	}
	seen := &tally{Calls: []call{{Name: "write", To: "dst", Times: 1, Bytes: 10}, {Name: "splice", Errno: "EINVAL"}, {Name: "read", Errno: "EAGAIN"}}}
	if got := seen.refused(); got != "splice EINVAL" {
		t.Errorf("refused = %q", got)
	}
	splice := []step{{Mechanism: zerocopy.Buffered, Bytes: 1}, {Mechanism: zerocopy.Splice, Route: "tcp→pipe→tcp", Bytes: 9, Text: "splice"}}
	if contradiction(splice, seen) == "" {
		t.Error("a Report of splice beside calls of write passes for true")
	}
	if c := contradiction(splice[:1], seen) + contradiction(nil, seen) + contradiction(splice, nil); c != "" {
		t.Errorf("contradiction where there is none: %s", c)
	}
	delegated := []step{{Mechanism: zerocopy.Delegated, Bytes: 9}}
	if got := routeOf(delegated, "write"); got != "delegated (write)" || contradiction(delegated, seen) != "" {
		t.Errorf("routeOf = %q, contradiction = %q", got, contradiction(delegated, seen))
	}
	if got := routeOf(splice, "?"); got != "splice tcp→pipe→tcp" {
		t.Errorf("routeOf = %q", got)
	}
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	const info = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:5 / /tmp rw shared:1 - tmpfs tmpfs rw\n3 1 0:6 / /tmpfoo rw - xfs x rw\nx\n"
	for dir, want := range map[string]string{"/tmp/a": "tmpfs", "/tmp": "tmpfs", "/var": "ext4", "/tmpfoo/b": "xfs", "/tmpfo": "ext4"} {
		if got := filesystem(info, dir); got != want {
			t.Errorf("filesystem of %s = %q, want %q", dir, got, want)
		}
	}
}

// sample is a run with a gain, a tie, losses of each sort and a failure.
func sample() *results {
	rows := func(name string, g group, io, zc, speed float64) row {
		r := row{Pair: name, Group: g, Src: aTCP, Dst: aTCP, Bytes: 64 << 20, Verified: true,
			IOCopy: side{Route: "read+write"}, Copy: side{Route: "splice tcp→pipe→tcp"}}
		for i := range 6 {
			jitter := time.Duration(i) * 10 * time.Microsecond
			sec := func(f float64) time.Duration {
				return time.Duration(f*float64(r.Bytes)/1e9*float64(time.Second)) + jitter
			}
			r.IOCopy.add(outcome{CPU: sec(io), Wall: sec(1)}, r.Bytes)
			r.Copy.add(outcome{CPU: sec(zc), Wall: sec(1 / speed)}, r.Bytes)
		}
		r.finish()
		return r
	}
	res := &results{Command: "go run ./examples/compare <x>", Machine: machine{CPU: "A CPU", Cores: 2, Kernel: "6.1"}, Took: 12, Planned: 6}
	res.Rows = []row{
		rows("tcp → tcp", bare, 0.4, 0.2, 1.5),
		rows("equal", wrapped, 0.4, 0.4, 1),
		rows("dearer", wrapped, 0.2, 0.4, 1),
		rows("slower", wrapped, 0.4, 0.4, 0.5),
		rows("lies <b>", wrapped, 20, 20, 1),
		{Pair: "broken", Group: hopeless, IOCopy: side{Route: "?"}, Copy: side{Route: "?"}, Failed: "what arrived is not what was sent"},
	}
	res.Rows[4].Contradiction = "the Report says so"
	res.Rows[2].Copy.Steps = []step{{Mechanism: zerocopy.Buffered, Reason: zerocopy.ReasonNotDescriptor, Bytes: 1, Text: "buffered: source *x is not a descriptor"}}
	return res
}

func TestTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := writeTable(&b, sample(), 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"— bare ends —", "— wrapped ends —",
		"\ntcp → tcp             read+write       splice via pipe ",
		"×0.50", "×2.00", "  cheaper, faster\n", "  =\n", "  DEARER\n", "  =, SLOWER\n", "  = (!)\n", "  FAILED\n",
		"6 of 6 rows in 12 s. Copy is cheaper in 1, = in 3, dearer in 1; faster in 1, slower in 1. 1 failed.",
		"Where Copy loses:\n  dearer: CPU ×2.00, throughput ×1.00: DEARER\n  slower: CPU ×1.00, throughput ×0.50: =, SLOWER\n  broken: failed: what arrived is not what was sent\n",
		"disagree:\n  lies <b>: the Report says so\n",
		"in its own words:\n  dearer: buffered: source *x is not a descriptor\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestNarrowTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := writeTable(&b, sample(), 80); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\ntcp → tcp: cheaper, faster\n" +
			"  io.Copy  read+write       0.400 ± 0% CPU-s/GB          1.00 GB/s\n" +
			"  Copy     splice via pipe  0.200 ± 0% CPU-s/GB  ×0.50   1.50 GB/s  ×1.50\n",
		"\nbroken: FAILED\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := writePage(&b, sample()); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{
		"Where Copy loses", "A CPU, 2 cores", "&lt;x&gt;", "lies &lt;b&gt;", `class="better"`, "DEARER", "SLOWER", "FAILED",
		`class="track theirs cut"`, "source *x is not a descriptor",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in the page", want)
		}
	}
	for _, bad := range []string{"ZgotmplZ", "http://", "https://", "<script", "<no value>", "%!"} {
		if strings.Contains(page, bad) {
			t.Errorf("%q in the page", bad)
		}
	}
	b.Reset()
	if err := writePage(&b, &results{}); err != nil {
		t.Errorf("page of no rows: %v", err)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"cpu_verdict":"better"`, `"cpu_s_per_gb":{"min":`, `"reason":"not-descriptor"`, `"failed":"what arrived`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestPairs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range pairs {
		if seen[p.name] {
			t.Errorf("two rows are called %q", p.name)
		}
		seen[p.name] = true
	}
	for _, src := range kinds {
		for _, dst := range kinds {
			if !seen[string(src+" → "+dst)] {
				t.Errorf("no bare row %s → %s", src, dst)
			}
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"-h", 0, "Usage: go run ./examples/compare"},
		{"-rows (", 2, "error parsing regexp"},
		{"-rows nothing", 2, "no row matches"},
		{"-size 1", 2, "want a number of bytes"},
		{"-rounds -1", 2, "want 0 or more"},
		{"-time 0s", 2, "want more than 0"},
		{"-o /nonexistent/page.html", 1, "no such file"},
		{"-dir /nonexistent", 1, "no such file"},
		{"extra", 2, "unexpected argument"},
		{"-list -rows ^tcp", 0, "tcp → bufio(unix)\n"},
	} {
		var out strings.Builder
		code := run(t.Context(), strings.Fields(tt.args), &out, &out)
		if code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: exit status %d, want %d, and %q in\n%s", tt.args, code, tt.code, tt.want, out.String())
		}
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	if got, want := command([]string{"-rows", "tcp → it's", "-json"}), `go run ./examples/compare -rows 'tcp → it'\''s' -json`; got != want {
		t.Errorf("command = %s, want %s", got, want)
	}
}
