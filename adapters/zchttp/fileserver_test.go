package zchttp_test

import (
	"bytes"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// old is a time of modification that nobody takes for recent.
var old = time.Date(2020, 2, 3, 4, 5, 6, 7000, time.UTC)

// tree writes files below a fresh directory; a name that ends in a slash is a directory.
func tree(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	for name, s := range files {
		p := filepath.Join(dir, name)
		must(tb, os.MkdirAll(filepath.Dir(p), 0o755))
		if strings.HasSuffix(name, "/") {
			must(tb, os.MkdirAll(p, 0o755))
			continue
		}
		must(tb, os.WriteFile(p, []byte(s), 0o644))
		must(tb, os.Chtimes(p, old, old))
	}
	must(tb, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chtimes(p, old, old)
		}
		return err
	}))
	return dir
}

// site is what the tables ask for.
func site(tb testing.TB) string {
	return tree(tb, map[string]string{
		"file.txt":              "0123456789",
		"empty.txt":             "",
		"big.bin":               strings.Repeat("0123456789abcde\n", 1<<10),
		"page":                  "<!doctype html><title>x</title>",
		"style.css":             "a{}",
		"a b&<c>#?.txt":         "odd",
		".dot":                  "dot",
		".well-known/x":         "known",
		"back\\slash":           "backslash",
		"index/index.html":      "<p>index",
		"index/other":           "other",
		"plain/sub/":            "",
		"plain/one":             "1",
		"indexdir/index.html/x": "x",
	})
}

var boundary = regexp.MustCompile(`[0-9a-f]{60}`)

// recorded sends one request as it is and returns the response as text, without its date and with
// one boundary for all.
func recorded(tb testing.TB, h http.Handler, method, target string, header http.Header) string {
	tb.Helper()
	r := httptest.NewRequest(method, "/", nil)
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	for k, v := range header {
		r.Header[k] = v
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	var b bytes.Buffer
	must(tb, res.Header.Write(&b))
	body, err := io.ReadAll(res.Body)
	must(tb, err)
	return boundary.ReplaceAllString(res.Status+"\n"+b.String()+"\n"+string(body), "B")
}

// TestFileServerLikeStandard asks both for the same and compares status, header and body. The rows
// are those of net/http's own tests of its FileServer, by meaning.
func TestFileServerLikeStandard(t *testing.T) {
	t.Parallel()
	dir := site(t)
	when := old.Format(http.TimeFormat)
	later := old.Add(time.Hour).Format(http.TimeFormat)
	before := old.Add(-time.Hour).Format(http.TimeFormat)
	paths := []string{
		"/", "", "//", "/file.txt", "file.txt", "//file.txt", "/./file.txt", "/plain/../file.txt", "/../file.txt",
		"/file.txt/", "/file.txt//", "/file.txt/.", "/file.txt/x", "/file.txt/index.html", "/file.txt?q=1", "/file.txt/?q=1",
		"/empty.txt", "/big.bin", "/page", "/style.css", "/a b&<c>#?.txt", "/.dot", "/.well-known/x", "/back\\slash",
		"/index", "/index/", "/index?q=1", "/index/index.html", "/index/index.html?q=1", "/index/index.html/", "/index//",
		"/index.html", "/index.html/", "/plain", "/plain/", "/plain/sub", "/plain/sub/", "/plain/?q", "/none", "/none/", "/none/index.html",
		"/indexdir", "/..%2ffile.txt", "/%2e%2e/file.txt",
	}
	headers := []http.Header{
		nil,
		{"If-Modified-Since": {when}}, {"If-Modified-Since": {later}}, {"If-Modified-Since": {before}}, {"If-Modified-Since": {"junk"}},
		{"If-Unmodified-Since": {when}}, {"If-Unmodified-Since": {before}}, {"If-Unmodified-Since": {"junk"}},
		{"If-Match": {"*"}}, {"If-Match": {`"x"`}}, {"If-Match": {`junk`}},
		{"If-None-Match": {"*"}}, {"If-None-Match": {`"x"`}}, {"If-None-Match": {`"x"`}, "If-Modified-Since": {when}},
		{"Range": {"bytes=0-3"}, "If-Range": {when}}, {"Range": {"bytes=0-3"}, "If-Range": {before}}, {"Range": {"bytes=0-3"}, "If-Range": {`"x"`}},
	}
	for _, s := range []string{
		"bytes=0-0", "bytes=0-4", "bytes=2-", "bytes=-5", "bytes=-0", "bytes=3-7", "bytes=0-99", "bytes=9-9", "bytes=10-", "bytes=10-12", "bytes=-99",
		"bytes=0-0,-2", "bytes=0-1,5-8", "bytes=0-1,5-", "bytes=0-,1-,2-,3-,4-", "bytes=0-0,0-0,0-0", "bytes=0-4,3-6", "bytes=5-6,0-1", "bytes= 0-1 , 3 - 4 ",
		"bytes=0-1,,3-4", "bytes=,0-1", "bytes=0-1,", "bytes=0-1,20-30", "bytes=20-30,40-50", "bytes=0-1,-0", "bytes=,", "bytes=0-1,-20", "bytes=+1-+2,4-5",
		"bytes=2-1", "bytes=2-1,3-4", "bytes=a-b", "bytes=0-1,x", "bytes=0-1,--1", "bytes=--1", "bytes=", "bytes", "bytes 0-1", "bits=0-1", "BYTES=0-1,2-3", "bytes=1", "bytes=-", "bytes=-,0-1",
		"bytes=0-18446744073709551616", "bytes=9223372036854775808-,0-1", "bytes=-9223372036854775808,0-1", "bytes=9223372036854775806-9223372036854775807,0-1,2-3",
	} {
		headers = append(headers, http.Header{"Range": {s}}, http.Header{"Range": {s}, "If-Modified-Since": {before}})
	}
	root, err := os.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	for _, kind := range []struct {
		name string
		fsys fs.FS
		o    *zchttp.FileServerOptions
	}{
		{"DirFS", os.DirFS(dir), nil},
		{"Root", root.FS(), nil},
		{"Cache", os.DirFS(dir), &zchttp.FileServerOptions{CacheBytes: 1 << 20}},
		{"Open", root.FS(), &zchttp.FileServerOptions{CacheFiles: 8}},
		{"Idle", os.DirFS(dir), &zchttp.FileServerOptions{IdleTimeout: time.Hour}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			std, ours := http.FileServerFS(kind.fsys), zchttp.FileServer(kind.fsys, kind.o)
			for _, method := range []string{"GET", "HEAD", "POST"} {
				for _, p := range paths {
					for _, h := range headers {
						if h.Get("Range") != "" && p != "/file.txt" && p != "/empty.txt" && p != "/index/" && p != "/page" {
							continue
						}
						want := recorded(t, std, method, p, h)
						if got := recorded(t, ours, method, p, h); got != want {
							t.Errorf("%s %q %v:\n%.600s\nthe standard library has\n%.600s", method, p, h, got, want)
						}
					}
				}
			}
		})
	}
}
