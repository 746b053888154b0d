package zcnet

import (
	"bufio"
	"io"
	"math"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// A Conn is a connection of this package: a net.Conn whose ReadFrom and WriteTo are
// [zerocopy.Copy], and from which bytes can be peeked. It is a net.Conn in all other
// respects: safe for concurrent use, with the deadlines and errors of the connection
// under it. Peek, Discard and Unread are as Read: one at a time.
//
// A copy between two Conns ends with either: when the one that it does not wait for is
// closed, or its deadline passes, too. Whoever else reads the source or writes to the
// destination at that moment sees a timeout.
//
// A type that embeds a Conn and has a Read or Write of its own needs a WriteTo or ReadFrom
// of its own, too, as one that embeds a *net.TCPConn does: io.Copy calls those. One
// that embeds a net.Conn does not.
type Conn interface {
	net.Conn
	io.ReaderFrom
	io.WriterTo

	// Peek returns the next n bytes, which the next Read, WriteTo or copy still gets. It
	// waits for them as Read does, and no longer: nothing beyond is read. Where there
	// are fewer, it returns those and the error of the Read that gave no more: io.EOF,
	// or that of a deadline, after which Peek can be called again. The bytes are
	// valid until the next Peek, Discard, Unread, Read or copy, and must not be changed. They
	// are read whatever the read deadline is by then.
	Peek(n int) ([]byte, error)
	// Buffered returns how many bytes were peeked or unread and are yet to be read.
	Buffered() int
	// Discard drops the next n of those, and returns how many there were.
	Discard(n int) int
	// Unread has the next Read, WriteTo or copy begin with p, of which it keeps a copy.
	// It is for what somebody else has read too much of: the bufio.Reader of an
	// http.Hijacker, a PROXY protocol parser.
	Unread(p []byte)
}

// NewConn returns a Conn around c, or c itself if it is one. Whatever c is, the Conn is no
// worse than c; it is better where c is a *net.TCPConn, a *net.UnixConn, or a type that
// has opted in (see zerocopy.ReaderUnwrapper).
//
// A *tls.Conn is better left as it is: servers look for that type, and its bytes pass user
// memory in any case. Put TLS on top: tls.Server(zcnet.NewConn(c), config).
//
// Set deadlines through the Conn from then on: of one that was set before, or through [TCPConn],
// it does not know, and a copy that ends with its other end clears it.
func NewConn(c net.Conn) Conn {
	notNil(c, "NewConn of a nil connection")
	if v := of(c); v != nil {
		return v.self
	}
	v := &conn{inner: c}
	v.self = v.expose()
	return v.self
}

// notNil panics where v is nil or a nil pointer: here, and not later on a goroutine of which the
// caller does not know.
func notNil(v any, what string) {
	if r := reflect.ValueOf(v); v == nil || r.Kind() == reflect.Pointer && r.IsNil() {
		panic("zcnet: " + what)
	}
}

// A conn is what all Conns embed. Its self is the Conn that has the optional methods.
type conn struct {
	inner net.Conn
	self  Conn
	ends  ends

	// peeked is what comes before the bytes of inner, nil if nothing does. peekMu is held
	// to replace it, and while Peek reads.
	peekMu sync.Mutex
	peeked atomic.Pointer[[]byte]
	closed atomic.Bool

	marked   atomic.Pointer[engine.Marker] // whose Reads may splice
	gathered atomic.Pointer[gathered]      // what is written is kept back there
}

func (c *conn) base() *conn { return c }

// of returns what is embedded in c, or nil. A type of somebody else's that embeds a Conn
// embeds the interface, which has no base.
func of(c net.Conn) *conn {
	if b, ok := c.(interface{ base() *conn }); ok {
		return b.base()
	}
	return nil
}

// Inner returns the connection that c is a [Conn] around, and c itself if it is none.
// What was peeked from the Conn is not read from there.
func Inner(c net.Conn) net.Conn {
	if v := of(c); v != nil {
		return v.inner
	}
	return c
}

// TCPConn returns the TCP connection that c is or is a [Conn] around: for its options, its
// File. It looks into nothing else; ask a *tls.Conn for its NetConn first.
func TCPConn(c net.Conn) (t *net.TCPConn, ok bool) {
	t, ok = Inner(c).(*net.TCPConn)
	return t, ok && t != nil
}

// UnixConn is [TCPConn] for unix sockets.
func UnixConn(c net.Conn) (u *net.UnixConn, ok bool) {
	u, ok = Inner(c).(*net.UnixConn)
	return u, ok && u != nil
}

// Reset closes c in such a way that a TCP peer sees a connection reset, and not what looks
// like the regular end of a stream: for a relay that has failed. A *tls.Conn is cut off
// without its close_notify. Other connections are closed.
func Reset(c net.Conn) error {
	if secure := Inner(c); stdtypes.Encrypts(secure) {
		err := Reset(secure.(netConn).NetConn())
		c.Close() // fails, having nothing to say it to
		return err
	}
	if t, ok := TCPConn(c); ok {
		t.SetLinger(0)
	}
	return c.Close()
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if c.peeked.Load() != nil && !c.closed.Load() {
		c.peekMu.Lock()
		defer c.peekMu.Unlock()
		if ahead := c.ahead(); len(ahead) > 0 {
			n := copy(p, ahead)
			c.setAhead(ahead[n:])
			return n, nil
		}
	}
	if k := c.marked.Load(); k != nil {
		if n, handled, err := k.Read(p); handled {
			return n, err
		}
	}
	return c.inner.Read(p)
}

// Mark implements engine.Marked.
func (c *conn) Mark(k *engine.Marker) { c.marked.Store(k) }

// Unmark implements engine.Marked.
func (c *conn) Unmark(k *engine.Marker) { c.marked.CompareAndSwap(k, nil) }

// Under implements engine.Marked.
func (c *conn) Under() net.Conn { return c.inner }

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if g := c.gathered.Load(); g != nil {
		return c.gather(g, p)
	}
	return c.inner.Write(p)
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// ReadFrom is zerocopy.Copy to the connection.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return zerocopy.Copy(c.self, r) }

// WriteTo is zerocopy.Copy from the connection.
func (c *conn) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, c.self) }

