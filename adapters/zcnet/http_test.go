package zcnet_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// serve runs a server on a listener of this package's, and returns its address. tweak may
// set what it likes; wrap goes around the listener.
func serve(t testing.TB, handler http.HandlerFunc, tweak func(*http.Server), wrap func(net.Listener) net.Listener) (address string) {
	t.Helper()
	l := zcnet.NewListener(listen(t, "tcp"))
	address = l.Addr().String()
	if wrap != nil {
		l = wrap(l)
	}
	s := &http.Server{Handler: handler}
	if tweak != nil {
		tweak(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-done })
	return address
}

// client dials by a Dialer.
func client(t testing.TB) (*http.Client, *http.Transport) {
	tr := &http.Transport{DialContext: (&zcnet.Dialer{}).DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}, tr
}

// get returns the body and the protocol.
func get(t testing.TB, c *http.Client, url string) (body, proto string) {
	t.Helper()
	r, err := c.Get(url)
	must(t, err)
	defer r.Body.Close()
	p, err := io.ReadAll(r.Body)
	must(t, err)
	return string(p), r.Proto
}

// TestHTTPServer: ConnContext finds the TCP connection, ConnState sees the same Conn from new to
// closed, and client and server talk.
func TestHTTPServer(t *testing.T) {
	t.Parallel()
	type key struct{}
	var mu sync.Mutex
	states := map[net.Conn][]http.ConnState{}
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(key{}).(*net.TCPConn); !ok || c.SetNoDelay(true) != nil {
			t.Error("no TCP connection in the context")
		}
		io.Copy(w, r.Body)
	}, func(s *http.Server) {
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			tcp, _ := zcnet.TCPConn(c)
			return context.WithValue(ctx, key{}, tcp)
		}
		s.ConnState = func(c net.Conn, state http.ConnState) {
			mu.Lock()
			defer mu.Unlock()
			states[c] = append(states[c], state)
		}
	}, nil)
	c, tr := client(t)
	for range 2 {
		r, err := c.Post("http://"+address, "text/plain", strings.NewReader("hello"))
		must(t, err)
		if p, err := io.ReadAll(r.Body); string(p) != "hello" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		r.Body.Close()
	}
	tr.CloseIdleConnections()
	for range 1000 {
		mu.Lock()
		closed := len(states) > 0 // all of them: a busy client may have made two
		for c, s := range states {
			if _, ok := c.(zcnet.Conn); !ok {
				t.Errorf("%T", c)
			}
			if s[0] != http.StateNew {
				t.Errorf("%v", s)
			}
			closed = closed && s[len(s)-1] == http.StateClosed
		}
		mu.Unlock()
		if closed {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(states)
}

// TestHTTPHijack: what the server has read too much of goes back into the Conn, and comes
// first out of it.
func TestHTTPHijack(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		conn := c.(zcnet.Conn)
		early, _ := rw.Reader.Peek(rw.Reader.Buffered())
		if !strings.HasPrefix(string(early), "early") {
			t.Errorf("%q", early)
		}
		conn.Unread(early)
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		if n, err := io.Copy(conn, conn); n != int64(len("early and late")) || err != nil {
			t.Error(n, err)
		}
	}, nil, nil)
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly")
	time.Sleep(5 * time.Millisecond)
	io.WriteString(c, " and late")
	must(t, c.(closeWriter).CloseWrite())
	got, err := io.ReadAll(c)
	if !strings.HasSuffix(string(got), "\r\n\r\nearly and late") || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestHTTPS: with TLS outside of ours servers find the *tls.Conn that they look for, so
// HTTP/2 works as HTTP/1.1 does; one inside comes out as it is.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	config := &tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"h2", "http/1.1"}}
	for _, tt := range []struct {
		name  string
		wrap  func(net.Listener) net.Listener
		http2 bool
		proto string
	}{
		{"outside, h2", func(l net.Listener) net.Listener { return tls.NewListener(l, config) }, true, "HTTP/2.0"},
		{"outside", func(l net.Listener) net.Listener { return tls.NewListener(l, config) }, false, "HTTP/1.1"},
		{"inside, h2", func(l net.Listener) net.Listener { return zcnet.NewListener(tls.NewListener(l, config)) }, true, "HTTP/2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.TLS == nil {
					t.Error("the server has not seen the *tls.Conn")
				}
				io.WriteString(w, "hello")
			}, func(s *http.Server) { s.TLSConfig = config.Clone() }, tt.wrap)
			c, tr := client(t)
			tr.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
			tr.ForceAttemptHTTP2 = tt.http2
			if body, proto := get(t, c, "https://"+address); body != "hello" || proto != tt.proto {
				t.Error(body, proto)
			}
		})
	}
}
