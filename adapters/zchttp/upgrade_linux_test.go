package zchttp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

const upgrading = "GET / HTTP/1.1\r\nHost: front\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"

// switched returns a backend that switches protocols, says what it has to say in the same write, and
// is f from then on.
func switched(t testing.TB, early string, f func(c net.Conn, r io.Reader)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, switching+early)
		f(c, brw.Reader)
	}
}

func echo(c net.Conn, r io.Reader) {
	io.Copy(struct{ io.Writer }{c}, r)
}

// A passage is a Proxy in front of a backend, for connections that switch protocols.
type passage struct {
	addr    string
	reports chan zchttp.ProxyReport
	log     lines // of the proxy
}

// through starts a passage to the backend.
func through(t testing.TB, ours bool, set func(*zchttp.Proxy), backend http.HandlerFunc) *passage {
	t.Helper()
	return throughTo(t, ours, set, &url.URL{Scheme: "http", Host: serve(t, false, backend)}, nil)
}

func throughTo(t testing.TB, ours bool, set func(*zchttp.Proxy), to *url.URL, base *http.Transport) *passage {
	t.Helper()
	tr := zchttp.Transport(base)
	t.Cleanup(tr.CloseIdleConnections)
	p := &passage{reports: make(chan zchttp.ProxyReport, 100)}
	z := zchttp.ReverseProxy(&httputil.ReverseProxy{
		Transport: tr, ErrorLog: log.New(&p.log, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
	})
	z.Report = func(_ *http.Request, r zchttp.ProxyReport) { p.reports <- r }
	if set != nil {
		set(z)
	}
	p.addr = serve(t, ours, z.ServeHTTP)
	return p
}

// upgrade connects and switches protocols, with what follows the request in the same write.
func (p *passage) upgrade(t testing.TB, early string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(ztest.Patience))
	_, err = io.WriteString(c, upgrading+early)
	must(t, err)
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	must(t, err)
	if res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "echo" {
		t.Fatal(res.Status)
	}
	return c.(*net.TCPConn), br
}

// report is that of the one request.
func (p *passage) report(t testing.TB) zchttp.ProxyReport {
	t.Helper()
	select {
	case r := <-p.reports:
		return r
	case <-time.After(ztest.Patience):
		t.Fatal("no report")
		panic("unreachable")
	}
}

// expect reads exactly that.
func expect(t testing.TB, r io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(r, got); err != nil || string(got) != want {
		t.Fatalf("%q, not %q: %v", got[:n], want, err)
	}
}

// TestH32TunnelEarly: what either side has sent along with its header arrives, before what it sends
// later, also where it is more than a buffer; httputil's loses the client's (golang.org/issue/80875).
func TestH32TunnelEarly(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, 4095, 4096, 5000, 100_000} {
		for _, ours := range []bool{false, true} {
			t.Run(fmt.Sprint(size, ours), func(t *testing.T) {
				t.Parallel()
				user, back := string(ztest.Pattern(1).Bytes(size)), string(ztest.Pattern(2).Bytes(size))
				p := through(t, ours, nil, switched(t, back, echo))
				c, br := p.upgrade(t, user)
				expect(t, br, back+user)
				io.WriteString(c, "later")
				expect(t, br, "later")
				must(t, c.CloseWrite())
				if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
					t.Errorf("%q, %v", rest, err)
				}
				r := p.report(t)
				if r.Status != 101 || r.Why != "" || r.Aborted || r.Tunnel == nil || r.Tunnel.Ending != zcnet.EndedByEOF ||
					r.Tunnel.AToB.Written != int64(size+5) || r.Tunnel.BToA.Written != int64(2*size+5) || r.Tunnel.First != zcnet.SideA {
					t.Error(r)
				}
			})
		}
	}
}

// TestTunnelBulk: much goes by splice in both directions, and the end of one side is passed on
// while the other goes on.
func TestTunnelBulk(t *testing.T) {
	t.Parallel()
	there, back := ztest.Pattern(3).Bytes(8<<20), ztest.Pattern(4).Bytes(8<<20)
	p := through(t, true, nil, switched(t, "", func(c net.Conn, r io.Reader) {
		got, err := io.ReadAll(r) // to the end of the client's
		if err != nil || !bytes.Equal(got, there) {
			t.Error("there:", len(got), err)
		}
		c.Write(back)
	}))
	c, br := p.upgrade(t, "")
	_, err := c.Write(there)
	must(t, err)
	must(t, c.CloseWrite())
	got, err := io.ReadAll(br)
	must(t, err)
	ztest.Equal(t, "back", got, back)
	r := p.report(t)
	if r.Tunnel == nil || r.Tunnel.AToB.Bytes(zerocopy.Splice) == 0 || r.Tunnel.BToA.Bytes(zerocopy.Splice) == 0 {
		t.Error(r)
	}
	if text := r.String(); !strings.Contains(text, "101, ") || !strings.Contains(text, "eof") {
		t.Error(text)
	}
}

// TestTunnelIdle: silence is cut, and only where that was asked for.
func TestTunnelIdle(t *testing.T) {
	t.Parallel()
	p := through(t, true, func(z *zchttp.Proxy) { z.IdleTimeout = time.Second }, switched(t, "hello", echo))
	_, br := p.upgrade(t, "")
	expect(t, br, "hello")
	if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if r := p.report(t); r.Tunnel == nil || r.Tunnel.Ending != zcnet.EndedByIdle {
		t.Error(r)
	}
}

