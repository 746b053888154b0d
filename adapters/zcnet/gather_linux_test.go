package zcnet_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
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

// TestGatherReadFrom: what is kept back goes before what a copy brings, by whatever method that asks.
func TestGatherReadFrom(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"ReadFrom", "Copy"} {
		a, b := tcpPair(t)
		c := zcnet.NewConn(a).(interface {
			zcnet.Conn
			io.ReaderFrom
			Gather()
			Release() error
		})
		f, err := os.CreateTemp(t.TempDir(), "")
		must(t, err)
		defer f.Close()
		_, err = f.WriteString("second")
		must(t, err)
		_, err = f.Seek(0, io.SeekStart)
		must(t, err)
		c.Gather()
		_, err = io.WriteString(c, "first, ")
		must(t, err)
		if by == "Copy" {
			_, err = zerocopy.Copy(c, f)
		} else {
			_, err = c.ReadFrom(f)
		}
		must(t, err)
		must(t, c.Release())
		must(t, c.Close())
		if got, err := io.ReadAll(b); string(got) != "first, second" || err != nil {
			t.Errorf("%s: %q, %v", by, got, err)
		}
	}
}

// TestGatherFails: what could not be released, though its writers were told that it was written, ends the
// connection.
func TestGatherFails(t *testing.T) {
	t.Parallel()
	a, _ := tcpPair(t)
	c := zcnet.NewConn(a).(interface {
		zcnet.Conn
		Gather()
		Release() error
	})
	c.Gather()
	_, err := io.WriteString(c, "some")
	must(t, err)
	must(t, c.SetWriteDeadline(time.Unix(1, 0)))
	if err := c.Release(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	a.SetWriteDeadline(time.Time{}) // for a look at whether it is still open
	if _, err := io.WriteString(a, "more"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("written to after a gap: %v", err)
	}
}
