package zcnet_test

import (
	"context"
	"crypto/tls"
	"encoding"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A ledger is a limiter that counts tokens.
type ledger struct {
	burst int
	wait  func(n int) error
	mu    sync.Mutex
	asked int
}

func (l *ledger) Burst() int { return l.burst }

func (l *ledger) WaitN(_ context.Context, n int) error {
	l.mu.Lock()
	l.asked += n
	l.mu.Unlock()
	if l.wait != nil {
		return l.wait(n)
	}
	return nil
}

// exchange sends up from the peer of a and down from that of b, and ends both.
func exchange(t testing.TB, o *zcnet.RelayOptions, up, down []byte) (stats zcnet.RelayStats, err error) {
	t.Helper()
	atA, a := tcpPair(t)
	b, atB := tcpPair(t)
	var peers sync.WaitGroup
	peers.Go(func() { atA.Write(up); atA.CloseWrite() })
	peers.Go(func() { atB.Write(down); atB.CloseWrite() })
	var gotA, gotB []byte
	peers.Go(func() { gotA, _ = io.ReadAll(atA) })
	peers.Go(func() { gotB, _ = io.ReadAll(atB) })
	stats, err = zcnet.Relay(context.Background(), a, b, o)
	a.Close()
	b.Close()
	peers.Wait()
	if err == nil {
		ztest.Equal(t, "a→b", gotB, up)
		ztest.Equal(t, "b→a", gotA, down)
	}
	return stats, err
}

// TestRelayPace: each direction goes as fast as its limiter lets it, and every byte is asked
// for, no more at once than the burst.
func TestRelayPace(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{0, -1, 1000, 1 << 20} {
		there := &ledger{burst: burst, wait: func(n int) error {
			if burst > 0 && n > burst {
				t.Errorf("asked for %d at once, the burst is %d", n, burst)
			}
			return nil
		}}
		back := &ledger{burst: 5000}
		s, err := exchange(t, &zcnet.RelayOptions{PaceAToB: there, PaceBToA: back}, ztest.Pattern(1).Bytes(300_000), ztest.Pattern(2).Bytes(100_000))
		if err != nil || there.asked != 300_000 || back.asked != 100_000 {
			t.Error(s, err, there.asked, back.asked)
		}
	}
}

// A clock is a limiter of so many bytes a second: it lets n bytes go after their time.
type clock struct {
	rate int
	mu   sync.Mutex
	next time.Time
}

func (c *clock) Burst() int { return c.rate / 20 }

func (c *clock) WaitN(ctx context.Context, n int) error {
	c.mu.Lock()
	if c.next.IsZero() {
		c.next = time.Now()
	}
	c.next = c.next.Add(time.Duration(n) * time.Second / time.Duration(c.rate))
	at := c.next
	c.mu.Unlock()
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestRelayPaceRate: both directions take the time that their rates say, and not more than
// a busy machine may add.
func TestRelayPaceRate(t *testing.T) {
	t.Parallel()
	const rate = 4 << 20
	start := time.Now()
	_, err := exchange(t, &zcnet.RelayOptions{PaceAToB: &clock{rate: rate}, PaceBToA: &clock{rate: 2 * rate}},
		make([]byte, rate/2), make([]byte, rate))
	took := time.Since(start)
	if want := time.Second / 2; err != nil || took < want*98/100 || took > 10*want {
		t.Errorf("%v instead of %v, %v", took, want, err)
	}
}

// TestRelayLimiterFails: its error is the relay's, and neither side is to blame.
func TestRelayLimiterFails(t *testing.T) {
	t.Parallel()
	errSpent := errors.New("spent")
	for _, there := range []bool{true, false} {
		o := &zcnet.RelayOptions{}
		l := &ledger{burst: 1000, wait: func(int) error { return errSpent }}
		if there {
			o.PaceAToB = l
		} else {
			o.PaceBToA = l
		}
		s, err := exchange(t, o, make([]byte, 1<<20), make([]byte, 1<<20))
		if !errors.Is(err, errSpent) || s.Ending != zcnet.EndedByError {
			t.Error(s, err)
		}
	}
}

// TestRelayLimiterPanics: a panic of either direction is the caller's, who can recover from
// it; the relay is over then.
func TestRelayLimiterPanics(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		o := &zcnet.RelayOptions{}
		l := &ledger{burst: 1000, wait: func(int) error { panic("out of tokens") }}
		if there {
			o.PaceAToB = l
		} else {
			o.PaceBToA = l
		}
		atA, a := tcpPair(t)
		b, atB := tcpPair(t)
		atA.Write([]byte("x"))
		atB.Write([]byte("x"))
		func() {
			defer func() {
				if v := recover(); v != "out of tokens" {
					t.Error(v)
				}
			}()
			zcnet.Relay(context.Background(), a, b, o)
		}()
	}
}

// plainConn hides all but the methods of net.Conn.
type plainConn struct{ net.Conn }

// TestRelayNoCloseWrite: where an end cannot be passed on, the other direction goes on until
// its own end, or until it is silent.
func TestRelayNoCloseWrite(t *testing.T) {
	t.Parallel()
	t.Run("nothing more", func(t *testing.T) {
		t.Parallel()
		atA, a := tcpPair(t)
		b, _ := tcpPair(t)
		atA.CloseWrite()
		s, err := zcnet.Relay(context.Background(), a, plainConn{b}, &zcnet.RelayOptions{HalfClosedTimeout: 50 * time.Millisecond})
		if err != zcnet.ErrNoCloseWrite || s.Ending != zcnet.EndedByIdle || s.First != zcnet.SideA || !errors.Is(s.BToA.Err, zcnet.ErrNoCloseWrite) || s.AToB.Err != nil {
			t.Error(s, err, s.BToA.Err)
		}
	})
	t.Run("an answer that takes its time", func(t *testing.T) {
		t.Parallel()
		atA, a := tcpPair(t)
		b, atB := tcpPair(t)
		atA.Write([]byte("question"))
		atA.CloseWrite()
		go func() {
			io.ReadFull(atB, make([]byte, 8))
			for _, word := range []string{"an ", "answer"} {
				time.Sleep(50 * time.Millisecond)
				atB.Write([]byte(word))
			}
			atB.Close()
		}()
		s, err := zcnet.Relay(context.Background(), a, plainConn{b}, nil)
		if err != nil || s.Ending != zcnet.EndedByEOF || s.First != zcnet.SideA {
			t.Error(s, err)
		}
		a.Close()
		if p, err := io.ReadAll(atA); string(p) != "an answer" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
	})
	t.Run("net.Pipe", func(t *testing.T) {
		t.Parallel()
		atA, a := net.Pipe()
		b, atB := net.Pipe()
		go func() { atA.Write([]byte("hello")); atA.Close() }()
		go func() {
			if p, err := io.ReadAll(io.LimitReader(atB, 5)); string(p) != "hello" || err != nil {
				t.Error(string(p), err)
			}
			atB.Close() // it is not told, and has to know itself when to end
		}()
		s, err := zcnet.Relay(context.Background(), a, b, nil)
		if err != nil || s.Ending != zcnet.EndedByEOF || s.AToB.Written != 5 { // either may be first
			t.Error(s, err)
		}
		for _, c := range []net.Conn{atA, a, b, atB} {
			c.Close()
		}
	})
}

// tlsPair returns a TLS client and its server.
func tlsPair(t testing.TB) (client, server *tls.Conn) {
	t.Helper()
	x, y := tcpPair(t)
	cert := certificate(t)
	client = tls.Client(x, &tls.Config{InsecureSkipVerify: true})
	server = tls.Server(y, &tls.Config{Certificates: []tls.Certificate{cert}})
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	must(t, client.Handshake())
	must(t, <-done)
	return client, server
}

// TestRelayTLS: TLS ends are relayed by read and write, counted while they run, half-close
// included, and the reason says why.
func TestRelayTLS(t *testing.T) {
	t.Parallel()
	atA, a := tlsPair(t)
	b, atB := tcpPair(t)
	var live zcnet.RelayMeters
	type result struct {
		s   zcnet.RelayStats
		err error
	}
	done := make(chan result)
	go func() {
		s, err := zcnet.Relay(context.Background(), a, b, &zcnet.RelayOptions{Live: &live, IdleTimeout: time.Minute})
		done <- result{s, err}
	}()
	content := ztest.Pattern(3).Bytes(300_000)
	go atA.Write(content)
	got := make([]byte, len(content))
	_, err := io.ReadFull(atB, got)
	must(t, err)
	ztest.Equal(t, "a→b", got, content)
	if live.AToB.Bytes() == 0 {
		t.Error("not counted while it runs")
	}
	must(t, atA.CloseWrite())
	if _, err := atB.Read(got); err != io.EOF {
		t.Error(err)
	}
	go func() { atB.Write(content); atB.Close() }()
	back, err := io.ReadAll(atA)
	must(t, err)
	ztest.Equal(t, "b→a", back, content)
	r := <-done
	if r.err != nil || r.s.AToB.Written != int64(len(content)) || r.s.AToB.Steps[0].Mechanism != zerocopy.Buffered {
		t.Error(r.s, r.err)
	}
	if live.AToB.Bytes() != int64(len(content)) || live.BToA.Bytes() != int64(len(content)) {
		t.Error(live.AToB.Bytes(), live.BToA.Bytes())
	}
}

// ownConn copies by methods of its own, which do not say that bytes have moved.
type ownConn struct{ *net.TCPConn }

func (c ownConn) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, plainConn{c.TCPConn}) }

