package zchttp_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A copied is what a Copy of a body has come to.
type copied struct {
	n       int64
	err     error
	report  zerocopy.Report
	trailer http.Header
}

// A target is where bodies are copied to.
type target struct {
	io.Writer
	received func() []byte
}

// targets make one each, by kind of destination.
var targets = map[string]func(t testing.TB) *target{
	"file": func(t testing.TB) *target {
		f, err := os.Create(filepath.Join(t.TempDir(), "body"))
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return &target{f, func() []byte {
			p, err := os.ReadFile(f.Name())
			must(t, err)
			return p
		}}
	},
	"tcp": func(t testing.TB) *target {
		d := ztest.NewDest(t, ztest.TCP4)
		return &target{d.Writer, d.Finish}
	},
	"Conn": func(t testing.TB) *target {
		d := ztest.NewDest(t, ztest.TCP4)
		return &target{zcnet.NewConn(d.Writer.(net.Conn)), d.Finish}
	},
	"pipe": func(t testing.TB) *target {
		d := ztest.NewDest(t, ztest.Pipe)
		return &target{d.Writer, d.Finish}
	},
	"memory": func(t testing.TB) *target {
		b := new(bytes.Buffer)
		return &target{struct{ io.Writer }{b}, b.Bytes}
	},
}

// copyBody copies as a handler or a client would.
func copyBody(ctx context.Context, dst io.Writer, body io.Reader) (c copied) {
	copier := &zerocopy.Copier{Report: func(r zerocopy.Report) { c.report = r }}
	c.n, c.err = copier.Copy(ctx, dst, body)
	return c
}

// A framing is how the end of a body is told.
type framing struct {
	name    string
	chunk   int  // bytes; 0: it is declared; -1: by the end of the connection
	spliced bool // a large body has to be, for the most part
}

var framings = []framing{
	{"declared", 0, true},
	{"chunks of 1", 1, false},
	{"chunks of 4095", 4095, false},
	{"chunks of 4096", 4096, false},
	{"chunks of 4097", 4097, false},
	{"chunks of 65536", 65536, true},
	{"chunks of 1 MiB", 1 << 20, true},
}

// wire returns header, without its last line, and body as they are sent. A trailer follows chunks.
func (f framing) wire(header string, body []byte) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	switch f.chunk {
	case -1:
		b.WriteString("Connection: close\r\n\r\n")
		b.Write(body)
		return b.Bytes()
	case 0:
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
		b.Write(body)
		return b.Bytes()
	}
	b.WriteString("Trailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n")
	for len(body) > 0 {
		n := min(f.chunk, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	b.WriteString("0\r\nSum: told\r\n\r\n")
	return b.Bytes()
}

// TestH42Requests: bodies of requests, of every framing, to every kind of destination, two of them
// pipelined on one connection: the second is where it has to be.
func TestH42Requests(t *testing.T) {
	t.Parallel()
	for kind, open := range targets {
		for _, f := range framings {
			for _, size := range []int{0, 1, 5000, 3 << 20} {
				if f.chunk == 1 && size > 5000 {
					size = 50_000 // each byte is five more
				}
				t.Run(fmt.Sprint(kind, "/", f.name, "/", size), func(t *testing.T) {
					t.Parallel()
					body := ztest.Pattern(size + f.chunk).Bytes(size)
					dst := open(t)
					results := make(chan copied, 2)
					addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
						var c copied
						if r.URL.Path == "/first" {
							c = copyBody(r.Context(), dst.Writer, r.Body)
						} else {
							p, err := io.ReadAll(r.Body)
							c = copied{n: int64(len(p)), err: err}
						}
						c.trailer = r.Trailer
						results <- c
					})
					conn, err := net.Dial("tcp", addr)
					must(t, err)
					defer conn.Close()
					go func() {
						conn.Write(f.wire("POST /first HTTP/1.1\r\nHost: h\r\n", body))
						conn.Write(f.wire("POST /second HTTP/1.1\r\nHost: h\r\n", []byte("second")))
					}()
					answers := bufio.NewReader(conn)
					for i, want := range []int{size, len("second")} {
						resp, err := http.ReadResponse(answers, nil)
						must(t, err)
						resp.Body.Close()
						c := <-results
						if c.err != nil || c.n != int64(want) {
							t.Fatalf("copy %d: %d bytes, %v", i, c.n, c.err)
						}
						if f.chunk > 0 && c.trailer.Get("Sum") != "told" {
							t.Errorf("trailer %v", c.trailer)
						}
						if i == 0 {
							checkSpliced(t, kind, f, c.report, size)
						}
					}
					ztest.Equal(t, "body", dst.received(), body)
				})
			}
		}
	}
}

