package zchttp

import (
	"context"
	"net"
	"net/http"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// Transport returns a clone of t, of http.DefaultTransport if t is nil, whose connections are
// those of package zcnet: an upload from a file or another connection is a zerocopy.Copy, and the
// bodies of responses can be spliced ([SpliceBodies]). The clone has connections of its own, and is
// as t in all other respects: what it dials with, TLS, HTTP/2, proxies.
func Transport(t *http.Transport) *http.Transport {
	if t == nil {
		t, _ = http.DefaultTransport.(*http.Transport)
	}
	if t == nil { // somebody has replaced it
		t = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	from := t
	t = t.Clone()
	if t.TLSNextProto == nil && from.TLSNextProto["h2"] != nil {
		t.ForceAttemptHTTP2 = true // a dialer that is set switches HTTP/2 off, unless it is asked for
	}
	dial := t.DialContext
	//lint:ignore SA1019 a Transport that has it keeps it
	if old := t.Dial; dial == nil && old != nil {
		dial = func(_ context.Context, network, addr string) (net.Conn, error) { return old(network, addr) }
	}
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil || c == nil { // net/http has an error for that
			return nil, err
		}
		return zcnet.NewConn(c), nil
	}
	return t
}
