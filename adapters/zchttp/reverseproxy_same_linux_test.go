package zchttp_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// size is that of what is meant to be large, in these tests.
const size = 1 << 20

var content = ztest.Pattern(11).Bytes(size)

// get is a request with header lines.
func getting(lines ...string) string {
	return "GET /path?a=1&b=2 HTTP/1.1\nHost: front\n" + strings.Join(append(lines, ""), "\n") + "\n"
}

// large answers with the content and its length, and header lines by pairs.
func large(header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.Write(content)
	}
}

// pause is a piece that lets the others arrive one by one, as a rule.
const pause = "pause"

// raw answers with a text, in pieces, and closes.
func raw(pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		for _, p := range pieces {
			if p == pause {
				time.Sleep(20 * time.Millisecond)
			} else {
				io.WriteString(c, p)
			}
		}
	}
}

func typed(n int) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: %d\r\n\r\n", n)
}

// tripper answers without a network.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// answering is a RoundTripper whose responses declare n bytes and have this body.
func answering(n int64, body func() io.Reader) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		n, body := n, body
		if r.URL.Path == "/end" {
			n, body = 3, func() io.Reader { return strings.NewReader("end") }
		}
		h := http.Header{"Content-Length": {strconv.FormatInt(n, 10)}, "Content-Type": {"x/y"}}
		return &http.Response{
			StatusCode: 200, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: h, ContentLength: n, Body: io.NopCloser(body()), Request: r,
		}, nil
	})
}

type onlyWriter struct{ http.ResponseWriter }

type countingWriter struct {
	http.ResponseWriter
	n int64
}

func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countingWriter) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, r)
	w.n += n
	return n, err
}

// plainSpliced: to connections of net, not package zcnet's, bodies go by splice, too. The
// ReadFrom of Go 1.27's net/http puts an io.LimitedReader around what it is given, and that of a
// *net.TCPConn only reads from it.
var plainSpliced = strings.HasPrefix(runtime.Version(), "go1.26")

const notZcnet = "the ReadFrom of *http.response did not call Copy, see ListenAndServe"

var errTest = errors.New("an error of the test")

