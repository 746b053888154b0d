package middleware_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	chi "github.com/go-chi/chi/v5/middleware"
	"github.com/gorilla/handlers"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/negroni/v3"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A row is a middleware and what README.md says of it.
type row struct {
	name string
	// wrap puts it around next; size is where its own count goes, if it has one.
	wrap func(next http.Handler, size *atomic.Int64) http.Handler
	// keeps says that a video goes by sendfile under it.
	keeps bool
	// compresses says that a text comes compressed.
	compresses bool
	// counts says that size has all bytes of a body, however it is sent.
	counts bool
}

const unset = -1

var rows = []row{
	{name: "none", keeps: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler { return next }},
	{name: "zchttp.WrapResponseWriter", keeps: true, counts: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
			next.ServeHTTP(w, r)
			size.Store(count.Bytes())
		})
	}},
	{name: "chi Logger", keeps: true, counts: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return chi.RequestLogger(chiLog{size})(next)
	}},
	{name: "chi Compress", compresses: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return chi.Compress(5)(next)
	}},
	{name: "gorilla LoggingHandler", keeps: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return handlers.CustomLoggingHandler(io.Discard, next, func(_ io.Writer, p handlers.LogFormatterParams) { size.Store(int64(p.Size)) })
	}},
	{name: "gorilla CompressHandler", compresses: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return handlers.CompressHandler(next)
	}},
	{name: "negroni", keeps: true, counts: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		n := negroni.New(negroni.HandlerFunc(func(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
			next(w, r)
			size.Store(int64(w.(negroni.ResponseWriter).Size()))
		}))
		n.UseHandler(next)
		return n
	}},
	{name: "promhttp", keeps: true, counts: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "size"}, nil)
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(h)
		inner := promhttp.InstrumentHandlerResponseSize(h, next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			families, _ := registry.Gather()
			size.Store(int64(families[0].GetMetric()[0].GetHistogram().GetSampleSum()))
		})
	}},
	{name: "otelhttp", keeps: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return otelhttp.NewHandler(next, "test")
	}},
	{name: "klauspost gzhttp", compresses: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return gzhttp.GzipHandler(next)
	}},
	{name: "klauspost gzhttp by zchttp.Compressing", keeps: true, compresses: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return zchttp.Compressing(gzhttp.GzipHandler, next)
	}},
	{name: "chi Compress by zchttp.Compressing", keeps: true, compresses: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return zchttp.Compressing(chi.Compress(5), next)
	}},
	{name: "one that hides ReadFrom (H40)", counts: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := &hiding{w, 0}
			next.ServeHTTP(c, r)
			size.Store(c.n)
		})
	}},
	{name: "one with Unwrap (H40)", counts: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := unwrapping{&hiding{w, 0}}
			next.ServeHTTP(c, r)
			size.Store(c.n)
		})
	}},
	{name: "a compressor with Unwrap (H40)", compresses: true, wrap: func(next http.Handler, size *atomic.Int64) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if filepath.Ext(r.URL.Path) != ".txt" {
				next.ServeHTTP(unwrapping{&hiding{w, 0}}, r)
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			next.ServeHTTP(compressor{unwrapping{&hiding{w, 0}}, z}, r)
			z.Close()
		})
	}},
}

// hiding counts what is written, and has nothing but the methods it has to have.
type hiding struct {
	http.ResponseWriter
	n int64
}

func (h *hiding) Write(p []byte) (int, error) {
	n, err := h.ResponseWriter.Write(p)
	h.n += int64(n)
	return n, err
}

type unwrapping struct{ *hiding }

func (u unwrapping) Unwrap() http.ResponseWriter { return u.ResponseWriter }

type compressor struct {
	unwrapping
	z *gzip.Writer
}

func (c compressor) Write(p []byte) (int, error) { return c.z.Write(p) }

// chiLog tells the size that chi has counted.
type chiLog struct{ size *atomic.Int64 }

func (l chiLog) NewLogEntry(*http.Request) chi.LogEntry { return l }

func (l chiLog) Write(_, n int, _ http.Header, _ time.Duration, _ any) { l.size.Store(int64(n)) }

func (l chiLog) Panic(v any, _ []byte) { panic(v) }

