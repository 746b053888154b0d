// Package zccompress reads streams of which it is not known whether they are compressed: a
// [Reader] recognises gzip, zstd, S2, Snappy and zlib by their first bytes and decompresses, and
// what is none of them it passes through untouched.
//
//	r := zccompress.NewReader(conn, nil)
//	defer r.Close()
//	n, err := zerocopy.Copy(dst, r) // or io.Copy
//
// A plain stream loses no more than those first bytes to user memory, one of most streams and ten at
// the most: the Reader is a [zerocopy.ReaderUnwrapper], and what follows is moved by the kernel as if it were
// copied from the source itself. What is compressed passes user memory in any case; it is decompressed on the goroutine
// that copies, by codecs of klauspost/compress from a pool.
//
// # Memory
//
// A Reader has no codec before it has seen that it needs one, and none after the end of the stream, an
// error, or Close. In between it holds, also while it waits, 32 KiB for its input and: for gzip and zlib 40 to 75 KiB; for
// zstd the window that the frame asks for, at most [Options.MaxWindow], and 0.5 MiB; for S2 and Snappy twice the size
// of the largest block, which is 64 KiB in Snappy, 1 MiB in S2 if its writer was not told another, and 4 MiB at the most.
// Codecs that have grown beyond 9 MiB are not pooled.
package zccompress

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
)

// DefaultMaxWindow is the largest window of a zstd frame that is decompressed if
// [Options.MaxWindow] does not say otherwise, in bytes: what RFC 8878 asks a decoder to support, and
// RFC 9659 a sender not to exceed. zstd -1 to -19 stay within it; --ultra and --long do not.
const DefaultMaxWindow = 8 << 20

// Options are the settings of a [Reader]. nil and the zero value are the defaults.
type Options struct {
	// Formats is the set of formats that are accepted; [Standard] if 0. What is in another is Plain,
	// and an error, ErrFormat, where Plain is not in the set.
	Formats Format
	// MaxBytes is how many bytes a compressed stream may have when decompressed. After so many, not
	// one less, there is a *LimitError if there are more. 0 is no bound, and a negative number
	// lets nothing through. A plain stream is not bounded by it.
	MaxBytes int64
	// MaxWindow bounds the memory of a zstd decoder, in bytes: a frame that wants a larger
	// window is a *LimitError. DefaultMaxWindow if 0. Codecs of Readers with a larger one are not pooled.
	MaxWindow int64
}

// A Reader is a stream that is decompressed if it has to be. It is used by one goroutine at a time;
// Close may be called by another.
type Reader struct {
	src      io.Reader
	opt      Options
	sticky   error // of a stream that is not plain
	format   Format
	buf      [maxMagic]byte
	head     []byte // what was sniffed and is yet to be read
	pending  error  // came with the last of it
	left     int64  // of MaxBytes
	over     [1]byte
	borrowed *borrowed

	mu           sync.Mutex // of what Close shares with the rest
	busy, closed bool
}

var (
	_ io.ReadCloser            = (*Reader)(nil)
	_ io.WriterTo              = (*Reader)(nil)
	_ zerocopy.ReaderUnwrapper = (*Reader)(nil)
)

// NewReader returns a Reader of r. It reads nothing: the first Read, WriteTo, copy or Sniff does.
//
// A Reader reads ahead of what it has decompressed, so that what follows a compressed stream in r is lost;
// for all but zlib whatever follows belongs to it. Several gzip members, zstd frames, and S2 or Snappy streams in a row
// are one stream, and zstd's skippable frames are skipped. What else follows is an error, as in compress/gzip. A zlib stream ends where
// it says, and what follows is not looked at. Of a plain stream nothing is read ahead.
//
// Once a compressed stream has failed, it has for good, also if the error was a timeout. The error is that of r,
// if r had one; io.ErrUnexpectedEOF if r ended within the stream; a *LimitError; or the codec's.
func NewReader(r io.Reader, o *Options) *Reader {
	z := &Reader{src: r}
	if o != nil {
		z.opt = *o
	}
	if z.opt.Formats == 0 {
		z.opt.Formats = Standard
	}
	if z.opt.MaxWindow == 0 {
		z.opt.MaxWindow = DefaultMaxWindow
	}
	z.opt.MaxWindow = min(max(z.opt.MaxWindow, 1), maxWindow)
	z.left = max(z.opt.MaxBytes, 0)
	return z
}

