package zcnet_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestGather: what is written between Gather and Release leaves at once, in order, whatever
// its size, and its errors come at Release.
func TestGather(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(5).Bytes(400_000)
	for _, sizes := range [][]int{{10, 20}, {4096, 230}, {0, 1}, {72 << 10}, {72 << 10, 1}, {1, 100_000}, {100_000, 1, 100_000}, nil} {
		a, b := tcpPair(t)
		c := zcnet.NewConn(a)
		g := c.(interface {
			Gather()
			Release() error
		})
		want := content
		g.Gather()
		rest := content
		small := 0
		for _, n := range sizes {
			k, err := c.Write(rest[:n])
			if k != n || err != nil {
				t.Errorf("%v: %d, %v", sizes, k, err)
			}
			rest = rest[n:]
			small += n
		}
		if small <= 72<<10 {
			if n, err := ztest.Queued(b); n != 0 || err != nil {
				t.Errorf("%v: %d bytes have left, %v", sizes, n, err)
			}
		}
		must(t, g.Release())
		must(t, g.Release()) // nothing is kept back any more
		c.Write(rest[:5])
		want = content[:small+5]
		c.Close()
		got, err := io.ReadAll(b)
		must(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes, want %d", sizes, len(got), len(want))
		}
	}
	a, _ := tcpPair(t)
	c := zcnet.NewConn(a).(interface {
		zcnet.Conn
		Gather()
		Release() error
	})
	c.Gather()
	c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
	if c.Release() == nil {
		t.Error("no error of a closed connection")
	}
}