// TestMiddleware: a file under each middleware, by itself and with WrapResponseWriter on either side of it,
// copied by whatever copies: the client gets its bytes, compressed where they should be, what is said
// to go by sendfile goes by sendfile, and what counts counts it. Not in parallel: others count, too.
func TestMiddleware(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	dir := t.TempDir()
	for _, name := range []string{"video.mp4", "text.txt"} {
		must(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	for _, cp := range []struct {
		name string
		copy func(w io.Writer, f *os.File) (int64, error)
	}{
		{"http.ServeContent", nil},
		{"io.Copy", func(w io.Writer, f *os.File) (int64, error) { return io.Copy(w, f) }},
		{"zerocopy.Copy", func(w io.Writer, f *os.File) (int64, error) { return zerocopy.Copy(w, f) }},
	} {
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			f, err := os.Open(filepath.Join(dir, filepath.Base(r.URL.Path)))
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if cp.copy == nil {
				http.ServeContent(w, r, r.URL.Path, time.Time{}, f)
				return
			}
			w.Header().Set("Content-Type", map[string]string{".mp4": "video/mp4", ".txt": "text/plain"}[filepath.Ext(r.URL.Path)])
			if w.Header().Get("Content-Encoding") == "" {
				w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			}
			if n, err := cp.copy(w, f); n != int64(len(content)) || err != nil {
				t.Errorf("n = %d, %v", n, err)
			}
		})
		for _, row := range rows {
			for _, counted := range []string{"", "inside", "outside"} {
				for _, file := range []string{"video.mp4", "text.txt"} {
					t.Run(fmt.Sprintf("%s/%s/%s/counted %s", cp.name, row.name, file, counted), func(t *testing.T) {
						var size, ours atomic.Int64
						size.Store(unset)
						count := func(next http.Handler) http.Handler { return rows[1].wrap(next, &ours) }
						var handler http.Handler = h
						if counted == "inside" {
							handler = count(handler)
						}
						handler = row.wrap(handler, &size)
						if counted == "outside" {
							handler = count(handler)
						}
						try(t, row, handler, file, content, &size, &ours, counted)
					})
				}
			}
		}
	}
}

// try is one request.
func try(t *testing.T, row row, handler http.Handler, file string, content []byte, size, ours *atomic.Int64, counted string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(zcnet.NewListener(ln)) }()

	sent := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
	req, err := http.NewRequest("GET", "http://"+ln.Addr().String()+"/"+file, nil)
	must(t, err)
	req.Header.Set("Accept-Encoding", "gzip")
	tr := &http.Transport{DisableCompression: true}
	resp, err := tr.RoundTrip(req)
	must(t, err)
	wire, err := io.ReadAll(resp.Body)
	must(t, err)
	resp.Body.Close()
	tr.CloseIdleConnections()
	must(t, srv.Shutdown(context.Background())) // the handler has returned then
	<-done

	body, coded := wire, resp.Header.Get("Content-Encoding") == "gzip"
	if coded {
		z, err := gzip.NewReader(bytes.NewReader(wire))
		must(t, err)
		body, err = io.ReadAll(z)
		must(t, err)
	}
	if !bytes.Equal(body, content) {
		t.Errorf("got %d bytes, and of another content", len(body))
	}
	if file == "text.txt" && coded != row.compresses {
		t.Errorf("compressed: %v", coded)
	}
	sent = zerocopy.ReadStats().Bytes(zerocopy.Sendfile) - sent
	// The first 512 bytes are looked at, and go with the header; a compressor wants to see 4 KiB.
	looked := int64(512)
	if row.compresses {
		looked = 8192
	}
	keeps := row.keeps && !coded
	if keeps && sent < int64(len(content))-looked || !keeps && sent > 0 {
		t.Errorf("by sendfile: %d", sent)
	}
	if n := size.Load(); n != unset && row.counts != (n == int64(len(content))) {
		t.Errorf("it has counted %d", n)
	}
	if n := ours.Load(); counted == "outside" && n != int64(len(wire)) || counted == "inside" && n != int64(len(content)) {
		t.Errorf("WrapResponseWriter has counted %d of %d", n, len(wire))
	}
}
