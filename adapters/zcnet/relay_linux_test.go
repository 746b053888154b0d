package zcnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
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
			if s.AToB.Bytes(zerocopy.Splice) < bulk/2 || s.BToA.Bytes(zerocopy.Splice) < bulk/2 {
				t.Error(s)
			}
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

// stall fills the way from a to b.
func stall(t testing.TB, d *tunnel) {
	go func() {
		p := make([]byte, 1<<20)
		for {
			if _, err := d.atA.Write(p); err != nil {
				return
			}
		}
	}()
	raw, _ := zcnet.Inner(d.b).(syscall.Conn)
	for range 3 { // full, and not for a moment only
		ztest.Eventually(t, ztest.Patience, "b full", func() bool {
			_, writable, err := ztest.Poll(raw)
			return err == nil && !writable
		})
		time.Sleep(10 * time.Millisecond)
	}
}

// TestRelayClosed: either connection closed by another goroutine ends the relay at once, at
// each step, also where only the other one is waited for.
func TestRelayClosed(t *testing.T) {
	t.Parallel()
	for _, step := range steps {
		for _, network := range []string{"tcp", "unix"} {
			for _, bare := range []bool{true, false} {
				for _, side := range []zcnet.Side{zcnet.SideA, zcnet.SideB} {
					if bare && step.stall && side == zcnet.SideA {
						continue // nobody waits for a: see Relay
					}
					name := step.name + "/" + network + map[bool]string{true: "/bare/", false: "/Conn/"}[bare] + side.String()
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						d := dig(t, network, bare).run(t, nil, nil)
						step.come(t, d)
						time.Sleep(2 * time.Millisecond)
						c := d.a
						if side == zcnet.SideB {
							c = d.b
						}
						c.Close()
						d.Wait()
						if !errors.Is(d.err, net.ErrClosed) || d.stats.Ending != zcnet.EndedByError {
							t.Error(d.stats, d.err)
						}
						if d.stats.First == zcnet.NoSide {
							t.Error("First:", d.stats)
						}
						d.atA.Close()
					})
				}
			}
		}
	}
}

// TestRelayReset: a reset at either side ends the relay at each step, and is told.
func TestRelayReset(t *testing.T) {
	t.Parallel()
	for _, step := range steps {
		for _, side := range []zcnet.Side{zcnet.SideA, zcnet.SideB} {
			if step.stall && side == zcnet.SideA {
				continue // what came before the reset is still to be delivered
			}
			t.Run(step.name+"/"+side.String(), func(t *testing.T) {
				t.Parallel()
				d := dig(t, "tcp", true).run(t, nil, nil)
				step.come(t, d)
				time.Sleep(2 * time.Millisecond)
				c := d.atA
				if side == zcnet.SideB {
					c = d.atB
				}
				zcnet.Reset(c)
				d.Wait()
				if !errors.Is(d.err, syscall.ECONNRESET) && !errors.Is(d.err, syscall.EPIPE) || d.stats.Ending != zcnet.EndedByError {
					t.Error(d.stats, d.err)
				}
				d.atA.Close()
			})
		}
	}
}

// TestRelayContext: cancellation before and at each step, with its cause.
func TestRelayContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("enough of this")
	check := func(t *testing.T, d *tunnel) {
		t.Helper()
		if !errors.Is(d.err, cause) || d.stats.Ending != zcnet.EndedByContext {
			t.Error(d.stats, d.err)
		}
		d.atA.Close()
	}
	t.Run("before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		d := dig(t, "tcp", false)
		d.atA.Write([]byte("x"))
		d.run(t, ctx, nil).Wait()
		check(t, d)
		if d.stats.AToB.Written != 0 || d.stats.First != zcnet.NoSide {
			t.Error(d.stats)
		}
	})
	for _, step := range steps {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(step.name+"/"+network, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				d := dig(t, network, false).run(t, ctx, nil)
				step.come(t, d)
				cancel(cause)
				d.Wait()
				check(t, d)
			})
		}
	}
}

// TestRelayPeeked: bytes that were peeked from an end go first.
func TestRelayPeeked(t *testing.T) {
	t.Parallel()
	d := dig(t, "tcp", false)
	content := ztest.Pattern(4).Bytes(bulk)
	go func() { d.atA.Write(content); d.atA.(closeWriter).CloseWrite() }()
	_, err := d.a.(zcnet.Conn).Peek(5000)
	must(t, err)
	d.b.(zcnet.Conn).Unread([]byte("early"))
	d.run(t, nil, nil)
	closeWrite(t, d.atB)
	got, err := io.ReadAll(d.atB)
	must(t, err)
	ztest.Equal(t, "a→b", got, content)
	early, err := io.ReadAll(d.atA)
	if string(early) != "early" || err != nil {
		t.Errorf("%q, %v", early, err)
	}
	d.Wait()
	if d.err != nil {
		t.Error(d.err)
	}
}

