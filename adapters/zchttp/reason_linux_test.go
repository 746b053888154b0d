package zchttp_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestReasons: why a body was not spliced, and what stood in the way.
func TestReasons(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("0123456789", 60_000)
	for _, tt := range []struct {
		name   string
		serve  func(t *testing.T, h http.HandlerFunc) (url string, c *http.Client)
		around func(io.ReadCloser) io.Reader
		reason zerocopy.Reason
		typ    string
	}{
		{"a connection of package net", plainly, nil, zerocopy.ReasonForeignConn, "*net.TCPConn"},
		{"TLS", encrypted(false), nil, zerocopy.ReasonEncrypted, "*tls.Conn"},
		{"HTTP/2", encrypted(true), nil, zerocopy.ReasonNotDescriptor, "*http.http2requestBody"},
		{"a Reader of somebody", ours, func(b io.ReadCloser) io.Reader { return struct{ io.Reader }{b} },
			zerocopy.ReasonNotDescriptor, "struct { io.Reader }"},
		{"that under MaxBytesReader", ours, func(b io.ReadCloser) io.Reader { return http.MaxBytesReader(nil, foreign{b}, 1<<30) },
			zerocopy.ReasonNotDescriptor, "zchttp_test.foreign"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dst := targets["file"](t)
			results := make(chan copied, 1)
			url, c := tt.serve(t, func(w http.ResponseWriter, r *http.Request) {
				src := io.Reader(r.Body)
				if tt.around != nil {
					src = tt.around(r.Body)
				}
				results <- copyBody(r.Context(), dst.Writer, src)
			})
			resp, err := c.Post(url, "", strings.NewReader(body))
			must(t, err)
			resp.Body.Close()
			got := <-results
			must(t, got.err)
			ztest.Equal(t, "body", dst.received(), []byte(body))
			if got.report.Bytes(zerocopy.Splice) > 0 {
				t.Errorf("spliced: %v", got.report)
			}
			for _, s := range got.report.Steps {
				if s.Reason == tt.reason && (s.Type == tt.typ || strings.HasPrefix(tt.typ, "*http.http2") && s.Type != "") {
					return
				}
			}
			t.Errorf("reason %v, type %v not in %v", tt.reason, tt.typ, got.report)
		})
	}
}

type foreign struct{ io.ReadCloser }

func ours(t *testing.T, h http.HandlerFunc) (string, *http.Client) {
	return "http://" + serve(t, true, h), client(t)
}

func plainly(t *testing.T, h http.HandlerFunc) (string, *http.Client) {
	return "http://" + serve(t, false, h), client(t)
}

func encrypted(http2 bool) func(t *testing.T, h http.HandlerFunc) (string, *http.Client) {
	return func(t *testing.T, h http.HandlerFunc) (string, *http.Client) {
		s := httptest.NewUnstartedServer(h)
		s.Listener = zcnet.NewListener(s.Listener)
		s.EnableHTTP2 = http2
		s.TLS = &tls.Config{}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL, s.Client()
	}
}

// TestSwitch: bodies are spliced from the next chunk on, or no longer.
func TestSwitch(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	body := ztest.Pattern(1).Bytes(4 << 20)
	dst := targets["file"](t)
	results := make(chan copied, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		var total int64
		p := zerocopy.Progress(r.Body, func(n int64) {
			if total += n; total >= 2<<20 {
				must(t, zchttp.SpliceBodies(false))
			}
		})
		results <- copyBody(r.Context(), dst.Writer, p)
	})
	wire := framings[0].wire("POST / HTTP/1.1\r\nHost: h\r\n", body)
	for _, on := range []bool{true, false} {
		conn, err := net.Dial("tcp", addr)
		must(t, err)
		go conn.Write(wire)
		c := <-results
		conn.Close()
		must(t, c.err)
		got := c.report.Bytes(zerocopy.Splice)
		if on && (got < 1<<20 || got > 3<<20+300_000) || !on && got > 0 {
			t.Errorf("on = %v: %v", on, c.report)
		}
		if !strings.Contains(c.report.String(), "zchttp.SpliceBodies is off") {
			t.Errorf("it does not tell: %v", c.report)
		}
	}
}

