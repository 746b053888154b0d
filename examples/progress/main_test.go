package main

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// content returns so many bytes that no other name has.
func content(name string, n int) []byte {
	var seed [32]byte
	copy(seed[:], name)
	p := make([]byte, n)
	rand.NewChaCha8(seed).Read(p)
	return p
}

// put writes a file with what content has for its base name, and returns its path.
func put(t *testing.T, path string, n int, mode fs.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content(filepath.Base(path), n), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// holds compares a file with what is wanted.
func holds(t *testing.T, path string, want []byte) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d, or others; %v", path, len(got), len(want), err)
	}
}

// names returns all that is in a directory, however deep.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			all = append(all, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// start runs the program and returns its status and what it has printed.
func start(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, err strings.Builder
	status = run(ctx, args, &out, &err)
	return status, out.String(), err.String()
}

func TestFiles(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why  string
		args func(dir string) []string
		want map[string]string // destination by the source's name
	}{
		{"to a new name", func(d string) []string { return []string{d + "/in/a", d + "/new"} }, map[string]string{"new": "a"}},
		{"over a file", func(d string) []string { return []string{d + "/in/a", d + "/in/sub/b"} }, map[string]string{"in/sub/b": "a"}},
		{"into a directory", func(d string) []string { return []string{d + "/in/a", d + "/in/sub"} }, map[string]string{"in/sub/a": "a", "in/sub/b": "b"}},
		{"into one that there is not", func(d string) []string { return []string{d + "/in/a", d + "/deep/er/"} }, map[string]string{"deep/er/a": "a"}},
		{"several", func(d string) []string { return []string{d + "/in/a", d + "/in/sub/b", d + "/out"} }, map[string]string{"out/a": "a", "out/b": "b"}},
		{"a directory", func(d string) []string { return []string{d + "/in", d + "/out"} }, map[string]string{"out/a": "a", "out/sub/b": "b", "out/empty": "empty"}},
		{"a directory into one", func(d string) []string { return []string{d + "/in/sub", d + "/in/a", d + "/out"} }, map[string]string{"out/sub/b": "b", "out/a": "a"}},
		{"an empty file", func(d string) []string { return []string{d + "/in/empty", d + "/out"} }, map[string]string{"out": "empty"}},
		{"with a rate and one at a time", func(d string) []string { return []string{"-rate", "1GB/s", "-jobs", "1", d + "/in", d + "/out"} }, map[string]string{"out/a": "a", "out/sub/b": "b"}},
		{"without bars", func(d string) []string { return []string{"-bar", "none", "-v", d + "/in/a", d + "/out"} }, map[string]string{"out": "a"}},
	} {
		dir := t.TempDir()
		sizes := map[string]int{"a": 3<<20 + 5, "b": 70_000, "empty": 0}
		put(t, dir+"/in/a", sizes["a"], 0o640)
		put(t, dir+"/in/sub/b", sizes["b"], 0o755)
		put(t, dir+"/in/empty", 0, 0o600)
		modes := map[string]fs.FileMode{"a": 0o640, "b": 0o755, "empty": 0o600}
		if status, stdout, stderr := start(t.Context(), row.args(dir)...); status != 0 || stderr != "" || !strings.Contains(stdout, " file") {
			t.Errorf("%s: status %d, %s%s", row.why, status, stdout, stderr)
		}
		for dst, src := range row.want {
			holds(t, filepath.Join(dir, dst), content(src, sizes[src]))
			if info, err := os.Stat(filepath.Join(dir, dst)); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != modes[src]) {
				t.Errorf("%s: %s has mode %v, want %v, %v", row.why, dst, info.Mode(), modes[src], err)
			}
		}
		for _, name := range names(t, dir) {
			if strings.HasPrefix(filepath.Base(name), ".") {
				t.Errorf("%s: %s is left", row.why, name)
			}
		}
	}
}

func TestWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := put(t, dir+"/a", 1000, 0o644), put(t, dir+"/d/a", 2000, 0o644)
	if err := os.Link(a, dir+"/hard"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(a, dir+"/soft"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		why    string
		args   []string
		status int
		want   string
	}{
		{"onto itself", []string{a, a}, failed, "is the same file"},
		{"onto itself by a hard link", []string{a, dir + "/hard"}, failed, "is the same file"},
		{"onto itself by a link", []string{a, dir + "/soft"}, failed, "is the same file"},
		{"into its own directory", []string{a, dir}, failed, "is the same file"},
		{"a directory into itself", []string{dir, dir + "/d"}, usage, "would be in"},
		{"two to one name", []string{a, b, dir + "/out/"}, usage, "would both become"},
		{"several to a file", []string{a, b, a}, usage, "is no directory"},
		{"no source", []string{dir + "/none", dir + "/x"}, usage, "no such file"},
		{"no destination", []string{a}, usage, "want SRC... DST"},
		{"no bar of that name", []string{"-bar", "x", a, dir + "/x"}, usage, "-bar x: want mpb, schollz or none"},
		{"no size", []string{"-rate", "fast", a, dir + "/x"}, usage, "-rate fast: want a number"},
		{"no rate", []string{"-rate", "0", a, dir + "/x"}, usage, "above 0"},
		{"no jobs", []string{"-jobs", "0", a, dir + "/x"}, usage, "want 1 or more"},
		{"several to an address", []string{a, b, "tcp://127.0.0.1:1"}, usage, "one file at a time"},
		{"a directory to an address", []string{dir, "tcp://127.0.0.1:1"}, usage, "one file at a time"},
		{"a stream without a name", []string{"tcp://127.0.0.1:1", dir}, usage, "needs the name of a file"},
		{"nobody there", []string{a, "tcp://127.0.0.1:1"}, failed, "refused"},
		{"nobody there to read from", []string{"tcp://127.0.0.1:1", dir + "/x"}, failed, "refused"},
	} {
		status, _, stderr := start(t.Context(), row.args...)
		if status != row.status || !strings.Contains(stderr, row.want) {
			t.Errorf("%s: status %d, want %d with %q: %s", row.why, status, row.status, row.want, stderr)
		}
	}
	holds(t, a, content("a", 1000))
	holds(t, b, content("a", 2000))
	if got := strings.Join(names(t, dir), " "); got != "a d/a hard soft" {
		t.Errorf("there are %s", got)
	}
}

// A link at the destination stays, and what it leads to is replaced.
func TestLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := put(t, dir+"/a", 1000, 0o644)
	put(t, dir+"/target", 5000, 0o600)
	if err := os.Symlink("target", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := start(t.Context(), a, dir+"/link"); status != 0 {
		t.Fatal(status, stderr)
	}
	holds(t, dir+"/target", content("a", 1000))
	if info, err := os.Lstat(dir + "/link"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
}

// listen returns an address and what the first connection to it does.
func listen(t *testing.T, f func(c net.Conn)) (addr string, done chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer ln.Close()
		if c, err := ln.Accept(); err == nil {
			defer c.Close()
			f(c)
		}
	}()
	return tcp + ln.Addr().String(), done
}

func TestTCP(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := content("a", 5<<20)
	a := put(t, dir+"/a", len(want), 0o644)

	var got []byte
	addr, done := listen(t, func(c net.Conn) { got, _ = io.ReadAll(c) })
	if status, _, stderr := start(t.Context(), a, addr); status != 0 {
		t.Error(status, stderr)
	}
	if <-done; !bytes.Equal(got, want) {
		t.Errorf("%d bytes have arrived", len(got))
	}

	addr, done = listen(t, func(c net.Conn) { c.Write(want) })
	if status, _, stderr := start(t.Context(), addr, dir+"/b"); status != 0 {
		t.Error(status, stderr)
	}
	<-done
	holds(t, dir+"/b", want)
}

// After a signal there is what there was before, and the status says so.
func TestStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir+"/in/a", 10<<20, 0o644)
	put(t, dir+"/in/b", 10<<20, 0o644)
	old := put(t, dir+"/out/a", 1234, 0o644)
	for _, jobs := range []string{"1", "2"} {
		args := []string{"-rate", "100kB", "-jobs", jobs, dir + "/in/a", dir + "/in/b", dir + "/out"}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(200*time.Millisecond, cancel)
		began := time.Now()
		status, stdout, stderr := start(ctx, args...)
		if status != interrupted || !strings.Contains(stderr, "0 of 2 files are complete") || !strings.Contains(stdout, "0 files, ") || time.Since(began) > 50*time.Second {
			t.Errorf("status %d after %v: %s%s", status, time.Since(began), stdout, stderr)
		}
		holds(t, old, content("a", 1234))
		if got := strings.Join(names(t, dir+"/out"), " "); got != "a" {
			t.Errorf("there are %s", got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if status, _, _ := start(ctx, dir+"/in/a", dir+"/out/new"); status != interrupted {
		t.Errorf("status %d of a program that was stopped before", status)
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "65536": 65536, "12B": 12, "500kB": 500_000, "500KB": 500_000, "1GB": 1e9, "1.5GB": 1.5e9,
		"20MiB": 20 << 20, "20mib": 20 << 20, "4K": 4096, "2G": 2 << 30, "1TiB": 1 << 40, "3 MB": 3e6, "20MiB/s": 20 << 20,
		"9223372036854775807": 1<<63 - 1, "8388607TiB": 8388607 << 40, "0.5k": 512,
		"": -1, "B": -1, "MiB": -1, "-1": -1, "1e3": -1, "1.2.3": -1, "10 apples": -1, "20iB": -1, "0x10": -1, "8388608TiB": -1, "99999999999999999999": -1, "Inf": -1, "NaN": -1,
	} {
		got, err := parseSize(s)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 999_949: "999.9 kB", 999_951: "1.0 MB", 1.25e9: "1.2 GB", 1 << 62: "4611686.0 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
