package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A web is the process of a contender that is an HTTP server or client in Go, and of
// the server behind a proxy. It is told:
//
//	setup   what to be: a variant, with a directory of files or a server behind it
//	settle  collect garbage and return what is free to the system
//	fetch   download one file after the other into a file, for a time, and
//	take    download one, and leave the file there
type web struct {
	request
	client   *http.Client
	copyBody copyFunc
	saved    atomic.Int64 // names files
}

func (w *web) do(q request) response {
	switch q.Op {
	case "setup":
		return outcome(response{}, w.setup(q))
	case "settle":
		runtime.GC() // twice, for pools keep a generation
		runtime.GC()
		debug.FreeOSMemory()
		return response{}
	case "fetch":
		return w.fetch(q)
	case "take":
		n, err := w.download(q.Path)
		return outcome(response{Bytes: n}, err)
	}
	return response{Err: "unknown"}
}

// A webVariant is a contender of package net/http or beside it.
type webVariant struct {
	name   string
	zcnet  bool // the connections are those of package zcnet
	splice bool // zchttp.SpliceBodies
	// One of these: what answers requests, what copies a body to a file, or a server of
	// another package.
	handler func(w *web) http.Handler
	copy    copyFunc
	serve   func(w *web, ln net.Listener) error
}

func dirFS(w *web) http.Handler { return http.FileServerFS(os.DirFS(w.Path)) }
func ours(w *web) http.Handler  { return zchttp.FileServer(os.DirFS(w.Path), nil) }
func cached(w *web) http.Handler {
	return zchttp.FileServer(os.DirFS(w.Path), &zchttp.FileServerOptions{CacheBytes: 64 << 20, CacheFiles: 64})
}
func forward(w *web) http.Handler { return zchttp.ReverseProxy(w.proxy(zchttp.Transport)) }

// counting is a middleware as an author would write it.
func counting(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
		h.ServeHTTP(w, r)
		served.Add(count.Bytes())
	})
}

// served is how many bytes of bodies counting has seen.
var served atomic.Int64

var webVariants = []webVariant{
	{name: byHTTPDir, handler: func(w *web) http.Handler { return http.FileServer(http.Dir(w.Path)) }},
	{name: byHTTPFS, handler: dirFS},
	{name: byHTTPFSNet, zcnet: true, handler: dirFS},
	{name: byFiles, handler: ours},
	{name: byFilesNet, zcnet: true, handler: ours},
	{name: byFilesCache, handler: cached},
	{name: byFilesCacheNet, zcnet: true, handler: cached},
	{name: byFilesCounted, zcnet: true, handler: func(w *web) http.Handler { return counting(ours(w)) }},
	{name: byFastHTTP, serve: func(w *web, ln net.Listener) error {
		files := &fasthttp.FS{Root: w.Path, AcceptByteRange: true}
		s := &fasthttp.Server{Handler: files.NewRequestHandler(), Logger: log.New(io.Discard, "", 0)}
		return s.Serve(ln)
	}},

	{name: byHTTPProxy, handler: func(w *web) http.Handler {
		return w.proxy(func(t *http.Transport) *http.Transport { return t })
	}},
	{name: byOurProxy, zcnet: true, handler: forward},
	{name: byOurProxyOn, zcnet: true, splice: true, handler: forward},

	{name: byHTTPBody, copy: io.Copy},
	{name: byOurBody, zcnet: true, copy: zerocopy.Copy},
	{name: byOurBodyOn, zcnet: true, splice: true, copy: zerocopy.Copy},

	{name: webUpstream, handler: upstream},
}

// webUpstream is the server behind a proxy, and what a client downloads from. It is no contender.
const webUpstream = "upstream"

// upstream serves files by sendfile, reads what is posted, and echoes what is said after
// an upgrade.
func upstream(w *web) http.Handler {
	files := http.FileServer(http.Dir(w.Path))
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			c, b, err := http.NewResponseController(rw).Hijack()
			if err != nil {
				report(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			io.Copy(c, b)
		case r.Method == http.MethodPost:
			buf := make([]byte, chunk)
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buf)
			if err != nil {
				report(err)
			}
			fmt.Fprintf(rw, "%d", n)
		default:
			files.ServeHTTP(rw, r)
		}
	})
}

// transport has as many idle connections to a host as a proxy needs that has one host.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy, t.MaxIdleConns, t.MaxIdleConnsPerHost, t.DisableCompression = nil, 0, 4096, true
	return t
}

// proxy returns a reverse proxy to the target.
func (w *web) proxy(on func(*http.Transport) *http.Transport) *httputil.ReverseProxy {
	to := &url.URL{Scheme: "http", Host: w.Target}
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: on(transport()),
		ErrorLog:  log.New(io.Discard, "", 0), // of tunnels that end with the client
	}
}

func (w *web) setup(q request) error {
	w.request = q
	for _, v := range webVariants {
		if v.name == q.Variant {
			return w.begin(v)
		}
	}
	return errors.New("no contender " + q.Variant)
}

func (w *web) begin(v webVariant) error {
	if v.splice {
		if err := zchttp.SpliceBodies(true); err != nil {
			return err
		}
	}
	t := transport()
	if v.zcnet {
		t = zchttp.Transport(t)
	}
	w.client = &http.Client{Transport: t}
	f := os.NewFile(listenerFD, "listener")
	ln, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return err
	}
	if v.zcnet {
		ln = zcnet.NewListener(ln)
	}
	serve := v.serve
	if serve == nil {
		h := w.save(v.copy)
		if v.handler != nil {
			h = v.handler(w)
		}
		serve = func(_ *web, ln net.Listener) error { return (&http.Server{Handler: h}).Serve(ln) }
	}
	w.copyBody = v.copy
	go func() { report(serve(w, ln)) }()
	return nil
}

// save returns a handler that saves the bodies of requests: each in a new file, which is removed
// unless the request says that it be kept.
func (w *web) save(copy copyFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		path := w.Path
		keep := r.URL.Path == "/keep"
		if !keep {
			path = filepath.Join(filepath.Dir(path), fmt.Sprint("saved-", w.saved.Add(1)))
			defer os.Remove(path)
		}
		f, err := os.Create(path)
		if err != nil {
			report(err)
			return
		}
		n, err := copy(f, r.Body)
		if err := errors.Join(err, f.Close()); err != nil {
			report(err)
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(rw, "%d", n)
	})
}

// download saves what the server has in a new file.
func (w *web) download(path string) (n int64, err error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+w.Target+"/"+webFile(0), nil)
	if err != nil {
		return 0, err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	n, err = w.copyBody(f, resp.Body)
	if err = errors.Join(err, f.Close()); err == nil && n != int64(w.Size) {
		err = fmt.Errorf("%s, %d of %d bytes", resp.Status, n, w.Size)
	}
	return n, err
}

func (w *web) fetch(q request) (a response) {
	began := time.Now()
	for {
		n, err := w.download(q.Path)
		if err == nil {
			err = os.Remove(q.Path)
		}
		if err != nil {
			return failed(err)
		}
		a.Bytes += n
		a.Ops++
		if a.Elapsed = time.Since(began); a.Elapsed >= q.For {
			return a
		}
	}
}
