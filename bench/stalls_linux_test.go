package main

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	runtimemetrics "runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestHighest(t *testing.T) {
	t.Parallel()
	buckets := []float64{math.Inf(-1), 1, 2, 4, math.Inf(1)}
	for _, row := range []struct {
		before, after []uint64
		want          float64
		reason        string
	}{
		{[]uint64{1, 2, 3, 4}, []uint64{1, 2, 3, 4}, 0, "nothing was counted"},
		{[]uint64{1, 2, 3, 4}, []uint64{1, 9, 3, 4}, 2, "what was counted before is not"},
		{[]uint64{0, 0, 0, 0}, []uint64{9, 9, 1, 0}, 4, "one is enough"},
		{[]uint64{0, 0, 0, 0}, []uint64{0, 0, 0, 1}, 4, "the last bucket has no upper end"},
	} {
		h := func(counts []uint64) *runtimemetrics.Float64Histogram {
			return &runtimemetrics.Float64Histogram{Counts: counts, Buckets: buckets}
		}
		if got := highest(h(row.before), h(row.after)); got != row.want {
			t.Errorf("%s: %v, want %v", row.reason, got, row.want)
		}
	}
}

// The histograms are there, and what is forced is seen.
func TestWatch(t *testing.T) {
	var o *Observed
	for span := 2 * collectEvery; span < patience; span *= 2 { // a busy machine takes its time
		w := startWatch()
		time.Sleep(span)
		if o = w.end(); o.Collections > 0 {
			break
		}
	}
	if o.Collections < 1 || o.Collecting <= 0 || o.Stop <= 0 || o.StopBucket <= 0 || o.Stopping <= 0 || o.Timer <= 0 || o.Task <= 0 {
		t.Errorf("%+v, want something of all", o)
	}
}

func TestWaitsIn(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]int{
		"running\n":                         -1,
		"-1 0x7ffc0 0x40\n":                 -1,
		"275 0x5 0x0 0x8 0x0 0x100 0x3 0x7": 275,
		"":                                  -1,
	} {
		if call, ok := waitsIn(line); ok != (want >= 0) || ok && call != want {
			t.Errorf("%q: %d, %v; want %d", line, call, ok, want)
		}
	}
	if _, err := waitingIn(os.Getpid()); err != nil && !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}

func TestCounterOf(t *testing.T) {
	t.Parallel()
	const text = "Ip: Forwarding RetransSegs\nIp: 1 2\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 -1\n"
	for _, row := range []struct {
		protocol, name string
		want           int64
	}{{"Tcp:", "RetransSegs", 17}, {"Tcp:", "InErrs", -1}, {"Tcp:", "Other", 0}, {"Udp:", "RetransSegs", 0}} {
		if got := counterOf(text, row.protocol, row.name); got != row.want {
			t.Errorf("%s %s = %d, want %d", row.protocol, row.name, got, row.want)
		}
	}
}

// Where groups are made on machines with version 1, 2, both or none.
func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, controllers := range map[string]string{"all": "cpuset cpu io memory\n", "few": "hugetlb\n"} {
		os.Mkdir(filepath.Join(dir, name), 0o755)
		os.WriteFile(filepath.Join(dir, name, "cgroup.controllers"), []byte(controllers), 0o644)
	}
	const v1 = "31 24 0:27 / /v1/cpu rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n32 24 0:28 / /v1/memory rw - cgroup cgroup rw,memory\n"
	v2 := func(name string) string {
		return "30 23 0:26 / " + dir + "/" + name + " rw - cgroup2 cgroup2 rw,nsdelegate\n"
	}
	for _, row := range []struct {
		reason, mountinfo string
		want, instead     string
		v2                bool
	}{
		{"version 2 has it", v2("all"), dir + "/all", "", true},
		{"version 1 has it", v1, "/v1/memory", "no cgroup2 is mounted", false},
		{"both are mounted, version 1 has it", v2("few") + v1, "/v1/memory", `cgroup.controllers has "hugetlb"`, false},
		{"none has it", v2("few"), "", "", false},
		{"other mounts", "22 1 254:0 / / rw - ext4 /dev/root rw\nnonsense\n", "", "", false},
	} {
		h, err := parseMounts(row.mountinfo).find(limitMemory)
		if h.dir != row.want || h.v2 != row.v2 || !strings.Contains(h.instead, row.instead) || (err == nil) != (row.want != "") {
			t.Errorf("%s: %+v, %v; want %s, version 2 %v", row.reason, h, err, row.want, row.v2)
		}
	}
}

