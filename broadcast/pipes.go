package broadcast

import (
	"os"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
)

// A segment is a pipe with bytes for one sink in it. Where there are no pipes, that is
// not on Linux, it is memory that the sinks share.
type segment struct {
	pipe *kpipe.Pipe
	n    int
	p    []byte
}

// put gives back a pipe with n bytes in it, which are dropped. nil is no pipe.
func (b *Broadcast) put(p *kpipe.Pipe, n int) {
	switch {
	case p == nil:
	case n == 0:
		b.pool.Put(p)
	default:
		b.pool.Discard(p)
	}
}

// drop empties the master of what nobody has taken out of it.
func (b *Broadcast) drop(p *kpipe.Pipe, n int) {
	if n > 0 && b.discard(p, n) != nil {
		b.pool.Discard(p)
		b.filling.master = nil
	}
}

// newPipe borrows an empty pipe. All are of one class, so that one takes all that another
// can hold, and either can be the master.
func (b *Broadcast) newPipe() (*kpipe.Pipe, error) {
	p, err := b.pool.Get(b.calls, b.class)
	if err == nil && p.Class() != b.class {
		b.pool.Put(p)
		return nil, kpipe.ErrBudget
	}
	return p, err
}

// discard drops the first n bytes in p.
func (b *Broadcast) discard(p *kpipe.Pipe, n int) error {
	if n > 0 && b.null == nil {
		b.null, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	var buf []byte
	for n > 0 {
		var k int
		var err error
		if b.null != nil && buf == nil {
			raw, rerr := b.null.SyscallConn()
			if rerr == nil {
				rerr = raw.Control(func(fd uintptr) { k, err = b.calls.Splice(p.R, nil, int(fd), nil, n) })
			}
			if rerr != nil || err != nil || k == 0 {
				buf = make([]byte, readSize)
				continue
			}
		} else {
			if buf == nil {
				buf = make([]byte, readSize)
			}
			if k, err = b.calls.Read(p.R, buf[:min(n, len(buf))]); err != nil {
				return err
			}
		}
		n -= k
	}
	return nil
}
