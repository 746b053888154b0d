package zcnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A hanging limiter waits for its context.
type hanging struct{ waits chan struct{} }

func (hanging) Burst() int { return 1024 }

func (h hanging) WaitN(ctx context.Context, n int) error {
	close(h.waits)
	<-ctx.Done()
	return ctx.Err()
}

// TestCloseEndsWaitForTokens: a copy between two Conns that waits for a limiter ends when
// either is closed.
func TestCloseEndsWaitForTokens(t *testing.T) {
	t.Parallel()
	for i, name := range []string{"source", "destination"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far, a := tcpPair(t)
			b, _ := tcpPair(t)
			ends := []zcnet.Conn{zcnet.NewConn(a), zcnet.NewConn(b)}
			far.Write(make([]byte, 5000))
			l := hanging{make(chan struct{})}
			go func() {
				<-l.waits
				ends[i].Close()
			}()
			ztest.Within(t, ztest.Patience, "the copy", func() {
				if n, err := zerocopy.Copy(ends[1], zerocopy.Pace(ends[0], l)); n != 1024 || !errors.Is(err, net.ErrClosed) {
					t.Error(n, err)
				}
			})
		})
	}
}

// TestCancelBesideTold: of two copies to one Conn one is told to end and one is cancelled, in
// the same moment. What the first sets right when it leaves does not wake the other from its
// end.
func TestCancelBesideTold(t *testing.T) {
	t.Parallel()
	for range 60 {
		far1, a := tcpPair(t)
		far2, c := tcpPair(t)
		b, _ := tcpPair(t)
		src1, src2, dst := zcnet.NewConn(a), zcnet.NewConn(c), zcnet.NewConn(b)
		for _, far := range []net.Conn{far1, far2} {
			go io.Copy(far, zeros{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() { zerocopy.Copy(dst, src1) })
		both.Go(func() { zerocopy.CopyContext(ctx, dst, src2) })
		time.Sleep(5 * time.Millisecond) // both wait for dst, most of the time
		go cancel()
		src1.Close()
		ztest.Within(t, ztest.Patience, "both copies", both.Wait)
		for _, c := range []net.Conn{far1, far2, src2, dst} {
			c.Close()
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// An opted is a connection of a type that has opted in.
type opted struct{ net.Conn }

func (o *opted) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: o, Reader: o.Conn}, true
}

func (o *opted) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: o, Writer: o.Conn}, true
}

// TestEndsAroundOptIn: a copy between Conns around types that have opted in ends with either,
// too.
func TestEndsAroundOptIn(t *testing.T) {
	t.Parallel()
	_, a := tcpPair(t)
	b, _ := tcpPair(t)
	src, dst := zcnet.NewConn(&opted{a}), zcnet.NewConn(&opted{b})
	time.AfterFunc(20*time.Millisecond, func() { dst.Close() })
	ztest.Within(t, ztest.Patience, "the copy", func() {
		if n, err := io.Copy(dst, src); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Error(n, err)
		}
	})
}
