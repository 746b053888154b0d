package zchttp_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Responses are whole or cut off, never something else, whatever the file system and the client do.

// pipelining asks for /f many times over, reads nothing until it is cut off, and returns what it got then.
func pipelining(t *testing.T, addr string, requests int, cut <-chan struct{}) []byte {
	c, err := net.Dial("tcp", addr)
	must(t, err)
	defer c.Close()
	must(t, c.(*net.TCPConn).SetReadBuffer(16<<10))
	_, err = io.WriteString(c, strings.Repeat("GET /f HTTP/1.1\r\nHost: x\r\n\r\n", requests))
	must(t, err)
	select {
	case <-cut:
	case <-time.After(ztest.Patience):
		t.Error("not cut off")
	}
	must(t, c.SetReadDeadline(time.Now().Add(ztest.Patience)))
	p, err := io.ReadAll(c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("not at its end")
	}
	return p
}

// TestTimeoutKeepsResponsesApart: a response that a deadline cuts off is the last of its connection.
func TestTimeoutKeepsResponsesApart(t *testing.T) {
	t.Parallel()
	const size = 60_000
	const timeout = 200 * time.Millisecond
	dir := tree(t, map[string]string{"f": strings.Repeat("x", size)})
	for _, tt := range []struct {
		name         string
		cache        int64
		idle, server time.Duration
	}{
		{"idle timeout, cached", 1 << 20, timeout, 0},
		{"idle timeout", 0, timeout, 0},
		{"WriteTimeout, cached", 1 << 20, 0, timeout},
		{"WriteTimeout", 0, 0, timeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cut := make(chan struct{})
			srv := &http.Server{
				Handler:      zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{CacheBytes: tt.cache, IdleTimeout: tt.idle}),
				WriteTimeout: tt.server,
				ConnState: func(_ net.Conn, s http.ConnState) {
					if s == http.StateClosed {
						close(cut)
					}
				},
			}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			ended := make(chan struct{})
			go func() { defer close(ended); srv.Serve(zcnet.NewListener(ln)) }()
			defer func() { srv.Close(); <-ended }()
			rest := pipelining(t, ln.Addr().String(), 400, cut)
			for n := 0; len(rest) > 0; n++ {
				head, body, ok := bytes.Cut(rest, []byte("\r\n\r\n"))
				if !ok {
					break
				}
				if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
					t.Fatalf("response %d begins with %.40q", n, head)
				}
				file := body[:min(len(body), size)]
				if i := bytes.IndexFunc(file, func(r rune) bool { return r != 'x' }); i >= 0 {
					t.Fatalf("response %d, byte %d: %.40q", n, i, file[i:])
				}
				rest = body[len(file):]
			}
		})
	}
}