// TestTunnelReset: a side that fails is not taken for one that has ended by the other.
func TestTunnelReset(t *testing.T) {
	t.Parallel()
	t.Run("backend", func(t *testing.T) {
		t.Parallel()
		p := through(t, true, nil, switched(t, "hello", func(c net.Conn, r io.Reader) { zcnet.Reset(c) }))
		_, br := p.upgrade(t, "")
		if _, err := io.ReadAll(br); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if r := p.report(t); r.Tunnel == nil || r.Tunnel.Ending != zcnet.EndedByError || r.Tunnel.First != zcnet.SideB {
			t.Error(r)
		}
	})
	t.Run("client", func(t *testing.T) {
		t.Parallel()
		ended := make(chan error, 1)
		p := through(t, true, nil, switched(t, "", func(c net.Conn, r io.Reader) {
			_, err := io.Copy(struct{ io.Writer }{c}, r)
			ended <- err
		}))
		c, br := p.upgrade(t, "hello")
		expect(t, br, "hello")
		zcnet.Reset(c)
		if err := <-ended; !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if r := p.report(t); r.Tunnel == nil || r.Tunnel.Ending != zcnet.EndedByError || r.Tunnel.First != zcnet.SideA {
			t.Error(r)
		}
	})
}

// TestTunnelContext: the end of the request's context ends both sides.
func TestTunnelContext(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	backend := serve(t, false, switched(t, "hello", func(c net.Conn, r io.Reader) {
		io.Copy(io.Discard, r)
		close(ended)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	tr := zchttp.Transport(nil)
	defer tr.CloseIdleConnections()
	z := zchttp.ReverseProxy(&httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: backend})
	}})
	p := &passage{addr: serve(t, true, func(w http.ResponseWriter, r *http.Request) { z.ServeHTTP(w, r.WithContext(ctx)) })}
	_, br := p.upgrade(t, "")
	expect(t, br, "hello")
	cancel()
	io.ReadAll(br) // ends
	<-ended
}

// TestTunnelWithBody: an upgrade request with a body, which the transport may still be reading from
// where early data would be, is left to httputil.
func TestTunnelWithBody(t *testing.T) {
	t.Parallel()
	p := through(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if string(body) != "body" || err != nil {
			t.Errorf("%q, %v", body, err)
		}
		switched(t, "hello", echo)(w, r)
	})
	c, err := net.Dial("tcp", p.addr)
	must(t, err)
	defer c.Close()
	io.WriteString(c, strings.Replace(upgrading, "\r\n\r\n", "\r\nContent-Length: 4\r\n\r\nbody", 1))
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	must(t, err)
	if res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	expect(t, br, "hello")
	io.WriteString(c, "late")
	expect(t, br, "late")
	c.Close()
	if r := p.report(t); r.Tunnel != nil || r.Why != "request with a body" {
		t.Error(r)
	}
}

// TestTunnelTLS: a tunnel is right where either side, or both, encrypt.
func TestTunnelTLS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ client, backend bool }{{true, false}, {false, true}, {true, true}} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			t.Parallel()
			back := httptest.NewUnstartedServer(switched(t, "early ", echo))
			var base *http.Transport
			if tt.backend {
				back.StartTLS()
				base = back.Client().Transport.(*http.Transport)
			} else {
				back.Start()
			}
			defer back.Close()
			to, err := url.Parse(back.URL)
			must(t, err)
			p := throughTo(t, true, nil, to, base)
			front := httptest.NewUnstartedServer(nil)
			var c net.Conn
			if tt.client {
				// TLS of a server of its own, outside of the connections of package zcnet.
				front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					z := zchttp.ReverseProxy(&httputil.ReverseProxy{Transport: zchttp.Transport(base), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
					z.Report = func(_ *http.Request, r zchttp.ProxyReport) { p.reports <- r }
					z.ServeHTTP(w, r)
				})
				front.Listener = zcnet.NewListener(front.Listener)
				front.StartTLS()
				defer front.Close()
				config := front.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				config.NextProtos = []string{"http/1.1"}
				c, err = tls.Dial("tcp", front.Listener.Addr().String(), config)
			} else {
				c, err = net.Dial("tcp", p.addr)
			}
			must(t, err)
			defer c.Close()
			io.WriteString(c, upgrading+"and ")
			br := bufio.NewReader(c)
			_, err = http.ReadResponse(br, nil)
			must(t, err)
			expect(t, br, "early and ")
			io.WriteString(c, "late")
			expect(t, br, "late")
			must(t, c.(interface{ CloseWrite() error }).CloseWrite())
			if rest, err := io.ReadAll(br); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v", rest, err)
			}
			r := p.report(t)
			if r.Tunnel == nil || r.Tunnel.Ending != zcnet.EndedByEOF {
				t.Error(r)
			}
		})
	}
}

// TestTunnelRefused: a backend that switches to what nobody has asked for is let go, also where the
// ErrorHandler panics.
func TestTunnelRefused(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		gone := make(chan error, 1)
		to := &url.URL{Scheme: "http", Host: serve(t, false, switched(t, "", func(_ net.Conn, r io.Reader) {
			_, err := r.Read(make([]byte, 1))
			gone <- err
		}))}
		tr := zchttp.Transport(nil)
		t.Cleanup(tr.CloseIdleConnections)
		c, err := net.Dial("tcp", serve(t, true, zchttp.ReverseProxy(&httputil.ReverseProxy{
			Transport: tr,
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
				if panics {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(http.StatusBadGateway)
			},
		}).ServeHTTP))
		must(t, err)
		defer c.Close()
		io.WriteString(c, strings.Replace(upgrading, "echo", "other", 1))
		select {
		case <-gone:
		case <-time.After(ztest.Patience):
			t.Errorf("panics: %v: the backend's connection is left open", panics)
		}
	}
}