// checkSpliced demands that a large body was spliced. How much of it depends on how fast its sender
// is: see TestBodyShare.
func checkSpliced(t *testing.T, kind string, f framing, r zerocopy.Report, size int) {
	t.Helper()
	if f.spliced && kind != "memory" && size >= 1<<20 && r.Bytes(zerocopy.Splice) == 0 {
		t.Errorf("not spliced: %v", r)
	}
}

// TestBodyShare: of a body of 512 KiB that is all there, the most part is spliced: all but what
// proves that it is bulk, and what is read ahead for chunks.
func TestBodyShare(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		framing
		share float64
	}{{framings[0], 0.8}, {framings[5], 0.7}, {framings[6], 0.75}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := ztest.Pattern(42).Bytes(512 << 10)
			dst := targets["file"](t)
			sent := make(chan struct{})
			results := make(chan copied, 1)
			config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
				return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 4<<20) })
			}}
			ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
			must(t, err)
			addr := serveOn(t, zcnet.NewListener(ln), func(w http.ResponseWriter, r *http.Request) {
				<-sent
				results <- copyBody(r.Context(), dst.Writer, r.Body)
			})
			conn, err := net.Dial("tcp", addr)
			must(t, err)
			defer conn.Close()
			_, err = conn.Write(tt.wire("POST / HTTP/1.1\r\nHost: h\r\n", body))
			must(t, err)
			ztest.Eventually(t, ztest.Patience, "all of it at the server", func() bool {
				left, err := ztest.Unsent(conn.(*net.TCPConn))
				return err == nil && left == 0
			})
			close(sent)
			c := <-results
			must(t, c.err)
			if got := float64(c.report.Bytes(zerocopy.Splice)) / float64(len(body)); got < tt.share {
				t.Errorf("%.2f: %v", got, c.report)
			}
			ztest.Equal(t, "body", dst.received(), body)
		})
	}
}

// TestH42Responses is the same of responses, which can end with their connection, too.
func TestH42Responses(t *testing.T) {
	t.Parallel()
	for kind, open := range targets {
		for _, f := range append(framings, framing{"until EOF", -1, true}) {
			for _, size := range []int{0, 1, 5000, 3 << 20} {
				if f.chunk == 1 && size > 5000 {
					size = 50_000
				}
				t.Run(fmt.Sprint(kind, "/", f.name, "/", size), func(t *testing.T) {
					t.Parallel()
					body := ztest.Pattern(size + f.chunk).Bytes(size)
					dst := open(t)
					addr := answer(t, 2, f.wire("HTTP/1.1 200 OK\r\n", body))
					hc := spliceClient(t)
					for i := range 2 { // the connection is used again, if it can be
						if i > 0 {
							dst = open(t)
						}
						resp, err := hc.Get("http://" + addr)
						must(t, err)
						c := copyBody(t.Context(), dst.Writer, resp.Body)
						resp.Body.Close()
						if c.err != nil || c.n != int64(size) {
							t.Fatalf("%d bytes, %v", c.n, c.err)
						}
						if f.chunk > 0 && resp.Trailer.Get("Sum") != "told" {
							t.Errorf("trailer %v", resp.Trailer)
						}
						checkSpliced(t, kind, f, c.report, size)
						ztest.Equal(t, "body", dst.received(), body)
					}
				})
			}
		}
	}
}

// spliceClient returns a client with connections of package zcnet.
func spliceClient(t testing.TB) *http.Client {
	tr := transport(nil)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// answer runs a server that answers each request so, at most so many on a connection.
func answer(t testing.TB, requests int, wire []byte) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for range requests {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					c.Write(wire)
					if bytes.Contains(wire[:min(200, len(wire))], []byte("Connection: close")) {
						return
					}
				}
				in.ReadByte() // the client closes
			}()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

