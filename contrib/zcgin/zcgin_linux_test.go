package zcgin_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/contrib/zcgin"
)

func init() { gin.SetMode(gin.ReleaseMode) }

// serve runs handlers on a server of package net, or of zcnet, after the middleware or not, and returns
// where it is, and what Size was at the end of each request.
func serve(t *testing.T, ours bool, handlers ...gin.HandlerFunc) (addr string, sizes <-chan [3]int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	if ours {
		ln = zcnet.NewListener(ln)
	}
	ch := make(chan [3]int, 8)
	r := gin.New()
	r.Use(func(c *gin.Context) {
		c.Next()
		written := 0
		if c.Writer.Written() {
			written = 1
		}
		ch <- [3]int{c.Writer.Size(), c.Writer.Status(), written}
	})
	r.Any("/", handlers...)
	srv := &http.Server{Handler: r}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return ln.Addr().String(), ch
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMechanism: what gin copies goes by sendfile with the middleware, with its own Size. Not in
// parallel: others count, too.
func TestMechanism(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	size := len(content)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	withFile := func(h func(c *gin.Context, f *os.File)) gin.HandlerFunc {
		return func(c *gin.Context) {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			h(c, f)
		}
	}
	for _, tt := range []struct {
		reason  string
		method  string
		handler gin.HandlerFunc
		status  int
		size    int // as gin itself has it
		body    []byte
		kernel  bool
	}{
		{"c.File", "GET", func(c *gin.Context) { c.File(name) }, 200, size, content, true},
		{"c.DataFromReader", "GET", withFile(func(c *gin.Context, f *os.File) {
			c.DataFromReader(201, int64(size), "video/mp4", f, nil)
		}), 201, size, content, true},
		{"io.Copy", "GET", withFile(func(c *gin.Context, f *os.File) {
			c.Header("Content-Length", strconv.Itoa(size))
			io.Copy(c.Writer, f)
		}), 200, size, content, true},
		{"some written before", "GET", withFile(func(c *gin.Context, f *os.File) {
			c.Header("Content-Length", strconv.Itoa(size+4))
			c.Writer.WriteString("head")
			io.Copy(c.Writer, f)
		}), 200, size + 4, append([]byte("head"), content...), true},
		{"too long for what was declared", "GET", withFile(func(c *gin.Context, f *os.File) {
			c.Header("Content-Length", "100000")
			if _, err := io.Copy(c.Writer, f); err != http.ErrContentLength {
				t.Errorf("%v", err)
			}
		}), 200, 100_000, content[:100_000], true},
		{"chunked, so in memory", "GET", withFile(func(c *gin.Context, f *os.File) { io.Copy(c.Writer, f) }), 200, size, content, false},
		{"a string", "GET", func(c *gin.Context) { c.String(404, "none") }, 404, 4, []byte("none"), false},
		{"HEAD", "HEAD", func(c *gin.Context) { c.File(name) }, 200, 0, nil, false},
		{"no body", "GET", func(c *gin.Context) { c.Status(204) }, 204, -1, nil, false},
		{"a compressor after it", "GET", withFile(func(c *gin.Context, f *os.File) {
			z := gzip.NewWriter(c.Writer)
			c.Writer = compressor{c.Writer, z}
			io.Copy(c.Writer, f)
			z.Close()
		}), 200, 0, content, false},
	} {
		for _, with := range []bool{false, true} {
			if !with && tt.size == 100_000 {
				continue // gin writes 96 KiB of it, and the client gets no more
			}
			for _, ours := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/with=%t,ours=%t", tt.reason, with, ours), func(t *testing.T) {
					handlers := []gin.HandlerFunc{tt.handler}
					if with {
						handlers = []gin.HandlerFunc{zcgin.Middleware(), tt.handler}
					}
					addr, sizes := serve(t, ours, handlers...)
					before := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
					req, err := http.NewRequest(tt.method, "http://"+addr, nil)
					must(t, err)
					tr := &http.Transport{}
					defer tr.CloseIdleConnections()
					resp, err := (&http.Client{Transport: tr}).Do(req)
					must(t, err)
					body, err := io.ReadAll(resp.Body)
					must(t, err)
					resp.Body.Close()
					if !bytes.Equal(body, tt.body) || resp.StatusCode != tt.status {
						t.Errorf("the client got %d, %d bytes", resp.StatusCode, len(body))
					}
					got := <-sizes
					if tt.size != 0 && got[0] != tt.size || got[1] != tt.status {
						t.Errorf("size %d, status %d", got[0], got[1])
					}
					sent := zerocopy.ReadStats().Bytes(zerocopy.Sendfile) - before
					// What package net sends it does not tell.
					if want := with && tt.kernel; ours && want && sent < int64(len(tt.body))-1024 || !want && sent != 0 {
						t.Errorf("by sendfile %d of %d", sent, len(tt.body))
					}
				})
			}
		}
	}
}

// A compressor is a Writer as middleware makes it, with all that gin's has.
type compressor struct {
	gin.ResponseWriter
	z *gzip.Writer
}

func (c compressor) Write(p []byte) (int, error) {
	c.Header().Set("Content-Encoding", "gzip")
	return c.z.Write(p)
}

func (c compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// TestForeign: a Writer that is not gin's own is left alone, though it embeds that and unwraps.
func TestForeign(t *testing.T) {
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	if zcgin.Middleware()(c); readsFrom(c.Writer) {
		t.Error("a recorder has no ReadFrom")
	}
	addr, _ := serve(t, false, func(c *gin.Context) { c.Writer = compressor{c.Writer, gzip.NewWriter(io.Discard)} }, zcgin.Middleware(), func(c *gin.Context) {
		if readsFrom(c.Writer) {
			t.Error("a compressor was passed by")
		}
	})
	resp, err := http.Get("http://" + addr)
	must(t, err)
	resp.Body.Close()
}

func readsFrom(w io.Writer) bool {
	_, ok := w.(io.ReaderFrom)
	return ok
}

// TestHijack: as gin has it: before the body, not after.
func TestHijack(t *testing.T) {
	for _, first := range []string{"", "body"} {
		addr, _ := serve(t, true, zcgin.Middleware(), func(c *gin.Context) {
			if first != "" {
				c.Writer.WriteString(first)
			}
			conn, _, err := c.Writer.Hijack()
			if (err == nil) != (first == "") {
				t.Errorf("after %q: %v", first, err)
			}
			if err == nil {
				conn.SetDeadline(time.Now().Add(time.Minute))
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				conn.Close()
			}
		})
		resp, err := http.Get("http://" + addr)
		must(t, err)
		resp.Body.Close()
	}
}
