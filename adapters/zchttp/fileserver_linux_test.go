package zchttp_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

const fileSize = 3<<20 + 77

// largeDir is a directory with one large file, f.
func largeDir(t testing.TB) (dir string, content []byte) {
	content = ztest.Pattern(7).Bytes(fileSize)
	return tree(t, map[string]string{"f": string(content)}), content
}

// sparse is a directory with one file of zeros, for clients that do not look at them.
func sparse(t testing.TB, name string, size int64) (dir string) {
	dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	must(t, os.Truncate(filepath.Join(dir, name), size))
	return dir
}

// fetch returns the parts of the answer: one, or those of a multipart.
func fetch(t testing.TB, c *http.Client, url, ranges string) (parts [][]byte) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	must(t, err)
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	res, err := c.Do(r)
	must(t, err)
	defer res.Body.Close()
	if res.ContentLength < 0 {
		t.Errorf("no Content-Length: %v", res.Header)
	}
	kind, params, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if kind != "multipart/byteranges" {
		p, err := io.ReadAll(res.Body)
		must(t, err)
		return [][]byte{p}
	}
	for m := multipart.NewReader(res.Body, params["boundary"]); ; {
		p, err := m.NextRawPart()
		if err == io.EOF {
			return parts
		}
		must(t, err)
		b, err := io.ReadAll(p)
		must(t, err)
		parts = append(parts, b)
	}
}

// TestH45Sendfile: files and each part of several ranges go by sendfile, but for the first
// 512 bytes that net/http takes along with the header.
func TestH45Sendfile(t *testing.T) {
	if !ztest.Isolated(t) { // it reads the counts of the process
		return
	}
	dir, content := largeDir(t)
	root, err := zchttp.OpenFileServer(dir, &zchttp.FileServerOptions{IdleTimeout: time.Hour})
	must(t, err)
	defer root.Close()
	const half = fileSize / 2
	for name, h := range map[string]*zchttp.FileHandler{
		"DirFS": zchttp.FileServer(os.DirFS(dir), nil), "root": root,
	} {
		addr := serve(t, true, h.ServeHTTP)
		for _, tt := range []struct {
			ranges string
			want   [][]byte
		}{
			{"", [][]byte{content}},
			{"bytes=5-", [][]byte{content[5:]}},
			{fmt.Sprintf("bytes=10-%d,%d-", half-1, half), [][]byte{content[10:half], content[half:]}},
			{fmt.Sprintf("bytes=%d-,10-%d", half, half-1), [][]byte{content[half:], content[10:half]}},
		} {
			before := zerocopy.ReadStats()
			got := fetch(t, client(t), "http://"+addr+"/f", tt.ranges)
			var sum int64
			for i := range tt.want {
				ztest.Equal(t, name+tt.ranges, got[i], tt.want[i])
				sum += int64(len(got[i]))
			}
			ztest.Eventually(t, ztest.Patience, "all but 512 bytes by sendfile", func() bool {
				return zerocopy.ReadStats().Bytes(zerocopy.Sendfile)-before.Bytes(zerocopy.Sendfile) >= sum-512
			})
		}
	}
}

// TestFileServerStrace: over connections of package net it is sendfile, too.
func TestFileServerStrace(t *testing.T) {
	t.Parallel()
	if os.Getenv("ZCHTTP_TRACED") == "" {
		strace, err := exec.LookPath("strace")
		if err != nil {
			ztest.Missing(t, "strace: %v", err)
		}
		cmd := exec.Command(strace, "-f", "-qq", "-e", "trace=/^sendfile", "-e", "signal=none", os.Args[0], "-test.run=^TestFileServerStrace$")
		cmd.Env = append(os.Environ(), "ZCHTTP_TRACED=1")
		out, err := cmd.CombinedOutput()
		if bytes.Contains(out, []byte("ptrace")) && err != nil {
			ztest.Missing(t, "strace: %s", out)
		}
		must(t, err)
		var sum int64
		for line := range strings.Lines(string(out)) {
			_, n, ok := strings.Cut(line, ") = ")
			if !ok {
				_, n, ok = strings.Cut(line, "resumed>) = ")
			}
			var k int64
			if ok {
				fmt.Sscan(n, &k)
			}
			sum += max(0, k)
		}
		if want := int64(2*fileSize - 4096); sum < want {
			t.Errorf("%d bytes by sendfile, want %d:\n%s", sum, want, out)
		}
		return
	}
	dir, content := largeDir(t)
	addr := serve(t, false, zchttp.FileServer(os.DirFS(dir), nil).ServeHTTP)
	ztest.Equal(t, "whole", fetch(t, client(t), "http://"+addr+"/f", "")[0], content)
	parts := fetch(t, client(t), "http://"+addr+"/f", fmt.Sprintf("bytes=0-99999,100000-%d", fileSize-1))
	ztest.Equal(t, "parts", append(parts[0], parts[1]...), content)
}

