package zchttp_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// upload is a server that hands what it was sent to got.
func upload(t testing.TB, got chan<- []byte) (addr string) {
	return serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if code, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/redirect/")); err == nil {
			io.Copy(io.Discard, r.Body)
			http.Redirect(w, r, "/", code)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || r.ContentLength >= 0 && r.ContentLength != int64(len(body)) {
			body = nil
		}
		got <- body
	})
}

// TestFileRequest: which bytes of which body are sent, by which Transport, and where the
// file is afterwards.
func TestFileRequest(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(11).Bytes(300_000)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	for _, tt := range []struct {
		reason   string
		body     func(f *os.File) io.Reader
		from, to int
	}{
		{"a file", func(f *os.File) io.Reader { return f }, 0, 300_000},
		{"not closed", func(f *os.File) io.Reader { return io.NopCloser(f) }, 0, 300_000},
		{"from its position", func(f *os.File) io.Reader { f.Seek(1000, 0); return f }, 1000, 300_000},
		{"at its end", func(f *os.File) io.Reader { f.Seek(0, 2); return f }, 0, 0},
		{"beyond its end", func(f *os.File) io.Reader { f.Seek(10, 2); return f }, 0, 0},
		{"limited", func(f *os.File) io.Reader { f.Seek(5, 0); return io.LimitReader(f, 200_000) }, 5, 200_005},
		{"limited beyond", func(f *os.File) io.Reader { return io.LimitReader(f, 400_000) }, 0, 300_000},
		{"limits in limits", func(f *os.File) io.Reader { return io.LimitReader(io.NopCloser(io.LimitReader(f, 100_000)), 200_000) }, 0, 100_000},
		{"no limit left", func(f *os.File) io.Reader { return io.LimitReader(f, -1) }, 0, 0},
		{"a section", func(f *os.File) io.Reader { return io.NewSectionReader(f, 100, 250_000) }, 100, 250_100},
		{"a section beyond", func(f *os.File) io.Reader { return io.NewSectionReader(f, 100, 1<<62) }, 100, 300_000},
		{"a section, read from", func(f *os.File) io.Reader {
			s := io.NewSectionReader(f, 100, 250_000)
			s.Seek(50_000, 0)
			return s
		}, 50_100, 250_100},
		{"a section of a section", func(f *os.File) io.Reader {
			return io.NewSectionReader(io.NewSectionReader(f, 1000, 100_000), 500, 200_000)
		}, 1500, 101_000},
		{"a limited section", func(f *os.File) io.Reader { return io.LimitReader(io.NewSectionReader(f, 100, 250_000), 60_000) }, 100, 60_100},
	} {
		for _, path := range []string{"/", "/redirect/307", "/redirect/308"} {
			for _, ours := range []bool{false, true} {
				t.Run(tt.reason+path+",ours="+strconv.FormatBool(ours), func(t *testing.T) {
					t.Parallel()
					f, err := os.Open(name)
					must(t, err)
					defer f.Close()
					body := tt.body(f)
					at, _ := f.Seek(0, io.SeekCurrent)
					got := make(chan []byte, 1)
					req, err := zchttp.NewFileRequest(t.Context(), "PUT", "http://"+upload(t, got)+path, body)
					must(t, err)
					if req.ContentLength != int64(tt.to-tt.from) {
						t.Errorf("Content-Length %d", req.ContentLength)
					}
					c := client(t)
					if ours {
						tr := zchttp.Transport(nil)
						defer tr.CloseIdleConnections()
						c.Transport = tr
					}
					resp, err := c.Do(req)
					must(t, err)
					resp.Body.Close()
					ztest.Equal(t, "body", <-got, content[tt.from:tt.to])
					if now, err := f.Seek(0, io.SeekCurrent); err != nil || now != at {
						t.Errorf("the file is at %d, was at %d, %v", now, at, err)
					}
				})
			}
		}
	}
}

// TestFileRequestOthers: what is no file, or of unknown length, is as http.NewRequest has it.
func TestFileRequestOthers(t *testing.T) {
	t.Parallel()
	got := make(chan []byte, 1)
	addr := upload(t, got)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	go func() { w.Write([]byte("through a pipe")); w.Close() }()
	empty, err := os.Create(filepath.Join(t.TempDir(), "empty"))
	must(t, err)
	defer empty.Close()
	for _, tt := range []struct {
		reason string
		body   io.Reader
		want   string
	}{
		{"memory", bytes.NewReader([]byte("memory")), "memory"},
		{"a section of memory", io.NewSectionReader(strings.NewReader("memory"), 1, 2), "em"},
		{"a pipe", r, "through a pipe"},
		{"an empty file", empty, ""},
		{"nothing", nil, ""},
	} {
		req, err := zchttp.NewFileRequest(t.Context(), "POST", "http://"+addr, tt.body)
		must(t, err)
		resp, err := client(t).Do(req)
		must(t, err)
		resp.Body.Close()
		if b := <-got; string(b) != tt.want {
			t.Errorf("%s: %q", tt.reason, b)
		}
	}
	if _, err := r.Stat(); err != nil {
		t.Errorf("the pipe was closed: %v", err)
	}
	if _, err := zchttp.NewFileRequest(t.Context(), "POST", "http://"+addr, (*os.File)(nil)); err == nil {
		t.Error("a nil file")
	}
}

// TestFileRequestChanges: a file that shrinks before it is sent is an error at both ends, of one
// that grows the first part is sent.
func TestFileRequestChanges(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, ours := range []bool{false, true} {
		for _, now := range []int64{size / 2, 2 * size} {
			got := make(chan []byte, 1)
			addr := upload(t, got)
			f, err := os.CreateTemp(t.TempDir(), "")
			must(t, err)
			defer f.Close()
			must(t, f.Truncate(size))
			req, err := zchttp.NewFileRequest(t.Context(), "PUT", "http://"+addr, f)
			must(t, err)
			must(t, f.Truncate(now))
			c := client(t)
			if ours {
				tr := zchttp.Transport(nil)
				defer tr.CloseIdleConnections()
				c.Transport = tr
			}
			resp, err := c.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			if (err != nil) != (now < size) {
				t.Errorf("ours=%v, %d of %d bytes: %v", ours, now, size, err)
			}
			if b := <-got; (b != nil) != (now >= size) || b != nil && len(b) != size {
				t.Errorf("ours=%v, %d of %d bytes: the server got %d", ours, now, size, len(b))
			}
		}
	}
}

// TestFileBody: read by whoever, the body ends where it should, and not after Close.
func TestFileBody(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(12).Bytes(100_000)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	req, err := zchttp.NewFileRequest(t.Context(), "PUT", "http://localhost", io.NewSectionReader(f, 10, 50_000))
	must(t, err)
	first := make([]byte, 1000)
	_, err = io.ReadFull(req.Body, first)
	must(t, err)
	second, err := req.GetBody()
	must(t, err)
	var all, rest bytes.Buffer
	_, err = io.Copy(&rest, req.Body)
	must(t, err)
	_, err = io.Copy(&all, struct{ io.Reader }{second})
	must(t, err)
	ztest.Equal(t, "the rest", rest.Bytes(), content[1010:50_010])
	ztest.Equal(t, "all of it", all.Bytes(), content[10:50_010])
	must(t, req.Body.Close())
	must(t, second.Close())
	if _, err := req.Body.Read(first); err != http.ErrBodyReadAfterClose {
		t.Errorf("after Close: %v", err)
	}
}
