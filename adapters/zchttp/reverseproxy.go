package zchttp

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"reflect"
	"strconv"
	"sync"
	"time"
)

// ReverseProxy returns a handler that does what p does, by p's own code: the fields of p
// mean what package httputil says, and are read at each request. What differs is how bytes
// go: those of a large response body by [zerocopy.Copy] to the client's connection, and those
// of a connection that has switched protocols, such as a websocket, by [zcnet.Relay],
// including what either peer has sent before the switch was complete.
//
// If p.Transport is nil, a clone of http.DefaultTransport is used that all such proxies share,
// with the connections of package zcnet (see [Transport]). A Transport that is set is used as
// it is; bodies from its connections are spliced if it is one of Transport's:
//
//	p.Transport = zchttp.Transport(myTransport)
//
// The client's connection has to be one of package zcnet: see [ListenAndServe]. One of package net
// is enough up to Go 1.26. Call [SpliceBodies] once to have bodies, requests' too, spliced and not
// only copied in larger pieces.
//
// Left to p's own copy loop, with the reason in the [ProxyReport], are bodies of unknown length, of
// less than 256 KiB, of HTTP/2 or to encrypted clients, those that ModifyResponse has replaced, and those
// behind a ResponseWriter without ReadFrom. Those of a RoundTripper or a backend's connection
// that package zerocopy cannot look into are copied by it.
//
// A ResponseWriter of a middleware gets large bodies by its ReadFrom, as io.Copy would hand them to it,
// and small ones by Write. One that changes bytes in Write must not have a ReadFrom that it only
// got by embedding.
//
// It panics if p is nil.
func ReverseProxy(p *httputil.ReverseProxy) *Proxy {
	if p == nil {
		panic("zchttp: ReverseProxy of nil")
	}
	return &Proxy{proxy: p}
}

// A Proxy is the handler that [ReverseProxy] returns, which is the only way to make one. It is safe
// for concurrent use. Its fields must not be changed once it serves.
type Proxy struct {
	// IdleTimeout ends a connection that has switched protocols once neither side has
	// accepted a byte for so long. If not set, silence has no limit.
	IdleTimeout time.Duration
	// Report, if not nil, is called once a request, by its goroutine, when the response or
	// the tunnel has ended, also where the request is aborted. The request is the client's.
	Report func(*http.Request, ProxyReport)

	proxy *httputil.ReverseProxy
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{proxy: p, w: w, request: r, http: *p.proxy}
	x.http.ModifyResponse = x.modify
	if x.http.BufferPool == nil {
		x.http.BufferPool = loopBuffers{}
	}
	if x.http.Transport == nil {
		x.http.Transport = defaultTransport()
	}
	if p.proxy.ErrorHandler != nil {
		x.http.ErrorHandler = x.fail
	}
	if p.Report != nil {
		defer x.report()
	}
	defer x.refused()
	x.http.ServeHTTP(x, r)
	x.returned = true
}

// refused closes the connection of a backend that was not allowed to switch protocols, which
// httputil.ReverseProxy forgets. An ErrorHandler may have panicked.
func (x *exchange) refused() {
	if x.tunnel != nil && !x.tunnel.began.Load() {
		x.tunnel.backend.Close()
	}
}

// An exchange is one request and its response. It is also the ResponseWriter that the copy of
// httputil.ReverseProxy, which serves only this request, sees.
type exchange struct {
	proxy   *Proxy
	w       http.ResponseWriter
	request *http.Request
	http    httputil.ReverseProxy
	header  int    // the status
	plain   int64  // how many bytes of the body have been written by Write
	why     string // why by Write
	body    *responseBody
	tunnel  *tunnel

	returned bool

	mu      sync.Mutex
	copying bool // w is being written to by ReadFrom
}

// modify is the ModifyResponse of the exchange.
func (x *exchange) modify(res *http.Response) error {
	if modify := x.proxy.proxy.ModifyResponse; modify != nil {
		was := res.Body
		if err := modify(res); err != nil {
			return err
		}
		if !same(res.Body, was) {
			x.why = fmt.Sprintf("body replaced by %T", res.Body)
			return nil
		}
	}
	if res.StatusCode == http.StatusSwitchingProtocols {
		if x.why = x.switches(res); x.why == "" {
			res.Body = backendEnd{x.tunnel}
		}
		return nil
	}
	if x.why = x.declines(res); x.why == "" {
		x.body = newResponseBody(x, res)
		res.Body = x.body
	}
	return nil
}

// bulk is how long a response has to be for a copy of our own: twice the length from which a body
// is taken for bulk at once. Where the first 100 KiB had to prove it, httputil's loop took 5 to 30 %
// less CPU up to 256 KiB.
const bulk = 256 << 10

// declines returns why the body of res is left to httputil.ReverseProxy, and "" if it is not.
func (x *exchange) declines(res *http.Response) string {
	switch {
	case x.request.Method == http.MethodHead || res.Body == nil || res.Body == http.NoBody:
		return "no body"
	case res.Uncompressed:
		return "decompressed by the Transport"
	case res.ContentLength < 0:
		return "unknown length"
	case res.ContentLength < bulk:
		return "small"
	case x.request.ProtoMajor != 1:
		return "client speaks " + x.request.Proto
	case x.request.TLS != nil:
		return "client's connection is encrypted"
	case res.ProtoMajor != 1:
		return "backend speaks " + res.Proto
	case res.StatusCode < 200 || res.StatusCode == http.StatusNoContent || res.StatusCode == http.StatusNotModified:
		return "no body"
	}
	if _, ok := x.w.(io.ReaderFrom); !ok {
		return reflect.TypeOf(x.w).String() + " has no ReadFrom"
	}
	length := res.Header["Content-Length"]
	h := x.w.Header()
	if len(length) != 1 || length[0] != strconv.FormatInt(res.ContentLength, 10) || len(res.Trailer) > 0 ||
		res.Header["Transfer-Encoding"] != nil || h["Content-Length"] != nil || h["Transfer-Encoding"] != nil {
		return "length changed"
	}
	return ""
}

// same reports whether a and b are one value, and false for values of incomparable types, of
// which nobody can tell.
func same(a, b any) bool {
	return a == nil && b == nil || reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// fail is the ErrorHandler of the exchange.
func (x *exchange) fail(_ http.ResponseWriter, r *http.Request, err error) {
	x.proxy.proxy.ErrorHandler(x.w, r, err)
}

// loopBuffers are the buffers of httputil's loop where the proxy has no BufferPool. It would
// make one of 32 KiB for each response: of what a response of 1 KiB allocates, five sixths.
type loopBuffers struct{}

var loopPool = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (loopBuffers) Get() []byte  { return loopPool.Get().(*[32 << 10]byte)[:] }
func (loopBuffers) Put(b []byte) { loopPool.Put((*[32 << 10]byte)(b)) }

// The transport of proxies that have none, and what it is a clone of.
var (
	defaultMu     sync.Mutex
	defaultFrom   http.RoundTripper
	defaultShared http.RoundTripper
)

// defaultTransport returns the clone of http.DefaultTransport, and http.DefaultTransport where
// that is somebody's own.
func defaultTransport() http.RoundTripper {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	if defaultFrom != http.RoundTripper(t) {
		if old, ok := defaultShared.(*http.Transport); ok {
			old.CloseIdleConnections()
		}
		defaultFrom, defaultShared = t, Transport(t)
	}
	return defaultShared
}