func (c ownConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(plainConn{c.TCPConn}, r) }

// TestRelayOwnMethods: bytes of connections that copy by themselves are counted while they
// move, so that the relay is not taken for idle.
func TestRelayOwnMethods(t *testing.T) {
	t.Parallel()
	atA, a := tcpPair(t)
	b, atB := tcpPair(t)
	var live zcnet.RelayMeters
	done := make(chan error)
	go func() {
		_, err := zcnet.Relay(context.Background(), ownConn{a}, ownConn{b}, &zcnet.RelayOptions{Live: &live})
		done <- err
	}()
	for from, to := range map[*net.TCPConn]*net.TCPConn{atA: atB, atB: atA} {
		from.Write([]byte("x"))
		_, err := io.ReadFull(to, make([]byte, 1))
		must(t, err)
	}
	for start := time.Now(); live.AToB.Bytes() != 1 || live.BToA.Bytes() != 1; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatal(live.AToB.Bytes(), live.BToA.Bytes())
		}
	}
	atA.Close()
	atB.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestResetTLS: the peer does not see the regular end of a TLS stream.
func TestResetTLS(t *testing.T) {
	t.Parallel()
	for _, around := range []func(net.Conn) net.Conn{
		func(c net.Conn) net.Conn { return c },
		func(c net.Conn) net.Conn { return zcnet.NewConn(c) },
	} {
		client, server := tlsPair(t)
		must(t, zcnet.Reset(around(server)))
		if _, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Error(err)
		}
	}
}

// TestRelayNames: what the enumerations and the stats say of themselves in logs.
func TestRelayNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		v    encoding.TextMarshaler
		want string
	}{
		{zcnet.NoSide, ""}, {zcnet.SideA, "a"}, {zcnet.SideB, "b"},
		{zcnet.EndedByEOF, "eof"}, {zcnet.EndedByError, "error"}, {zcnet.EndedByIdle, "idle"}, {zcnet.EndedByContext, "context"},
	} {
		if got, err := tt.v.MarshalText(); string(got) != tt.want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	s, _ := exchange(t, nil, []byte("up"), []byte("down"))
	for _, want := range []string{"a→b 2 bytes", "b→a 4 bytes", "ended by eof", "first "} {
		if !strings.Contains(s.String(), want) {
			t.Errorf("%q is not in %q", want, s)
		}
	}
}
