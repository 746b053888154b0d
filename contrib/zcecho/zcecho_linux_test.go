package zcecho_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/labstack/echo/v5"
	"github.com/labstack/echo/v5/middleware"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/contrib/zcecho"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMechanism: what echo copies goes by sendfile with the middleware, with its own Size, and what a
// compressor has to see it sees. Not in parallel: others count, too.
func TestMechanism(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	size := len(content)
	dir := t.TempDir()
	name := filepath.Join(dir, "f.bin")
	must(t, os.WriteFile(name, content, 0o600))
	stream := func(declared int, head string) echo.HandlerFunc {
		return func(c *echo.Context) error {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if declared > 0 {
				c.Response().Header().Set("Content-Length", strconv.Itoa(declared))
			}
			io.WriteString(c.Response(), head)
			_, err = io.Copy(c.Response(), f)
			if (err != nil) != (declared == 100_000) || err != nil && err != http.ErrContentLength {
				t.Errorf("declared %d: %v", declared, err)
			}
			return nil
		}
	}
	file := func(c *echo.Context) error { return c.FileFS("f.bin", os.DirFS(dir)) }
	gz := middleware.Gzip()
	after := 0
	for _, tt := range []struct {
		reason  string
		method  string
		before  []echo.MiddlewareFunc // the line
		after   []echo.MiddlewareFunc
		handler echo.HandlerFunc
		status  int
		body    []byte
		kernel  bool
	}{
		{"io.Copy", "GET", nil, nil, stream(size, ""), 200, content, true},
		{"some written before", "GET", nil, nil, stream(size+4, "head"), 200, append([]byte("head"), content...), true},
		{"too long for what was declared", "GET", nil, nil, stream(100_000, ""), 200, content[:100_000], true},
		{"chunked, so in memory", "GET", nil, nil, stream(0, ""), 200, content, false},
		{"c.FileFS, of an fs.FS with files of the system", "GET", nil, nil, file, 200, content, true},
		{"c.Stream", "GET", nil, nil, func(c *echo.Context) error {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			c.Response().Header().Set("Content-Length", strconv.Itoa(size))
			return c.Stream(201, "video/mp4", f)
		}, 201, content, true},
		{"a string", "GET", nil, nil, func(c *echo.Context) error { return c.String(404, "none") }, 404, []byte("none"), false},
		{"HEAD", "HEAD", nil, nil, file, 200, nil, false},
		{"a compressor after it", "GET", nil, []echo.MiddlewareFunc{gz}, file, 200, content, false},
		{"a compressor before it", "GET", []echo.MiddlewareFunc{gz}, nil, file, 200, content, false},
		{"functions to be called after", "GET", nil, nil, func(c *echo.Context) error {
			r, err := echo.UnwrapResponse(c.Response())
			if err != nil {
				return err
			}
			after = 0
			r.After(func() { after++ })
			stream(size, "")(c)
			if after == 0 {
				t.Error("not called")
			}
			return nil
		}, 200, content, true},
	} {
		for _, with := range []bool{false, true} {
			if !with && len(tt.body) == 100_000 {
				continue // echo writes 96 KiB of it, and the client gets no more
			}
			for _, ours := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/with=%t,ours=%t", tt.reason, with, ours), func(t *testing.T) {
					ln, err := net.Listen("tcp", "127.0.0.1:0")
					must(t, err)
					if ours {
						ln = zcnet.NewListener(ln)
					}
					e := echo.New()
					sizes := make(chan [2]int64, 1)
					e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
						return func(c *echo.Context) error {
							err := next(c)
							r, uerr := echo.UnwrapResponse(c.Response())
							if uerr != nil {
								t.Error(uerr)
							}
							sizes <- [2]int64{r.Size, int64(r.Status)}
							return err
						}
					})
					e.Use(tt.before...)
					if with {
						e.Use(zcecho.Middleware())
					}
					e.Use(tt.after...)
					e.Any("/", tt.handler)
					srv := &http.Server{Handler: e}
					go srv.Serve(ln)
					defer srv.Close()

					sent := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
					req, err := http.NewRequest(tt.method, "http://"+ln.Addr().String(), nil)
					must(t, err)
					compressed := len(tt.before)+len(tt.after) > 0
					if compressed {
						req.Header.Set("Accept-Encoding", "gzip")
					}
					tr := &http.Transport{DisableCompression: true}
					defer tr.CloseIdleConnections()
					resp, err := (&http.Client{Transport: tr}).Do(req)
					must(t, err)
					defer resp.Body.Close()
					wire, err := io.ReadAll(resp.Body)
					must(t, err)
					body := wire
					if compressed {
						z, err := gzip.NewReader(bytes.NewReader(wire))
						must(t, err)
						body, err = io.ReadAll(z)
						must(t, err)
					}
					if !bytes.Equal(body, tt.body) || resp.StatusCode != tt.status {
						t.Errorf("the client got %d, %d bytes", resp.StatusCode, len(body))
					}
					if got := <-sizes; tt.method != "HEAD" && got[0] != int64(len(wire)) || got[1] != int64(tt.status) {
						t.Errorf("size %d of %d, status %d", got[0], len(wire), got[1])
					}
					sent = zerocopy.ReadStats().Bytes(zerocopy.Sendfile) - sent
					// What package net sends it does not tell.
					if want := with && tt.kernel; ours && want && sent < int64(len(tt.body))-1024 || !want && sent != 0 {
						t.Errorf("by sendfile %d of %d", sent, len(tt.body))
					}
				})
			}
		}
	}
}
