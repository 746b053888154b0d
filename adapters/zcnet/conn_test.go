package zcnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A fake is a connection that notes which of its methods were called.
type fake struct {
	net.Conn // nil: nothing else is asked for
	called   []string
}

func (f *fake) note(what string) { f.called = append(f.called, what) }

func (f *fake) LocalAddr() net.Addr { return nil }

func (f *fake) RemoteAddr() net.Addr { return nil }

// The optional methods.
type (
	withCloseRead   struct{ f *fake }
	withCloseWrite  struct{ f *fake }
	withSyscallConn struct{ f *fake }
	withNetConn     struct{ f *fake }
)

func (m withCloseRead) CloseRead() error   { m.f.note("CloseRead"); return nil }
func (m withCloseWrite) CloseWrite() error { m.f.note("CloseWrite"); return nil }
func (m withSyscallConn) SyscallConn() (syscall.RawConn, error) {
	m.f.note("SyscallConn")
	return nil, nil
}
func (m withNetConn) NetConn() net.Conn { m.f.note("NetConn"); return nil }

// fakes are connections with every combination of the optional methods, by the bits 1
// (CloseRead), 2 (CloseWrite), 4 (SyscallConn) and 8 (NetConn).
func fakes(f *fake) []net.Conn {
	r, w, s, n := withCloseRead{f}, withCloseWrite{f}, withSyscallConn{f}, withNetConn{f}
	type (
		R = withCloseRead
		W = withCloseWrite
		S = withSyscallConn
		N = withNetConn
	)
	return []net.Conn{
		f,
		&struct {
			*fake
			R
		}{f, r},
		&struct {
			*fake
			W
		}{f, w},
		&struct {
			*fake
			R
			W
		}{f, r, w},
		&struct {
			*fake
			S
		}{f, s},
		&struct {
			*fake
			R
			S
		}{f, r, s},
		&struct {
			*fake
			W
			S
		}{f, w, s},
		&struct {
			*fake
			R
			W
			S
		}{f, r, w, s},
		&struct {
			*fake
			N
		}{f, n},
		&struct {
			*fake
			R
			N
		}{f, r, n},
		&struct {
			*fake
			W
			N
		}{f, w, n},
		&struct {
			*fake
			R
			W
			N
		}{f, r, w, n},
		&struct {
			*fake
			S
			N
		}{f, s, n},
		&struct {
			*fake
			R
			S
			N
		}{f, r, s, n},
		&struct {
			*fake
			W
			S
			N
		}{f, w, s, n},
		&struct {
			*fake
			R
			W
			S
			N
		}{f, r, w, s, n},
	}
}

// TestConnMethods: a Conn has each optional method if and only if the connection under it
// has, and the call gets there.
func TestConnMethods(t *testing.T) {
	t.Parallel()
	for have := range 16 {
		t.Run(fmt.Sprintf("%04b", have), func(t *testing.T) {
			t.Parallel()
			var f fake
			inner := fakes(&f)[have]
			c := zcnet.NewConn(inner)
			var want, got []string
			expect := func(bit int, name string, has bool, call func()) {
				if has != (have&bit != 0) {
					t.Errorf("%s: %v", name, has)
				}
				if has {
					want = append(want, name)
					call()
				}
			}
			r, has := c.(interface{ CloseRead() error })
			expect(1, "CloseRead", has, func() { must(t, r.CloseRead()) })
			w, has := c.(closeWriter)
			expect(2, "CloseWrite", has, func() { must(t, w.CloseWrite()) })
			s, has := c.(syscall.Conn)
			expect(4, "SyscallConn", has, func() { _, err := s.SyscallConn(); must(t, err) })
			n, has := c.(interface{ NetConn() net.Conn })
			expect(8, "NetConn", has, func() { n.NetConn() })
			if got = f.called; !slices.Equal(got, want) {
				t.Errorf("called %q, want %q", got, want)
			}
			if zcnet.Inner(c) != inner {
				t.Error("Inner is another one")
			}
			if zcnet.NewConn(c) != c {
				t.Error("a Conn in a Conn")
			}
		})
	}
}

// reading is a type of somebody else's around a Conn, with a Read of its own (H25, H36).
type reading struct {
	net.Conn
	reads, writes int
}

func (r *reading) Read(p []byte) (int, error) {
	r.reads++
	n, err := r.Conn.Read(p)
	for i := range p[:n] {
		p[i] ^= 0xff
	}
	return n, err
}

func (r *reading) Write(p []byte) (int, error) {
	r.writes++
	q := bytes.Clone(p)
	for i := range q {
		q[i] ^= 0xff
	}
	return r.Conn.Write(q)
}

// TestConnH25: the Read and Write of a type that embeds a Conn, or that a Conn is around, are
// never passed by.
func TestConnH25(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(300_000)
	flipped := bytes.Clone(content)
	for i := range flipped {
		flipped[i] ^= 0xff
	}
	for _, tt := range []struct {
		name     string
		src, dst func(net.Conn) net.Conn // around a TCP connection; nil: bare
		want     []byte
	}{
		{"source embeds a Conn", func(c net.Conn) net.Conn { return &reading{Conn: zcnet.NewConn(c)} }, nil, flipped},
		{"source in a Conn", func(c net.Conn) net.Conn { return zcnet.NewConn(&reading{Conn: c}) }, nil, flipped},
		{"a Conn in it and around it", func(c net.Conn) net.Conn { return zcnet.NewConn(&reading{Conn: zcnet.NewConn(c)}) }, nil, flipped},
		{"destination embeds a Conn", nil, func(c net.Conn) net.Conn { return &reading{Conn: zcnet.NewConn(c)} }, flipped},
		{"destination in a Conn", nil, func(c net.Conn) net.Conn { return zcnet.NewConn(&reading{Conn: c}) }, flipped},
		{"both", func(c net.Conn) net.Conn { return &reading{Conn: zcnet.NewConn(c)} },
			func(c net.Conn) net.Conn { return zcnet.NewConn(&reading{Conn: c}) }, content},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			from, src := pair(t, "tcp")
			dst, to := pair(t, "tcp")
			if tt.src != nil {
				src = tt.src(src)
			}
			if tt.dst != nil {
				dst = tt.dst(dst)
			}
			go func() { from.Write(content); from.Close() }()
			done := make(chan []byte)
			go func() { got, _ := io.ReadAll(to); done <- got }()
			n, err := io.Copy(dst, src)
			dst.Close()
			if n != int64(len(content)) || err != nil {
				t.Error(n, err)
			}
			ztest.Equal(t, "received", <-done, tt.want)
		})
	}
}