// TestRelayEcho: a relay of a connection with itself gives back what comes, in order.
func TestRelayEcho(t *testing.T) {
	t.Parallel()
	for _, around := range []func(net.Conn) net.Conn{
		func(c net.Conn) net.Conn { return c },
		func(c net.Conn) net.Conn { return zcnet.NewConn(c) },
	} {
		peer, c := pair(t, "tcp")
		d := &tunnel{atA: peer, a: c, b: around(c)}
		d.run(t, nil, nil)
		content := ztest.Pattern(5).Bytes(bulk)
		go func() { peer.Write(content); peer.(closeWriter).CloseWrite() }()
		got, err := io.ReadAll(peer)
		must(t, err)
		ztest.Equal(t, "echo", got, content)
		d.Wait()
		if d.err != nil || d.stats.AToB.Written != bulk || d.stats.BToA.Written != 0 {
			t.Error(d.stats, d.err)
		}
	}
}

// TestRelayDisabled: a switch of the process reaches a relay that runs. Not in parallel: it
// is the process's.
func TestRelayDisabled(t *testing.T) {
	d := dig(t, "tcp", true)
	var live zcnet.RelayMeters
	d.run(t, nil, &zcnet.RelayOptions{Live: &live})
	pass(t, d.atA, d.atB, ztest.Pattern(1).Bytes(bulk))
	if live.AToB.By(zerocopy.Splice) == 0 {
		t.Error("nothing was spliced")
	}
	zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.AllMechanisms})
	defer zerocopy.SetDefault(nil)
	pass(t, d.atA, d.atB, make([]byte, 1)) // the chunk that is waited for
	ztest.Eventually(t, ztest.Patience, "counted", func() bool { return live.AToB.Bytes() == bulk+1 })
	before := live.AToB.By(zerocopy.Splice)
	pass(t, d.atA, d.atB, ztest.Pattern(1).Bytes(bulk))
	if n := live.AToB.By(zerocopy.Splice) - before; n != 0 {
		t.Errorf("%d bytes spliced", n)
	}
	if s := live.AToB.Step(); s.Reason != zerocopy.ReasonDisabled {
		t.Error(s)
	}
	d.atA.Close()
	d.atB.Close()
	d.Wait()
}

// TestRelayNoCloseWriteResidue: the relay had bytes in its hands when nothing moved any more
// after an end that it could not pass on: it hands them back, whether it looks into the
// connection or not.
func TestRelayNoCloseWriteResidue(t *testing.T) {
	t.Parallel()
	for _, hide := range []func(net.Conn) net.Conn{
		func(c net.Conn) net.Conn { return plainConn{c} },
		func(c net.Conn) net.Conn { return &idler{c, time.Hour} }, // opts in, as a Reader
	} {
		d := dig(t, "unix", true)
		full := d.a.(syscall.Conn)
		d.b = hide(d.b)
		d.run(t, nil, &zcnet.RelayOptions{HalfClosedTimeout: 100 * time.Millisecond})
		content := ztest.Pattern(6).Bytes(8 << 20)
		go d.atB.Write(content)
		ztest.Eventually(t, ztest.Patience, "a full", func() bool {
			_, writable, err := ztest.Poll(full)
			return err == nil && !writable
		})
		time.Sleep(10 * time.Millisecond)
		closeWrite(t, d.atA)
		d.Wait()
		var left *zerocopy.PartialError
		if !errors.Is(d.err, zcnet.ErrNoCloseWrite) || !errors.As(d.stats.BToA.Err, &left) || d.stats.First != zcnet.SideA || d.stats.Ending != zcnet.EndedByIdle {
			t.Fatal(d.stats, d.err)
		}
		n := d.stats.BToA.Written
		ztest.Equal(t, "handed back", left.Unwritten, content[n:][:len(left.Unwritten)])
		d.a.Close()
		got, err := io.ReadAll(d.atA)
		must(t, err)
		ztest.Equal(t, "delivered", got, content[:n])
		d.atB.Close()
	}
}
