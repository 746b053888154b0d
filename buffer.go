package zerocopy

import "sync"

// bufferSize is io.Copy's: 32 KiB.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// A bufferSource gives a copy its buffer. At most one is borrowed at a time.
type bufferSource struct {
	pool  BufferPool
	fixed []byte // CopyBuffer's

	user     []byte // borrowed from pool
	borrowed bool
	own      *[bufferSize]byte // borrowed from buffers
}

// get returns a buffer of at least one byte, the same until put.
func (b *bufferSource) get() []byte {
	if b.fixed != nil {
		return b.fixed
	}
	if b.pool != nil && !b.borrowed {
		b.user = b.pool.Get()
		b.borrowed = true
	}
	if len(b.user) > 0 {
		return b.user
	}
	if b.own == nil {
		b.own = buffers.Get().(*[bufferSize]byte)
	}
	return b.own[:]
}

// put gives back what get has borrowed, if it has.
func (b *bufferSource) put() {
	if b.borrowed {
		b.borrowed = false
		user := b.user
		b.user = nil
		b.pool.Put(user)
	}
	if b.own != nil {
		buffers.Put(b.own)
		b.own = nil
	}
}