// Format returns the format of the stream, 0 as long as it is not known.
func (z *Reader) Format() Format { return z.format }

// Sniff reads as many bytes as are needed to know the format, and returns it. It waits for them as
// Read does. An error within them decides nothing: Sniff, or Read, can be called again, after a
// timeout for instance, and nothing is lost. A stream that ends within them is plain, and so is an empty one.
func (z *Reader) Sniff() (Format, error) {
	if err := z.begin(); err != nil {
		return 0, err
	}
	whole := false
	defer func() { z.end(whole) }()
	err := z.sniff()
	whole = true
	return z.format, err
}

// Read implements io.Reader. It does not wait for more while there is something to return.
func (z *Reader) Read(p []byte) (int, error) { return z.read(p, false) }

// WriteTo is zerocopy.Copy from z. On an error, bytes that w did not take are handed
// back in a *zerocopy.PartialError.
func (z *Reader) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, z) }

// Close gives the codec back, if there is one. It does not close what z reads from. A Read that is under
// way is not ended by it, and gives the codec back when it returns. Close returns nil.
func (z *Reader) Close() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.closed = true; !z.busy {
		z.release(false)
	}
	return nil
}

// UnwrapReader implements zerocopy.ReaderUnwrapper. What is plain is what the inner Reader has, behind the
// sniffed bytes. As long as that is not known, a copy is from two parts: one that sniffs and gives
// what passes user memory, and the rest, which it looks into only then.
func (z *Reader) UnwrapReader() (in zerocopy.InnerReader, ok bool) {
	if z.isClosed() || z.sticky != nil || z.format == Plain && z.pending != nil {
		return in, false
	}
	in.Self = z
	switch z.format {
	case Plain:
		in.Reader = z.src
		if in.Buffered = z.head; len(z.head) > 0 {
			in.Moved = z.moved
		}
	case 0:
		in.Reader = io.MultiReader(z.decoder(), &rest{z})
	default:
		in.Reader = io.MultiReader(z.decoder())
	}
	return in, true
}

// moved notes that a copy has delivered n bytes, of which the first were sniffed.
func (z *Reader) moved(n int64) error {
	z.head = z.head[min(n, int64(len(z.head))):]
	return nil
}

// decoder returns the part of z that passes user memory.
func (z *Reader) decoder() io.Reader {
	d, ok := z.src.(interface{ SetReadDeadline(time.Time) error })
	if f, file := z.src.(*os.File); ok && file { // it has the method in any case
		end, is := engine.Inspect(nil, f, false)
		ok = is && end.Pollable()
	}
	if ok {
		return &timedDecoder{decoder{z}, d.SetReadDeadline}
	}
	return &decoder{z}
}

// A decoder is what z gives without the source's plain bytes: the sniffed ones, or all that
// is decompressed.
type decoder struct{ z *Reader }

func (d *decoder) Read(p []byte) (int, error) { return d.z.read(p, true) }

// A timedDecoder is one whose source has deadlines, so that a copy's context can end a wait.
type timedDecoder struct {
	decoder
	set func(time.Time) error
}

// SetReadDeadline sets that of the source.
func (d *timedDecoder) SetReadDeadline(t time.Time) error { return d.set(t) }

// A rest is what comes behind the decoder: the source, if its bytes are plain.
type rest struct{ z *Reader }

func (r *rest) Read(p []byte) (int, error) {
	if r.z.format == Plain {
		return r.z.Read(p)
	}
	return 0, io.EOF
}

// UnwrapReader implements zerocopy.ReaderUnwrapper.
func (r *rest) UnwrapReader() (in zerocopy.InnerReader, ok bool) {
	if r.z.format == 0 {
		return zerocopy.InnerReader{Self: r, Reader: r.z.src}, true // if it turns out to be plain
	}
	if r.z.format != Plain {
		return in, false
	}
	in, ok = r.z.UnwrapReader()
	in.Self = r
	return in, ok
}

