package zcnet

import "sync"

// Gathering: net/http writes a response through a buffer of 4 KiB, so that a small file and its
// header leave in two calls, each of which wakes the peer. Between Gather and Release they are
// copied together, and leave in one.

// gatherMost is how much is kept back; beyond it everything is written as it comes.
const gatherMost = 72 << 10

var gatherBuffers = sync.Pool{New: func() any { return new([gatherMost]byte) }}

// A gathered is what Writes have brought since Gather.
type gathered struct {
	buf *[gatherMost]byte
	n   int
}

// Gather keeps back what is written from now on. It is for one goroutine, which alone writes to
// the connection until it has called Release.
func (c *conn) Gather() { c.gathered.Store(&gathered{buf: gatherBuffers.Get().(*[gatherMost]byte)}) }

// Release writes what was kept back, and returns the error of that. The connection is closed then:
// whoever wrote was told that all is well, and would go on with the next response in the middle
// of this one.
func (c *conn) Release() error {
	g := c.gathered.Swap(nil)
	if g == nil {
		return nil
	}
	defer gatherBuffers.Put(g.buf)
	if g.n == 0 {
		return nil
	}
	_, err := c.inner.Write(g.buf[:g.n])
	if err != nil {
		c.self.Close()
	}
	return err
}

// gather keeps p back, or writes it if there is no room.
func (c *conn) gather(g *gathered, p []byte) (int, error) {
	if len(p) <= len(g.buf)-g.n {
		g.n += copy(g.buf[g.n:], p)
		return len(p), nil
	}
	if err := c.Release(); err != nil {
		return 0, err
	}
	return c.inner.Write(p)
}
