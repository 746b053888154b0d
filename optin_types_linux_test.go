package zerocopy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// The opt-in contract, proved by five wrappers as users write them: a counter, a
// peeker, an idle timeout, a rate limiter and a body that knows its length. Each
// works by plain Read and Write, too, with the same outcome.

// A counter counts both ways.
type counter struct {
	net.Conn
	in, out int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in += int64(n)
	return n, err
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.out += int64(n)
	return n, err
}

func (c *counter) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: c, Reader: c.Conn, Moved: func(n int64) error { c.in += n; return nil }}, true
}

func (c *counter) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: c, Writer: c.Conn, Moved: func(n int64) error { c.out += n; return nil }}, true
}

// A peeker has read the beginning of a connection.
type peeker struct {
	net.Conn
	peeked []byte
}

func peek(c net.Conn, n int) (*peeker, error) {
	p := &peeker{c, make([]byte, n)}
	_, err := io.ReadFull(c, p.peeked)
	return p, err
}

func (c *peeker) Read(p []byte) (int, error) {
	if len(c.peeked) > 0 {
		n := copy(p, c.peeked)
		c.peeked = c.peeked[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *peeker) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: c, Reader: c.Conn, Buffered: c.peeked, Moved: func(n int64) error {
		c.peeked = c.peeked[min(int(n), len(c.peeked)):]
		return nil
	}}, true
}

// An idler gives up on a connection that is silent for its timeout.
type idler struct {
	net.Conn
	timeout time.Duration
	armed   atomic.Int64
}

func (c *idler) arm() error {
	c.armed.Add(1)
	return c.SetReadDeadline(time.Now().Add(c.timeout))
}

func (c *idler) Read(p []byte) (int, error) {
	if err := c.arm(); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idler) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: c, Reader: c.Conn, Before: c.arm}, true
}

// A limiter has the method and the burst of a rate.Limiter.
type limiter interface {
	WaitN(ctx context.Context, n int) error
	Burst() int
}

// A paced Reader asks a limiter for what it has read.
type paced struct {
	io.Reader
	limiter limiter
}

func (r *paced) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p[:min(len(p), r.limiter.Burst())])
	if werr := r.limiter.WaitN(context.Background(), n); werr != nil {
		err = werr
	}
	return n, err
}

func (r *paced) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{
		Self: r, Reader: r.Reader, Chunk: r.limiter.Burst(),
		Moved: func(n int64) error { return r.limiter.WaitN(context.Background(), int(n)) },
	}, true
}

// A ledger is a limiter that writes down what it was asked for, and refuses once
// it has granted its total.
type ledger struct {
	burst, total int
	asked        []int
}

var errSpent = errors.New("the ledger is closed")

func (l *ledger) Burst() int { return l.burst }
func (l *ledger) WaitN(_ context.Context, n int) error {
	l.asked = append(l.asked, n)
	if l.total -= n; l.total < 0 {
		return errSpent
	}
	return nil
}

// A body has a declared length: an earlier end is an error.
type body struct {
	io.Reader
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	n, err := b.Reader.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *body) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{
		Self: b, Reader: b.Reader, Bounded: true, Limit: b.left,
		Moved: func(n int64) error { b.left -= n; return nil },
		Done: func(_ int64, err error) error {
			if err == nil && b.left > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		},
	}, true
}
