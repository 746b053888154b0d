package zchttp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// client returns one whose connections are closed at the end of the test.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// TestH41Declared: a Content-Length less than what a handler copies: what was declared is sent,
// the rest stays where it was, and the handler gets http.ErrContentLength.
func TestH41Declared(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(41).Bytes(200_000)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	file := func(t *testing.T) *os.File {
		f, err := os.Open(name)
		must(t, err)
		return f
	}
	for _, ours := range []bool{false, true} {
		for _, tt := range []struct {
			reason   string
			declared int
			before   int // bytes that the handler writes itself
			limit    int64
			err      error
			left     int64 // position of the file afterwards
		}{
			{"shorter than the file", 600, 0, -1, http.ErrContentLength, 600},
			{"as long", len(content), 0, -1, nil, int64(len(content))},
			{"some written before", 100_000, 1000, -1, http.ErrContentLength, 99_000},
			{"all written before", 1000, 1000, -1, http.ErrContentLength, 0},
			{"a limit beyond it", 5000, 0, 6000, http.ErrContentLength, 5000},
			{"a limit at it", 5000, 0, 5000, nil, 5000},
			{"a limit within", 5000, 1000, 4000, nil, 4000},
		} {
			t.Run(tt.reason+"/ours="+strconv.FormatBool(ours), func(t *testing.T) {
				t.Parallel()
				type result struct {
					n   int64
					err error
					at  int64
					lim int64
				}
				results := make(chan result, 1)
				addr := serve(t, ours, func(w http.ResponseWriter, r *http.Request) {
					f := file(t)
					defer f.Close()
					w.Header().Set("Content-Length", strconv.Itoa(tt.declared))
					w.Write(content[:tt.before])
					var src io.Reader = f
					limit := &io.LimitedReader{R: f, N: tt.limit}
					if tt.limit >= 0 {
						src = limit
					}
					n, err := zerocopy.Copy(w, src)
					at, _ := f.Seek(0, io.SeekCurrent)
					results <- result{n, err, at, limit.N}
				})
				resp, err := client(t).Get("http://" + addr)
				must(t, err)
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				must(t, err)
				want := append(bytes.Clone(content[:tt.before]), content[:tt.declared-tt.before]...)
				ztest.Equal(t, "body", got, want)
				r := <-results
				if !errors.Is(r.err, tt.err) || r.n != int64(tt.declared-tt.before) || r.at != tt.left {
					t.Errorf("n = %d, at %d, %v", r.n, r.at, r.err)
				}
				if tt.limit >= 0 && r.lim != tt.limit-r.n {
					t.Errorf("%d left of the limit", r.lim)
				}
			})
		}
	}
}

// A doubler gives each byte of a file twice; its Seek is the file's.
type doubler struct{ f *os.File }

func (d doubler) Seek(offset int64, whence int) (int64, error) { return d.f.Seek(offset, whence) }

func (d doubler) Read(p []byte) (int, error) {
	n, err := d.f.Read(p[:len(p)/2])
	for i := n - 1; i >= 0; i-- {
		p[2*i], p[2*i+1] = p[i], p[i]
	}
	return 2 * n, err
}

// A cut gives so many bytes and then an error that only wraps io.EOF.
type cut struct{ left int }

func (c *cut) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, fmt.Errorf("cut: %w", io.EOF)
	}
	n := min(len(p), c.left)
	c.left -= n
	return n, nil
}

// TestDeclaredUnknown: a source of an unknown type is moved back by nobody, and its error is its own.
func TestDeclaredUnknown(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(100_000))
	errs := make(chan error, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		var src io.Reader = doubler{f}
		if r.URL.Path == "/cut" {
			src = &cut{1000}
		}
		_, err := zerocopy.Copy(w, src)
		errs <- err
	})
	get := func(path string) error {
		resp, err := client(t).Get("http://" + addr + path)
		must(t, err)
		resp.Body.Close()
		return <-errs
	}
	if err := get("/cut"); err == nil {
		t.Error("the source's error is lost")
	}
	err = get("/")
	var partial *zerocopy.PartialError
	if !errors.Is(err, http.ErrContentLength) || !errors.As(err, &partial) {
		t.Fatal(err)
	}
	pos, err := f.Seek(0, io.SeekCurrent)
	must(t, err)
	if handled := partial.Written + int64(len(partial.Unwritten)); pos != handled/2 {
		t.Errorf("the file is at %d, after %d bytes", pos, handled)
	}
}
