package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/stat"
)

// The tests below run the whole program, and are not parallel: they look for
// what it leaves behind.

func TestRun(t *testing.T) {
	left := leftovers(t)
	dir := t.TempDir()
	page := filepath.Join(dir, "page.html")
	args := []string{"-rows", `^(file → tcp|multi\(header, tcp\) → tcp)$`, "-rounds", "2", "-size", "256K", "-dir", dir}
	var out, progress bytes.Buffer
	if code := run(t.Context(), append(args, "-o", page), &out, &progress); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, &out, &progress)
	}
	for _, want := range []string{"file → tcp ", "multi(header, tcp) → tcp ", "CPU-s/GB", "2 of 2 rows"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "multi(header, tcp)") {
		t.Errorf("page: %v, %d bytes", err, len(text))
	}

	out.Reset()
	if code := run(t.Context(), append(args, "-json"), &out, &progress); code != 0 {
		t.Fatalf("exit status %d\n%s%s", code, &out, &progress)
	}
	var res struct {
		Rows []struct {
			Verified      bool
			Rounds, Bytes int
			IOCopy        struct {
				Route string
				CPU   stat.Spread `json:"cpu_s_per_gb"`
			} `json:"io_copy"`
		}
	}
	if err := json.Unmarshal(out.Bytes(), &res); err != nil || len(res.Rows) != 2 {
		t.Fatalf("%v in %s", err, &out)
	}
	for _, r := range res.Rows {
		if !r.Verified || r.Rounds != 2 || r.IOCopy.CPU.Median <= 0 {
			t.Errorf("row: %+v", r)
		}
	}
	// io.Copy has sent files by sendfile since Go 1.0, so anything else is an
	// error of the tracing, unless that is not permitted.
	if got := res.Rows[0].IOCopy.Route; got != "sendfile file→tcp" && got != "?" {
		t.Errorf("io.Copy goes file → tcp by %q", got)
	}
	left()
}

// TestInterrupt ends a run after its first row, in its second or, on a busy machine, in
// a later one: there are enough of them.
func TestInterrupt(t *testing.T) {
	left := leftovers(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	progress := writerFunc(func(line []byte) {
		if bytes.Contains(line, []byte("1/9")) {
			time.AfterFunc(20*time.Millisecond, cancel)
		}
	})
	var out bytes.Buffer
	code := run(ctx, []string{"-rows", "^(pipe|unix|tcp) → (pipe|unix|tcp)$", "-size", "64M", "-rounds", "6", "-dir", dir}, &out, progress)
	if code != 130 || !strings.Contains(out.String(), "Interrupted.") || !strings.Contains(out.String(), "\npipe → pipe ") {
		t.Errorf("exit status %d\n%s", code, &out)
	}
	if strings.Contains(out.String(), "FAILED") {
		t.Errorf("an interrupted row is shown as failed:\n%s", &out)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*")); len(names) > 0 {
		t.Errorf("left in the directory: %v", names)
	}
	left()
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// TestWrongBytes makes sure that a wrong byte is found: the depot hands out a
// source file that is not what it should be.
func TestWrongBytes(t *testing.T) {
	left := leftovers(t)
	dir := t.TempDir()
	p, _ := findPair("file → file")
	d := &depot{dir: dir}
	const size = 64 << 10
	path, err := d.source(aFile, size+4321, true)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{'!', '!'}, 1000)
	f.Close()
	rows, err := measureAll(t.Context(), []pair{p}, options{size: size, rounds: 1, time: time.Minute}, d, newProgress(&bytes.Buffer{}, 1, time.Now()))
	if err != nil || len(rows) != 1 || !strings.Contains(rows[0].Failed, "not what was sent") || rows[0].Verified {
		t.Errorf("rows %+v, %v", rows, err)
	}
	left()
}

// leftovers marks the environment that children inherit. The function it
// returns fails the test if a process or a descriptor is left.
func leftovers(t *testing.T) func() {
	mark := "COMPARE_TEST=" + t.TempDir()
	name, value, _ := strings.Cut(mark, "=")
	t.Setenv(name, value)
	fds := func() int {
		names, _ := os.ReadDir("/proc/self/fd")
		return len(names)
	}
	if r, w, err := os.Pipe(); err == nil { // the poller's own descriptors stay
		r.Close()
		w.Close()
	}
	before := fds()
	return func() {
		t.Helper()
		if after := fds(); after > before {
			t.Errorf("%d descriptors before, %d after", before, after)
		}
		var found []string
		// Should one be orphaned, it may take its time.
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			found = nil
			envs, _ := filepath.Glob("/proc/[0-9]*/environ")
			for _, env := range envs {
				if text, _ := os.ReadFile(env); bytes.Contains(text, []byte(mark)) {
					found = append(found, env)
				}
			}
			if len(found) == 0 {
				return
			}
		}
		t.Errorf("processes left: %v", found)
	}
}
