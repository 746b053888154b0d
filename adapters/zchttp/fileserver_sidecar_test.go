package zchttp_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

func gzipped(tb testing.TB, s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, s)
	must(tb, err)
	must(tb, w.Close())
	return b.String()
}

func zstdded(tb testing.TB, s string) string {
	w, err := zstd.NewWriter(nil)
	must(tb, err)
	defer w.Close()
	return string(w.EncodeAll([]byte(s), nil))
}

// TestH45Sidecars: which of the files beside one is served, for what is asked.
func TestH45Sidecars(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("body { color: black }\n", 200)
	zip, zst := gzipped(t, text), zstdded(t, text)
	dir := tree(t, map[string]string{
		"all.css": text, "all.css.gz": zip, "all.css.zst": zst, "all.css.br": "brotli's",
		"gz.css": text, "gz.css.gz": zip,
		"none.css": text,
		"sniffed":  "<!doctype html>" + text, "sniffed.gz": gzipped(t, "<!doctype html>"+text),
		"stale.css": text, "stale.css.gz": zip,
		"cut.css": text, "cut.css.gz": zip[:len(zip)-9],
		"empty.css": text, "empty.css.gz": "", "empty.css.zst": "", "empty.css.br": "",
		"other.css": text, "other.css.gz": "this is not what it says", "other.css.zst": "nor is this.....",
		"wrong.css": text, "wrong.css.gz": gzipped(t, "of another file"),
		"cutz.css": text, "cutz.css.zst": zst[:5],
		"dir.css": text, "dir.css.gz/": "",
		"index.html": text, "index.html.gz": zip,
	})
	earlier := old.Add(-time.Second)
	must(t, os.Chtimes(filepath.Join(dir, "stale.css.gz"), earlier, earlier))
	const gz = "gzip"
	for _, tt := range []struct {
		reason, path, accept string
		ranged               string
		encoding             string
		status               int
	}{
		{"nothing accepted", "/all.css", "", "", "", 200},
		{"one accepted", "/all.css", "gzip", "", gz, 200},
		{"equal weights: the first of the options", "/all.css", "gzip, br, zstd", "", "zstd", 200},
		{"the greatest weight", "/all.css", "gzip;q=0.9, br;q=0.8, zstd;q=0.5", "", gz, 200},
		{"a weight of zero", "/all.css", "zstd;q=0, gzip", "", gz, 200},
		{"a weight of 0.000", "/gz.css", "gzip;q=0.000", "", "", 200},
		{"any", "/all.css", "*", "", "zstd", 200},
		{"any but one", "/all.css", "*, zstd;q=0", "", "br", 200},
		{"nothing but identity", "/all.css", "*;q=0, identity", "", "", 200},
		{"identity preferred", "/all.css", "identity, gzip;q=0.5", "", "", 200},
		{"identity less than gzip", "/all.css", "identity;q=0.1, gzip;q=0.5", "", gz, 200},
		{"identity refused", "/all.css", "identity;q=0, gzip", "", gz, 200},
		{"identity refused, nothing else there", "/none.css", "identity;q=0, gzip", "", "", 200},
		{"any case and old names", "/all.css", "X-GZip", "", gz, 200},
		{"a weight that is none", "/gz.css", "gzip;q=x", "", "", 200},
		{"a weight of more than one", "/gz.css", "gzip;q=7", "", "", 200},
		{"not a number", "/gz.css", "gzip;q=NaN", "", "", 200},
		{"rubbish", "/gz.css", ",;,q=1;;gzip", "", "", 200},
		{"rubbish beside", "/gz.css", " , gzip ; q = 0.5 ,,", "", gz, 200},
		{"only one of them there", "/gz.css", "zstd, br, gzip;q=0.1", "", gz, 200},
		{"none there", "/none.css", "zstd, br, gzip", "", "", 200},
		{"type by content is the file's", "/sniffed", "gzip", "", gz, 200},
		{"older than its file", "/stale.css", "gzip", "", "", 200},
		{"cut short", "/cut.css", "gzip", "", "", 200},
		{"empty", "/empty.css", "gzip, zstd, br", "", "", 200},
		{"another format", "/other.css", "gzip, zstd", "", "", 200},
		{"of another length", "/wrong.css", "gzip", "", "", 200},
		{"cut within the header", "/cutz.css", "zstd", "", "", 200},
		{"a directory", "/dir.css", "gzip", "", "", 200},
		{"of an index", "/", "gzip", "", gz, 200},
		{"a range is of the file", "/all.css", "gzip", "bytes=5-9", "", 206},
		{"several ranges are", "/all.css", "gzip", "bytes=5-9,20-30", "", 206},
		{"so is one that cannot be", "/all.css", "gzip", "bytes=99999-", "", 416},
		{"range without identity", "/all.css", "gzip, identity;q=0", "bytes=5-9", gz, 200},
		{"by its own name an ordinary file", "/gz.css.gz", "gzip", "", "", 200},
	} {
		for _, cached := range []int64{0, 1 << 20} {
			h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{
				Precompressed: []string{"zstd", "br", "gzip"}, CacheBytes: cached,
			})
			for _, method := range []string{"GET", "HEAD", "GET"} {
				r := httptest.NewRequest(method, tt.path, nil)
				if tt.accept != "" {
					r.Header.Set("Accept-Encoding", tt.accept)
				}
				if tt.ranged != "" {
					r.Header.Set("Range", tt.ranged)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if got := w.Header().Get("Content-Encoding"); w.Code != tt.status || got != tt.encoding {
					t.Errorf("%s: %s: %d, encoding %q, want %d, %q", tt.reason, method, w.Code, got, tt.status, tt.encoding)
					continue
				}
				if w.Header().Get("Vary") != "Accept-Encoding" {
					t.Errorf("%s: Vary: %q", tt.reason, w.Header()["Vary"])
				}
				if tt.status == 416 {
					continue
				}
				if tt.path == "/sniffed" && w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
					t.Errorf("%s: Content-Type %q", tt.reason, w.Header().Get("Content-Type"))
				}
				if method == "HEAD" {
					if w.Body.Len() > 0 || w.Header().Get("Content-Length") == "" {
						t.Errorf("%s: HEAD: %d bytes, %v", tt.reason, w.Body.Len(), w.Header())
					}
					continue
				}
				checkDecoded(t, tt.reason, dir, tt.path, w)
				check304(t, tt.reason, h, r, w.Header().Get("Etag"), tt.encoding)
			}
		}
	}
}

