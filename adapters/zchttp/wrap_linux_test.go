package zchttp_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestWrapSendfile: a file goes by sendfile behind one and two counting middlewares, and the counts
// move while it goes. Not in parallel: others count, too.
func TestWrapSendfile(t *testing.T) {
	const size = 64 << 20 // more than the buffers of a connection
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, nil, 0o600))
	must(t, os.Truncate(name, size))
	for _, tt := range []struct {
		reason string
		source func(f *os.File) io.Reader
	}{
		{"a file", func(f *os.File) io.Reader { return f }},
		{"a part of one", func(f *os.File) io.Reader { return io.LimitReader(f, size) }},
		{"a section, which package net does not know", func(f *os.File) io.Reader { return io.NewSectionReader(f, 0, size) }},
	} {
		for _, ours := range []bool{false, true} {
			for _, twice := range []bool{false, true} {
				t.Run(tt.reason+"/ours="+strconv.FormatBool(ours)+",twice="+strconv.FormatBool(twice), func(t *testing.T) {
					running, done := make(chan *zchttp.ResponseCount, 1), make(chan error, 1)
					addr := serve(t, ours, func(w http.ResponseWriter, r *http.Request) {
						w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{})
						if twice {
							w, _ = zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
						}
						f, err := os.Open(name)
						if err != nil {
							t.Error(err)
							return
						}
						defer f.Close()
						w.Header().Set("Content-Length", strconv.Itoa(size))
						running <- count
						_, err = io.Copy(w, tt.source(f))
						done <- err
					})
					before := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
					resp, err := client(t).Get("http://" + addr)
					must(t, err)
					defer resp.Body.Close()
					count := <-running
					ztest.Eventually(t, ztest.Patience, "the count moves", func() bool { return count.Bytes() > 1<<16 })
					if n := count.Bytes(); n >= size {
						t.Errorf("%d bytes before the client read any", n)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					must(t, err)
					must(t, <-done)
					if sent := zerocopy.ReadStats().Bytes(zerocopy.Sendfile) - before; n != size || count.Bytes() != size || sent < size-512 {
						t.Errorf("got %d, counted %d, by sendfile %d", n, count.Bytes(), sent)
					}
				})
			}
		}
	}
}
