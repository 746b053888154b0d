package zchttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A tunnel is what becomes of an exchange that switches protocols. httputil.ReverseProxy
// copies from each of its ends to the other by io.Copy, on a goroutine each: the first of the
// two calls runs a relay, and the other has nothing to do.
type tunnel struct {
	x             *exchange
	user, backend zcnet.Conn
	brw           *bufio.ReadWriter // of user
	began         atomic.Bool
	stats         zcnet.RelayStats
}

// switches makes the tunnel of a response that switches protocols, and returns why it
// does not.
func (x *exchange) switches(res *http.Response) string {
	if x.request.Body != nil && x.request.Body != http.NoBody {
		return "request with a body" // the transport may be reading it from where early data is
	}
	rwc, br, ok := stdtypes.Switched(res.Body)
	c, isConn := rwc.(net.Conn)
	if !ok || !isConn {
		return fmt.Sprintf("%T is not known to be a connection", res.Body)
	}
	x.tunnel = &tunnel{x: x, backend: zcnet.NewConn(c)}
	unread(x.tunnel.backend, br)
	return ""
}

// hijacked has the tunnel know its user, and returns the end for httputil.ReverseProxy.
func (t *tunnel) hijacked(c net.Conn, brw *bufio.ReadWriter) net.Conn {
	t.user, t.brw = zcnet.NewConn(c), brw
	return userEnd{t.user, t}
}

// unread puts what br has buffered back to c.
func unread(c zcnet.Conn, br *bufio.Reader) {
	if br != nil && br.Buffered() > 0 {
		p, _ := br.Peek(br.Buffered())
		c.Unread(p)
	}
}

// run is the tunnel from beginning to end, for the first who calls it.
func (t *tunnel) run() (int64, error) {
	if t.began.Swap(true) {
		return 0, nil
	}
	// The server has given them away, and the header of the response has been flushed.
	// Their buffers have no use while the tunnel lasts.
	unread(t.user, t.brw.Reader)
	*t.brw.Reader, *t.brw.Writer = bufio.Reader{}, bufio.Writer{}
	var err error
	t.stats, err = zcnet.Relay(t.x.request.Context(), t.user, t.backend, &zcnet.RelayOptions{IdleTimeout: t.x.proxy.IdleTimeout})
	if t.stats.Ending == zcnet.EndedByError && !errors.Is(err, net.ErrClosed) {
		zcnet.Reset(t.user)
		zcnet.Reset(t.backend)
	}
	return t.stats.AToB.Written + t.stats.BToA.Written, err
}

// A userEnd is the client's connection as httputil.ReverseProxy sees it.
type userEnd struct {
	net.Conn
	t *tunnel
}

// WriteTo runs the tunnel.
func (e userEnd) WriteTo(io.Writer) (int64, error) { return e.t.run() }

// CloseWrite does nothing: the relay passes ends on.
func (e userEnd) CloseWrite() error { return nil }

// A backendEnd is the backend's connection as httputil.ReverseProxy sees it.
type backendEnd struct{ t *tunnel }

// Read implements io.Reader, and is not called.
func (e backendEnd) Read(p []byte) (int, error) { return e.t.backend.Read(p) }

// Write implements io.Writer, and is not called.
func (e backendEnd) Write(p []byte) (int, error) { return e.t.backend.Write(p) }

// Close closes the backend's connection.
func (e backendEnd) Close() error { return e.t.backend.Close() }

// WriteTo runs the tunnel.
func (e backendEnd) WriteTo(io.Writer) (int64, error) { return e.t.run() }

// CloseWrite does nothing: the relay passes ends on.
func (e backendEnd) CloseWrite() error { return nil }