// What is written to the files of a group of version 2, and taken back.
func TestGroupFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	read := func(name string) string { text, _ := os.ReadFile(filepath.Join(dir, name)); return string(text) }
	os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("cpu\n"), 0o644)
	for _, row := range []struct{ limit, file, want, control, stat, counted string }{
		{limitMemory, "memory.high", "134217728", "+memory", "memory.events", "low 0\nhigh 12\nmax 3\n"},
		{limitCPU, "cpu.max", "25000 100000", "cpu\n", "cpu.stat", "usage_usec 7\nnr_periods 40\nnr_throttled 12\n"},
	} {
		os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("cpu\n"), 0o644)
		g, err := newGroup(hierarchy{dir: dir, v2: true}, row.limit)
		if err != nil {
			t.Fatal(err)
		}
		base := filepath.Base(g.dir)
		if got := read(base + "/" + row.file); got != row.want || read("cgroup.subtree_control") != row.control {
			t.Errorf("%s: %q and %q, want %q and %q", row.limit, got, read("cgroup.subtree_control"), row.want, row.control)
		}
		os.WriteFile(filepath.Join(g.dir, row.stat), []byte(row.counted), 0o644)
		if got := g.hits(); got != 12 {
			t.Errorf("%s: %d hits, want 12", row.limit, got)
		}
		os.RemoveAll(g.dir) // the kernel's files would go with the directory
		os.Mkdir(g.dir, 0o755)
		if err := g.remove(); err != nil {
			t.Error(err)
		}
		if got := read("cgroup.subtree_control"); row.limit == limitMemory && got != "-memory" {
			t.Errorf("%q remains, want it taken back", got)
		}
	}
}

// A group is gone after its round, and those of dead processes with it; those of
// others are not.
func TestGroup(t *testing.T) {
	t.Parallel()
	h, err := hierarchyOf(limitCPU)
	if err != nil {
		t.Skip(err)
	}
	dead := filepath.Join(h.dir, groupPrefix+"2147483646") // no process has so high an id
	err = os.Mkdir(dead, 0o755)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		t.Skip(err)
	} else if err != nil && !errors.Is(err, fs.ErrExist) { // a run that was killed has left it
		t.Fatal(err)
	}
	defer os.Remove(dead)
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.1}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	x, err := s.run(t.Context(), job{spec: spec{Mode: modeBare, Streams: 4, Watch: true, Limit: limitCPU}, contender: contender{Variant: byIO}})
	if err != nil {
		t.Fatal(err)
	}
	if x.Hits == nil || x.Observed == nil || x.Bytes == 0 {
		t.Errorf("%+v, want the hits and what was observed", x)
	}
	left, _ := filepath.Glob(filepath.Join(h.dir, groupPrefix+"*"))
	for _, gone := range []string{dead, filepath.Join(h.dir, groupPrefix+strconv.Itoa(os.Getpid()))} {
		if slices.Contains(left, gone) {
			t.Errorf("%s is left", gone)
		}
	}
}

// A cgroup2 of its own, which no other process sees.
func TestMountGroups(t *testing.T) {
	t.Parallel()
	dir, err := mountGroups()
	if errors.Is(err, syscall.EPERM) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers")); err != nil {
		t.Error(err)
	}
	text, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(text), "/zerocopy-bench-") {
		t.Errorf("it is still mounted:\n%s", text)
	}
}

// io.Copy waits in the kernel then, and the process goes on.
func TestBlocking(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.01}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	waits := 0
	for range 10 { // on a busy machine less has flowed than the sockets hold
		x, err := s.run(t.Context(), job{spec: spec{Kind: kindBlocking, Mode: modeBare, End: endDestination}, contender: contender{Variant: byIO}})
		if err != nil {
			t.Fatal(err)
		}
		if x.Gap < tickEvery.Seconds() {
			t.Errorf("the longest gap is %v s, less than between two ticks", x.Gap)
		}
		if x.Blocked == nil {
			t.Skip("system calls of other processes cannot be seen")
		}
		if waits = *x.Blocked; waits > 0 {
			break
		}
	}
	if waits == 0 {
		t.Error("no thread waits in the kernel")
	}
}

// Bytes arrive over the long way, and it is long.
func TestFar(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.01}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	x, err := s.run(t.Context(), job{spec: spec{Kind: kindFar, Mode: modeBare}, contender: contender{Variant: byIO}, verify: true})
	var why skip
	if errors.As(err, &why) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	if x.Bytes != verifyBytes || x.Trip < (2*farDelay).Seconds() {
		t.Errorf("%d bytes, opened in %v s; want %d, and 0.1 s or more", x.Bytes, x.Trip, verifyBytes)
	}
}
