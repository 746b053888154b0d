package zccompress

import (
	"bufio"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// bufferSize is how much of a compressed stream is read at a time. The codecs read by bytes and
// headers; with the 4 KiB that they take themselves a socket costs eight times the system calls.
const bufferSize = 32 << 10

// A source is what a codec reads: the sniffed bytes, what came with them, and then the Reader they
// are from. It remembers how that ended, which codecs do not always tell.
type source struct {
	head    []byte
	pending error
	r       io.Reader
	err     error // the last that was returned; io.EOF too
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (n int, err error) {
	switch {
	case len(s.head) > 0:
		n = copy(p, s.head)
		s.head = s.head[n:]
		return n, nil
	case s.pending != nil:
		err, s.pending = s.pending, nil
	default:
		n, err = s.r.Read(p)
		n = len(p[:n]) // panics where n is no length of p (H39)
	}
	if err != nil {
		s.err = err
	}
	return n, err
}

// A codec decompresses one stream after the other.
type codec interface {
	// Read returns io.EOF at the end of what was compressed, and keeps nothing back that is
	// decompressed while it waits for the source.
	io.Reader
	// reset begins a stream.
	reset(b *borrowed, o *Options) error
	// drop ends it, and drops what refers to it. It reports whether the codec is as small as
	// others that are pooled. whole says that the stream was read to its end.
	drop(whole bool) bool
}

// A borrowed is a codec with its input. It is in use by one Reader or in the pool of its format.
type borrowed struct {
	in    source
	buf   *bufio.Reader
	codec codec
	pool  *sync.Pool
}

// The pools hold codecs of at most 9 MiB, see each drop, and the garbage collector empties them.
var gzips, zlibs, zstds, s2s sync.Pool

// borrow returns a codec that decompresses in.
func borrow(f Format, in source, o *Options) (b *borrowed, err error) {
	pool, create := &gzips, func() codec { return new(gzipCodec) }
	switch f {
	case Zlib:
		pool, create = &zlibs, func() codec { return new(zlibCodec) }
	case Zstd:
		pool, create = &zstds, func() codec { return new(zstdCodec) }
	case S2, Snappy:
		pool, create = &s2s, func() codec { return new(s2Codec) }
	}
	b, _ = pool.Get().(*borrowed)
	if b == nil {
		b = &borrowed{codec: create(), pool: pool}
		b.buf = bufio.NewReaderSize(&b.in, bufferSize)
	}
	b.in = in
	b.buf.Reset(&b.in)
	return b, b.codec.reset(b, o)
}

// giveBack puts b into its pool. It must not be used after that.
func (b *borrowed) giveBack(whole bool) {
	ok := b.codec.drop(whole)
	b.in = source{}
	b.buf.Reset(&b.in)
	if ok {
		b.pool.Put(b)
	}
}

// Read implements io.Reader. The error is that of the source where it had one, and
// io.ErrUnexpectedEOF where it ended too early.
func (b *borrowed) Read(p []byte) (int, error) {
	n, err := b.codec.Read(p)
	if err == nil {
		return n, nil
	}
	if failed := b.in.err; failed != nil && failed != io.EOF && (err != io.EOF || b.pool != &zlibs) {
		err = failed // but a zlib stream's end does not depend on what comes after it
	}
	return n, err
}

// A gzipCodec reads members until the source ends. It goes from one to the next itself: the
// gzip.Reader would keep the last bytes of a member back until it has the header of the next.
type gzipCodec struct {
	buf    *bufio.Reader
	z      gzip.Reader
	member bool
}

func (c *gzipCodec) reset(b *borrowed, _ *Options) error {
	c.buf, c.member = b.buf, false
	return nil
}

func (c *gzipCodec) Read(p []byte) (int, error) {
	for {
		if !c.member {
			if _, err := c.buf.Peek(1); err != nil {
				return 0, err
			}
			if err := c.z.Reset(c.buf); err != nil {
				return 0, noEOF(err) // it says io.EOF where a header's name is cut off
			}
			c.z.Multistream(false)
			c.member = true
		}
		n, err := c.z.Read(p)
		if err != io.EOF {
			return n, err
		}
		if c.member = false; n > 0 {
			return n, nil
		}
	}
}

// drop implements codec. The window of deflate is 32 KiB.
func (c *gzipCodec) drop(bool) bool {
	c.z.Header = gzip.Header{}
	return true
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// A zlibCodec reads one zlib stream.
type zlibCodec struct{ z io.ReadCloser }

func (c *zlibCodec) reset(b *borrowed, _ *Options) (err error) {
	if c.z == nil {
		c.z, err = zlib.NewReader(b.buf)
		return noEOF(err)
	}
	return noEOF(c.z.(zlib.Resetter).Reset(b.buf, nil))
}

func (c *zlibCodec) Read(p []byte) (int, error) { return c.z.Read(p) }

func (c *zlibCodec) drop(bool) bool { return c.z != nil }

// A zstdCodec reads frames until the source ends, on the goroutine that asks: with a
// concurrency of 1 the Decoder has none of its own.
type zstdCodec struct {
	z      *zstd.Decoder
	in     zstdInput
	window int64
}

// maxWindow is what MaxWindow is at the most: a Decoder makes one slice of it and a bit more, also
// on a system of 32 bits.
const maxWindow = math.MaxInt / 4

func (c *zstdCodec) reset(b *borrowed, o *Options) (err error) {
	c.in = zstdInput{b: b.buf}
	// Of a stream they bound the same, and the lower counts.
	memory, window := zstd.WithDecoderMaxMemory(uint64(o.MaxWindow)), zstd.WithDecoderMaxWindow(uint64(max(o.MaxWindow, zstd.MinWindowSize)))
	switch {
	case c.z == nil:
		c.z, err = zstd.NewReader(&c.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), memory, window)
	case c.window != o.MaxWindow:
		err = c.z.ResetWithOptions(&c.in, memory, window)
	default:
		err = c.z.Reset(&c.in)
	}
	c.window = o.MaxWindow
	return err
}

func (c *zstdCodec) Read(p []byte) (int, error) {
	n, err := c.z.Read(p)
	// Blocks that are larger than the window are zstd.ErrWindowSizeExceeded, too, but wrong.
	if err == zstd.ErrDecoderSizeExceeded || err == zstd.ErrWindowSizeExceeded && c.in.wants(c.window) {
		err = &LimitError{Format: Zstd, Option: "MaxWindow", Limit: c.window}
	}
	return n, err
}

// A zstdInput remembers the last bytes that the Decoder has read, as many as the longest header
// of a frame has: a magic of 4, a descriptor, the window, a dictionary of 4, the size of 8.
type zstdInput struct {
	b    *bufio.Reader
	last [18]byte
}

func (i *zstdInput) Read(p []byte) (int, error) {
	n, err := i.b.Read(p)
	tail := p[max(0, n-len(i.last)):n]
	copy(i.last[:], i.last[len(tail):])
	copy(i.last[len(i.last)-len(tail):], tail)
	return n, err
}

// wants reports whether those bytes end with the header of a frame whose window is larger than
// that.
func (i *zstdInput) wants(window int64) bool {
	for at := range i.last {
		var h zstd.Header
		if h.Decode(i.last[at:]) == nil && !h.Skippable && h.HeaderSize == len(i.last)-at {
			return h.WindowSize > uint64(window)
		}
	}
	return false
}

// drop implements codec. A Decoder keeps the largest window that it has had.
func (c *zstdCodec) drop(bool) bool {
	if c.window > DefaultMaxWindow {
		c.z.Close()
		return false
	}
	c.z.Reset(nil)
	c.in = zstdInput{}
	return true
}

// maxPooledBlock is the block size of writers that are not told another. An s2.Reader keeps
// buffers for the largest block that it has had, which can be 4 MiB.
const maxPooledBlock = 1 << 20

// An s2Codec reads a stream of S2 or Snappy to the end of the source.
type s2Codec struct {
	z     *s2.Reader
	in    s2Input
	block int // bytes that the current block has given so far
	large bool
}

// An s2Input tells the codec that the s2.Reader has begun a chunk, and that one is cut off.
type s2Input struct {
	b     *bufio.Reader
	calls int
	ended bool
}

func (i *s2Input) Read(p []byte) (int, error) {
	i.calls++
	n, err := i.b.Read(p)
	i.ended = err == io.EOF
	return n, err
}

func (c *s2Codec) reset(b *borrowed, _ *Options) error {
	*c = s2Codec{z: c.z, in: s2Input{b: b.buf}}
	if c.z == nil {
		c.z = s2.NewReader(nil, s2.ReaderAllocBlock(64<<10))
	}
	c.z.Reset(&c.in)
	return nil
}

func (c *s2Codec) Read(p []byte) (int, error) {
	calls := c.in.calls
	n, err := c.z.Read(p)
	if c.in.calls != calls { // into a new block: a Read gives bytes of one only
		c.block = 0
	}
	c.block += n
	c.large = c.large || c.block > maxPooledBlock
	if err == s2.ErrCorrupt && c.in.ended { // it has that for a chunk that is cut off, too
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// drop implements codec. What was left of the last block is not known.
func (c *s2Codec) drop(whole bool) bool {
	c.z.Reset(nil)
	c.in = s2Input{}
	return whole && !c.large
}
