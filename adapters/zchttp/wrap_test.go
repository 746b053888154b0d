package zchttp_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestWrapMethods: each of the types has the methods of its set and no others.
func TestWrapMethods(t *testing.T) {
	t.Parallel()
	inner := httptest.NewRecorder()
	for have := range zchttp.AllMethods {
		w := zchttp.WithMethods(inner, have)
		if got := zchttp.MethodsOf(w); got != have {
			t.Errorf("set %07b has %07b", have, got)
		}
		if w.(interface{ Unwrap() http.ResponseWriter }).Unwrap() != inner {
			t.Errorf("set %07b does not unwrap", have)
		}
	}
	w, _ := zchttp.WrapResponseWriter(inner, zchttp.ResponseHooks{})
	if zchttp.MethodsOf(w) != zchttp.MethodsOf(inner) {
		t.Errorf("%07b of a recorder, which has %07b", zchttp.MethodsOf(w), zchttp.MethodsOf(inner))
	}
	if _, ok := w.(io.ReaderFrom); ok {
		t.Error("a recorder has no ReadFrom")
	}
}

// TestWrapCounts: what a handler does, what the client gets, what was counted.
func TestWrapCounts(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(3).Bytes(100_000)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	open := func() *os.File {
		f, err := os.Open(name)
		must(t, err)
		return f
	}
	copyFile := func(w http.ResponseWriter) error {
		f := open()
		defer f.Close()
		_, err := io.Copy(w, f)
		return err
	}
	for _, tt := range []struct {
		reason  string
		method  string
		handler func(w http.ResponseWriter, r *http.Request) error
		status  int // counted
		bytes   int64
		err     error
	}{
		{"an implicit 200", "GET", func(w http.ResponseWriter, r *http.Request) error {
			_, err := w.Write([]byte("abc"))
			return err
		}, 200, 3, nil},
		{"a status", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(404)
			_, err := io.WriteString(w, "gone")
			return err
		}, 404, 4, nil},
		{"1xx does not end the header", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(103)
			w.WriteHeader(201)
			return copyFile(w)
		}, 201, 100_000, nil},
		{"the first status counts", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(202)
			w.WriteHeader(500)
			return nil
		}, 202, 0, nil},
		{"nothing written", "GET", func(w http.ResponseWriter, r *http.Request) error { return nil }, 0, 0, nil},
		{"HEAD has no body", "HEAD", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "100000")
			return copyFile(w)
		}, 200, 0, nil},
		{"204 has none", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(204)
			return copyFile(w)
		}, 204, 0, http.ErrBodyNotAllowed},
		{"304 has none", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.WriteHeader(304)
			return copyFile(w)
		}, 304, 0, http.ErrBodyNotAllowed},
		{"a file of unknown length", "GET", func(w http.ResponseWriter, r *http.Request) error { return copyFile(w) }, 200, 100_000, nil},
		{"a file of known length", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "100000")
			return copyFile(w)
		}, 200, 100_000, nil},
		{"a part of it, as a section", "GET", func(w http.ResponseWriter, r *http.Request) error {
			f := open()
			defer f.Close()
			w.Header().Set("Content-Length", "50000")
			_, err := io.Copy(w, io.NewSectionReader(f, 10_000, 50_000))
			return err
		}, 200, 50_000, nil},
		{"flushed first", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "100000")
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			return copyFile(w)
		}, 200, 100_000, nil},
		{"written, then a file", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "100004")
			io.WriteString(w, "head")
			return copyFile(w)
		}, 200, 100_004, nil},
		{"declared less than the file (H41)", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "600")
			return copyFile(w)
		}, 200, 600, http.ErrContentLength},
		{"declared less, some written", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, "head")
			return copyFile(w)
		}, 200, 1000, http.ErrContentLength},
		{"declared less than a pipe has", "GET", func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Content-Length", "600")
			_, err := w.(io.ReaderFrom).ReadFrom(io.MultiReader(strings.NewReader(strings.Repeat("x", 400)), strings.NewReader(strings.Repeat("y", 400))))
			return err
		}, 200, 600, http.ErrContentLength},
	} {
		for _, ours := range []bool{false, true} {
			t.Run(tt.reason+"/ours="+strconv.FormatBool(ours), func(t *testing.T) {
				t.Parallel()
				type result struct {
					status int
					bytes  int64
					moved  int64
					hook   []int
					err    error
				}
				results := make(chan result, 1)
				addr := serve(t, ours, func(w http.ResponseWriter, r *http.Request) {
					var res result
					w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{
						Request: r, Moved: func(n int64) { res.moved += n },
						WriteHeader: func(status int) { res.hook = append(res.hook, status); w.Header().Set("X-Hook", "was here") },
					})
					res.err = tt.handler(w, r)
					res.status, res.bytes = count.Status(), count.Bytes()
					results <- res
				})
				req, err := http.NewRequest(tt.method, "http://"+addr, nil)
				must(t, err)
				resp, err := client(t).Do(req)
				must(t, err)
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				must(t, err)
				r := <-results
				if r.status != tt.status || r.bytes != tt.bytes || r.moved != tt.bytes || !errors.Is(r.err, tt.err) {
					t.Errorf("counted %d, %d bytes, moved %d, error %v", r.status, r.bytes, r.moved, r.err)
				}
				if int64(len(body)) != tt.bytes || tt.status != 0 && resp.StatusCode != tt.status {
					t.Errorf("the client got %d, %d bytes", resp.StatusCode, len(body))
				}
				if tt.status != 0 && (len(r.hook) != 1 || r.hook[0] != tt.status || resp.Header.Get("X-Hook") == "") {
					t.Errorf("the hook got %v, header %v", r.hook, resp.Header)
				}
			})
		}
	}
}

