package stdtypes_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// TestSwitched: the body that net/http's Transport makes is looked into, with and without bytes that
// came along with the header, in each of the supported Go releases.
func TestSwitched(t *testing.T) {
	t.Parallel()
	for _, early := range []string{"", "early"} {
		there, here := net.Pipe()
		defer there.Close()
		go func() {
			http.ReadRequest(bufio.NewReader(there))
			io.WriteString(there, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"+early)
		}()
		tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
		req, err := http.NewRequest("GET", "http://x/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "x")
		res, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		conn, br, ok := stdtypes.Switched(res.Body)
		if !ok || conn != io.ReadWriteCloser(here) {
			t.Fatalf("%T, %v", conn, ok)
		}
		switch {
		case early == "" && br != nil:
			t.Error("a Reader with nothing in it")
		case early != "" && (br == nil || string(stdtypes.BufioBuffered(br)) != early):
			t.Errorf("%v", br)
		}
		res.Body.Close()
	}
}

// A readWriteCloserBody of this package looks like that of net/http.
type readWriteCloserBody struct {
	_  [0]func()
	br *bufio.Reader
	io.ReadWriteCloser
}

// TestSwitchedOthers: nothing else is taken for it.
func TestSwitchedOthers(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	for name, v := range map[string]any{
		"nil": nil, "no body": http.NoBody, "a connection": a, "a reader": strings.NewReader(""),
		"by another name": &readWriteCloserBody{br: bufio.NewReader(a), ReadWriteCloser: a},
	} {
		if conn, _, ok := stdtypes.Switched(v); ok {
			t.Errorf("%s: %T", name, conn)
		}
	}
}
