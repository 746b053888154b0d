package zchttp

import (
	"bufio"
	"net"
	"net/http"
)

// Header implements http.ResponseWriter.
func (x *exchange) Header() http.Header { return x.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		x.header = code
	}
	x.w.WriteHeader(code)
}

// Write implements http.ResponseWriter. Where a copy of the body could not write, the
// error is that.
func (x *exchange) Write(p []byte) (int, error) {
	if x.body != nil && x.body.unwritten != nil {
		return 0, x.body.unwritten
	}
	n, err := x.w.Write(p)
	x.plain += int64(n)
	return n, err
}

// FlushError is what http.ResponseController flushes by. A timer of httputil.ReverseProxy
// calls it at any time. While a copy runs there is nothing to flush.
func (x *exchange) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.copying {
		return nil
	}
	return http.NewResponseController(x.w).Flush()
}

// Hijack is what http.ResponseController hijacks by.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(x.w).Hijack()
	if err != nil || x.tunnel == nil {
		return c, brw, err
	}
	return x.tunnel.hijacked(c, brw), brw, nil
}

// copies says whether a copy runs that writes to x.w.
func (x *exchange) copies(now bool) {
	x.mu.Lock()
	x.copying = now
	x.mu.Unlock()
}