// TestInner: what is asked for is found in a Conn and in nothing else.
func TestInner(t *testing.T) {
	t.Parallel()
	tcp, _ := pair(t, "tcp")
	p, _ := net.Pipe()
	t.Cleanup(func() { p.Close() })
	var typed *net.TCPConn
	foreign := &reading{Conn: zcnet.NewConn(tcp)}
	for _, tt := range []struct {
		name  string
		c     net.Conn
		inner net.Conn
		tcp   bool
	}{
		{"bare", tcp, tcp, true},
		{"a Conn", zcnet.NewConn(tcp), tcp, true},
		{"a Conn of a Conn", zcnet.NewConn(zcnet.NewConn(tcp)), tcp, true},
		{"not TCP", zcnet.NewConn(p), p, false},
		{"embeds a Conn", foreign, foreign, false},
		{"a Conn of what embeds a Conn", zcnet.NewConn(foreign), foreign, false},
		{"a nil pointer", typed, typed, false},
		{"nil", nil, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := zcnet.Inner(tt.c); got != tt.inner {
				t.Errorf("Inner is %T", got)
			}
			if got, ok := zcnet.TCPConn(tt.c); ok != tt.tcp || ok && got != tcp {
				t.Errorf("TCPConn: %v, %v", got, ok)
			}
			if got, ok := zcnet.UnixConn(tt.c); ok {
				t.Errorf("UnixConn: %v", got)
			}
		})
	}
}

func TestUnixConn(t *testing.T) {
	t.Parallel()
	a, _ := pair(t, "unix")
	if u, ok := zcnet.UnixConn(zcnet.NewConn(a)); !ok || u != a {
		t.Error(u, ok)
	}
	if _, ok := zcnet.TCPConn(zcnet.NewConn(a)); ok {
		t.Error("a unix socket is TCP")
	}
}

// TestReset: the peer of a TCP connection sees a reset; that of another one an end.
func TestReset(t *testing.T) {
	t.Parallel()
	a, b := pair(t, "tcp")
	must(t, zcnet.Reset(zcnet.NewConn(a)))
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	p, q := net.Pipe()
	must(t, zcnet.Reset(zcnet.NewConn(p)))
	if _, err := q.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if err := zcnet.Reset(a); !errors.Is(err, net.ErrClosed) {
		t.Error("twice:", err)
	}
}

// TestConnErrors: the errors of Read, Write and of copies are of the class that those of the
// connection under it are (H31).
func TestConnErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(c, peer net.Conn)
		read error
	}{
		{"closed", func(c, _ net.Conn) { c.Close() }, net.ErrClosed},
		{"read deadline", func(c, _ net.Conn) { c.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"both deadlines", func(c, _ net.Conn) { c.SetDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"reset", func(_, peer net.Conn) { zcnet.Reset(peer) }, syscall.ECONNRESET},
	} {
		for _, how := range []struct {
			name string
			read func(zcnet.Conn) error
		}{
			{"Read", func(c zcnet.Conn) error { _, err := c.Read(make([]byte, 1)); return err }},
			{"Peek", func(c zcnet.Conn) error { _, err := c.Peek(1); return err }},
			{"WriteTo", func(c zcnet.Conn) error { _, err := c.WriteTo(io.Discard); return err }},
			{"Copy to a connection", func(c zcnet.Conn) error {
				dst, _ := tcpPair(t)
				_, err := io.Copy(dst, c)
				return err
			}},
		} {
			t.Run(tt.name+"/"+how.name, func(t *testing.T) {
				t.Parallel()
				a, b := tcpPair(t)
				c := zcnet.NewConn(a)
				tt.do(c, b)
				err := how.read(c)
				var op *net.OpError
				if !errors.Is(err, tt.read) || !errors.As(err, &op) || op.Op != "read" {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// TestConnConcurrent (H32): everything at once, for the race detector.
func TestConnConcurrent(t *testing.T) {
	t.Parallel()
	a, b := tcpPair(t)
	c, peer := zcnet.NewConn(a), zcnet.NewConn(b)
	c.Unread(make([]byte, 1000))
	var wait sync.WaitGroup
	wait.Go(func() { io.Copy(io.Discard, c) })
	wait.Go(func() { c.ReadFrom(ztest.Pattern(1).Reader(1 << 20)) })
	wait.Go(func() { io.Copy(peer, ztest.Pattern(2).Reader(1<<20)); b.CloseWrite() })
	wait.Go(func() { io.Copy(io.Discard, io.LimitReader(peer, 1<<20)) })
	wait.Go(func() {
		for range 200 {
			c.SetDeadline(time.Now().Add(time.Hour))
			c.SetReadDeadline(time.Time{})
			c.Buffered()
			c.(syscall.Conn).SyscallConn()
			zerocopy.Explain(io.Discard, c)
		}
	})
	wait.Wait()
}
