package zcnet_test

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests.
func TestMain(m *testing.M) { ztest.Main(m, func() { kpipe.Shared.CloseIdle() }) }

// must fails the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// listen returns a listener that is closed at the end of the test.
func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// pair returns two ends of a connection, which are closed at the end of the test.
func pair(t testing.TB, network string) (a, b net.Conn) {
	t.Helper()
	l := listen(t, network)
	a, err := net.Dial(network, l.Addr().String())
	must(t, err)
	b, err = l.Accept()
	must(t, err)
	l.Close()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// tcpPair is pair for TCP.
func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	x, y := pair(t, "tcp")
	return x.(*net.TCPConn), y.(*net.TCPConn)
}

// A closeWriter can end the stream that it writes.
type closeWriter interface{ CloseWrite() error }

// isOp reports whether err is target, as a connection's error of that operation.
func isOp(err error, op string, target error) bool {
	var e *net.OpError
	return errors.Is(err, target) && errors.As(err, &e) && e.Op == op
}