// TestMaxBytes: at the limit the body is whole, a byte beyond it the copy gets what the limit lets
// through and the error of http.MaxBytesReader, and the pipe with the byte too many is not used again.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	const limit = 1<<20 + 17
	for _, f := range framings {
		if f.chunk == 1 {
			continue
		}
		for _, more := range []int{-1, 0, 1, 100_000} {
			t.Run(fmt.Sprint(f.name, "/", more), func(t *testing.T) {
				t.Parallel()
				body := ztest.Pattern(7).Bytes(limit + more)
				dst := targets["file"](t)
				results := make(chan copied, 1)
				addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
					results <- copyBody(r.Context(), dst.Writer, http.MaxBytesReader(w, r.Body, limit))
				})
				conn, err := net.Dial("tcp", addr)
				must(t, err)
				defer conn.Close()
				go conn.Write(f.wire("POST / HTTP/1.1\r\nHost: h\r\n", body))
				c := <-results
				var tooLarge *http.MaxBytesError
				want := min(limit, limit+more)
				if c.n != int64(want) || errors.As(c.err, &tooLarge) != (more > 0) || more <= 0 && c.err != nil {
					t.Errorf("%d bytes, %v", c.n, c.err)
				}
				checkSpliced(t, "file", f, c.report, want)
				ztest.Equal(t, "body", dst.received(), body[:want])
			})
		}
	}
}

// TestExpect: the 100 Continue goes out when the copy begins, once, and the body is spliced.
func TestExpect(t *testing.T) {
	t.Parallel()
	body := ztest.Pattern(100).Bytes(1 << 20)
	dst := targets["file"](t)
	results := make(chan copied, 1)
	addr := serve(t, true, func(w http.ResponseWriter, r *http.Request) { results <- copyBody(r.Context(), dst.Writer, r.Body) })
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer conn.Close()
	wire := framings[0].wire("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n", body)
	_, err = conn.Write(wire[:len(wire)-len(body)])
	must(t, err)
	answers := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answers, nil)
	must(t, err)
	if resp.StatusCode != http.StatusContinue {
		t.Fatal(resp.Status)
	}
	go conn.Write(body)
	c := <-results
	if c.err != nil {
		t.Error(c.err)
	}
	checkSpliced(t, "file", framings[0], c.report, len(body))
	resp, err = http.ReadResponse(answers, nil)
	must(t, err)
	if resp.Body.Close(); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	ztest.Equal(t, "body", dst.received(), body)
}

// TestH46Short: a body that is shorter than was said: what came is delivered, and the error is
// that of net/http.
func TestH46Short(t *testing.T) {
	t.Parallel()
	for _, f := range framings[4:] {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			testShort(t, f)
		})
	}
	t.Run("declared", func(t *testing.T) {
		t.Parallel()
		testShort(t, framings[0])
	})
}

func testShort(t *testing.T, f framing) {
	body := ztest.Pattern(46).Bytes(2 << 20)
	wire := f.wire("HTTP/1.1 200 OK\r\nX: Connection: close\r\n", body)
	addr := answer(t, 1, wire[:len(wire)-300_000])
	resp, err := spliceClient(t).Get("http://" + addr)
	must(t, err)
	defer resp.Body.Close()
	dst := targets["file"](t)
	c := copyBody(t.Context(), dst.Writer, resp.Body)
	if !errors.Is(c.err, io.ErrUnexpectedEOF) || c.n < int64(len(body)-300_100) || c.n > int64(len(body)-300_000+4096*4) {
		t.Errorf("%d bytes, %v", c.n, c.err)
	}
	ztest.Equal(t, "body", dst.received(), body[:c.n])
}

// TestGzip: what the Transport decompresses is none of the connection's bytes.
func TestGzip(t *testing.T) {
	t.Parallel()
	body := ztest.Pattern(8).Bytes(1 << 20)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(body)
	z.Close()
	addr := answer(t, 1, framings[0].wire("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", packed.Bytes()))
	resp, err := spliceClient(t).Get("http://" + addr)
	must(t, err)
	defer resp.Body.Close()
	dst := targets["file"](t)
	c := copyBody(t.Context(), dst.Writer, resp.Body)
	if c.err != nil || c.report.Bytes(zerocopy.Splice) != 0 {
		t.Errorf("%v", c.report)
	}
	ztest.Equal(t, "body", dst.received(), body)
	if text := c.report.String(); !strings.Contains(text, "gzipReader") {
		t.Errorf("does not name what stands in the way: %v", text)
	}
}
