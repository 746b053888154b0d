package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		playRole(role)
	}
	if os.Getenv(asBench) != "" {
		main()
	}
	os.Exit(m.Run())
}

// asBench in the environment makes the test binary the program itself.
const asBench = "ZEROCOPY_BENCH_TEST_RUN_MAIN"

// read returns the result that a run wrote.
func read(t *testing.T, path string) (res result) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &res)
	}
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// A tiny run of each kind of case, from the flags to the files.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out.json")
	page := filepath.Join(dir, "out.html")
	var stdout, stderr strings.Builder
	status := run(t.Context(), []string{
		"-cases", "^(bulk-transparent|bulk-discarded|file-disk|trip-64|streams-4|fan-2|fan-file|pages-pipe-small|helpless-bytes|file-socket-512|file-file-512|http-static-4k|http-proxy-1k|http-upload-memory|http-download-memory)$",
		"-rounds", "1", "-seconds", "0.05", "-dir", dir, "-json", out, "-html", page,
	}, &stdout, &stderr)
	if status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	res := read(t, out)
	if len(res.Cases) != 15 {
		t.Errorf("%d cases, want 15", len(res.Cases))
	}
	for _, c := range res.Cases {
		for _, r := range c.Contenders {
			if (r.Name == byHAProxy || webConfigs[r.Name] != nil) && r.Skipped == "not installed" {
				continue
			}
			if r.Skipped != "" || len(r.Samples) != 1 {
				t.Errorf("%s, %s: %d samples, skipped %q", c.Name, r.Name, len(r.Samples), r.Skipped)
				continue
			}
			if r.Metrics[c.Show[0]].N != 1 {
				t.Errorf("%s, %s: no %s in %+v", c.Name, r.Name, c.Show[0], r.Samples)
			}
			if (strings.HasPrefix(c.Name, "bulk-t") || strings.HasPrefix(c.Name, "fan-") || strings.HasPrefix(c.Name, "pages-")) && r.Verified != verifyBytes {
				t.Errorf("%s, %s: %d bytes verified", c.Name, r.Name, r.Verified)
			}
		}
	}
	if len(res.Verdicts) == 0 || !strings.Contains(stdout.String(), "to reach") {
		t.Errorf("no verdicts in\n%s", &stdout)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "</html>") {
		t.Errorf("no page: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "zerocopy-bench-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A wrapper that opts in is spliced, one that does not is not: what the cases
// compare is what they say.
func TestPresent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := newSession(ctx, options{rounds: 1, seconds: 0.01}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	measure := func(mode, variant string) sample {
		t.Helper()
		x, err := s.run(ctx, job{spec: spec{Mode: mode, Scale: 5}, contender: contender{Variant: variant}})
		if err != nil {
			t.Fatalf("%s, %s: %v", variant, mode, err)
		}
		return x
	}
	none := measure(modeBare, byLoop32).Pipes
	for mode, want := range map[string]bool{modeTransparent: true, modeBare: true, modeUnknown: false} {
		n := measure(mode, byZerocopy).Pipes
		// The look comes at some time, by which a busy machine has perhaps not let
		// the contender do anything.
		for range 20 {
			if n > none || !want {
				break
			}
			n = measure(mode, byZerocopy).Pipes
		}
		if n > none != want {
			t.Errorf("%s: %d ends of pipes, %d without any; want more: %v", mode, n, none, want)
		}
	}
}

// What a tunnel holds is told apart from what its process does.
func TestTunnels(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.01}, func(name string) bool { return name == byLimit })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for variant, want := range map[string][2]float64{byLimit: {6, 4}, byLoop32: {2, 0}} {
		var x sample
		// What is still on its way after some time, on a busy machine, counts too.
		for range 10 {
			x, err = s.run(t.Context(), job{
				spec:      spec{Kind: kindTunnels, Mode: modeBare, Idle: 20, Warm: 4096},
				contender: contender{Variant: variant},
			})
			if err != nil {
				t.Fatal(err)
			}
			if x.TunnelFDs == want[0] && x.TunnelPipe == want[1] {
				break
			}
		}
		if x.TunnelFDs != want[0] || x.TunnelPipe != want[1] {
			t.Errorf("%s: %v descriptors a tunnel, %v of them ends of pipes, want %v", variant, x.TunnelFDs, x.TunnelPipe, want)
		}
	}
}

