package zchttp_test

import (
	"log"
	"net"
	"net/http"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests.
// Bodies are spliced wherever a test does not say otherwise, in a process of its own.
func TestMain(m *testing.M) {
	if err := zchttp.SpliceBodies(true); err != nil {
		log.Fatal(err)
	}
	ztest.Main(m, func() { kpipe.Shared.CloseIdle() })
}

// must fails the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quiet returns a log that goes to the test's.
func quiet(t testing.TB) *log.Logger { return log.New(logTo{t}, "", 0) }

type logTo struct{ t testing.TB }

func (l logTo) Write(p []byte) (int, error) {
	l.t.Logf("server: %s", p)
	return len(p), nil
}

var transport = zchttp.Transport

// serve runs a server until the end of the test, with connections of package zcnet or of net.
func serve(t testing.TB, ours bool, h http.HandlerFunc) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	if ours {
		ln = zcnet.NewListener(ln)
	}
	return serveOn(t, ln, h)
}

func serveOn(t testing.TB, ln net.Listener, h http.HandlerFunc) (addr string) {
	srv := &http.Server{Handler: h, ErrorLog: quiet(t)}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(ln) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return ln.Addr().String()
}
