package peers_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// listen returns a listener on an address that nobody else has. A unix socket has a short
// path, of which there are at most 107 bytes.
func listen(t testing.TB, network string) net.Listener {
	t.Helper()
	if network != "unix" {
		return listenAt(t, network, "127.0.0.1:0")
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return listenAt(t, network, filepath.Join(dir, "s"))
}

func listenAt(t testing.TB, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// connect returns both ends of a connection through l.
func connect(l net.Listener) (dialed, accepted net.Conn, err error) {
	dialed, err = net.Dial(l.Addr().Network(), l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	accepted, err = l.Accept()
	if err != nil {
		dialed.Close()
	}
	return dialed, accepted, err
}
