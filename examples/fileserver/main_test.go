package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"

	"github.com/klauspost/compress/zstd"
)

func TestMain(m *testing.M) { ztest.Main(m, kpipe.Shared.CloseIdle) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A program is one that runs.
type program struct {
	stdout, stderr ztest.Output
	signals        chan os.Signal
	status         chan int
	url            string
}

// start runs the program until the end of the test.
func start(t *testing.T, args ...string) *program {
	p := &program{signals: make(chan os.Signal, 2), status: make(chan int, 1)}
	go func() {
		p.status <- run(append([]string{"-listen", "127.0.0.1:0"}, args...), p.signals, &p.stdout, &p.stderr)
	}()
	p.url = p.stdout.Await(t, `serving .* on (http://\S+)/`)[1]
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends it, once.
func (p *program) stop(t *testing.T) {
	if p.signals == nil {
		return
	}
	p.signals <- os.Interrupt
	p.signals = nil
	ztest.Within(t, ztest.Patience, "the end", func() {
		if status := <-p.status; status != 0 {
			t.Errorf("status %d: %s%s", status, &p.stdout, &p.stderr)
		}
	})
}

// get returns the answer to one request.
func (p *program) get(t *testing.T, path string, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest("GET", p.url+path, nil)
	must(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{DisableCompression: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp, body
}

// site makes a directory to be served.
func site(t *testing.T) (dir string, video []byte) {
	dir = t.TempDir()
	video = ztest.Pattern(1).Bytes(3 << 20)
	for name, content := range map[string][]byte{
		"index.html": []byte("<h1>home</h1>"), "app.js": bytes.Repeat([]byte("let x = 1;\n"), 5000), "d/video.mp4": video, ".secret": []byte("s"),
	} {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o644))
	}
	return dir, video
}

func TestServe(t *testing.T) {
	t.Parallel()
	dir, video := site(t)
	p := start(t, "-spa", "-precompress", dir)
	p.stdout.Await(t, `precompressed: 1 files that compress, 2 sidecars written`)

	if _, body := p.get(t, "/"); string(body) != "<h1>home</h1>" {
		t.Errorf("index: %q", body)
	}
	if _, body := p.get(t, "/d/video.mp4"); !bytes.Equal(body, video) {
		t.Error("video")
	}
	resp, body := p.get(t, "/d/video.mp4", "Range", "bytes=1000000-1999999")
	if resp.StatusCode != http.StatusPartialContent || !bytes.Equal(body, video[1_000_000:2_000_000]) {
		t.Errorf("range: %v", resp.Status)
	}
	resp, body = p.get(t, "/app.js", "Accept-Encoding", "gzip, zstd")
	d, err := zstd.NewReader(bytes.NewReader(body))
	must(t, err)
	defer d.Close()
	if text, err := io.ReadAll(d); err != nil || len(text) != 55_000 || resp.Header.Get("Content-Encoding") != "zstd" {
		t.Errorf("zstd: %v, %d bytes, %v", err, len(text), resp.Header)
	}
	if resp, body := p.get(t, "/some/route"); resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "home") {
		t.Errorf("route: %v", resp.Status)
	}
	for _, path := range []string{"/missing.png", "/.secret", "/../main.go"} {
		if resp, _ := p.get(t, path); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v", path, resp.Status)
		}
	}
	if _, body := p.get(t, "/d/"); !strings.Contains(string(body), "video.mp4") {
		t.Errorf("list: %s", body)
	}
	p.stop(t)
	p.stdout.Await(t, `"GET" "/" 200, 13 bytes: written from memory`)
	p.stdout.Await(t, `"GET" "/some/route" 200`)
	p.stdout.Await(t, `"GET" "/.secret" 404`)
	if sys.Supported {
		p.stdout.Await(t, `"GET" "/d/video.mp4" 200, 3145728 bytes: sendfile file→tcp`)
		p.stdout.Await(t, `"GET" "/d/video.mp4" 206, 1000000 bytes: sendfile file→tcp`)
	}
	p.stdout.Await(t, `\d+ requests, \d+ bytes of files and lists`)
}

// TestPlain: the comparison does without the kernel, and says why. The switch is the process's.
func TestPlain(t *testing.T) {
	defer zerocopy.SetDefault(nil)
	dir, video := site(t)
	p := start(t, "-plain", dir)
	if _, body := p.get(t, "/d/video.mp4"); !bytes.Equal(body, video) {
		t.Error("video")
	}
	p.stop(t)
	if sys.Supported {
		p.stdout.Await(t, `buffered: source \S+ could be moved by a mechanism that is switched off`)
	}
	p.stdout.Await(t, `, 0 of them moved by the kernel`)
}

// TestPrecompress: what is fresh stays, what is stale is replaced, and nothing is left lying about.
func TestPrecompress(t *testing.T) {
	t.Parallel()
	dir, _ := site(t)
	stamp := func(name string) (info os.FileInfo) {
		info, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		return info
	}
	must(t, os.WriteFile(filepath.Join(dir, "small.js"), []byte("1"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "noise.js"), ztest.Pattern(2).Bytes(20_000), 0o600))
	start(t, "-precompress", dir).stop(t)
	first := stamp("app.js.gz")
	second := start(t, "-precompress", dir)
	second.stdout.Await(t, `0 sidecars written .* 2 were fresh, 2 would not be smaller`)
	second.stop(t)
	if !os.SameFile(first, stamp("app.js.gz")) {
		t.Error("a fresh sidecar was replaced")
	}
	must(t, os.WriteFile(filepath.Join(dir, "app.js"), bytes.Repeat([]byte("let y = 2;\n"), 6000), 0o600))
	start(t, "-precompress", dir).stop(t)
	if os.SameFile(first, stamp("app.js.gz")) || stamp("app.js.gz").ModTime().Before(stamp("app.js").ModTime()) {
		t.Error("a stale sidecar was kept")
	}
	names, err := filepath.Glob(filepath.Join(dir, ".*"))
	must(t, err)
	if len(names) != 1 { // .secret
		t.Errorf("left: %v", names)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"-h"}, 0, "-precompress"},
		{nil, 2, "want one directory"},
		{[]string{"a", "b"}, 2, "want one directory"},
		{[]string{"-cache", "-1", "."}, 2, "want 0 or more"},
		{[]string{"/nonexistent/directory"}, 1, "no such file"},
		{[]string{"-listen", "127.0.0.1:-1", "."}, 1, "invalid port"},
	} {
		var out, err ztest.Output
		if status := run(tt.args, nil, &out, &err); status != tt.status || !strings.Contains(err.String(), tt.says) {
			t.Errorf("%v: status %d, %s", tt.args, status, &err)
		}
	}
}
