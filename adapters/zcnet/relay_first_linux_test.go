package zcnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestRelayFirst(t *testing.T) {
	t.Parallel()
	ca, a := tcpPair(t)
	b, sb := tcpPair(t)
	up, down := ztest.Pattern(1).Bytes(8<<20), ztest.Pattern(2).Bytes(5<<20)
	type res struct {
		s   zcnet.RelayStats
		err error
	}
	done := make(chan res, 1)
	var live zcnet.RelayMeters
	go func() {
		s, err := zcnet.Relay(context.Background(), zcnet.NewConn(a), zcnet.NewConn(b), &zcnet.RelayOptions{IdleTimeout: 10 * time.Second, Live: &live})
		done <- res{s, err}
	}()
	go func() { ca.Write(up); ca.CloseWrite() }()
	go func() {
		got, _ := io.ReadAll(sb)
		if !bytes.Equal(got, up) {
			t.Error("up differs")
		}
		sb.Write(down)
		sb.Close()
	}()
	got, err := io.ReadAll(ca)
	if err != nil || !bytes.Equal(got, down) {
		t.Error("down differs", err)
	}
	r := <-done
	t.Log(r.s, r.err, live.AToB.Step(), live.AToB.Bytes())
	if r.err != nil || r.s.First != zcnet.SideA || r.s.AToB.Bytes(zerocopy.Splice) == 0 {
		t.Error(r.s, r.err)
	}
}

func TestRelayIdleFirst(t *testing.T) {
	t.Parallel()
	_, a := tcpPair(t)
	b, _ := tcpPair(t)
	start := time.Now()
	s, err := zcnet.Relay(context.Background(), a, b, &zcnet.RelayOptions{IdleTimeout: 50 * time.Millisecond})
	t.Log(s, err, time.Since(start))
	if !errors.Is(err, zcnet.ErrIdle) || s.Ending != zcnet.EndedByIdle {
		t.Error(err)
	}
}

func TestRelayHangup(t *testing.T) {
	t.Parallel()
	ca, a := tcpPair(t)
	b, _ := tcpPair(t)
	ca.CloseWrite()
	time.AfterFunc(100*time.Millisecond, func() { ca.SetLinger(0); ca.Close() })
	start := time.Now()
	s, err := zcnet.Relay(context.Background(), a, b, nil)
	t.Log(s, err, time.Since(start))
	if err == nil {
		t.Error("no error")
	}
}

func TestCopyEndsWithEither(t *testing.T) {
	t.Parallel()
	_, a := tcpPair(t)
	b, _ := tcpPair(t)
	dst, src := zcnet.NewConn(b), zcnet.NewConn(a)
	time.AfterFunc(50*time.Millisecond, func() { dst.Close() })
	n, err := io.Copy(dst, src)
	t.Log(n, err)
	if !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
