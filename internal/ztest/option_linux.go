package ztest

import (
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// An Option alters what NewSource and NewDest make. Options that make no sense
// for a kind (Pieces for a file) are ignored, so that one list serves a matrix.
type Option func(*config)

type config struct {
	pieces     []int
	barrier    bool
	step       func(sent int64)
	noEOF      bool
	manual     bool
	buffers    int
	mss        int
	blocking   bool
	otherEnd   bool
	existing   []byte
	path       string
	pause      time.Duration
	stallAfter int64
	into       io.Writer
}

func configure(opts []Option) config {
	c := config{stallAfter: -1}
	for _, o := range opts {
		o(&c)
	}
	return c
}

// Pieces sets the sizes of the writes of a source's peer, or the most that a
// sink's peer reads at a time; the sizes are used in turn, over and over. If
// not set, a source's content is one write and a sink's peer reads 64 KiB.
func Pieces(sizes ...int) Option {
	return func(c *config) {
		c.pieces = nil
		for _, n := range sizes {
			if n > 0 {
				c.pieces = append(c.pieces, n)
			}
		}
	}
}

// Barrier makes a source's peer write the next piece, and end the stream, only
// after the copy has taken all of the last one: each piece is seen alone.
func Barrier() Option { return func(c *config) { c.barrier = true } }

// Step is called by a source's peer before each piece and before the end of
// the stream, with the bytes written so far. The peer waits for it.
func Step(f func(sent int64)) Option { return func(c *config) { c.step = f } }

// Slow makes the peer pause before each piece that it writes or reads.
func Slow(pause time.Duration) Option { return func(c *config) { c.pause = pause } }

// NoEOF makes a source's peer leave the stream open after the content, until
// End, Rest or Close.
func NoEOF() Option { return func(c *config) { c.noEOF = true } }

// Manual leaves a source's peer to the test, which calls Feed and End; Content
// is then what the test makes it.
func Manual() Option { return func(c *config) { c.manual = true } }

// Buffers asks for kernel buffers of n bytes between the peer and the copy (the
// kernel has a minimum of its own and doubles the number for sockets). For TCP
// it implies MSS(1448), if that is not set, and for MPTCP at least 32 KiB: with a
// window smaller than a segment (of 64 KiB on the loopback device), each waits
// 200 ms for a timer.
func Buffers(n int) Option { return func(c *config) { c.buffers = n } }

// MSS bounds the segments of TCP in both directions, to have on the loopback
// device what an Ethernet brings (1448: hazard H02).
func MSS(n int) Option { return func(c *config) { c.mss = n } }

// Blocking opens the copy's end of Pipe, FIFO, PTY and SockFile in blocking
// mode, as standard input and output often are (hazard H20).
func Blocking() Option { return func(c *config) { c.blocking = true } }

// OtherEnd gives the copy the other end of a PTY: the slave as a source, the
// master as a sink. Such a source has no end of its own: Endless is true.
func OtherEnd() Option { return func(c *config) { c.otherEnd = true } }

// Existing is what a destination file holds before the copy. The file's offset
// is behind it, except for Append: there it is 0. Finish returns what follows.
func Existing(b []byte) Option { return func(c *config) { c.existing = b } }

// Path is the /proc or /sys file that a source of the kind Proc reads, if not
// the default. What it holds must not change.
func Path(name string) Option { return func(c *config) { c.path = name } }

// StallAfter makes a sink's peer stop reading after n bytes, until Resume.
func StallAfter(n int64) Option { return func(c *config) { c.stallAfter = n } }

// Into hands what arrives at a sink's peer to w (a Checker, a hash) instead of
// keeping it. Finish returns nil. An error of w ends the peer; see Dest.Err. Not
// with OtherEnd.
func Into(w io.Writer) Option { return func(c *config) { c.into = w } }

// segment is the bound of TCP's segments, 0 if there is none.
func (c *config) segment() int {
	if c.mss == 0 && c.buffers > 0 {
		return 1448
	}
	return c.mss
}

// setBuffers makes the kernel's buffers on the way from one end to the other
// small.
func setBuffers(tb testing.TB, k Kind, from, to Stream, n int) {
	tb.Helper()
	if n <= 0 {
		return
	}
	if k == MPTCP {
		n = max(n, 32<<10)
	}
	var err error
	switch f := from.(type) {
	case *os.File:
		if k == Pipe || k == FIFO {
			_, err = SetPipeSize(f, n)
		}
	case interface{ SetWriteBuffer(int) error }:
		err = f.SetWriteBuffer(n)
	}
	if c, ok := to.(interface{ SetReadBuffer(int) error }); ok && err == nil {
		err = c.SetReadBuffer(n)
	}
	if err != nil {
		tb.Fatalf("%s: buffers of %d bytes: %v", k, n, err)
	}
}

// reset makes far go as a machine that fails does: a TCP connection with an
// RST, a unix socket with its input unread, all others with a plain close.
func reset(k Kind, near, far Stream) {
	switch {
	case k.IP():
		far.(*net.TCPConn).SetLinger(0)
	case k == Unix || k == SockFile:
		// A unix socket tells its peer ECONNRESET if it is closed with
		// something unread.
		control(near, sendByte)
	}
	far.Close()
}

// pieceAt is the size of the i-th piece, whole if no sizes are set.
func (c *config) pieceAt(i, whole int) int {
	if len(c.pieces) == 0 {
		return whole
	}
	return min(c.pieces[i%len(c.pieces)], whole)
}

// makeNear puts the copy's end into the mode asked for.
func (c *config) makeNear(tb testing.TB, k Kind, near Stream) Stream {
	tb.Helper()
	f, ok := near.(*os.File)
	if !ok || !c.blocking {
		return near
	}
	b, err := blocking(f)
	if err != nil {
		tb.Fatalf("%s in blocking mode: %v", k, err)
	}
	return b
}
