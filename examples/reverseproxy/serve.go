package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// headerTimeout is how long a client may take for the header of a request: one that opens
// connections and says nothing shall not keep them.
const headerTimeout = 10 * time.Second

// A server passes requests on.
type server struct {
	options
	log       *log.Logger
	transport *http.Transport
	open      sync.WaitGroup // requests, tunnels included, which http.Server forgets

	mu              sync.Mutex
	requests, fails int
	bytes           map[zerocopy.Mechanism]int64
}

// An exchange is a request on its way. It is in the request's context.
type exchange struct {
	route  *route
	tried  []*upstream // the last one has answered, if one has
	status int         // where this program has answered itself
	err    error       // why
	start  time.Time
}

type exchangeKey struct{}

func newServer(opt options, logger *log.Logger) *server {
	s := &server{options: opt, log: logger, bytes: make(map[zerocopy.Mechanism]int64)}
	if opt.buffered {
		s.transport = http.DefaultTransport.(*http.Transport).Clone()
	} else {
		s.transport = zchttp.Transport(nil)
	}
	s.transport.Proxy = nil               // an upstream is where its URL says
	s.transport.DisableCompression = true // the client gets what the upstream sends
	s.transport.MaxIdleConnsPerHost = 64
	return s
}

func (s *server) close() { s.transport.CloseIdleConnections() }

// handler returns what serves.
func (s *server) handler() http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: s,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.Host = "" // that of the upstream; what was asked for is in X-Forwarded-Host
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			x := r.Context().Value(exchangeKey{}).(*exchange)
			x.status, x.err = http.StatusBadGateway, err
			http.Error(w, "Bad Gateway", x.status)
		},
		ErrorLog: s.log,
	}
	pass := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
		returned := false
		defer func() {
			s.ended(r, zchttp.ProxyReport{Status: count.Status(), Written: count.Bytes(), Aborted: !returned, Why: "httputil.ReverseProxy"})
		}()
		proxy.ServeHTTP(w, r)
		returned = true
	})
	var h http.Handler = pass
	if !s.buffered {
		fast := zchttp.ReverseProxy(proxy)
		fast.IdleTimeout = s.idle
		fast.Report = s.ended
		h = fast
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.open.Add(1)
		defer s.open.Done()
		x := &exchange{route: find(s.routes, r.URL.Path), start: time.Now()}
		r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		if x.route == nil {
			x.status = http.StatusNotFound
			http.NotFound(w, r)
			s.ended(r, zchttp.ProxyReport{Why: "no upstream for this path"})
			return
		}
		h.ServeHTTP(w, r)
	})
}

// RoundTrip implements http.RoundTripper: it sends r to the next upstream. One that cannot
// be dialled has seen nothing of r, so that another gets it, unless it has a body, which
// the transport has closed by then.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	for {
		u := x.route.pick(x.tried)
		x.tried = append(x.tried, u)
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host = u.url.Scheme, u.url.Host
		res, err := s.transport.RoundTrip(out)
		var op *net.OpError
		if err == nil || r.Context().Err() != nil || !errors.As(err, &op) || op.Op != "dial" {
			return res, err
		}
		x.route.leaveOut(u, s.down)
		s.log.Printf("%s is left out for %v: %v", u.url.Host, s.down, err)
		if len(x.tried) == len(x.route.ups) || r.Body != nil && r.Body != http.NoBody {
			return nil, err
		}
	}
}

// start serves what ln accepts; the end of ctx cuts off requests and tunnels.
func (s *server) start(ctx context.Context, ln net.Listener) (*http.Server, <-chan error) {
	srv := &http.Server{
		Handler:           s.handler(),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          s.log,
	}
	if !s.buffered {
		ln = zcnet.NewListener(ln)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	return srv, served
}

// stop accepts no more and returns when all has ended, the grace is over or there is another
// signal.
func (s *server) stop(srv *http.Server, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), s.grace)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if srv.Shutdown(ctx) == nil {
			s.open.Wait() // tunnels
		}
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	case <-signals:
	}
}

// ended prints the line of a request and adds it to the counts.
func (s *server) ended(r *http.Request, report zchttp.ProxyReport) {
	x := r.Context().Value(exchangeKey{}).(*exchange)
	report.Status = cmp.Or(report.Status, x.status)
	to := "-"
	if n := len(x.tried); n > 0 {
		to = x.tried[n-1].url.Host
	}
	text := fmt.Sprintf("%s %s %s → %s in %v: %v", r.RemoteAddr, strconv.Quote(r.Method), strconv.Quote(r.URL.RequestURI()), to, time.Since(x.start).Round(time.Microsecond), report)
	if x.err != nil {
		text += "; error: " + strconv.Quote(x.err.Error())
	}
	s.log.Print(text)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if x.err != nil || report.Aborted {
		s.fails++
	}
	steps := report.Copy.Steps
	s.bytes[zerocopy.Buffered] += report.Written - report.Copy.Written
	if t := report.Tunnel; t != nil {
		steps = slices.Concat(t.AToB.Steps, t.BToA.Steps)
	}
	for _, step := range steps {
		s.bytes[step.Mechanism] += step.Bytes
	}
}

// summary says what there was in all.
func (s *server) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%d requests, %d failed; bytes of responses and tunnels:", s.requests, s.fails)
	for _, m := range slices.Sorted(maps.Keys(s.bytes)) {
		text += fmt.Sprintf(" %v %d", m, s.bytes[m])
	}
	return text
}
