package zchttp_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// TestTransport: the connections are ours, dialled as before, and what was HTTP/2 still is.
func TestTransport(t *testing.T) {
	t.Parallel()
	var seen string
	dialer := func(name string) func(string, string) (net.Conn, error) {
		return func(network, addr string) (net.Conn, error) { seen = name; return net.Dial(network, addr) }
	}
	server := func(secure bool) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
		s.EnableHTTP2 = secure
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s
	}
	plain, secure := server(false), server(true)
	trust := &tls.Config{RootCAs: secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	for _, tt := range []struct {
		name   string
		from   *http.Transport
		url    string
		dialer string
		proto  string
	}{
		{"the default", nil, plain.URL, "", "HTTP/1.1"},
		{"the zero value", &http.Transport{}, plain.URL, "", "HTTP/1.1"},
		//lint:ignore SA1019 it has to keep working
		{"an old dialer", &http.Transport{Dial: dialer("old")}, plain.URL, "old", "HTTP/1.1"},
		{"a dialer", &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return dialer("new")(network, addr)
		}}, plain.URL, "new", "HTTP/1.1"},
		{"HTTP/2 where it was asked for", &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}, secure.URL, "", "HTTP/2.0"},
		{"none where there was none", &http.Transport{TLSClientConfig: trust.Clone()}, secure.URL, "", "HTTP/1.1"},
	} {
		seen = ""
		tr := zchttp.Transport(tt.from)
		var conn net.Conn
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (c net.Conn, err error) {
			conn, err = dial(ctx, network, addr)
			return conn, err
		}
		resp, err := (&http.Client{Transport: tr}).Get(tt.url)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		proto, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		tr.CloseIdleConnections()
		if _, ours := conn.(zcnet.Conn); !ours || seen != tt.dialer || string(proto) != tt.proto {
			t.Errorf("%s: %T, dialled by %q, %s", tt.name, conn, seen, proto)
		}
	}
	tr := zchttp.Transport(&http.Transport{}) // speaks HTTP/2 by itself
	tr.TLSClientConfig.RootCAs = trust.RootCAs
	resp, err := (&http.Client{Transport: tr}).Get(secure.URL)
	must(t, err)
	defer tr.CloseIdleConnections()
	if resp.Body.Close(); resp.ProtoMajor != 2 {
		t.Error(resp.Proto)
	}
}

// TestListenAndServe: it serves until it is shut down, and says so as net/http does.
func TestListenAndServe(t *testing.T) {
	t.Parallel()
	conns := make(chan net.Conn, 1)
	srv := &http.Server{Addr: "127.0.0.1:0", ConnState: func(c net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns <- c
		}
	}, Handler: http.NotFoundHandler()}
	addrs := make(chan net.Addr, 1)
	srv.BaseContext = func(ln net.Listener) context.Context { addrs <- ln.Addr(); return context.Background() }
	ended := make(chan error, 1)
	go func() { ended <- zchttp.ListenAndServe(srv) }()
	resp, err := client(t).Get("http://" + (<-addrs).String())
	must(t, err)
	resp.Body.Close()
	if _, ours := (<-conns).(zcnet.Conn); !ours {
		t.Error("a connection of package net")
	}
	must(t, srv.Shutdown(t.Context()))
	if err := <-ended; err != http.ErrServerClosed {
		t.Error(err)
	}
	if err := zchttp.ListenAndServe(&http.Server{Addr: "127.0.0.1:-1"}); err == nil {
		t.Error("no error of a port that there is not")
	}
}
