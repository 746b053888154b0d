package zcnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What a slow receiver takes out of the kernel's send queue moves, though the relay writes
// nothing meanwhile.

// TestRelaySlowReceiver: a peer that reads a little now and then, of what was accepted for it long
// ago, is not silent; when it stops it is.
func TestRelaySlowReceiver(t *testing.T) {
	t.Parallel()
	const limit = 1200 * time.Millisecond
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			atA, a := pair(t, network)
			b, atB := pair(t, network)
			if c, ok := atB.(*net.TCPConn); ok { // what leaves it lets some of the send queue in, soon
				must(t, c.SetReadBuffer(256<<10))
			}
			type outcome struct {
				stats zcnet.RelayStats
				err   error
				at    time.Time
			}
			ended := make(chan outcome, 1)
			go func() {
				s, err := zcnet.Relay(context.Background(), a, b, &zcnet.RelayOptions{IdleTimeout: limit})
				ended <- outcome{s, err, time.Now()}
			}()
			go io.Copy(atA, zeros{})
			p := make([]byte, 64<<10)
			var stopped time.Time
			for began := time.Now(); time.Since(began) < 4*limit; time.Sleep(limit / 20) {
				stopped = time.Now()
				if _, err := atB.Read(p); err != nil {
					t.Fatal("it was cut: ", err)
				}
			}
			o := <-ended
			if !errors.Is(o.err, zcnet.ErrIdle) || o.at.Sub(stopped) < limit/2 || o.at.Sub(stopped) > 8*limit {
				t.Errorf("%v, %v: %v after the last byte", o.stats, o.err, o.at.Sub(stopped))
			}
			for _, c := range []net.Conn{atA, a, b, atB} {
				c.Close()
			}
		})
	}
}

// TestRelaySlowUpload: an upload that the kernel has accepted whole, and whose end it has, too, is
// read slowly and then answered.
func TestRelaySlowUpload(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	atA, a := tcpPair(t)
	b, atB := tcpPair(t)
	must(t, atB.SetReadBuffer(64<<10)) // in one that has grown all of it would be, where no relay sees it taken out
	content := ztest.Pattern(1).Bytes(1 << 20)
	ended := make(chan error, 1)
	go func() {
		_, err := zcnet.Relay(context.Background(), a, b, &zcnet.RelayOptions{HalfClosedTimeout: limit})
		ended <- err
	}()
	go func() {
		atA.Write(content)
		atA.CloseWrite()
	}()
	got := make([]byte, 0, len(content))
	for len(got) < len(content) {
		n, err := atB.Read(got[len(got):min(len(got)+16<<10, cap(got))])
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", len(got), err)
		}
		got = got[:len(got)+n]
		time.Sleep(limit / 25)
	}
	ztest.Equal(t, "upload", got, content)
	atB.Write([]byte("done"))
	atB.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	a.Close()
	if p, err := io.ReadAll(atA); string(p) != "done" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
}

// A deadlineless is a connection whose deadlines do not work, as those through SSH.
type deadlineless struct{ net.Conn }

func (deadlineless) SetDeadline(time.Time) error      { return errors.ErrUnsupported }
func (deadlineless) SetReadDeadline(time.Time) error  { return errors.ErrUnsupported }
func (deadlineless) SetWriteDeadline(time.Time) error { return errors.ErrUnsupported }
func (c deadlineless) CloseWrite() error              { return c.Conn.(closeWriter).CloseWrite() }

// TestRelayWithoutDeadlines: every end of a relay ends the wait for a connection that no
// deadline ends.
func TestRelayWithoutDeadlines(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		options zcnet.RelayOptions
		inflict func(atA *net.TCPConn, cancel func())
		want    zcnet.Ending
	}{
		"reset":   {zcnet.RelayOptions{}, func(atA *net.TCPConn, _ func()) { atA.SetLinger(0); atA.Close() }, zcnet.EndedByError},
		"context": {zcnet.RelayOptions{}, func(_ *net.TCPConn, cancel func()) { cancel() }, zcnet.EndedByContext},
		"idle":    {zcnet.RelayOptions{IdleTimeout: 50 * time.Millisecond}, func(*net.TCPConn, func()) {}, zcnet.EndedByIdle},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			atA, a := tcpPair(t)
			b, _ := tcpPair(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			time.AfterFunc(20*time.Millisecond, func() { row.inflict(atA, cancel) })
			ztest.Within(t, ztest.Patience, "the relay", func() {
				if s, err := zcnet.Relay(ctx, a, deadlineless{b}, &row.options); err == nil || s.Ending != row.want {
					t.Error(s, err)
				}
			})
		})
	}
}

// TestRelayClearsDeadlines: one that was set for a handshake does not end the relay.
func TestRelayClearsDeadlines(t *testing.T) {
	t.Parallel()
	atA, a := tcpPair(t)
	b, atB := tcpPair(t)
	a.SetDeadline(time.Now().Add(50 * time.Millisecond))
	time.AfterFunc(150*time.Millisecond, func() { atA.Close(); atB.Close() })
	if s, err := zcnet.Relay(context.Background(), zcnet.NewConn(a), zcnet.NewConn(b), nil); err != nil {
		t.Error(s, err)
	}
}

// TestNilPanics: where the caller can see it.
func TestNilPanics(t *testing.T) {
	t.Parallel()
	a, _ := tcpPair(t)
	for name, f := range map[string]func(){
		"Relay":       func() { zcnet.Relay(context.Background(), nil, a, nil) },
		"Relay, b":    func() { zcnet.Relay(context.Background(), a, (*net.TCPConn)(nil), nil) },
		"NewConn":     func() { zcnet.NewConn((*net.UnixConn)(nil)) },
		"NewListener": func() { zcnet.NewListener(nil) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f()
		}()
	}
}

// TestMessagesAreLeftAlone: of a socket with message boundaries nothing can be peeked.
func TestMessagesAreLeftAlone(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/socket"
	inner, err := net.Listen("unixpacket", path)
	must(t, err)
	l := zcnet.NewListener(inner)
	defer l.Close()
	c, err := net.Dial("unixpacket", path)
	must(t, err)
	defer c.Close()
	s, err := l.Accept()
	must(t, err)
	defer s.Close()
	if _, ok := s.(*net.UnixConn); !ok {
		t.Errorf("it is a %T", s)
	}
}
