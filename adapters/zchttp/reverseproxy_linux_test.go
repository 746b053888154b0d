package zchttp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func TestQuick(t *testing.T) {
	content := ztest.Pattern(1).Bytes(3 << 20)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			c, brw, _ := http.NewResponseController(w).Hijack()
			fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ")
			io.Copy(c, brw.Reader)
			c.Close()
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content)
	}))
	defer back.Close()
	u, _ := url.Parse(back.URL)
	tr := zchttp.Transport(nil)
	defer tr.CloseIdleConnections()
	p := zchttp.ReverseProxy(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, Transport: tr})
	p.Report = func(r *http.Request, rep zchttp.ProxyReport) { t.Log(rep) }
	front := httptest.NewUnstartedServer(p)
	front.Listener = zcnet.NewListener(front.Listener)
	front.Start()
	defer front.Close()
	res, err := front.Client().Get(front.URL)
	must(t, err)
	got, err := io.ReadAll(res.Body)
	must(t, err)
	ztest.Equal(t, "body", got, content)
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	must(t, err)
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly data")
	br := bufio.NewReader(c)
	res, err = http.ReadResponse(br, nil)
	must(t, err)
	ahead := make([]byte, len("hello early data"))
	_, err = io.ReadFull(br, ahead)
	must(t, err)
	c.(*net.TCPConn).CloseWrite()
	more, err := io.ReadAll(br)
	got = append(ahead, more...)
	must(t, err)
	if string(got) != "hello early data" {
		t.Errorf("%q", got)
	}
	c.Close()
}
