package zchttp_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// TestCompressingMethods: what a handler asks its ResponseWriter for is there behind a middleware, too.
func TestCompressingMethods(t *testing.T) {
	t.Parallel()
	through := func(h http.Handler) http.Handler { return h }
	addr := serve(t, false, zchttp.Compressing(through, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hijack" {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhijacked")
			rw.Flush()
			return
		}
		io.WriteString(w, "first ")
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		w.(io.StringWriter).WriteString("second")
	})).ServeHTTP)
	for path, want := range map[string]string{"/hijack": "hijacked", "/": "first second"} {
		res, err := client(t).Get("http://" + addr + path)
		must(t, err)
		got, err := io.ReadAll(res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if string(got) != want || path == "/" && res.ContentLength >= 0 {
			t.Errorf("%s: %q", path, got)
		}
	}
}