// TestFileServerIdlePipelined: a client that asks and asks and takes nothing is cut off, also where net/http
// holds all of a response when the handler returns.
func TestFileServerIdlePipelined(t *testing.T) {
	t.Parallel()
	for _, size := range []int{300, 2000, 100_000} {
		for _, ours := range []bool{false, true} {
			t.Run(fmt.Sprint(size, ours), func(t *testing.T) {
				t.Parallel()
				dir := tree(t, map[string]string{"f.txt": strings.Repeat("x", size)})
				h := zchttp.FileServer(os.DirFS(dir), &zchttp.FileServerOptions{IdleTimeout: 300 * time.Millisecond})
				c, err := net.Dial("tcp", serve(t, ours, h.ServeHTTP))
				must(t, err)
				defer c.Close()
				// Less, and the client's kernel drops what acknowledges its requests, so that the server waits for these.
				must(t, c.(*net.TCPConn).SetReadBuffer(64<<10))
				must(t, c.SetWriteDeadline(time.Now().Add(ztest.Patience)))
				requests := []byte(strings.Repeat("GET /f.txt HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
				for err == nil {
					_, err = c.Write(requests)
				}
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("not cut off")
				}
			})
		}
	}
}

// TestUnseekable: files that cannot seek, as those of zip, are served whole and with their type.
func TestUnseekable(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789", 10_000)
	files := map[string]string{"a.txt": text, "a.txt.gz": gzipped(t, text), "noext": "<!doctype html>" + text}
	var b bytes.Buffer
	zw := zip.NewWriter(&b)
	for name, s := range files {
		f, err := zw.Create(name)
		must(t, err)
		_, err = io.WriteString(f, s)
		must(t, err)
	}
	must(t, zw.Close())
	zr, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	gz := []string{"gzip"}
	for _, o := range []*zchttp.FileServerOptions{nil, {Precompressed: gz}, {Precompressed: gz, CacheBytes: 1 << 20}, {IdleTimeout: time.Minute}} {
		h := zchttp.FileServer(zr, o)
		for _, tt := range []struct{ name, ranged, typ string }{
			{"a.txt", "", "text/plain; charset=utf-8"},
			{"noext", "", "text/html; charset=utf-8"},
			{"a.txt", "bytes=5-9", "text/plain; charset=utf-8"},
			{"a.txt", "bytes=0-1,5-9", "text/plain; charset=utf-8"},
		} {
			for _, accept := range []string{"", "gzip"} {
				r := httptest.NewRequest("GET", "/"+tt.name, nil)
				r.Header.Set("Accept-Encoding", accept)
				if tt.ranged != "" {
					r.Header.Set("Range", tt.ranged)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				want := files[tt.name]
				if w.Header().Get("Content-Encoding") == "gzip" {
					want = files[tt.name+".gz"]
				}
				if w.Header().Get("Content-Type") != tt.typ {
					t.Errorf("%+v %+v: %v", o, tt, w.Header())
				}
				switch got := w.Body.String(); {
				case w.Code == 200 && got == want:
				case w.Code == 206 && tt.ranged != "" && o != nil && o.CacheBytes > 0: // kept in memory, thus seekable
				default:
					t.Errorf("%+v %+v: %d, %d bytes, want %d", o, tt, w.Code, len(got), len(want))
				}
			}
		}
	}
}

// A failing file system's files can be read up to some byte.
type failing struct{ fs.FS }

type failingFile struct {
	fs.File
	left int
}

var errStore = errors.New("object store: connection lost")

func (f failing) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	return &failingFile{file, 100_000}, err
}

func (f *failingFile) Read(p []byte) (int, error) {
	if f.left <= 0 {
		return 0, errStore
	}
	n, err := f.File.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, err
}

// TestH46ReadError: an error of any kind in the middle of a file aborts the response, also where no
// Content-Length tells.
func TestH46ReadError(t *testing.T) {
	t.Parallel()
	h := zchttp.FileServer(failing{fstest.MapFS{"f": {Data: make([]byte, 1<<20), ModTime: old}}}, nil)
	addr := serve(t, false, func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(lengthless{w}, r) })
	res, err := client(t).Get("http://" + addr + "/f")
	must(t, err)
	defer res.Body.Close()
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("%d bytes that look complete", n)
	}
}

// TestSidecarFIFO: what is no file beside a file is not waited for.
func TestSidecarFIFO(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{"f.txt": "abc"})
	must(t, syscall.Mkfifo(filepath.Join(dir, "f.txt.gz"), 0o644))
	h, err := zchttp.OpenFileServer(dir, &zchttp.FileServerOptions{Precompressed: []string{"gzip"}})
	must(t, err)
	r := httptest.NewRequest("GET", "/f.txt", nil)
	r.Header.Set("Accept-Encoding", "gzip")
	w := httptest.NewRecorder()
	ztest.Within(t, ztest.Patience, "a FIFO beside the file", func() { h.ServeHTTP(w, r) })
	if w.Body.String() != "abc" {
		t.Errorf("%d, %q", w.Code, w.Body)
	}
}
