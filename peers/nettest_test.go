package peers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"golang.org/x/net/nettest"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A foreign wrapper: what is under it is hidden.
type foreign struct{ net.Conn }

// A peeking is a Conn of which every second Read takes a byte that was peeked before, so
// that bytes come from both places, in turn.
type peeking struct {
	zcnet.Conn
	reads atomic.Int64
}

func (p *peeking) Read(b []byte) (int, error) {
	if len(b) > 0 && p.reads.Add(1)%2 == 0 {
		if _, err := p.Peek(1); err != nil {
			return 0, err
		}
	}
	return p.Conn.Read(b)
}

// preface is what connections with peeked bytes have had before the test.
var preface = bytes.Repeat([]byte("preface\n"), 500)

// peeked returns dialed and accepted as Conns which have had bytes peeked, unread and
// discarded, and go on with those.
func peeked(dialed, accepted net.Conn) (c1, c2 net.Conn, err error) {
	if _, err := dialed.Write(preface); err != nil {
		return nil, nil, err
	}
	c := zcnet.NewConn(accepted)
	if got, err := c.Peek(len(preface)); err != nil || !bytes.Equal(got, preface) {
		return nil, nil, fmt.Errorf("peeked %d bytes: %w", len(got), err)
	}
	half := make([]byte, len(preface)/2)
	if _, err := io.ReadFull(c, half); err != nil {
		return nil, nil, err
	}
	c.Unread(half)
	if n := c.Discard(len(preface)); n != len(preface) {
		return nil, nil, fmt.Errorf("discarded %d bytes", n)
	}
	return &peeking{Conn: zcnet.NewConn(dialed)}, &peeking{Conn: c}, nil
}

// TestConn has no row with a *tls.Conn, under a Conn or over one: that does not pass
// nettest.TestConn by itself, since after a deadline that passes within a Write nothing more can
// be written to it (see tls.Conn.SetWriteDeadline).
func TestConn(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		// wrap makes of both ends of a connection those that are tested.
		wrap func(dialed, accepted net.Conn) (c1, c2 net.Conn, err error)
	}{
		{"bare", both(func(c net.Conn) net.Conn { return zcnet.NewConn(c) })},
		{"one end", func(dialed, accepted net.Conn) (net.Conn, net.Conn, error) {
			return dialed, zcnet.NewConn(accepted), nil
		}},
		{"under a wrapper", both(func(c net.Conn) net.Conn { return foreign{zcnet.NewConn(c)} })},
		{"over a wrapper", both(func(c net.Conn) net.Conn { return zcnet.NewConn(foreign{c}) })},
		{"over a Conn of another type", both(func(c net.Conn) net.Conn { return zcnet.NewConn(foreign{zcnet.NewConn(c)}) })},
		{"peeked", peeked},
	}
	for _, network := range []string{"tcp", "unix"} {
		for _, row := range rows {
			t.Run(network+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				l := listen(t, network)
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					dialed, accepted, err := connect(l)
					if err != nil {
						return nil, nil, nil, err
					}
					if c1, c2, err = row.wrap(dialed, accepted); err != nil {
						dialed.Close()
						accepted.Close()
						return nil, nil, nil, err
					}
					return c1, c2, func() { c1.Close(); c2.Close() }, nil
				})
			})
		}
	}
}

// both wraps both ends in the same way.
func both(wrap func(net.Conn) net.Conn) func(dialed, accepted net.Conn) (c1, c2 net.Conn, err error) {
	return func(dialed, accepted net.Conn) (c1, c2 net.Conn, err error) { return wrap(dialed), wrap(accepted), nil }
}

// TestConnRelayed has a relay between the two ends: nothing of what a connection promises may be
// lost on the way. No part of nettest.TestConn is left out.
func TestConnRelayed(t *testing.T) {
	t.Parallel()
	networks := []struct{ here, there string }{
		{"tcp", "tcp"}, {"unix", "unix"}, {"tcp", "unix"},
	}
	wraps := []struct {
		name string
		wrap func(net.Conn) net.Conn
	}{
		{"bare", func(c net.Conn) net.Conn { return c }},
		{"Conn", func(c net.Conn) net.Conn { return zcnet.NewConn(c) }},
	}
	for _, network := range networks {
		for _, w := range wraps {
			t.Run(network.here+" "+network.there+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				here, there := listen(t, network.here), listen(t, network.there)
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					c1, a, err := connect(here)
					if err != nil {
						return nil, nil, nil, err
					}
					b, c2, err := connect(there)
					if err != nil {
						c1.Close()
						a.Close()
						return nil, nil, nil, err
					}
					stop = relayed(t, c1, c2, w.wrap(a), w.wrap(b))
					return w.wrap(c1), w.wrap(c2), stop, nil
				})
			})
		}
	}
}

// relayed begins a relay between a and b, whose peers are c1 and c2. The function it returns
// closes the peers, which ends the relay.
func relayed(t *testing.T, c1, c2, a, b net.Conn) (stop func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		stats, err := zcnet.Relay(context.Background(), a, b, nil)
		// A peer that is closed with unread bytes resets the connection. What the relay
		// may not do is to end in any other way, or by itself.
		if err != nil && (stats.Ending != zcnet.EndedByError || !gone(err)) {
			t.Errorf("the relay ended with %v: %v", err, stats)
		}
		a.Close()
		b.Close()
	}()
	return func() {
		c1.Close()
		c2.Close()
		<-done
	}
}

// gone reports whether err is what is read from or written to a peer that has gone.
func gone(err error) bool {
	for _, e := range goneErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
