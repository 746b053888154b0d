package peers_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A proxy relays each connection to it to one address. Side a is the client.
type proxy struct {
	zcnet.RelayOptions // of each relay; Live is not used
	net.Listener
	network, to string // where to

	t      testing.TB
	cancel context.CancelFunc
	wait   sync.WaitGroup // accept, and the relays
	before zerocopy.Stats

	mu    sync.Mutex
	begun int
	done  []ended // in the order in which they ended
}

// An ended relay.
type ended struct {
	zcnet.RelayStats
	err error
}

// startProxy starts a proxy on l, for the length of the test.
func startProxy(t testing.TB, l net.Listener, network, to string, o zcnet.RelayOptions) *proxy {
	ctx, cancel := context.WithCancel(context.Background())
	p := &proxy{RelayOptions: o, Listener: zcnet.NewListener(l), network: network, to: to, t: t, cancel: cancel, before: zerocopy.ReadStats()}
	t.Cleanup(p.stop)
	p.wait.Go(func() {
		for {
			c, err := p.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.begun++
			p.mu.Unlock()
			p.wait.Go(func() { p.serve(ctx, c) })
		}
	})
	return p
}

// toTCP is startProxy from TCP to TCP, which is what most clients use.
func toTCP(t testing.TB, to string) *proxy {
	t.Helper()
	return startProxy(t, listen(t, "tcp"), "tcp", to, zcnet.RelayOptions{})
}

func (p *proxy) serve(ctx context.Context, client net.Conn) {
	server, err := new(zcnet.Dialer).DialContext(ctx, p.network, p.to)
	if err != nil {
		p.t.Error(err)
		client.Close()
		return
	}
	var e ended
	e.RelayStats, e.err = zcnet.Relay(ctx, client, server, &p.RelayOptions)
	// Noted before the client sees the end, after which the test asks.
	p.mu.Lock()
	p.done = append(p.done, e)
	p.mu.Unlock()
	if e.err != nil {
		zcnet.Reset(client)
		zcnet.Reset(server)
		return
	}
	client.Close()
	server.Close()
}

// stop ends the proxy and what is left of its relays.
func (p *proxy) stop() {
	p.Close()
	p.cancel()
	p.wait.Wait()
}

// port returns the port that clients connect to.
func (p *proxy) port() string {
	_, port, err := net.SplitHostPort(p.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	return port
}

// relays waits until all relays that have begun have ended, and returns those since the last
// call. There have to be n of them; or any number but none, where n is 0.
func (p *proxy) relays(n int) []ended {
	p.t.Helper()
	ztest.Eventually(p.t, ztest.Patience, "the relays have ended", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.begun == len(p.done) && p.begun > 0
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	done := p.done
	p.begun, p.done = 0, nil
	if n != 0 && len(done) != n {
		p.t.Fatalf("there were %d connections, want %d", len(done), n)
	}
	return done
}

// relay is relays for one that has ended well.
func (p *proxy) relay() ended {
	p.t.Helper()
	e := p.relays(1)[0]
	if e.err != nil || e.Ending != zcnet.EndedByEOF {
		p.t.Fatalf("the relay ended with %v: %v", e.err, e)
	}
	return e
}

// bulk checks that a direction moved at least n bytes, and the kernel nearly all of them.
// What it did not move had yet to prove to be bulk, again perhaps.
func bulk(t testing.TB, what string, r zerocopy.Report, n int64) {
	t.Helper()
	if r.Written < n {
		t.Errorf("%s: %d bytes, want %d: %v", what, r.Written, n, r)
	}
	if spliced := r.Bytes(zerocopy.Splice); float64(spliced) < 0.9*float64(n) {
		t.Errorf("%s: %d bytes by splice: %v", what, spliced, r)
	}
	for _, s := range r.Steps {
		if s.Mechanism != zerocopy.Splice && s.Reason != zerocopy.ReasonStart && s.Reason != zerocopy.ReasonCheck {
			t.Errorf("%s: %d bytes by %v", what, s.Bytes, s)
		}
	}
}

// interactive checks that a direction moved bytes, all by read and write, because they were few.
func interactive(t testing.TB, what string, r zerocopy.Report) {
	t.Helper()
	if r.Written == 0 {
		t.Errorf("%s: no byte: %v", what, r)
	}
	for _, s := range r.Steps {
		if s.Bytes > 0 && (s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonStart) {
			t.Errorf("%s: %d bytes by %v", what, s.Bytes, s)
		}
	}
}

// counted checks that the counts of the process, of which other tests have their part, include
// what the ended relays of this proxy did.
func (p *proxy) counted(done ...ended) {
	p.t.Helper()
	var spliced, buffered int64
	for _, e := range done {
		for _, r := range []zerocopy.Report{e.AToB, e.BToA} {
			spliced += r.Bytes(zerocopy.Splice)
			buffered += r.Bytes(zerocopy.Buffered)
		}
	}
	now := zerocopy.ReadStats()
	for _, row := range []struct {
		what      string
		was, is   int64
		increment int64
	}{
		{"bytes by splice", p.before.Bytes(zerocopy.Splice), now.Bytes(zerocopy.Splice), spliced},
		{"bytes by read and write", p.before.Bytes(zerocopy.Buffered), now.Bytes(zerocopy.Buffered), buffered},
		{"bytes because of start", because(p.before), because(now), buffered},
		{"copies", p.before.Copies, now.Copies, 2 * int64(len(done))},
	} {
		if row.is-row.was < row.increment {
			p.t.Errorf("ReadStats: %d %s more, want %d", row.is-row.was, row.what, row.increment)
		}
	}
}

// because returns how many bytes were buffered for being too few.
func because(s zerocopy.Stats) (n int64) {
	for _, r := range s.Reasons {
		if r.Reason == zerocopy.ReasonStart {
			n += r.Bytes
		}
	}
	return n
}

// rate prints how fast n bytes went, in megabytes of 10^6 bytes a second.
func rate(n int64, d time.Duration) string {
	return fmt.Sprintf("%.0f MB/s", float64(n)/1e6/d.Seconds())
}
