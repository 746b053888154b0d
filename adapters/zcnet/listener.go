package zcnet

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// NewListener returns a Listener whose Accept gives the connections of l as [Conn]s. It
// has the methods File, SyscallConn and SetDeadline if and only if l has.
//
// A *tls.Conn is handed on as it is, since servers look for that type: for TLS with the
// connections of this package, wrap in this order: tls.NewListener(zcnet.NewListener(l), config).
// Connections that l has wrapped itself, as netutil.LimitListener does, are Conns too, but
// their descriptor is hidden, which zerocopy.Explain says, by the name of the wrapper's type.
func NewListener(l net.Listener) net.Listener {
	notNil(l, "NewListener of a nil listener")
	if l, ok := l.(interface{ inner() net.Listener }); ok {
		return l.(net.Listener)
	}
	base := listener{l}
	f, s, d := filer{l}, listenerSyscaller{l}, deadliner{l}
	have := 0
	if _, ok := l.(fileMethod); ok {
		have |= 1
	}
	if _, ok := l.(syscall.Conn); ok {
		have |= 2
	}
	if _, ok := l.(deadlineMethod); ok {
		have |= 4
	}
	switch have {
	case 1:
		return &listener1{base, f}
	case 2:
		return &listener2{base, s}
	case 3:
		return &listener3{base, f, s}
	case 4:
		return &listener4{base, d}
	case 5:
		return &listener5{base, f, d}
	case 6:
		return &listener6{base, s, d}
	case 7:
		return &listener7{base, f, s, d}
	}
	return &base
}

type (
	listener          struct{ l net.Listener }
	filer             struct{ l net.Listener }
	listenerSyscaller struct{ l net.Listener }
	deadliner         struct{ l net.Listener }

	fileMethod     interface{ File() (*os.File, error) }
	deadlineMethod interface{ SetDeadline(time.Time) error }

	listener1 struct {
		listener
		filer
	}
	listener2 struct {
		listener
		listenerSyscaller
	}
	listener3 struct {
		listener
		filer
		listenerSyscaller
	}
	listener4 struct {
		listener
		deadliner
	}
	listener5 struct {
		listener
		filer
		deadliner
	}
	listener6 struct {
		listener
		listenerSyscaller
		deadliner
	}
	listener7 struct {
		listener
		filer
		listenerSyscaller
		deadliner
	}
)

func (l listener) inner() net.Listener { return l.l }

// Accept returns the next connection as a Conn, a *tls.Conn as it is.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.l.Accept()
	if err != nil {
		return nil, err
	}
	return wrap(c), nil
}

// Close closes the listener under it.
func (l listener) Close() error { return l.l.Close() }

// Addr returns the address of the listener under it.
func (l listener) Addr() net.Addr { return l.l.Addr() }

// File is that of the listener under it.
func (l filer) File() (*os.File, error) { return l.l.(fileMethod).File() }

// SyscallConn is that of the listener under it.
func (l listenerSyscaller) SyscallConn() (syscall.RawConn, error) {
	return l.l.(syscall.Conn).SyscallConn()
}

// SetDeadline is that of the listener under it.
func (l deadliner) SetDeadline(t time.Time) error { return l.l.(deadlineMethod).SetDeadline(t) }

// wrap is NewConn where nobody would miss the type of c, and of c what is a stream.
func wrap(c net.Conn) net.Conn {
	if u, ok := c.(*net.UnixConn); ok && u.LocalAddr().Network() != "unix" || stdtypes.Encrypts(c) {
		return c
	}
	return NewConn(c)
}

// A Dialer is a net.Dialer whose Dial and DialContext give [Conn]s. DialContext is what
// http.Transport, database drivers and others take to dial with.
type Dialer struct {
	net.Dialer
}

// Dial is DialContext with a context that is never cancelled.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects as net.Dialer does. Connections that are not streams are
// handed on as they are.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	switch c.(type) {
	case *net.TCPConn, *net.UnixConn:
		return wrap(c), nil
	}
	return c, nil
}
