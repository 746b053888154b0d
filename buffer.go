package zerocopy

import "sync"

const (
	// bufferSize is io.Copy's: 32 KiB.
	bufferSize = 32 << 10
	// bulkBuffer is what a stream gets that fills bufferSize: see
	// docs/performance.md, "Buffers that grow".
	bulkBuffer = 256 << 10
	// bulkFills is how many buffers in a row have to be filled for that. A message
	// that is a little larger than a buffer fills one.
	bulkFills = 2
)

var (
	buffers     = sync.Pool{New: func() any { return new([bufferSize]byte) }}
	bulkBuffers = sync.Pool{New: func() any { return new([bulkBuffer]byte) }}
)

// A bufferSource gives a copy its buffer. At most one is borrowed at a time. Its own
// buffers grow with a stream that fills them. A large one that was not filled has
// emptied the source, most likely, so the next read, which may wait for long, gets a
// small one again, and only when it fills that the large one.
type bufferSource struct {
	pool  BufferPool
	fixed []byte // CopyBuffer's

	user     []byte // borrowed from pool
	borrowed bool
	own      *[bufferSize]byte // borrowed from buffers
	bulk     *[bulkBuffer]byte // borrowed from bulkBuffers
	fills    int               // buffers in a row that a read has filled
}

// get returns a buffer of at least one byte. It is the caller's until the next get
// or put.
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
	if b.fills >= bulkFills {
		if b.bulk == nil {
			b.putOwn()
			b.bulk = bulkBuffers.Get().(*[bulkBuffer]byte)
		}
		return b.bulk[:]
	}
	if b.own == nil {
		b.putOwn()
		b.own = buffers.Get().(*[bufferSize]byte)
	}
	return b.own[:]
}

// read notes that a read into the buffer has got n bytes.
func (b *bufferSource) read(n int) {
	switch {
	case b.bulk != nil && n < bulkBuffer:
		b.fills = bulkFills - 1
	case n < bufferSize:
		b.fills = 0
	case b.fills < bulkFills:
		b.fills++
	}
}

// large has the next buffers be large ones, and returns how large.
func (b *bufferSource) large() int {
	b.fills = bulkFills
	defer b.put()
	return len(b.get())
}

// shrink has the next buffer be a small one.
func (b *bufferSource) shrink() { b.fills = 0 }

// putOwn gives back a buffer of the package's own.
func (b *bufferSource) putOwn() {
	if b.own != nil {
		buffers.Put(b.own)
		b.own = nil
	}
	if b.bulk != nil {
		bulkBuffers.Put(b.bulk)
		b.bulk = nil
	}
}

// put gives back what get has borrowed, if it has.
func (b *bufferSource) put() {
	if b.borrowed {
		b.borrowed = false
		user := b.user
		b.user = nil
		b.pool.Put(user)
	}
	b.putOwn()
}

// reset is put for the end of a copy.
func (b *bufferSource) reset() {
	b.put()
	b.pool, b.fixed, b.fills = nil, nil, 0
}
