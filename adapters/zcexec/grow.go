package zcexec

import (
	"io"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// A child's pipe of 64 KiB is filled in the time that a wake-up takes: child and copy run
// in turn. One of 256 KiB takes a bulk stream from 0.55 to 0.38 times exec.Cmd's CPU a GB
// and doubles its rate; 1 MiB gains hardly more (0.36; bench, exec-tcp, 2026-11-22).
const (
	grownSize = 256 << 10
	// A stream is bulk when so many chunks in a row were at least half a pipe.
	bulkChunk = 32 << 10
	bulkRun   = 3
	// mostGrown pipes at a time are 16 MiB, a quarter of what pipe(7) allows a user by
	// default (pipe-user-pages-soft); package zerocopy takes half.
	mostGrown = 64
)

// grown is how many pipes are larger at present.
var grown atomic.Int32

// A growing is the end for reading of a child's pipe, which is made larger once there is
// bulk in it.
type growing struct {
	r     io.Reader
	run   int
	grown bool
}

var _ zerocopy.ReaderUnwrapper = (*growing)(nil)

func (g *growing) Read(p []byte) (n int, err error) {
	n, err = g.r.Read(p)
	if n >= bulkChunk {
		g.moved(int64(n))
	}
	return n, err
}

// UnwrapReader says that the bytes are those of the pipe.
func (g *growing) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: g, Reader: g.r, Moved: g.moved}, true
}

// SetReadDeadline is what a copy that shall end calls.
func (g *growing) SetReadDeadline(t time.Time) error {
	if c, ok := g.r.(interface{ SetReadDeadline(time.Time) error }); ok {
		return c.SetReadDeadline(t)
	}
	return nil
}

// moved looks at the size of a chunk.
func (g *growing) moved(n int64) error {
	switch {
	case g.run >= bulkRun:
		return nil
	case n < bulkChunk:
		g.run = 0
		return nil
	}
	if g.run++; g.run < bulkRun {
		return nil
	}
	if grown.Add(1) > mostGrown || !setPipeSize(g.r, grownSize) {
		grown.Add(-1)
		return nil
	}
	g.grown = true
	return nil
}

// done is called when the copy has ended; the pipe is closed soon.
func (g *growing) done() {
	if g.grown {
		grown.Add(-1)
	}
}