// TestProxySame: whatever a proxy of httputil does in these scenes, ours does, and says how.
func TestProxySame(t *testing.T) {
	t.Parallel()
	modify := func(f func(*http.Response) error) func(p *httputil.ReverseProxy) {
		return func(p *httputil.ReverseProxy) {
			p.ModifyResponse = func(res *http.Response) error {
				if res.Request.URL.Path == "/end" {
					return nil
				}
				return f(res)
			}
		}
	}
	const taken = "taken" // by a copy of ours
	for _, tt := range []struct {
		name string
		scene
		want string // taken, or what Why is to be
	}{
		{"small", scene{request: getting("X-A: 1", "X-A: 2"), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header()["X-B"] = []string{"1", "2"}
			io.WriteString(w, "small")
		}}, "small"},
		{"hop by hop", scene{
			request: getting("Connection: X-Mine, keep-alive", "X-Mine: 1", "Te: trailers, deflate", "Keep-Alive: 1",
				"Proxy-Connection: a", "Proxy-Authorization: b", "Forwarded: c", "X-Forwarded-For: d", "User-Agent: e"),
			backend: large("Connection", "X-Its", "X-Its", "1", "Proxy-Authenticate", "f", "Content-Type", "a/b", "Keep-Alive", "g"),
		}, taken},
		{"forwarded by Director", scene{request: getting("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: a"), backend: large(), setup: func(p *httputil.ReverseProxy) {
			rewrite := p.Rewrite
			p.Rewrite = nil
			//lint:ignore SA1019 it has to keep working
			p.Director = func(r *http.Request) {
				out := &httputil.ProxyRequest{In: r, Out: r}
				rewrite(out)
			}
		}}, taken},
		{"query", scene{request: "GET /?a=1;b=2&c=%zz&d=3 HTTP/1.1\nHost: front\n\n", backend: large()}, taken},
		{"neither Rewrite nor Director", scene{request: getting(), backend: large(), setup: func(p *httputil.ReverseProxy) { p.Rewrite = nil }}, ""},
		{"CONNECT", scene{request: "CONNECT a:1 HTTP/1.1\nHost: a:1\n\n", backend: large()}, "?"},

		{"HEAD", scene{request: "HEAD / HTTP/1.1\nHost: front\n\n", backend: large()}, "no body"},
		{"204", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }}, "no body"},
		{"304", scene{request: getting(), backend: raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 3000000\r\n\r\n")}, "no body"},
		{"no content type", scene{request: getting(), backend: raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size), string(content))}, taken},
		{"html without content type", scene{request: getting(), backend: raw(
			fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n<!DOC", len("<!DOCTYPE HTML>")+size), pause, "TYPE HTML>", pause, string(content))}, taken},
		{"content encoding", scene{request: getting("Accept-Encoding: br"), backend: large("Content-Encoding", "br")}, taken},
		{"decompressed", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "x/y")
			z := gzip.NewWriter(w)
			z.Write(content[:1<<16])
			z.Close()
		}}, "decompressed by the Transport"},
		{"content type", scene{request: getting(), backend: large("Content-Type", "text/plain")}, taken},
		{"event stream", scene{request: getting(), backend: large("Content-Type", "text/event-stream")}, taken},
		{"206", scene{request: getting("Range: bytes=0-1048575"), backend: func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "a.bin", time.Time{}, bytes.NewReader(append([]byte("x"), content...)))
		}}, taken},
		{"500", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.WriteHeader(500)
			w.Write(content)
		}}, taken},
		{"chunked", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) { w.Write(content) }}, "unknown length"},
		{"until EOF", scene{request: getting(), backend: raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: x/y\r\n\r\n", string(content))}, "unknown length"},
		{"HTTP/1.0 backend", scene{request: getting(), backend: raw(fmt.Sprintf("HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n", size), string(content))}, taken},
		{"HTTP/1.0 client", scene{request: "GET / HTTP/1.0\nHost: front\n\n", close: true, backend: large("Content-Type", "a/b")}, taken},
		{"HTTP/1.0 client, keep-alive", scene{request: "GET / HTTP/1.0\nHost: front\nConnection: keep-alive\n\n", backend: large()}, taken},
		{"HTTP/1.0 client, chunked", scene{request: "GET / HTTP/1.0\nHost: front\n\n", close: true, backend: func(w http.ResponseWriter, r *http.Request) { w.Write(content) }}, "unknown length"},
		{"pipelined", scene{request: getting() + getting() + getting("X-A: 3"), backend: large()}, taken},
		{"announced trailer", scene{request: getting("Te: trailers"), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-T")
			w.Write(content)
			w.Header().Set("X-T", "1")
		}}, "unknown length"},
		{"unannounced trailer", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-T")
			io.WriteString(w, "short")
			w.Header().Set("X-T", "1")
			w.Header().Set(http.TrailerPrefix+"X-U", "2")
		}}, "unknown length"},
		{"trailer announced with a length", scene{request: getting(), backend: large("Trailer", "X-T")}, taken},
		{"trailer added", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error {
			res.Trailer = http.Header{"X-T": {"1"}}
			return nil
		})}, "length changed"},
		{"103", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(103)
			w.Header().Set("Link", "</other.css>")
			w.WriteHeader(103)
			w.Header().Del("Link")
			large("Content-Type", "a/b")(w, r)
		}}, taken},

		{"POST", scene{request: "POST / HTTP/1.1\nHost: front\nContent-Length: 5\n\nhello", backend: large()}, taken},
		{"POST large", scene{request: fmt.Sprintf("POST / HTTP/1.1\nHost: front\nContent-Length: %d\n\n", 1<<20) + strings.Repeat("x", 1<<20), backend: large()}, taken},
		{"POST chunked, with trailer", scene{request: "POST / HTTP/1.1\nHost: front\nTransfer-Encoding: chunked\nTrailer: X-T\n\n5\nhello\n0\nX-T: 1\n\n", backend: large()}, taken},
		{"POST expecting 100", scene{request: "POST / HTTP/1.1\nHost: front\nContent-Length: 5\nExpect: 100-continue\n\nhello", backend: large()}, taken},

		{"POST at the limit", scene{request: fmt.Sprintf("POST / HTTP/1.1\nHost: front\nContent-Length: %d\n\n", 1<<20) + strings.Repeat("x", 1<<20), backend: large(), wrap: limited(1 << 20)}, taken},
		{"POST beyond the limit", scene{request: fmt.Sprintf("POST / HTTP/1.1\nHost: front\nContent-Length: %d\n\n", 1<<20) + strings.Repeat("x", 1<<20), backend: large(), broken: true, wrap: limited(1<<20 - 1)}, ""},
		{"POST short", scene{request: "POST / HTTP/1.1\nHost: front\nContent-Length: 1000000\n\nhello", backend: large(), half: true}, ""},
		{"POST short, chunked", scene{request: "POST / HTTP/1.1\nHost: front\nTransfer-Encoding: chunked\n\n5\nhello\n", backend: large(), half: true}, ""},
		{"stale connections", scene{request: getting() + getting() + getting(), backend: raw(typed(5), "hello")}, "small"},

		{"ModifyResponse", scene{request: getting(), backend: large("X-A", "1"), setup: modify(func(res *http.Response) error {
			note(res.Request, "%s", res.Header.Get("X-A"))
			res.Header.Set("X-A", "2")
			res.StatusCode = 201
			return nil
		})}, taken},
		{"ModifyResponse fails", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error { return errTest })}, ""},
		{"ModifyResponse fails, ErrorHandler", scene{request: getting(), backend: large(), setup: func(p *httputil.ReverseProxy) {
			modify(func(res *http.Response) error { return errTest })(p)
			p.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				note(r, "%v %s %T", err, r.URL.Path, w)
				w.WriteHeader(418)
			}
		}}, ""},
		{"ModifyResponse replaces", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error {
			res.Body = io.NopCloser(io.TeeReader(res.Body, io.Discard))
			return nil
		})}, "body replaced by io.nopCloser"},
		{"ModifyResponse replaces by the incomparable", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error {
			res.Body = incomparable{[]io.ReadCloser{res.Body}}
			return nil
		})}, "body replaced by zchttp_test.incomparable"},
		{"ModifyResponse shortens", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error {
			res.Header.Set("Content-Length", "100000")
			return nil
		})}, "length changed"},
		{"ModifyResponse lengthens", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error {
			res.Header.Set("Content-Length", "4000000")
			return nil
		})}, "length changed"},
		{"ModifyResponse drops the length", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error {
			res.Header.Del("Content-Length")
			return nil
		})}, "length changed"},
		{"ModifyResponse panics", scene{request: getting(), backend: large(), setup: modify(func(res *http.Response) error { panic(http.ErrAbortHandler) })}, ""},

		{"unreachable", scene{request: getting(), backend: large(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = tripper(func(*http.Request) (*http.Response, error) { return nil, errTest })
		}}, ""},
		{"unreachable, ErrorHandler", scene{request: getting(), backend: large(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = tripper(func(*http.Request) (*http.Response, error) { return nil, errTest })
			p.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				note(r, "%v %T", err, w)
				io.WriteString(w, "sorry")
			}
		}}, ""},
		{"no header", scene{request: getting(), backend: raw()}, ""},
		{"malformed", scene{request: getting(), backend: raw("nonsense\r\n\r\n")}, ""},

		{"short by all", scene{request: getting(), backend: raw(typed(size))}, ""},                        // no byte came
		{"short at 100", scene{request: getting(), backend: raw(typed(size), string(content[:100]))}, ""}, // they came before the copy
		{"short at 100000", scene{request: getting(), backend: raw(typed(size), string(content[:100000]))}, taken},
		{"short by one", scene{request: getting(), backend: raw(typed(size), string(content[:size-1]))}, taken},
		{"panics midway", scene{request: getting(), backend: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			w.Write(content[:1<<20])
			panic(http.ErrAbortHandler)
		}}, taken},

		{"RoundTripper of its own", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = answering(size, func() io.Reader { return bytes.NewReader(content) })
		}}, taken},
		{"RoundTripper with incomparable bodies", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = incomparably(answering(size, func() io.Reader { return bytes.NewReader(content) }))
		}}, taken},
		{"RoundTripper with incomparable bodies, ModifyResponse", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = incomparably(answering(size, func() io.Reader { return bytes.NewReader(content) }))
			p.ModifyResponse = func(*http.Response) error { return nil }
		}}, "body replaced by zchttp_test.incomparable"},
		{"HEAD with a body", scene{request: "HEAD / HTTP/1.1\nHost: front\n\n", setup: func(p *httputil.ReverseProxy) {
			p.Transport = answering(size, func() io.Reader { return bytes.NewReader(content) })
		}}, "no body"},
		{"less than declared", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = answering(size+10, func() io.Reader { return bytes.NewReader(content) })
		}}, taken},
		{"error midway", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = answering(size, func() io.Reader { return io.MultiReader(bytes.NewReader(content[:1<<20]), failingReader{errTest}) })
		}}, taken},
		{"cancellation midway", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = answering(size, func() io.Reader {
				return io.MultiReader(bytes.NewReader(content[:1<<20]), failingReader{context.Canceled})
			})
		}}, taken},
		{"error at the end", scene{request: getting(), setup: func(p *httputil.ReverseProxy) {
			p.Transport = answering(size, func() io.Reader { return io.MultiReader(bytes.NewReader(content), failingReader{errTest}) })
		}}, taken},

		{"flushed at once", scene{request: getting(), backend: large(), setup: func(p *httputil.ReverseProxy) { p.FlushInterval = -1 }}, taken},
		{"flushed by a timer", scene{request: getting(), backend: slowly, setup: func(p *httputil.ReverseProxy) { p.FlushInterval = time.Microsecond }}, taken},
		{"BufferPool", scene{request: getting(), backend: large(), setup: func(p *httputil.ReverseProxy) { p.BufferPool = pool{} }}, taken},

		{"middleware without ReadFrom", scene{request: getting(), backend: large(), wrap: func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return onlyWriter{w} }},
			"zchttp_test.onlyWriter has no ReadFrom"},
		{"middleware with ReadFrom", scene{request: getting(), backend: large(), wrap: func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
			return &countingWriter{ResponseWriter: w}
		}},
			taken},
		{"middleware with ReadFrom, short", scene{request: getting(), backend: raw(typed(size), string(content[:size-1])), wrap: func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
			return &countingWriter{ResponseWriter: w}
		}}, "?"},
		{"middleware has set a length", scene{request: getting(), backend: large(), wrap: func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter {
			w.Header().Set("Content-Length", "70000")
			return w
		}}, "length changed"},

		{"another protocol", scene{request: getting("Connection: Upgrade", "Upgrade: a"), backend: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n")}, ""},
		{"101 unasked", scene{request: getting(), backend: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: b\r\n\r\n")}, ""},
		{"101 without Upgrade", scene{request: getting("Connection: Upgrade", "Upgrade: a"), backend: raw("HTTP/1.1 101 Switching Protocols\r\n\r\n")}, "?"},
		{"upgrade to an unprintable protocol", scene{request: getting("Connection: Upgrade", "Upgrade: \x80"), backend: large()}, ""},
		{"upgrade refused", scene{request: getting("Connection: Upgrade", "Upgrade: a"), backend: large()}, taken},
		{"upgrade", scene{request: getting("Connection: Upgrade", "Upgrade: a"), backend: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", "hello"), close: true}, ""},
		{"upgrade through a writer that cannot", scene{
			request: getting("Connection: Upgrade", "Upgrade: a"), backend: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", "hello"),
			wrap: func(w http.ResponseWriter, _ *http.Request) http.ResponseWriter { return onlyWriter{w} },
			setup: func(p *httputil.ReverseProxy) {
				p.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(502) }
			},
		}, ""},
		{"upgrade, body replaced", scene{
			request: getting("Connection: Upgrade", "Upgrade: a"), backend: raw("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n", "hello"), close: true,
			setup: modify(func(res *http.Response) error {
				res.Body = struct{ io.ReadWriteCloser }{res.Body.(io.ReadWriteCloser)}
				return nil
			}),
		}, "body replaced by struct { io.ReadWriteCloser }"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want, _ := tt.play(t, false, false)
			for _, conns := range []bool{false, true} {
				got, reports := tt.play(t, true, conns)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("conns %v (-httputil +ours):\n%s", conns, diff)
				}
				if tt.want == "?" {
					continue
				}
				if len(reports) == 0 {
					t.Fatal("no report")
				}
				want := tt.want
				if want == taken && !conns && !plainSpliced && tt.wrap == nil {
					want = notZcnet
				}
				for _, r := range reports {
					if r.Why == notZcnet && (want == "" || tt.wrap != nil) && !plainSpliced && !conns {
						continue // so would a copy of nothing have been
					}
					if took := len(r.Copy.Steps) > 0; took != (want == taken) || !took && r.Why != want {
						t.Errorf("conns %v: %v", conns, r)
					}
					if tt.wrap == nil && r.Copy.Bytes(zerocopy.Delegated) > 0 {
						t.Errorf("conns %v: %v", conns, r)
					}
				}
			}
		})
	}
}

// limited is a middleware that bounds the body of requests.
func limited(n int64) func(http.ResponseWriter, *http.Request) http.ResponseWriter {
	return func(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
		r.Body = http.MaxBytesReader(w, r.Body, n)
		return w
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

type incomparable struct{ r []io.ReadCloser }

func (r incomparable) Read(p []byte) (int, error) { return r.r[0].Read(p) }
func (r incomparable) Close() error               { return r.r[0].Close() }

// incomparably makes the bodies of t's responses so.
func incomparably(t http.RoundTripper) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		res, err := t.RoundTrip(r)
		res.Body = incomparable{[]io.ReadCloser{res.Body}}
		return res, err
	})
}

type pool struct{}

func (pool) Get() []byte { return make([]byte, 10000) }
func (pool) Put([]byte)  {}

// slowly answers as large does, in pieces.
func slowly(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", strconv.Itoa(size))
	rc := http.NewResponseController(w)
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 100_000)
		w.Write(rest[:n])
		rc.Flush()
		rest = rest[n:]
	}
}
