package zchttp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// A scene is a reverse proxy between a client that speaks by the byte and a backend.
type scene struct {
	backend http.HandlerFunc
	setup   func(p *httputil.ReverseProxy)                               // beyond a Rewrite to the backend
	wrap    func(http.ResponseWriter, *http.Request) http.ResponseWriter // what a middleware would
	request string                                                       // without the second one, which asks for /end
	broken  bool                                                         // the request
	half    bool                                                         // the client ends there
	close   bool                                                         // no second one
}

// An outcome is what is seen at both ends of a scene, and should not depend on which
// proxy is between.
type outcome struct {
	Requests  []string // as the backend sees them
	Responses []string // as the client sees them
	Log       string
	Events    []string // of functions of the proxy
}

// Lines are what a logger has written, from any goroutine.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A happening collects events and log lines.
type happening struct {
	log    lines
	mu     sync.Mutex
	events []string
}

func (h *happening) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf(format, args...))
}

type happeningKey struct{}

// note adds an event to the scene that r belongs to.
func note(r *http.Request, format string, args ...any) {
	r.Context().Value(happeningKey{}).(*happening).note(format, args...)
}

// play has the scene happen, with the proxy of this package if ours is set, on a listener of
// package zcnet if conns is.
func (s scene) play(t *testing.T, ours, conns bool) (o outcome, reports []zchttp.ProxyReport) {
	t.Helper()
	var mu sync.Mutex
	var requests []string
	backend := serve(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/end" {
			io.WriteString(w, "the end")
			return
		}
		seen := dumpRequest(r)
		mu.Lock()
		requests = append(requests, seen)
		mu.Unlock()
		s.backend(w, r)
	})
	var h happening
	tr := http.DefaultTransport.(*http.Transport).Clone()
	if ours {
		tr = zchttp.Transport(tr)
	} else { // httputil's leaves the connection to the collector if it refuses to switch protocols
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return c, err
		}
	}
	defer tr.CloseIdleConnections()
	p := &httputil.ReverseProxy{Transport: tr, ErrorLog: log.New(&h.log, "", 0)}
	p.Rewrite = func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: backend}) }
	if s.setup != nil {
		s.setup(p)
	}
	var handler http.Handler = p
	if ours {
		z := zchttp.ReverseProxy(p)
		z.Report = func(r *http.Request, report zchttp.ProxyReport) {
			if r.URL.Path != "/end" {
				mu.Lock()
				defer mu.Unlock()
				reports = append(reports, report)
			}
		}
		handler = z
	}
	var busy sync.WaitGroup
	front := serve(t, conns, func(w http.ResponseWriter, r *http.Request) {
		busy.Add(1)
		defer busy.Done()
		if s.wrap != nil {
			w = s.wrap(w, r)
		}
		handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), happeningKey{}, &h)))
	})
	c, err := net.Dial("tcp", front)
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	text := strings.ReplaceAll(s.request, "\n", "\r\n")
	if !s.close && !s.half {
		text += "GET /end HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n"
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		io.WriteString(c, text)
		if s.half {
			c.(*net.TCPConn).CloseWrite()
		}
	}()
	o.Responses = dumpResponses(bufio.NewReader(c), strings.Fields(text)[0])
	c.Close()
	<-sent
	busy.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	mu.Lock()
	defer mu.Unlock()
	if !s.half && !s.broken { // how much of the others comes to the backend, and when, no proxy promises
		o.Requests = append(o.Requests, requests...)
	}
	o.Log = addresses.ReplaceAllString(h.log.String(), "ADDR")
	o.Log = strings.ReplaceAll(o.Log, "readfrom tcp ADDR->ADDR: ", "") // net's, and not package zcnet's
	if before, _, cut := strings.Cut(o.Log, "proxy error: "); cut && s.half {
		o.Log = before // the error is that of the body, or of the context
	}
	o.Events = h.events
	return o, append([]zchttp.ProxyReport(nil), reports...)
}

var addresses = regexp.MustCompile(`127\.0\.0\.1:\d+`)

// dumpRequest returns what is to be seen of a request.
func dumpRequest(r *http.Request) string {
	var b bytes.Buffer
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(&b, "%s %s %s length %d %v\n", r.Method, r.URL, r.Proto, r.ContentLength, r.TransferEncoding)
	r.Header.Write(&b)
	fmt.Fprintf(&b, "body %x %v\n", sha256.Sum256(body), err != nil)
	r.Trailer.Write(&b)
	return addresses.ReplaceAllString(b.String(), "ADDR")
}

var date = regexp.MustCompile(`(?m)^Date: .*$`)

// dumpResponses returns what is to be seen of all responses on a connection. How much has come of
// one that is incomplete no proxy promises: it is as if nothing had.
func dumpResponses(br *bufio.Reader, method string) (all []string) {
	for {
		res, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return append(all, "cut off")
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s %s length %d %v close %v\n", res.Proto, res.Status, res.ContentLength, res.TransferEncoding, res.Close)
		res.Header.Write(&b)
		if res.StatusCode == http.StatusSwitchingProtocols {
			rest, _ := io.ReadAll(br)
			fmt.Fprintf(&b, "%q\n", rest)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return append(all, "cut off")
		}
		fmt.Fprintf(&b, "body %d %x\n", len(body), sha256.Sum256(body))
		res.Trailer.Write(&b)
		all = append(all, date.ReplaceAllString(b.String(), "Date: now\r"))
		if res.StatusCode >= 200 {
			method = http.MethodGet
		}
	}
}
