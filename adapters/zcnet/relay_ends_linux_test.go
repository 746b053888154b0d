package zcnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What ends a relay from outside.

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
		d.run(t, nil, &zcnet.RelayOptions{HalfClosedTimeout: time.Second})
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
