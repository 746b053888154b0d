package engine

import (
	"net"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A markedConn is the connection of a Mover, marked.
type markedConn struct {
	net.Conn
	k *Marker
}

func (c *markedConn) Mark(k *Marker)  { c.k = k }
func (c *markedConn) Unmark(*Marker)  { c.k = nil }
func (c *markedConn) Under() net.Conn { return c.Conn }

// TestThroughWaits: a Read that goes on to wait after it has spliced has its pipe emptied into
// the marker before, so that it holds none; one that does not wait keeps it.
func TestThroughWaits(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(7).Bytes(60_000)
	for _, more := range []bool{false, true} {
		a, b := ztest.TCPPair(t, ztest.TCP4)
		var pool kpipe.Pool
		t.Cleanup(pool.CloseIdle)
		m := NewMover(nil, &pool)
		end, _ := Inspect(nil, a, true)
		m.SetSrc(end)
		conn := &markedConn{Conn: a}
		if _, err := b.Write(content[:40_000]); err != nil {
			t.Fatal(err)
		}
		ztest.Eventually(t, ztest.Patience, "40,000 bytes", func() bool { n, _ := ztest.Queued(a); return n == 40_000 })
		n, refused, err := m.ReadThrough(conn, func(p []byte) (int, error) {
			first, handled, err := conn.k.Read(p[:40_000])
			if first != 40_000 || !handled || err != nil || m.InPipe() != 40_000 {
				t.Errorf("first: %d, %v, %v, %d in the pipe", first, handled, err, m.InPipe())
			}
			if more {
				b.Write(content[40_000:])
				ztest.Eventually(t, ztest.Patience, "20,000 bytes", func() bool { n, _ := ztest.Queued(a); return n == 20_000 })
			}
			_, handled, err = conn.k.Read(p[40_000:])
			if handled || err != nil || (m.InPipe() > 0) != more {
				t.Errorf("second: %v, %v, %d in the pipe", handled, err, m.InPipe())
			}
			if !more {
				if s := pool.Stats(); s.Open != s.Idle {
					t.Errorf("%+v", s)
				}
				b.Write(content[40_000:])
			}
			second := 0
			for second < 20_000 {
				k, err := a.Read(p[40_000+second:])
				if err != nil {
					t.Fatal(err)
				}
				second += k
			}
			return 40_000 + second, nil
		}, false, 0, 1<<20)
		if n != len(content) || refused != nil || err != nil {
			t.Errorf("%d, %v, %v", n, refused, err)
		}
		m.Unpipe()
		ztest.Equal(t, "residue", append(m.Mem(), m.tail...), content)
		m.Discard()
		m.Release()
	}
}
