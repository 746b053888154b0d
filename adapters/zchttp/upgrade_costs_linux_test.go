package zchttp_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A hijacking keeps what was hijacked through it.
type hijacking struct {
	http.ResponseWriter
	brw *bufio.ReadWriter
}

func (h *hijacking) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c, brw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.brw = brw
	return c, brw, err
}

// TestTunnelBuffers: a tunnel lets go of the buffers that the server has had for the connection.
func TestTunnelBuffers(t *testing.T) {
	t.Parallel()
	to := &url.URL{Scheme: "http", Host: serve(t, false, switched(t, "", echo))}
	tr := zchttp.Transport(nil)
	defer tr.CloseIdleConnections()
	z := zchttp.ReverseProxy(&httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
	buffers := make(chan *bufio.ReadWriter, 1)
	p := &passage{addr: serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		h := &hijacking{ResponseWriter: w}
		z.ServeHTTP(h, r)
		buffers <- h.brw
	})}
	c, br := p.upgrade(t, "early")
	expect(t, br, "early")
	must(t, c.CloseWrite())
	if brw := <-buffers; brw.Reader.Size() != 0 || brw.Writer.Size() != 0 {
		t.Errorf("buffers of %d and %d bytes", brw.Reader.Size(), brw.Writer.Size())
	}
	io.ReadAll(br)
}

// TestTunnelIdleCosts: tunnels in which nothing moves hold no pipe, also if they have been busy.
// Not in parallel: the process's counts.
func TestTunnelIdleCosts(t *testing.T) {
	const many = 50
	p := through(t, true, nil, switched(t, "", echo))
	kpipe.Shared.CloseIdle()
	before := zerocopy.ReadStats()
	large := string(ztest.Pattern(1).Bytes(1 << 20))
	var conns []*net.TCPConn
	for i := range many {
		c, br := p.upgrade(t, "")
		conns = append(conns, c)
		text := "hello"
		if i == 0 {
			text = large
		}
		go io.WriteString(c, text)
		expect(t, br, text)
	}
	ztest.Eventually(t, ztest.Patience, "no pipe in use", func() bool {
		s := zerocopy.ReadStats()
		return s.Relays == before.Relays+many && s.Pipes.Open == s.Pipes.Idle
	})
	for _, c := range conns {
		c.Close()
		p.report(t)
	}
}
