package zcnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A fakeListener notes which of its methods were called.
type fakeListener struct {
	called []string
	err    error
}

func (f *fakeListener) note(what string)          { f.called = append(f.called, what) }
func (f *fakeListener) Accept() (net.Conn, error) { f.note("Accept"); return nil, f.err }
func (f *fakeListener) Close() error              { f.note("Close"); return f.err }
func (f *fakeListener) Addr() net.Addr            { f.note("Addr"); return nil }

type (
	withFile        struct{ f *fakeListener }
	withRaw         struct{ f *fakeListener }
	withSetDeadline struct{ f *fakeListener }
)

func (m withFile) File() (*os.File, error) { m.f.note("File"); return nil, nil }
func (m withRaw) SyscallConn() (syscall.RawConn, error) {
	m.f.note("SyscallConn")
	return nil, nil
}
func (m withSetDeadline) SetDeadline(time.Time) error { m.f.note("SetDeadline"); return nil }

// fakeListeners have every combination of the optional methods, by the bits 1 (File), 2
// (SyscallConn) and 4 (SetDeadline).
func fakeListeners(l *fakeListener) []net.Listener {
	f, s, d := withFile{l}, withRaw{l}, withSetDeadline{l}
	type (
		F = withFile
		S = withRaw
		D = withSetDeadline
	)
	return []net.Listener{
		l,
		&struct {
			*fakeListener
			F
		}{l, f},
		&struct {
			*fakeListener
			S
		}{l, s},
		&struct {
			*fakeListener
			F
			S
		}{l, f, s},
		&struct {
			*fakeListener
			D
		}{l, d},
		&struct {
			*fakeListener
			F
			D
		}{l, f, d},
		&struct {
			*fakeListener
			S
			D
		}{l, s, d},
		&struct {
			*fakeListener
			F
			S
			D
		}{l, f, s, d},
	}
}

// TestListenerMethods: a listener has each optional method if and only if the one under it
// has, and every call gets there.
func TestListenerMethods(t *testing.T) {
	t.Parallel()
	for have := range 8 {
		t.Run(fmt.Sprintf("%03b", have), func(t *testing.T) {
			t.Parallel()
			f := &fakeListener{err: errors.New("no more")}
			l := zcnet.NewListener(fakeListeners(f)[have])
			var want []string
			expect := func(bit int, name string, has bool, call func()) {
				if has != (have&bit == bit) {
					t.Errorf("%s: %v", name, has)
				}
				if has {
					want = append(want, name)
					call()
				}
			}
			file, has := l.(interface{ File() (*os.File, error) })
			expect(1, "File", has, func() { file.File() })
			raw, has := l.(syscall.Conn)
			expect(2, "SyscallConn", has, func() { raw.SyscallConn() })
			d, has := l.(interface{ SetDeadline(time.Time) error })
			expect(4, "SetDeadline", has, func() { d.SetDeadline(time.Time{}) })
			expect(0, "Accept", true, func() {
				if c, err := l.Accept(); c != nil || err != f.err {
					t.Error(c, err)
				}
			})
			expect(0, "Close", true, func() {
				if err := l.Close(); err != f.err {
					t.Error(err)
				}
			})
			expect(0, "Addr", true, func() { l.Addr() })
			if !slices.Equal(f.called, want) {
				t.Errorf("called %q, want %q", f.called, want)
			}
			if zcnet.NewListener(l) != l {
				t.Error("a listener in a listener")
			}
		})
	}
}

// TestListener: what is accepted are Conns; deadlines and Close end Accept.
func TestListener(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		l := zcnet.NewListener(listen(t, network))
		d := &zcnet.Dialer{}
		for _, dial := range []func() (net.Conn, error){
			func() (net.Conn, error) { return d.Dial(network, l.Addr().String()) },
			func() (net.Conn, error) { return d.DialContext(t.Context(), network, l.Addr().String()) },
		} {
			c, err := dial()
			must(t, err)
			s, err := l.Accept()
			must(t, err)
			for _, c := range []net.Conn{c, s} {
				if _, ok := c.(zcnet.Conn); !ok {
					t.Errorf("%T is not a Conn", c)
				}
				_, tcp := zcnet.TCPConn(c)
				_, unix := zcnet.UnixConn(c)
				if tcp != (network == "tcp") || unix != (network == "unix") {
					t.Error(network, tcp, unix)
				}
			}
			c.Close()
			s.Close()
		}
		must(t, l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Unix(1, 0)))
		if _, err := l.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	}
}

// TestDialer: the error of a dial is net's, and what is no stream is left as it is.
func TestDialer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := (&zcnet.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:1"); c != nil || err == nil {
		t.Error(c, err)
	}
	d := &zcnet.Dialer{Dialer: net.Dialer{Timeout: time.Nanosecond}}
	c, err := d.Dial("tcp", "127.0.0.1:1")
	var timeout net.Error
	if c != nil || !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(c, err)
	}
	c, err = (&zcnet.Dialer{}).Dial("udp", "127.0.0.1:9")
	must(t, err)
	defer c.Close()
	if _, ok := c.(*net.UDPConn); !ok {
		t.Errorf("%T", c)
	}
}

// TestListenerFile: a graceful restart: the successor listens on the descriptor, and nobody
// who has connected meanwhile is lost.
func TestListenerFile(t *testing.T) {
	t.Parallel()
	l := zcnet.NewListener(listen(t, "tcp"))
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer c.Close()
	f, err := l.(interface{ File() (*os.File, error) }).File()
	must(t, err)
	must(t, l.Close())
	next, err := net.FileListener(f)
	must(t, err)
	f.Close()
	successor := zcnet.NewListener(next)
	defer successor.Close()
	s, err := successor.Accept()
	must(t, err)
	defer s.Close()
	io.WriteString(s, "hello")
	p := make([]byte, 5)
	if _, err := io.ReadFull(c, p); string(p) != "hello" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
}
