package zchttp_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

func ExampleReverseProxy() {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello from behind, ", r.Header.Get("X-Forwarded-For"))
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		log.Fatal(err)
	}
	transport := zchttp.Transport(nil)
	defer transport.CloseIdleConnections()

	proxy := zchttp.ReverseProxy(&httputil.ReverseProxy{ // all else is as it was
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
	})
	proxy.IdleTimeout = time.Hour // of websockets

	front := httptest.NewUnstartedServer(proxy)
	front.Listener = zcnet.NewListener(front.Listener) // or zchttp.ListenAndServe
	front.Start()
	defer front.Close()
	res, err := front.Client().Get(front.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Println(string(body), err)
	// Output: hello from behind, 127.0.0.1 <nil>
}

func ExampleProxyReport() {
	target, err := url.Parse("http://backend.example")
	if err != nil {
		log.Fatal(err)
	}
	proxy := zchttp.ReverseProxy(httputil.NewSingleHostReverseProxy(target))
	proxy.Report = func(r *http.Request, report zchttp.ProxyReport) {
		// GET /large: 200, 1048576 bytes, of which 1044480 bytes (splice tcp→pipe→tcp)
		log.Printf("%s %s: %v", r.Method, r.URL.Path, report)
	}
	http.Handle("/", proxy)
}