// TestFileServerProtocols: the same contents over all of HTTP.
func TestFileServerProtocols(t *testing.T) {
	t.Parallel()
	dir, content := largeDir(t)
	must(t, os.WriteFile(filepath.Join(dir, "small"), content[:5000], 0o600))
	must(t, os.Chtimes(filepath.Join(dir, "small"), old, old))
	h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{CacheBytes: 1 << 20, IdleTimeout: time.Hour})
	for _, http2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(h)
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		t.Cleanup(srv.Close)
		ztest.Equal(t, "TLS", fetch(t, srv.Client(), srv.URL+"/f", "")[0], content)
		parts := fetch(t, srv.Client(), srv.URL+"/f", "bytes=0-99999,200000-299999")
		ztest.Equal(t, "TLS, parts", append(parts[0], parts[1]...), append(bytes.Clone(content[:100000]), content[200000:300000]...))
	}
	for _, ours := range []bool{false, true} {
		addr := serve(t, ours, h.ServeHTTP)
		c, err := net.Dial("tcp", addr)
		must(t, err)
		defer c.Close()
		const get = "GET /%s HTTP/1.1\r\nHost: x\r\n%s\r\n"
		fmt.Fprintf(c, get+get+get+"GET /f HTTP/1.0\r\n\r\n", "small", "", "f", "", "f", "Range: bytes=1-2,5-9\r\n")
		in := bufio.NewReader(c)
		for i, want := range [][]byte{content[:5000], content, nil, content} {
			res, err := http.ReadResponse(in, nil)
			must(t, err)
			got, err := io.ReadAll(res.Body)
			must(t, err)
			if want != nil {
				ztest.Equal(t, fmt.Sprintf("ours %v, pipelined %d", ours, i), got, want)
			}
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("after HTTP/1.0: %v", err)
		}
	}
}

// shrinking is an fs.FS whose files are cut once they have told their size.
type shrinking struct {
	fs.FS
	cut func(*os.File)
}

func (s shrinking) Open(name string) (fs.File, error) {
	f, err := s.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return struct {
		fs.File
		io.ReaderAt
		io.Seeker
	}{cutting{f.(*os.File), s.cut}, f.(*os.File), f.(*os.File)}, nil
}

type cutting struct {
	*os.File
	cut func(*os.File)
}

func (c cutting) Stat() (fs.FileInfo, error) {
	defer c.cut(c.File)
	return c.File.Stat()
}

// lengthless is a middleware that drops the Content-Length, as those that compress do.
type lengthless struct{ http.ResponseWriter }

func (w lengthless) WriteHeader(code int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(code)
}

// TestH46Shrinks: a file gets shorter after its length was declared. The client sees that there
// was an end too early, over each protocol, and the connection is not used again.
func TestH46Shrinks(t *testing.T) {
	t.Parallel()
	for _, ranges := range []string{"", "bytes=0-9,1000-"} {
		dir, _ := largeDir(t)
		h := zchttp.FileServer(shrinking{os.DirFS(dir), func(f *os.File) { must(t, os.Truncate(f.Name(), fileSize/2)) }}, nil)
		srv := httptest.NewUnstartedServer(h)
		srv.EnableHTTP2 = true
		srv.Config.ErrorLog = quiet(t)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		for name, url := range map[string]string{
			"net": "http://" + serve(t, false, h.ServeHTTP), "zcnet": "http://" + serve(t, true, h.ServeHTTP), "http2": srv.URL,
			"chunked": "http://" + serve(t, true, func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(lengthless{w}, r) }),
		} {
			must(t, os.Truncate(filepath.Join(dir, "f"), fileSize))
			c := client(t)
			if name == "http2" {
				c = srv.Client()
			}
			r, err := http.NewRequest("GET", url+"/f", nil)
			must(t, err)
			if ranges != "" {
				r.Header.Set("Range", ranges)
			}
			res, err := c.Do(r)
			if err != nil {
				continue // cut off before the header left
			}
			n, err := io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err == nil {
				t.Errorf("%s %s: %d of %d bytes without an error", name, ranges, n, res.ContentLength)
			}
		}
	}
}