// TestWrapPosition: of what was declared too short, the rest stays in the source.
func TestWrapPosition(t *testing.T) {
	t.Parallel()
	for _, ours := range []bool{false, true} {
		t.Run("ours="+strconv.FormatBool(ours), func(t *testing.T) {
			t.Parallel()
			testWrapPosition(t, ours)
		})
	}
}

func testWrapPosition(t *testing.T, ours bool) {
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(5000))
	at := make(chan [2]int64, 1)
	addr := serve(t, ours, func(w http.ResponseWriter, r *http.Request) {
		w, _ = zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{})
		w.Header().Set("Content-Length", "1000")
		limit := &io.LimitedReader{R: f, N: 4000}
		n, err := io.Copy(w, limit)
		if n != 1000 || err != http.ErrContentLength {
			t.Errorf("n = %d, %v", n, err)
		}
		pos, _ := f.Seek(0, io.SeekCurrent)
		at <- [2]int64{pos, limit.N}
	})
	resp, err := client(t).Get("http://" + addr)
	must(t, err)
	resp.Body.Close()
	if got := <-at; got != [2]int64{1000, 3000} {
		t.Errorf("at %d, %d left of the limit", got[0], got[1])
	}
}

// TestWrapHijack: a connection that was hijacked has no status, and its bytes are not counted.
func TestWrapHijack(t *testing.T) {
	t.Parallel()
	counts := make(chan *zchttp.ResponseCount, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{})
		c, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
		rw.Flush()
		if _, err := w.Write([]byte("late")); err != http.ErrHijacked {
			t.Errorf("a late Write: %v", err)
		}
		counts <- count
	})
	resp, err := client(t).Get("http://" + addr)
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	resp.Body.Close()
	if c := <-counts; !c.Hijacked() || c.Status() != 0 || c.Bytes() != 0 || string(body) != "hi" {
		t.Errorf("%v, %d, %d, %q", c.Hijacked(), c.Status(), c.Bytes(), body)
	}
}

// TestWrapPanic: of a handler that panics there is what was counted before.
func TestWrapPanic(t *testing.T) {
	t.Parallel()
	counts := make(chan [2]int64, 1)
	addr := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{})
		defer func() { counts <- [2]int64{int64(count.Status()), count.Bytes()} }()
		if r.URL.Path == "/status" {
			w.WriteHeader(7) // net/http panics
		}
		io.WriteString(w, "abc")
		panic(http.ErrAbortHandler)
	})
	for path, want := range map[string][2]int64{"/": {200, 3}, "/status": {0, 0}} {
		if resp, err := client(t).Get("http://" + addr + path); err == nil {
			if _, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%s: a whole response", path)
			}
			resp.Body.Close()
		}
		if got := <-counts; got != want {
			t.Errorf("%s: counted %v", path, got)
		}
	}
}

// TestWrapHTTP2: there is no ReadFrom, and the count is right.
func TestWrapHTTP2(t *testing.T) {
	t.Parallel()
	counts := make(chan *zchttp.ResponseCount, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, inner := w.(io.ReaderFrom)
		w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{})
		_, outer := w.(io.ReaderFrom)
		_, push := w.(http.Pusher)
		if inner || outer || !push || r.ProtoMajor != 2 {
			t.Errorf("ReadFrom %v %v, Push %v, %s", inner, outer, push, r.Proto)
		}
		io.Copy(w, bufio.NewReader(strings.NewReader(strings.Repeat("x", 70_000))))
		counts <- count
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	c := srv.Client()
	defer c.CloseIdleConnections()
	resp, err := c.Get(srv.URL)
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	resp.Body.Close()
	if count := <-counts; len(body) != 70_000 || count.Bytes() != 70_000 || count.Status() != 200 {
		t.Errorf("%d bytes, counted %d, %d", len(body), count.Bytes(), count.Status())
	}
}
