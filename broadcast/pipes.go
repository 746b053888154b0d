package broadcast

import (
	"io"
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

// discard drops the first n bytes in p: into /dev/null by splice, which is a matter of
// references, or else by reading them.
func (b *Broadcast) discard(p *kpipe.Pipe, n int) error {
	if n > 0 && b.null == nil {
		b.null, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	var buf []byte
	for splice := b.null != nil && !b.off(); n > 0; {
		var k int
		var err error
		if splice {
			if k, err = b.spliceAway(p, n); err != nil || k == 0 {
				splice = false
				continue
			}
		} else {
			if buf == nil {
				buf = make([]byte, readSize)
			}
			k, err = b.calls.Read(p.R, buf[:min(n, readSize)])
			if err == nil && k == 0 {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return err
			}
		}
		n -= k
	}
	return nil
}

// spliceAway drops some of the first n bytes in p by splice.
func (b *Broadcast) spliceAway(p *kpipe.Pipe, n int) (k int, err error) {
	raw, err := b.null.SyscallConn()
	if err != nil {
		return 0, err
	}
	if cerr := raw.Control(func(fd uintptr) { k, err = b.calls.Splice(p.R, nil, int(fd), nil, n) }); cerr != nil {
		return 0, cerr
	}
	return k, err
}
