package zerocopy

// What tests see of the pace of a stream and of its buffers.

const (
	BulkReads    = bulkReads
	ShortDrain   = shortDrain
	ShortDrains  = shortDrains
	FilledDrains = filledDrains
	PipeTurns    = pipeTurns

	BulkBuffer = bulkBuffer
	BulkFills  = bulkFills
)

// A StreamPace is a pace.
type StreamPace struct{ p pace }

func (p *StreamPace) Read(full bool)                  { p.p.read(full) }
func (p *StreamPace) Drained(n, max int, filled bool) { p.p.drained(n, max, filled) }
func (p *StreamPace) NoPipe()                         { p.p.noPipe() }
func (p *StreamPace) Waits() bool                     { return p.p.waits() }
func (p *StreamPace) Bulk() bool                      { return p.p.bulk }
func (p *StreamPace) Class() int                      { return p.p.class }

// A BufferSource is a bufferSource.
type BufferSource struct{ b bufferSource }

// NewBufferSource returns the buffers of a copy with a pool or a fixed buffer.
func NewBufferSource(pool BufferPool, fixed []byte) *BufferSource {
	return &BufferSource{bufferSource{pool: pool, fixed: fixed}}
}

func (b *BufferSource) Get() []byte { return b.b.get() }
func (b *BufferSource) Read(n int)  { b.b.read(n) }
func (b *BufferSource) Put()        { b.b.put() }
func (b *BufferSource) Reset()      { b.b.reset() }

// Holds returns how many bytes of the package's own it has borrowed.
func (b *BufferSource) Holds() (n int) {
	if b.b.own != nil {
		n += bufferSize
	}
	if b.b.bulk != nil {
		n += bulkBuffer
	}
	return n
}
