package peers_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/netutil"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/zctest"
)

// limitedName is the type of the connections of netutil.LimitListener.
const limitedName = "*netutil.limitListenerConn"

// limits are the two orders in which a limit and a zcnet listener can be stacked, each with
// how to get at the limiter's connection.
var limits = []struct {
	name    string
	listen  func(l net.Listener, n int) net.Listener
	limited func(net.Conn) net.Conn
}{
	{"Conns around limited ones",
		func(l net.Listener, n int) net.Listener { return zcnet.NewListener(netutil.LimitListener(l, n)) },
		zcnet.Inner},
	{"limited Conns",
		func(l net.Listener, n int) net.Listener { return netutil.LimitListener(zcnet.NewListener(l), n) },
		func(c net.Conn) net.Conn { return c }},
}

// vouching returns a Copier that knows connections of the type that c has: they are what is
// in their embedded net.Conn, which reflection reads since the field's name is exported.
func vouching(c net.Conn) *zerocopy.Copier {
	inner := func(v any) net.Conn {
		return reflect.ValueOf(v).Elem().FieldByName("Conn").Interface().(net.Conn)
	}
	limited := reflect.TypeOf(c)
	return &zerocopy.Copier{
		UnwrapReader: map[reflect.Type]func(io.Reader) (zerocopy.InnerReader, bool){
			limited: func(r io.Reader) (zerocopy.InnerReader, bool) {
				return zerocopy.InnerReader{Reader: inner(r)}, true
			},
		},
		UnwrapWriter: map[reflect.Type]func(io.Writer) (zerocopy.InnerWriter, bool){
			limited: func(w io.Writer) (zerocopy.InnerWriter, bool) {
				return zerocopy.InnerWriter{Writer: inner(w)}, true
			},
		},
	}
}

// TestLimitListener: more clients than the limit allows are served, one after the other, with the
// right bytes and never more than the limit at a time.
func TestLimitListener(t *testing.T) {
	t.Parallel()
	const limit, clients, size = 3, 24, 300 << 10
	for _, row := range limits {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := row.listen(listen(t, "tcp"), limit)
			var open, most atomic.Int64
			var once sync.Once
			var servers, peers sync.WaitGroup
			full := make(chan struct{}) // nobody is served before there are as many as may be
			servers.Go(func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					n := open.Add(1)
					if most.Store(max(most.Load(), n)); n == limit {
						once.Do(func() { close(full) })
					}
					servers.Go(func() {
						<-full
						if _, err := io.Copy(c, c); err != nil {
							t.Error(err)
						}
						open.Add(-1)
						c.Close()
					})
				}
			})
			for i := range clients {
				peers.Go(func() { echo(t, l.Addr(), ztest.Pattern(i), size) })
			}
			peers.Wait()
			l.Close()
			servers.Wait()
			if most.Load() != limit {
				t.Errorf("%d connections at a time, want %d", most.Load(), limit)
			}
		})
	}
}

// echo sends a pattern to a server that sends it back.
func echo(t *testing.T, address net.Addr, p ztest.Pattern, size int) {
	c, err := net.Dial("tcp", address.String())
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	want := p.Bytes(size)
	var write sync.WaitGroup
	write.Go(func() {
		c.Write(want)
		c.(*net.TCPConn).CloseWrite()
	})
	got, err := io.ReadAll(c)
	write.Wait()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or others: %v", len(got), size, err)
	}
}

// TestLimitExplained: a Plan names the type that hides the descriptor, a relay's stats do, and
// once the application vouches for the type the descriptor is found at both ends.
func TestLimitExplained(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	for _, row := range limits {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := row.listen(listen(t, "tcp"), 2)
			client, server, err := connect(l)
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			defer server.Close()
			far, near, err := connect(listen(t, "tcp"))
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			defer near.Close()

			limited := row.limited(server)
			if name := reflect.TypeOf(limited).String(); name != limitedName {
				t.Fatalf("the limiter's connection is a %s", name)
			}
			hides(t, "as source", zerocopy.Explain(near, server), zerocopy.SourceEnd)
			hides(t, "as destination", zerocopy.Explain(server, near), zerocopy.DestinationEnd)

			c := vouching(limited)
			for _, plan := range []zerocopy.Plan{c.Explain(near, server), c.Explain(server, near)} {
				if last := plan.Steps[len(plan.Steps)-1]; last.Mechanism != zerocopy.Splice {
					t.Errorf("vouched for, the plan is %v", plan)
				}
			}

			// Both relays are cut short, since the limiter's connection has no CloseWrite to
			// pass the end of a stream on by.
			send := func(to, from net.Conn, p ztest.Pattern) {
				var wait sync.WaitGroup
				wait.Go(func() { to.Write(p.Bytes(size)) })
				got := make([]byte, size)
				if _, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, p.Bytes(size)) {
					t.Errorf("other bytes, or %v", err)
				}
				wait.Wait()
			}
			relay := func(o *zcnet.RelayOptions) (zcnet.RelayStats, error) {
				ctx, cancel := context.WithCancel(context.Background())
				var stats zcnet.RelayStats
				var wait sync.WaitGroup
				wait.Go(func() { stats, err = zcnet.Relay(ctx, server, near, o) })
				send(client, far, 1)
				send(far, client, 2)
				cancel()
				wait.Wait()
				server.SetDeadline(noDeadline)
				near.SetDeadline(noDeadline)
				return stats, err
			}
			stats, _ := relay(nil)
			for end, r := range map[zerocopy.End]zerocopy.Report{zerocopy.SourceEnd: stats.AToB, zerocopy.DestinationEnd: stats.BToA} {
				if s := r.Steps[0]; r.Bytes(zerocopy.Buffered) != size || s.End != end || s.Type != limitedName {
					t.Errorf("not vouched for: %v", r)
				}
			}
			stats, _ = relay(&zcnet.RelayOptions{Copier: c})
			for _, r := range []zerocopy.Report{stats.AToB, stats.BToA} {
				zctest.Check(t, r, zerocopy.Splice)
				if r.Written != size {
					t.Errorf("vouched for: %v", r)
				}
			}
		})
	}
}

// hides checks that the plan is buffered because of the limiter's connection.
func hides(t *testing.T, what string, plan zerocopy.Plan, end zerocopy.End) {
	t.Helper()
	s := plan.Steps[len(plan.Steps)-1]
	if s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonNotDescriptor || s.End != end || s.Type != limitedName {
		t.Errorf("%s: the plan is %v", what, plan)
	}
}

// noDeadline is what removes one.
var noDeadline time.Time