// TestEnvironment: ZEROCOPY=httpbody=off overrides the switch.
func TestEnvironment(t *testing.T) {
	if !ztest.Isolated(t, "ZEROCOPY=httpbody=off") {
		return
	}
	must(t, zchttp.SpliceBodies(true))
	dst := targets["file"](t)
	results := make(chan copied, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) { results <- copyBody(r.Context(), dst.Writer, r.Body) })
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	go conn.Write(framings[0].wire("POST / HTTP/1.1\r\nHost: h\r\n", make([]byte, 1<<20)))
	if c := <-results; c.err != nil || c.report.Bytes(zerocopy.Splice) != 0 || c.report.Steps[0].Reason != zerocopy.ReasonBodiesOff {
		t.Errorf("%v", c.report)
	}
}

// TestBodyEnds: what ends the wait for a body: the server's read deadline, the copy's context, the
// client's going away.
func TestBodyEnds(t *testing.T) {
	t.Parallel()
	gone := errors.New("gone")
	for _, tt := range []struct {
		name string
		end  func(w http.ResponseWriter, cancel func(error), conn net.Conn)
		want error
	}{
		{"read deadline", func(w http.ResponseWriter, _ func(error), _ net.Conn) {
			http.NewResponseController(w).SetReadDeadline(time.Now())
		}, os.ErrDeadlineExceeded},
		{"context", func(_ http.ResponseWriter, cancel func(error), _ net.Conn) { cancel(gone) }, gone},
		{"client", func(_ http.ResponseWriter, _ func(error), conn net.Conn) { conn.Close() }, io.ErrUnexpectedEOF},
	} {
		for _, f := range []framing{framings[0], framings[6]} {
			t.Run(tt.name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				body := ztest.Pattern(22).Bytes(1 << 20)
				dst := targets["file"](t)
				conns := make(chan net.Conn, 1)
				results := make(chan copied, 1)
				addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
					ctx, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					client := <-conns
					copying := ztest.Go(t, "Copy", func() { results <- copyBody(ctx, dst.Writer, r.Body) })
					copying.AwaitParked()
					tt.end(w, cancel, client)
					copying.Wait()
				})
				conn, err := net.Dial("tcp", addr)
				must(t, err)
				defer conn.Close()
				wire := f.wire("POST / HTTP/1.1\r\nHost: h\r\n", body)
				_, err = conn.Write(wire[:600_000])
				must(t, err)
				conns <- conn
				var c copied
				ztest.Within(t, ztest.Patience, "the copy", func() { c = <-results })
				if !errors.Is(c.err, tt.want) {
					t.Error(c.err)
				}
				rest := []byte(nil)
				var partial *zerocopy.PartialError
				if errors.As(c.err, &partial) {
					rest = partial.Unwritten
				}
				ztest.Equal(t, "written and handed back", append(dst.received(), rest...), body[:int(c.n)+len(rest)])
				if int(c.n)+len(rest) < 500_000 {
					t.Errorf("%d bytes of 600,000", int(c.n)+len(rest))
				}
			})
		}
	}
}

// TestClosedMeanwhile: somebody closes the body under the copy; it ends as with io.Copy, at the next Read.
func TestClosedMeanwhile(t *testing.T) {
	t.Parallel()
	body := ztest.Pattern(9).Bytes(8 << 20)
	dst := targets["file"](t)
	results := make(chan copied, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		closing := make(chan struct{})
		var total int64
		p := zerocopy.Progress(r.Body, func(n int64) {
			if total += n; total > 1<<20 {
				select {
				case <-closing:
				default:
					close(closing)
					r.Body.Close()
				}
			}
		})
		results <- copyBody(r.Context(), dst.Writer, p)
	})
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	go conn.Write(framings[0].wire("POST / HTTP/1.1\r\nHost: h\r\n", body))
	c := <-results
	if !errors.Is(c.err, http.ErrBodyReadAfterClose) {
		t.Error(c.err)
	}
	ztest.Equal(t, "body", dst.received(), body[:c.n])
}

// TestUpgradeAfter: a connection whose body was spliced can be hijacked, and what follows is there.
func TestUpgradeAfter(t *testing.T) {
	t.Parallel()
	body := ztest.Pattern(32).Bytes(1 << 20)
	dst := targets["file"](t)
	after := make(chan string, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		c := copyBody(r.Context(), dst.Writer, r.Body)
		if c.err != nil {
			t.Error(c.err)
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		p := make([]byte, 5)
		io.ReadFull(rw, p)
		after <- string(p)
	})
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	out := bufio.NewWriter(conn)
	out.Write(framings[0].wire("POST / HTTP/1.1\r\nHost: h\r\n", body))
	out.WriteString("after")
	must(t, out.Flush())
	ztest.Within(t, ztest.Patience, "what follows", func() {
		if text := <-after; text != "after" {
			t.Errorf("%q", text)
		}
	})
	ztest.Equal(t, "body", dst.received(), body)
}