// read is Read, where part is set of the decoder alone.
func (z *Reader) read(p []byte, part bool) (n int, err error) {
	if err := z.begin(); err != nil {
		return 0, err
	}
	whole := false
	defer func() { z.end(whole) }()
	switch err = z.sniff(); {
	case err != nil || len(p) == 0:
	case z.format != Plain:
		n, err = z.decode(p)
	case len(z.head) > 0:
		n = copy(p, z.head)
		z.head = z.head[n:]
	case part:
		err = io.EOF
	case z.pending != nil:
		err, z.pending = z.pending, nil
	default:
		n, err = z.src.Read(p)
	}
	whole = true
	return n, err
}

// begin notes that z is being used.
func (z *Reader) begin() error {
	z.mu.Lock()
	defer z.mu.Unlock()
	switch {
	case z.closed:
		return errClosed
	case z.busy:
		return errConcurrent
	}
	z.busy = true
	return nil
}

// end is called when that has come to its end, whole unless by a panic: then nobody knows
// in what state the codec is.
func (z *Reader) end(whole bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.busy = false
	if !whole {
		z.borrowed, z.closed = nil, true
	}
	if z.closed {
		z.release(false)
	}
}

func (z *Reader) isClosed() bool {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.closed
}

// release gives the codec back.
func (z *Reader) release(whole bool) {
	if z.borrowed != nil {
		z.borrowed.giveBack(whole)
		z.borrowed = nil
	}
}

// maxEmptyReads is how many Reads in a row may give nothing and no error, as bufio has it.
const maxEmptyReads = 100

// sniff finds out what the format is. It reads no byte beyond those that tell.
func (z *Reader) sniff() error {
	for empty := 0; z.format == 0 && z.sticky == nil; {
		f, more := recognise(z.head, z.opt.Formats)
		refusal := ErrFormat
		if f == 0 && z.pending == io.EOF {
			f, refusal = Plain, io.ErrUnexpectedEOF
		}
		if f == Plain && z.opt.Formats&Plain == 0 {
			z.sticky = refusal
			break
		}
		if f != 0 {
			z.format = f
			break
		}
		if err := z.pending; err != nil {
			z.pending = nil
			return err
		}
		have := len(z.head)
		room := z.buf[have : have+more : have+more]
		n, err := z.src.Read(room)
		z.head, z.pending = z.buf[:have+len(room[:n])], err // panics where n is no length of room (H39)
		if empty++; n > 0 {
			empty = 0
		}
		if empty == maxEmptyReads {
			return io.ErrNoProgress
		}
	}
	return z.sticky
}

// decode decompresses into p.
func (z *Reader) decode(p []byte) (n int, err error) {
	if z.borrowed == nil {
		in := source{head: z.head, pending: z.pending, r: z.src}
		z.head, z.pending = nil, nil
		if z.borrowed, err = borrow(z.format, in, &z.opt); err != nil {
			return 0, z.fail(err)
		}
	}
	bounded := z.opt.MaxBytes != 0
	switch {
	case bounded && z.left == 0:
		p = z.over[:] // to see whether there is more
	case bounded:
		p = p[:min(int64(len(p)), z.left)]
	}
	for empty := 0; n == 0 && err == nil; empty++ {
		if empty == maxEmptyReads {
			err = io.ErrNoProgress
			break
		}
		n, err = z.borrowed.Read(p)
	}
	if bounded && z.left == 0 && n > 0 {
		n, err = 0, &LimitError{Format: z.format, Option: "MaxBytes", Limit: max(z.opt.MaxBytes, 0)}
	}
	z.left -= int64(n)
	if err != nil {
		return n, z.fail(err)
	}
	return n, nil
}

// fail ends the stream with err, io.EOF among others.
func (z *Reader) fail(err error) error {
	z.sticky = err
	z.release(err == io.EOF)
	return err
}
