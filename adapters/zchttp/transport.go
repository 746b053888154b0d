package zchttp

import (
	"context"
	"net"
	"net/http"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// Transport returns a clone of t, of http.DefaultTransport if t is nil, whose connections are
// those of package zcnet.
func Transport(t *http.Transport) *http.Transport {
	if t == nil {
		t = http.DefaultTransport.(*http.Transport)
	}
	t = t.Clone()
	dial := t.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return zcnet.NewConn(c), nil
	}
	return t
}
