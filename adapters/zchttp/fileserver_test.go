package zchttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// tree makes the files that the tests serve, all of one time.
func tree(t testing.TB) (dir string) {
	dir = t.TempDir()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, content := range map[string]string{
		"a.txt": "the quick brown fox jumps over the lazy dog\n", "empty": "", "noext": "<html>hm", "d/b.css": "body{}",
		"i/index.html": "<h1>index</h1>", "i/index.html2": "x", "sp ace/ü.txt": "u", ".hidden": "h", "d/.git/config": "c",
	} {
		must(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	must(t, os.WriteFile(filepath.Join(dir, "large.bin"), ztest.Pattern(45).Bytes(300_000), 0o644))
	must(t, filepath.WalkDir(dir, func(p string, _ os.DirEntry, _ error) error { return os.Chtimes(p, at, at) }))
	return dir
}

var boundary = regexp.MustCompile(`[0-9a-f]{60}`)

// TestFileServerAsStandard: what http.FileServerFS answers, to any request.
func TestFileServerAsStandard(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	paths := []string{
		"/", "/a.txt", "/a.txt/", "/empty", "/noext", "/d", "/d/", "/d/b.css", "/d/../a.txt", "/d//b.css", "/i", "/i/", "/i/index.html",
		"/index.html", "/nothing", "/nothing/", "/large.bin", "/sp%20ace/%C3%BC.txt", "/.hidden", "//a.txt", "/./a.txt", "/a.txt?q=1", "/d?q=1",
	}
	headers := []string{
		"", "Range: bytes=0-4", "Range: bytes=-5", "Range: bytes=5-", "Range: bytes=0-0,2-3", "Range: bytes=0-0, 10-12,-4",
		"Range: bytes=9999999-", "Range: bytes=5-2", "Range: bytes=x", "Range: bytes=,", "Range: bytes=0-,0-", "Range: bytes=0-1,5-4",
		"Range: bytes=0-1,9999999-", "Range: lines=0-1,2-3", "Range: bytes= 0-1 , 2-3 ", "Range: bytes=-0,0-1", "Range: bytes=0-1,-0",
		"If-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT", "If-Modified-Since: Fri, 02 Jan 2026 03:04:04 GMT",
		"If-Unmodified-Since: Fri, 02 Jan 2026 03:04:04 GMT", "If-None-Match: *", `If-Match: "x"`,
		"Range: bytes=0-0,2-3\nIf-Range: Fri, 02 Jan 2026 03:04:05 GMT", "Range: bytes=0-0,2-3\nIf-Range: Fri, 02 Jan 2026 03:04:04 GMT",
		"Range: bytes=0-0,2-3\nIf-Modified-Since: Fri, 02 Jan 2026 03:04:05 GMT", "Range: bytes=0-1,2-3\nIf-None-Match: *",
	}
	std := http.FileServerFS(root.FS())
	for name, h := range map[string]http.Handler{
		"plain": zchttp.FileServer(root.FS(), nil),
		"DirFS": zchttp.FileServer(os.DirFS(dir), nil),
		"cache": zchttp.FileServer(root.FS(), &zchttp.FileServerOptions{Cache: 1 << 20}),
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			for _, p := range paths {
				for _, header := range headers {
					want, got := ask(std, method, p, header), ask(h, method, p, header)
					if want != got {
						t.Errorf("%s: %s %s %s:\n%s\nwant\n%s", name, method, p, header, got, want)
					}
				}
			}
		}
	}
}

// ask returns the answer as text.
func ask(h http.Handler, method, target, headers string) string {
	r := httptest.NewRequest(method, target, nil)
	for line := range strings.Lines(headers) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	resp := w.Result()
	var b strings.Builder
	resp.Header.WriteSubset(&b, nil)
	body, _ := io.ReadAll(resp.Body)
	return resp.Status + "\n" + boundary.ReplaceAllString(b.String()+"\n"+string(body), "BOUNDARY")
}
