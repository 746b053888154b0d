package zchttp_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// bulk is how long a body has to be for a copy of ours.
const bulk = 256 << 10

// TestProxySpliced: bodies of any size arrive as they were sent, one after the other on one
// connection, and large ones go by splice, on connections of net as on ours.
func TestProxySpliced(t *testing.T) {
	t.Parallel()
	for _, ours := range []bool{false, true} {
		t.Run(fmt.Sprint(ours), func(t *testing.T) {
			t.Parallel()
			all := ztest.Pattern(21).Bytes(8 << 20)
			p := through(t, ours, nil, func(w http.ResponseWriter, r *http.Request) {
				n, _ := strconv.Atoi(r.URL.Query().Get("n"))
				w.Header().Set("Content-Length", strconv.Itoa(n))
				if r.URL.Query().Has("typed") {
					w.Header().Set("Content-Type", "x/y")
				}
				w.Write(all[:n])
			})
			c, err := net.Dial("tcp", p.addr)
			must(t, err)
			defer c.Close()
			br := bufio.NewReader(c)
			sizes := []int{bulk - 1, bulk, bulk + 1, 8 << 20}
			for range 12 {
				sizes = append(sizes, rand.IntN(2<<20))
			}
			go func() {
				for i, n := range sizes {
					fmt.Fprintf(c, "GET /?n=%d&%s HTTP/1.1\r\nHost: front\r\n\r\n", n, []string{"", "typed"}[i%2])
				}
			}()
			for _, n := range sizes {
				res, err := http.ReadResponse(br, nil)
				must(t, err)
				got, err := io.ReadAll(res.Body)
				must(t, err)
				ztest.Equal(t, "body", got, all[:n])
				r := p.report(t)
				if taken := len(r.Copy.Steps) > 0; taken != (n >= bulk && (ours || plainSpliced)) || r.Written != int64(n) || r.Aborted {
					t.Error(n, r)
				}
				if n == 8<<20 && (ours || plainSpliced) && r.Copy.Bytes(zerocopy.Splice) < 1<<20 {
					t.Error(r)
				}
			}
		})
	}
}

// TestH43ProxyStall: what a slow backend has sent reaches the client while more is awaited,
// before a copy and in the middle of one, where the proxy flushes from a timer too (H44).
func TestH43ProxyStall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header   string
		interval time.Duration
		first    int
	}{
		{"Content-Type: x/y\r\n", 0, 100},
		{"Content-Type: x/y\r\n", 2 * time.Millisecond, 100},
		{"Content-Type: x/y\r\n", -1, 1},
		{"", 2 * time.Millisecond, 100}, // to be sniffed: not before there is enough, or the timer says so
		{"", -1, 100},
		{"", 0, 1000},
	} {
		t.Run(fmt.Sprintf("%q/%v", tt.header, tt.interval), func(t *testing.T) {
			t.Parallel()
			arrived := make(chan int)
			steps := []int{tt.first, 5000, 70_000, 70_001, 500_000, size}
			backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer c.Close()
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n", tt.header, size)
				sent := 0
				for _, n := range steps {
					c.Write(content[sent:n])
					sent = n
					<-arrived
					time.Sleep(4 * time.Millisecond) // longer than the timer's interval, and not needed
				}
			})
			tr := zchttp.Transport(nil)
			defer tr.CloseIdleConnections()
			h := zchttp.ReverseProxy(&httputil.ReverseProxy{Transport: tr, FlushInterval: tt.interval, Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: backend})
			}})
			addr := serve(t, true, h.ServeHTTP)
			c, err := net.Dial("tcp", addr)
			must(t, err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: front\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			must(t, err)
			got := make([]byte, size)
			have := 0
			for _, n := range steps {
				_, err := io.ReadFull(res.Body, got[have:n])
				if err != nil {
					t.Fatalf("stalled between %d and %d: %v", have, n, err)
				}
				have = n
				arrived <- n
			}
			ztest.Equal(t, "body", got, content)
		})
	}
}

// TestH46ProxyClientLeaves: the backend is told when the client goes away in the middle of a body.
func TestH46ProxyClientLeaves(t *testing.T) {
	t.Parallel()
	for _, reset := range []bool{false, true} {
		t.Run(fmt.Sprint(reset), func(t *testing.T) {
			t.Parallel()
			told := make(chan struct{})
			p := through(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "1000000000000")
				for {
					if _, err := w.Write(content); err != nil {
						close(told)
						return
					}
				}
			})
			c, err := net.Dial("tcp", p.addr)
			must(t, err)
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: front\r\n\r\n")
			_, err = io.ReadFull(c, make([]byte, 500_000))
			must(t, err)
			if reset {
				zcnet.Reset(c)
			} else {
				c.Close()
			}
			select {
			case <-told:
			case <-time.After(ztest.Patience):
				t.Fatal("the backend still writes")
			}
			r := p.report(t)
			if !r.Aborted || r.Copy.Err == nil {
				t.Error(r)
			}
			if log := p.log.String(); r.Copy.Failed == zerocopy.DestinationEnd && log != "" {
				t.Errorf("%v: %s", r, log) // as little as httputil says of a client
			}
		})
	}
}

// TestH41ProxyMoreThanDeclared: the client gets what was declared, and not a byte more.
func TestH41ProxyMoreThanDeclared(t *testing.T) {
	t.Parallel()
	var report zchttp.ProxyReport
	z := zchttp.ReverseProxy(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) {},
		Transport: answering(size-10, func() io.Reader { return bytes.NewReader(content) }),
	})
	done := make(chan struct{})
	z.Report = func(_ *http.Request, r zchttp.ProxyReport) { report = r; close(done) }
	c, err := net.Dial("tcp", serve(t, true, z.ServeHTTP))
	must(t, err)
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: front\r\n\r\nGET / HTTP/1.1\r\nHost: front\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	must(t, err)
	got, err := io.ReadAll(res.Body)
	must(t, err)
	ztest.Equal(t, "body", got, content[:size-10])
	if b, err := br.ReadByte(); err == nil {
		t.Errorf("and then %q", b)
	}
	<-done
	if !report.Aborted || report.Written != size-10 {
		t.Error(report)
	}
}