// checkDecoded compares a whole answer, decoded, with the file.
func checkDecoded(t *testing.T, reason, dir, path string, w *httptest.ResponseRecorder) {
	if w.Code != 200 {
		return
	}
	if path == "/" {
		path = "/index.html"
	}
	want, err := os.ReadFile(filepath.Join(dir, path))
	must(t, err)
	got := w.Body.Bytes()
	switch w.Header().Get("Content-Encoding") {
	case "gzip":
		z, err := gzip.NewReader(w.Body)
		must(t, err)
		got, err = io.ReadAll(z)
		must(t, err)
	case "zstd":
		z, err := zstd.NewReader(w.Body)
		must(t, err)
		defer z.Close()
		got, err = io.ReadAll(z)
		must(t, err)
	case "br":
		want = []byte("brotli's")
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, want %d", reason, len(got), len(want))
	}
}

// check304 asks again with the validator, which another coding must not have.
func check304(t *testing.T, reason string, h http.Handler, r *http.Request, etag, encoding string) {
	if etag == "" || (encoding != "") != strings.HasSuffix(etag, "-"+encoding+`"`) {
		t.Errorf("%s: ETag %s of %q", reason, etag, encoding)
	}
	again := r.Clone(r.Context())
	again.Header.Set("If-None-Match", etag)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, again)
	if w.Code != 304 || w.Header().Get("Vary") != "Accept-Encoding" || w.Header().Get("Etag") != etag || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%s: again: %d %v", reason, w.Code, w.Header())
	}
	again.Header.Set("Accept-Encoding", "identity;q=1")
	again.Header.Del("Range")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, again)
	if (w.Code == 304) != (encoding == "") {
		t.Errorf("%s: the file itself, with the validator of %q: %d", reason, encoding, w.Code)
	}
}

// TestH45IfRange: a range with a validator is cut out of the file itself if the validator is the file's.
// With that of a sidecar, or an old one, it is the whole of the file itself, as by http.FileServer.
func TestH45IfRange(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("body { color: black }\n", 200)
	dir := tree(t, map[string]string{"a.css": text, "a.css.gz": gzipped(t, text), "a.css.zst": zstdded(t, text)})
	for _, cached := range []int64{0, 1 << 20} {
		h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{Precompressed: []string{"zstd", "gzip"}, CacheBytes: cached})
		get := func(header ...string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/a.css", nil)
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		tag := func(coding string) string { return get("Accept-Encoding", coding).Header().Get("Etag") }
		identity, gz, zst := tag(""), tag("gzip"), tag("zstd")
		for _, tt := range []struct {
			accept, validator string
			status            int
		}{
			{"", identity, 206},
			{"gzip", identity, 206},
			{"zstd, gzip", identity, 206},
			{"", gz, 200},
			{"gzip", gz, 200},
			{"gzip", zst, 200},
			{"zstd", gz, 200},
			{"gzip", "W/" + identity, 200}, // RFC 9110, 13.1.5: a strong comparison
			{"gzip", `"another"`, 200},
			{"gzip", old.Format(http.TimeFormat), 206},
			{"gzip", old.Add(-time.Hour).Format(http.TimeFormat), 200},
		} {
			for ranges, want := range map[string]string{"bytes=5-9": text[5:10], "bytes=5-9,20-30": text[20:31]} {
				w := get("Accept-Encoding", tt.accept, "Range", ranges, "If-Range", tt.validator)
				head := w.Header()
				if w.Code != tt.status || head.Get("Content-Encoding") != "" || head.Get("Vary") != "Accept-Encoding" {
					t.Errorf("accept %q, If-Range %s, %s: %d %v, want %d of the file itself", tt.accept, tt.validator, ranges, w.Code, head, tt.status)
				}
				if tt.status == 206 && (!strings.Contains(w.Body.String(), want) || head.Get("Etag") != identity) {
					t.Errorf("accept %q, If-Range %s, %s: %q, Etag %s", tt.accept, tt.validator, ranges, w.Body, head.Get("Etag"))
				}
				checkDecoded(t, tt.validator, dir, "/a.css", w)
			}
		}
	}
}

// TestETagWithoutTime: files without a time, as embed.FS has them, have no ETag: that of the next
// version could be the same.
func TestETagWithoutTime(t *testing.T) {
	t.Parallel()
	o := &zchttp.FileServerOptions{Precompressed: []string{"gzip"}}
	for i, want := range []string{"version 1", "version 2"} {
		h := zchttp.FileServer(fstest.MapFS{"a.js": {Data: []byte(want)}}, o)
		r := httptest.NewRequest("GET", "/a.js", nil)
		r.Header.Set("If-None-Match", `"-8sxt4q55gmc8-9"`)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got, tag := w.Body.String(), w.Header().Values("Etag"); got != want || tag != nil {
			t.Errorf("%d: %q, Etag %q", i, got, tag)
		}
	}
}