// Source and sink on the other end of a -server.
func TestClientServer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	r, w := io.Pipe()
	served := make(chan int, 1)
	go func() { served <- run(ctx, []string{"-server", "127.0.0.1:0"}, io.Discard, w) }()
	said := make([]byte, 256)
	n, err := r.Read(said)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	addr := regexp.MustCompile(`-client (\S+)`).FindSubmatch(said[:n])
	if addr == nil {
		t.Fatalf("the server says %q", said[:n])
	}
	var stdout, stderr strings.Builder
	out := filepath.Join(t.TempDir(), "out.json")
	if status := run(ctx, []string{"-client", string(addr[1]), "-cases", "^bulk-unknown$", "-rounds", "1", "-bytes", "1000000", "-json", out}, &stdout, &stderr); status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, &stdout, &stderr)
	}
	if x := read(t, out).Cases[0].contender(byZerocopy); len(x.Samples) != 1 || x.Samples[0].Bytes != 1000000 {
		t.Errorf("%+v, want one sample of 1000000 bytes", x)
	}
	cancel()
	// 130: it was still ending the session when it was interrupted.
	if status := <-served; status != 0 && status != 130 {
		t.Errorf("the server's exit status is %d", status)
	}
}

// An interrupt ends the run with what there is, and all its processes.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-cases", "^bulk-unknown$", "-rounds", "1", "-seconds", "60", "-json", filepath.Join(t.TempDir(), "out.json"))
	cmd.Env = append(os.Environ(), asBench+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stdout strings.Builder
	cmd.Stdout = &stdout
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := stderr.Read(make([]byte, 256)); n == 0 { // it says which case it is at
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); len(childrenOf(cmd.Process.Pid)) < 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("less than 2 children while it runs")
		}
	}
	time.Sleep(200 * time.Millisecond) // at any moment
	children := childrenOf(cmd.Process.Pid)
	cmd.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer kill.Stop()
	io.Copy(io.Discard, stderr)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit status %d, want 130", code)
	}
	if !strings.Contains(stdout.String(), "interrupted") {
		t.Errorf("no word of it in\n%s", &stdout)
	}
	for _, pid := range children {
		for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
		}
	}
}

// childrenOf returns the processes whose parent is pid.
func childrenOf(pid int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, path := range stats {
		text, _ := os.ReadFile(path)
		if field(text, "PPid:") == int64(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, child)
		}
	}
	return pids
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"-h"}, 0, "-rounds"},
		{[]string{"more"}, 2, "no arguments"},
		{[]string{"-rounds", "0"}, 2, "above 0"},
		{[]string{"-cases", "("}, 2, "missing closing"},
		{[]string{"-server", "x", "-client", "y"}, 2, "two hosts"},
		{[]string{"-congestion", "reno", "-client", "y"}, 2, "one host"},
		{[]string{"-congestion", "none", "-cases", "helpless"}, 1, "-congestion none: "},
		{[]string{"-client", "127.0.0.1:1", "-cases", "helpless"}, 1, "refused"},
		{[]string{"-list"}, 0, ""},
	} {
		var stdout, stderr strings.Builder
		if status := run(t.Context(), row.args, &stdout, &stderr); status != row.status || !strings.Contains(stderr.String(), row.stderr) {
			t.Errorf("%q: status %d, want %d; stderr %q, want %q", row.args, status, row.status, &stderr, row.stderr)
		}
	}
}