// TestProxyRequestBody: a large request body goes by splice, too, by net/http's own ReadFrom.
// Not in parallel: the process's counts.
func TestProxyRequestBody(t *testing.T) {
	large := ztest.Pattern(5).Bytes(8 << 20)
	for _, header := range []string{"", "Expect: 100-continue\r\n"} {
		p := through(t, true, nil, func(w http.ResponseWriter, r *http.Request) {
			got, err := io.ReadAll(r.Body)
			if err != nil || !bytes.Equal(got, large) {
				t.Error(len(got), err)
			}
		})
		before := zerocopy.ReadStats().Bytes(zerocopy.Splice)
		c, err := net.Dial("tcp", p.addr)
		must(t, err)
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: front\r\nContent-Length: %d\r\n%s\r\n", len(large), header)
		go c.Write(large)
		br := bufio.NewReader(c)
		res, err := http.ReadResponse(br, nil)
		for err == nil && res.StatusCode == 100 { // from the proxy's server, and from the backend
			res, err = http.ReadResponse(br, nil)
		}
		must(t, err)
		if res.StatusCode != 200 {
			t.Error(res.Status)
		}
		// The backend may have answered before the proxy has counted.
		ztest.Eventually(t, ztest.Patience, "a large request body by splice, "+header, func() bool {
			return zerocopy.ReadStats().Bytes(zerocopy.Splice)-before >= 1<<20
		})
	}
}

// TestProxyEncrypted: TLS and HTTP/2, towards the client and the backend, are served right and
// the report says why by copying.
func TestProxyEncrypted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		client, backend string // "", "tls" or "h2"
		why             string
		reason          zerocopy.Reason
	}{
		{"tls", "", "client's connection is encrypted", 0},
		{"h2", "", "client speaks HTTP/2.0", 0},
		{"", "h2", "backend speaks HTTP/2.0", 0},
		{"", "tls", "", zerocopy.ReasonEncrypted},
		{"h2", "h2", "client speaks HTTP/2.0", 0},
	} {
		t.Run(tt.client+"/"+tt.backend, func(t *testing.T) {
			t.Parallel()
			start := func(kind string, h http.Handler) *httptest.Server {
				s := httptest.NewUnstartedServer(h)
				s.Listener = zcnet.NewListener(s.Listener)
				s.EnableHTTP2 = kind == "h2"
				if kind == "" {
					s.Start()
				} else {
					s.StartTLS()
				}
				t.Cleanup(s.Close)
				return s
			}
			back := start(tt.backend, large())
			to, err := url.Parse(back.URL)
			must(t, err)
			tr := zchttp.Transport(back.Client().Transport.(*http.Transport))
			defer tr.CloseIdleConnections()
			z := zchttp.ReverseProxy(&httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
			reports := make(chan zchttp.ProxyReport, 1)
			z.Report = func(_ *http.Request, r zchttp.ProxyReport) { reports <- r }
			front := start(tt.client, z)
			res, err := front.Client().Get(front.URL)
			must(t, err)
			got, err := io.ReadAll(res.Body)
			must(t, err)
			res.Body.Close()
			ztest.Equal(t, "body", got, content)
			r := <-reports
			if r.Why != tt.why || r.Written != size {
				t.Error(r)
			}
			if tt.why == "" && (len(r.Copy.Steps) != 1 || r.Copy.Steps[0].Mechanism != zerocopy.Buffered || r.Copy.Steps[0].Reason != tt.reason) {
				t.Error(r)
			}
		})
	}
}

// TestProxyDefaultTransport: without a Transport it is a clone of the default one that all such
// proxies share, as long as that is one of net/http. Not in parallel: it is the process's.
func TestProxyDefaultTransport(t *testing.T) {
	defer func(was http.RoundTripper) { http.DefaultTransport = was }(http.DefaultTransport)
	dials := 0
	own := http.DefaultTransport.(*http.Transport).Clone()
	dial := own.DialContext
	own.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials++
		return dial(ctx, network, addr)
	}
	closing := false
	to := &url.URL{Scheme: "http", Host: serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if closing {
			w.Header().Set("Connection", "close") // nothing is left of the clone
		}
		large()(w, r)
	})}
	once := func() (r zchttp.ProxyReport, body string) {
		z := zchttp.ReverseProxy(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
		z.Report = func(_ *http.Request, report zchttp.ProxyReport) { r = report }
		w := httptest.NewRecorder()
		z.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		return r, w.Body.String()
	}
	http.DefaultTransport = own
	const proxies = 5
	for i := range proxies {
		closing = i == proxies-1
		if r, body := once(); body != string(content) || !strings.HasSuffix(r.Why, "ResponseRecorder has no ReadFrom") {
			t.Error(r)
		}
	}
	if dials == proxies { // a busy Transport does not always use a connection again
		t.Errorf("%d connections for as many proxies", dials)
	}
	http.DefaultTransport = answering(3, func() io.Reader { return strings.NewReader("abc") })
	if _, body := once(); body != "abc" {
		t.Errorf("%q", body)
	}
}

// TestProxyNil: it is told where it is made.
func TestProxyNil(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a proxy of nothing")
		}
	}()
	zchttp.ReverseProxy(nil)
}