// UnwrapReader implements zerocopy.ReaderUnwrapper. A closed Conn gives nothing, not even
// what was peeked.
func (c *conn) UnwrapReader() (zerocopy.InnerReader, bool) {
	if c.closed.Load() {
		return zerocopy.InnerReader{}, false
	}
	in := zerocopy.InnerReader{Self: c.self, Reader: c.inner}
	if in.Buffered = c.ahead(); in.Buffered != nil {
		in.Moved = c.movedPeeked
	}
	return in, true
}

// UnwrapWriter implements zerocopy.WriterUnwrapper.
func (c *conn) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	if c.gathered.Load() != nil {
		return zerocopy.InnerWriter{}, false // what is kept back goes first: by Write, then
	}
	return zerocopy.InnerWriter{Self: c.self, Writer: c.inner}, true
}

// movedPeeked notes that a copy has delivered n bytes, of which the first were peeked.
func (c *conn) movedPeeked(n int64) error {
	if c.peeked.Load() != nil {
		c.Discard(int(min(n, math.MaxInt)))
	}
	return nil
}

// ahead returns what was peeked and not yet read.
func (c *conn) ahead() []byte {
	if p := c.peeked.Load(); p != nil {
		return *p
	}
	return nil
}

// setAhead makes p that.
func (c *conn) setAhead(p []byte) {
	if len(p) == 0 {
		c.peeked.Store(nil)
	} else {
		c.peeked.Store(&p)
	}
}

// Peek implements Conn.
func (c *conn) Peek(n int) ([]byte, error) {
	if n < 0 {
		return nil, bufio.ErrNegativeCount
	}
	c.peekMu.Lock()
	defer c.peekMu.Unlock()
	p := c.ahead()
	for empty := 0; len(p) < n; {
		have := len(p)
		if cap(p) < n {
			// What an earlier Peek has returned stays as it is. Doubled, lest somebody who
			// peeks at a byte more each time copies them all each time.
			p = append(make([]byte, 0, max(n, 2*cap(p))), p...)
		}
		room := p[have:n:n]
		k, err := c.inner.Read(room)
		p = p[:have+len(room[:k])] // panics, as io.Copy, where k > len(room) (H39)
		c.setAhead(p)
		if empty++; k > 0 {
			empty = 0
		}
		if err == nil && empty == maxEmptyReads {
			err = io.ErrNoProgress
		}
		if err != nil && len(p) < n {
			return p[:len(p):len(p)], err
		}
	}
	return p[:n:n], nil
}

// maxEmptyReads is how many Reads in a row may give nothing and no error, as bufio has it.
const maxEmptyReads = 100

// Buffered implements Conn.
func (c *conn) Buffered() int { return len(c.ahead()) }

// Discard implements Conn.
func (c *conn) Discard(n int) int {
	c.peekMu.Lock()
	defer c.peekMu.Unlock()
	ahead := c.ahead()
	n = min(max(n, 0), len(ahead))
	c.setAhead(ahead[n:])
	return n
}

// Unread implements Conn.
func (c *conn) Unread(p []byte) {
	c.peekMu.Lock()
	defer c.peekMu.Unlock()
	c.setAhead(slices.Concat(p, c.ahead()))
}

// syscallConn is the SyscallConn of the Conns that have one.
func (c *conn) syscallConn() (syscall.RawConn, error) {
	raw, err := c.inner.(syscall.Conn).SyscallConn()
	if err != nil || c.peeked.Load() == nil {
		return raw, err
	}
	// (*os.File).ReadFrom would splice past the peeked bytes from what it knows.
	return peekedRaw{c, raw}, nil
}

// A peekedRaw is the RawConn of a connection with bytes that were peeked: it is not of
// the type that package os looks for, and does not read past them.
type peekedRaw struct {
	c *conn
	syscall.RawConn
}

// Read implements syscall.RawConn.
func (r peekedRaw) Read(f func(fd uintptr) (done bool)) error {
	if r.c.peeked.Load() != nil {
		return r.c.fail("raw-read", errPeeked)
	}
	return r.RawConn.Read(f)
}
