package zcnet_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A tunnel is a Relay between a and b, with what is connected to them.
type tunnel struct {
	*ztest.Task
	atA, a, b, atB net.Conn
	stats          zcnet.RelayStats
	err            error
}

// dig makes the connections of a tunnel, those of the Relay bare or as Conns.
func dig(t testing.TB, network string, bare bool) *tunnel {
	t.Helper()
	d := &tunnel{}
	d.atA, d.a = pair(t, network)
	d.b, d.atB = pair(t, network)
	if !bare {
		d.a, d.b = zcnet.NewConn(d.a), zcnet.NewConn(d.b)
	}
	return d
}

// run starts the Relay.
func (d *tunnel) run(t testing.TB, ctx context.Context, o *zcnet.RelayOptions) *tunnel {
	d.Task = ztest.Go(t, "Relay", func() { d.stats, d.err = zcnet.Relay(ctx, d.a, d.b, o) })
	return d
}

// pass writes to one end and reads at the other.
func pass(t testing.TB, from, to net.Conn, p []byte) {
	t.Helper()
	go from.Write(p)
	got := make([]byte, len(p))
	must(t, to.SetReadDeadline(time.Now().Add(ztest.Patience)))
	_, err := io.ReadFull(to, got)
	must(t, err)
	must(t, to.SetReadDeadline(time.Time{}))
	ztest.Equal(t, "passed", got, p)
}

// awaitEnd reads the end of what c receives.
func awaitEnd(t testing.TB, c net.Conn) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(ztest.Patience))
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Error("not at the end:", n, err)
	}
}

func closeWrite(t testing.TB, c net.Conn) { t.Helper(); must(t, c.(closeWriter).CloseWrite()) }

// TestRelayBulk: both directions at once, spliced; the counts are exact and the same in the
// stats, the live meters and the Copier's Reports.
func TestRelayBulk(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		for _, bare := range []bool{true, false} {
			mostlySpliced(t, func() zerocopy.Report {
				d := dig(t, network, bare)
				var live zcnet.RelayMeters
				var mu sync.Mutex
				var reports []zerocopy.Report
				c := &zerocopy.Copier{Report: func(r zerocopy.Report) { mu.Lock(); defer mu.Unlock(); reports = append(reports, r) }}
				d.run(t, nil, &zcnet.RelayOptions{Live: &live, Copier: c, IdleTimeout: time.Minute})
				up, down := ztest.Pattern(1).Bytes(bulk), ztest.Pattern(2).Bytes(bulk+bulk/2)
				var peers sync.WaitGroup
				peers.Go(func() { d.atA.Write(up); d.atA.(closeWriter).CloseWrite() })
				peers.Go(func() { d.atB.Write(down); d.atB.(closeWriter).CloseWrite() })
				var atA, atB []byte
				peers.Go(func() { atA, _ = io.ReadAll(d.atA) })
				peers.Go(func() { atB, _ = io.ReadAll(d.atB) })
				peers.Wait()
				d.Wait()
				ztest.Equal(t, "a→b", atB, up)
				ztest.Equal(t, "b→a", atA, down)
				s := d.stats
				if d.err != nil || s.Ending != zcnet.EndedByEOF || s.First == zcnet.NoSide || s.Elapsed <= 0 {
					t.Error(s, d.err)
				}
				if s.AToB.Written != int64(len(up)) || s.BToA.Written != int64(len(down)) ||
					live.AToB.Bytes() != int64(len(up)) || live.BToA.Bytes() != int64(len(down)) || len(reports) != 2 {
					t.Error(s, live.AToB.Bytes(), live.BToA.Bytes(), reports)
				}
				if s.AToB.Bytes(zerocopy.Splice) < s.BToA.Bytes(zerocopy.Splice) {
					return s.AToB
				}
				return s.BToA
			})
		}
	}
}

// TestRelayHalfClose (H30): the end of one direction is passed on, and the other goes on for
// as long as it likes.
func TestRelayHalfClose(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		for _, first := range []zcnet.Side{zcnet.SideA, zcnet.SideB} {
			for _, bare := range []bool{true, false} {
				d := dig(t, network, bare).run(t, nil, nil)
				one, two := d.atA, d.atB
				if first == zcnet.SideB {
					one, two = two, one
				}
				pass(t, one, two, []byte("request"))
				closeWrite(t, one)
				awaitEnd(t, two)
				time.Sleep(5 * time.Millisecond)
				pass(t, two, one, ztest.Pattern(3).Bytes(bulk))
				time.Sleep(5 * time.Millisecond)
				pass(t, two, one, []byte("the rest"))
				closeWrite(t, two)
				awaitEnd(t, one)
				d.Wait()
				if d.err != nil || d.stats.Ending != zcnet.EndedByEOF || d.stats.First != first {
					t.Error(network, first, bare, d.stats, d.err)
				}
			}
		}
	}
}

// TestRelayEOFs: ends of file of both sides close after each other are no error: the watch
// over a connection that has ended one way must not take the end of the other for a reset.
func TestRelayEOFs(t *testing.T) {
	t.Parallel()
	for i := range 150 {
		d := dig(t, "tcp", i%2 == 0).run(t, nil, nil)
		if i%3 != 0 {
			closeWrite(t, d.atA)
			awaitEnd(t, d.atB)
			if i%3 == 1 {
				time.Sleep(100 * time.Microsecond)
			}
			closeWrite(t, d.atB)
		} else {
			go d.atA.(closeWriter).CloseWrite()
			closeWrite(t, d.atB)
		}
		awaitEnd(t, d.atA)
		d.Wait()
		if d.err != nil || d.stats.Ending != zcnet.EndedByEOF {
			t.Fatal(i, d.stats, d.err)
		}
		for _, c := range []net.Conn{d.atA, d.a, d.b, d.atB} {
			c.Close()
		}
	}
}

// steps are what a relay has come to when something is done to it.
var steps = []struct {
	name string
	// come brings the relay there. stall says that a's bytes are not accepted by b's peer.
	come  func(t testing.TB, d *tunnel)
	stall bool
}{
	{"before a byte", func(t testing.TB, d *tunnel) { d.AwaitParked() }, false},
	{"after some", func(t testing.TB, d *tunnel) {
		pass(t, d.atA, d.atB, []byte("x"))
		pass(t, d.atB, d.atA, []byte("y"))
	}, false},
	{"a has ended", func(t testing.TB, d *tunnel) { closeWrite(t, d.atA); awaitEnd(t, d.atB) }, false},
	{"b has ended", func(t testing.TB, d *tunnel) { closeWrite(t, d.atB); awaitEnd(t, d.atA) }, false},
	{"b does not accept", stall, true},
	{"b has ended and does not accept", func(t testing.TB, d *tunnel) {
		closeWrite(t, d.atB)
		awaitEnd(t, d.atA)
		stall(t, d)
	}, true},
}