// TestFileServerSteady: a client that takes some every now and then is served to the end, though
// that is later than the IdleTimeout.
func TestFileServerSteady(t *testing.T) {
	t.Parallel()
	dir := sparse(t, "f", 64<<20)
	for _, ours := range []bool{false, true} {
		t.Run(fmt.Sprint(ours), func(t *testing.T) {
			t.Parallel()
			const idle = 3 * time.Second
			h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{IdleTimeout: idle})
			res, err := client(t).Get("http://" + serve(t, ours, h.ServeHTTP) + "/f")
			must(t, err)
			defer res.Body.Close()
			for start := time.Now(); time.Since(start) < idle+time.Second; time.Sleep(idle / 10) {
				_, err := io.CopyN(io.Discard, res.Body, 1<<20)
				must(t, err)
			}
			_, err = io.Copy(io.Discard, res.Body)
			must(t, err)
		})
	}
}

// TestFileServerIdle: a client that takes nothing is cut off.
func TestFileServerIdle(t *testing.T) {
	t.Parallel()
	dir := sparse(t, "f", 64<<20)
	for _, ours := range []bool{false, true} {
		t.Run(fmt.Sprint(ours), func(t *testing.T) {
			t.Parallel()
			h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{IdleTimeout: time.Second})
			left := make(chan struct{})
			var once atomic.Bool
			addr := serve(t, ours, func(w http.ResponseWriter, r *http.Request) {
				defer func() { // the handler panics to end the connection
					if once.CompareAndSwap(false, true) {
						close(left)
					}
				}()
				h.ServeHTTP(w, r)
			})
			c, err := net.Dial("tcp", addr)
			must(t, err)
			defer c.Close()
			fmt.Fprintf(c, "GET /f HTTP/1.1\r\nHost: x\r\n\r\n")
			ztest.Within(t, ztest.Patience, "the stalled client is cut off", func() { <-left })
			if n, _ := io.Copy(io.Discard, c); n >= 64<<20 {
				t.Errorf("all of it arrived")
			}
		})
	}
}

// TestH47Names: what a request may name, and what it gets.
func TestH47Names(t *testing.T) {
	t.Parallel()
	outside := tree(t, map[string]string{"secret": "secret"})
	dir := tree(t, map[string]string{
		"f": "f", "sub/g": "g", ".env": "hidden", ".git/config": "hidden", ".well-known/x": "known",
		"back\\slash": "b", "locked/index.html": "index",
	})
	must(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "out")))
	must(t, os.Symlink("../"+filepath.Base(outside), filepath.Join(dir, "outdir")))
	must(t, os.Symlink("sub/g", filepath.Join(dir, "in")))
	must(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	h, err := zchttp.OpenFileServer(dir, &zchttp.FileServerOptions{HideDotfiles: true, Fallback: "/f"})
	must(t, err)
	defer h.Close()
	addr := serve(t, true, h.ServeHTTP)
	for _, tt := range []struct {
		reason, target string
		status         int
		body           string
	}{
		{"a file", "/f", 200, "f"},
		{"a link within", "/in", 200, "g"},
		{"up", "/../secret.txt", 404, ""},
		{"up, encoded", "/%2e%2e/%2e%2e/etc/passwd.x", 404, ""},
		{"up, slash encoded", "/..%2f..%2fetc%2fpasswd.x", 404, ""},
		{"slash encoded", "/sub%2fg", 200, "g"},
		{"a redirect, slash encoded", "/x%2f..%2fsub", 404, ""},
		{"up by backslashes", "/..%5c..%5cx.txt", 404, ""},
		{"up within", "/sub/../f", 200, "f"},
		{"a link out", "/out", 200, "f"}, // the fallback, as for what does not exist
		{"a link out, below it", "/outdir/secret.txt", 404, ""},
		{"a loop of links", "/loop/x.txt", 404, ""},
		{"NUL", "/f%00.txt", 404, ""},
		{"not UTF-8", "/%ff.txt", 404, ""},
		{"too long", "/" + strings.Repeat("x", 300) + ".txt", 404, ""},
		{"backslash is a letter", "/back%5Cslash", 200, "b"},
		{"hidden", "/.env", 404, ""},
		{"hidden directory", "/.git/config", 404, ""},
		{"hidden, encoded", "/%2egit/config", 404, ""},
		{"well known", "/.well-known/x", 200, "known"},
		{"below a file", "/f/x.txt", 404, ""},
		{"a route of the application", "/users/7", 200, "f"},
		{"not a route", "/users/7.png", 404, ""},
	} {
		c, err := net.Dial("tcp", addr)
		must(t, err)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", tt.target)
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		got, err := io.ReadAll(res.Body)
		must(t, err)
		c.Close()
		if res.StatusCode != tt.status || tt.body != "" && string(got) != tt.body || bytes.Contains(got, []byte("secret")) {
			t.Errorf("%s: %s: %d %q, want %d %q", tt.reason, tt.target, res.StatusCode, got, tt.status, tt.body)
		}
	}
	if list := body(h, "/"); strings.Contains(list, ".env") || strings.Contains(list, ".git") || !strings.Contains(list, "sub/") {
		t.Errorf("list:\n%s", list)
	}
}

