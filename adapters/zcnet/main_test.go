package zcnet_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

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

// certificate returns one that nobody has to trust.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