// TestFileReport: what an access log wants to know, of each request.
func TestFileReport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := ztest.Pattern(12).Bytes(1 << 20)
	must(t, os.WriteFile(filepath.Join(dir, "large.bin"), large, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "small.txt"), []byte("small"), 0o600))
	for _, ours := range []bool{true, false} {
		reports := make(chan zchttp.FileReport, 1)
		h, err := zchttp.OpenFileServer(dir, &zchttp.FileServerOptions{CacheBytes: 1 << 20, IdleTimeout: time.Minute,
			Report: func(_ *http.Request, r zchttp.FileReport) { reports <- r }})
		must(t, err)
		defer h.Close()
		addr := serve(t, ours, h.ServeHTTP)
		for _, tt := range []struct {
			method, path, ranges string
			status               int
			written              int64
			kernel               bool // on a connection of ours
		}{
			{"GET", "/large.bin", "", 200, 1 << 20, true},
			{"GET", "/large.bin", "bytes=0-299999,400000-799999", 206, -1, true},
			{"HEAD", "/large.bin", "", 200, 0, false},
			{"GET", "/small.txt", "", 200, 5, false},
			{"GET", "/", "", 200, -1, false},
			{"GET", "/nothing", "", 404, -1, false},
		} {
			req, err := http.NewRequest(tt.method, "http://"+addr+tt.path, nil)
			must(t, err)
			if tt.ranges != "" {
				req.Header.Set("Range", tt.ranges)
			}
			resp, err := client(t).Do(req)
			must(t, err)
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			resp.Body.Close()
			if tt.written < 0 {
				tt.written = int64(len(body))
			}
			r := <-reports
			kernel := r.Copy.Bytes(zerocopy.Sendfile)
			if r.Status != tt.status || r.Written != tt.written || r.Aborted || (kernel > 600_000) != (tt.kernel && ours) {
				t.Errorf("ours %v, %s %s: %v", ours, tt.method, tt.path, r)
			}
		}
	}
}

// TestManyRanges: what a request with 200,000 ranges has us keep is little beside its own header.
func TestManyRanges(t *testing.T) { // not parallel: it looks at the heap
	t.Setenv("GODEBUG", "httpservecontentmaxranges=0") // from Go 1.27 on there are 200 at most
	dir := sparse(t, "f.bin", 10<<20)
	h := zchttp.FileServer(os.DirFS(dir), nil)
	r := httptest.NewRequest("GET", "/f.bin", nil)
	r.Header.Set("Range", "bytes=0-0"+strings.Repeat(",0-0", 200_000))
	w := &heapWatch{header: http.Header{}}
	before := w.live()
	h.ServeHTTP(w, r)
	if w.status != 206 || w.writes < 400_000 || w.heap == 0 {
		t.Errorf("%d, %d writes", w.status, w.writes)
	}
	if kept := w.heap - before; kept > 8<<20 {
		t.Errorf("%d bytes kept", kept)
	}
}

// A heapWatch is a ResponseWriter that looks at the heap in the middle of the body.
type heapWatch struct {
	header         http.Header
	status, writes int
	heap           int64
}

func (w *heapWatch) live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (w *heapWatch) Header() http.Header    { return w.header }
func (w *heapWatch) WriteHeader(status int) { w.status = status }
func (w *heapWatch) Write(p []byte) (int, error) {
	if w.writes++; w.writes == 1000 {
		w.heap = w.live()
	}
	return len(p), nil
}
