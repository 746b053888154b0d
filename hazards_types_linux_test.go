//lint:file-ignore U1000 The fields and methods of look-alikes are there for their layout.

package zerocopy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Types that look like a descriptor, or like a wrapper that has declared itself
// transparent, and alter what passes: each byte is flipped. Whoever goes past their
// Read or Write is seen at the first byte.

func flipped(p []byte) []byte {
	b := bytes.Clone(p)
	for i := range b {
		b[i] ^= 0x55
	}
	return b
}

// readFlipped and writeFlipped are the Read and Write of all of them.
func readFlipped(r io.Reader, p []byte) (int, error) {
	n, err := r.Read(p)
	copy(p[:n], flipped(p[:n]))
	return n, err
}

func writeFlipped(w io.Writer, p []byte) (int, error) { return w.Write(flipped(p)) }

// noMethods makes the WriteTo and ReadFrom of what is embedded beside it ambiguous,
// so that neither is promoted.
type noMethods struct{}

func (noMethods) WriteTo(io.Writer) (int64, error)  { panic("not promoted") }
func (noMethods) ReadFrom(io.Reader) (int64, error) { panic("not promoted") }

type (
	flippedTCP struct {
		noMethods
		*net.TCPConn
	}
	flippedUnix struct {
		noMethods
		*net.UnixConn
	}
	flippedFile struct {
		noMethods
		*os.File
	}
	flippedConn struct{ net.Conn } // embeds the interface
	// flippedStream forwards SyscallConn, as a compressor or a cipher may.
	flippedStream struct {
		io.ReadWriter
		syscall.Conn
	}
)

func (c *flippedTCP) Read(p []byte) (int, error)     { return readFlipped(c.TCPConn, p) }
func (c *flippedTCP) Write(p []byte) (int, error)    { return writeFlipped(c.TCPConn, p) }
func (c flippedUnix) Read(p []byte) (int, error)     { return readFlipped(c.UnixConn, p) }
func (c flippedUnix) Write(p []byte) (int, error)    { return writeFlipped(c.UnixConn, p) }
func (c *flippedFile) Read(p []byte) (int, error)    { return readFlipped(c.File, p) }
func (c *flippedFile) Write(p []byte) (int, error)   { return writeFlipped(c.File, p) }
func (c flippedConn) Read(p []byte) (int, error)     { return readFlipped(c.Conn, p) }
func (c flippedConn) Write(p []byte) (int, error)    { return writeFlipped(c.Conn, p) }
func (c *flippedStream) Read(p []byte) (int, error)  { return readFlipped(c.ReadWriter, p) }
func (c *flippedStream) Write(p []byte) (int, error) { return writeFlipped(c.ReadWriter, p) }

// impostors are those types around an end of each kind that they can have.
var impostors = []struct {
	name string
	kind ztest.Kind
	make func(ztest.Stream) io.ReadWriter
}{
	{"embedded TCPConn", ztest.TCP4, func(s ztest.Stream) io.ReadWriter { return &flippedTCP{TCPConn: s.(*net.TCPConn)} }},
	{"embedded UnixConn", ztest.Unix, func(s ztest.Stream) io.ReadWriter { return flippedUnix{UnixConn: s.(*net.UnixConn)} }},
	{"embedded File", ztest.File, func(s ztest.Stream) io.ReadWriter { return &flippedFile{File: s.(*os.File)} }},
	{"embedded File that is a pipe", ztest.Pipe, func(s ztest.Stream) io.ReadWriter { return &flippedFile{File: s.(*os.File)} }},
	{"embedded net.Conn", ztest.TCP4, func(s ztest.Stream) io.ReadWriter { return flippedConn{s.(net.Conn)} }},
	{"SyscallConn of a connection", ztest.TCP4, func(s ztest.Stream) io.ReadWriter { return &flippedStream{s, s} }},
	{"SyscallConn of a file", ztest.File, func(s ztest.Stream) io.ReadWriter { return &flippedStream{s, s} }},
	{"SyscallConn of a pipe", ztest.Pipe, func(s ztest.Stream) io.ReadWriter { return &flippedStream{s, s} }},
}

// TestH25ImpostorAsSource: what a type that is not exactly a descriptor reads is
// what arrives, whatever stands around it and wherever it goes. (*os.File).ReadFrom
// and (*net.TCPConn).ReadFrom would splice past the Read of whoever has SyscallConn.
func TestH25ImpostorAsSource(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const size = 100_000
	around := map[string]func(io.Reader) io.Reader{
		"bare":  func(r io.Reader) io.Reader { return r },
		"limit": func(r io.Reader) io.Reader { return io.LimitReader(r, size) },
		"bufio": func(r io.Reader) io.Reader { return bufio.NewReaderSize(r, 5000) },
		"readwriter": func(r io.Reader) io.Reader {
			return bufio.NewReadWriter(bufio.NewReaderSize(r, 5000), bufio.NewWriter(io.Discard))
		},
		"nopcloser": func(r io.Reader) io.Reader { return io.NopCloser(r) },
		"multi":     func(r io.Reader) io.Reader { return io.MultiReader(strings.NewReader(""), r) },
		"Reader":    func(r io.Reader) io.Reader { return zerocopy.NewReader(r) },
		"struct":    func(r io.Reader) io.Reader { return struct{ io.Reader }{r} },
	}
	into := []struct {
		name string
		kind ztest.Kind
		make func(ztest.Stream) io.Writer
	}{
		{"tcp", ztest.TCP4, func(s ztest.Stream) io.Writer { return s }},
		{"unix", ztest.Unix, func(s ztest.Stream) io.Writer { return s }},
		{"file", ztest.File, func(s ztest.Stream) io.Writer { return s }},
		{"pipe", ztest.Pipe, func(s ztest.Stream) io.Writer { return s }},
		{"promoted ReadFrom of a file", ztest.File, func(s ztest.Stream) io.Writer { return struct{ *os.File }{s.(*os.File)} }},
		{"promoted ReadFrom of a pipe", ztest.Pipe, func(s ztest.Stream) io.Writer { return struct{ *os.File }{s.(*os.File)} }},
		{"promoted ReadFrom of a conn", ztest.TCP4, func(s ztest.Stream) io.Writer { return struct{ *net.TCPConn }{s.(*net.TCPConn)} }},
		{"Writer", ztest.File, func(s ztest.Stream) io.Writer { return zerocopy.NewWriter(s) }},
		{"Writer of a ReadWriter", ztest.File, func(s ztest.Stream) io.Writer {
			return zerocopy.NewWriter(bufio.NewReadWriter(nil, bufio.NewWriterSize(s, 1)))
		}},
	}
	for _, from := range impostors {
		for name, wrap := range around {
			for _, to := range into {
				few.Run(from.name+"/"+name+"/"+to.name, func(t *testing.T) {
					content := ztest.Pattern(25).Bytes(size)
					src, dst := ztest.NewSource(t, from.kind, content), ztest.NewDest(t, to.kind)
					n, err := track(t, nil).within(t, to.make(dst.Writer), wrap(from.make(src.Reader)))
					checkWhole(t, dst, n, err, flipped(content))
				})
			}
		}
	}
}

// TestH25ImpostorAsDestination is the same of what is written.
func TestH25ImpostorAsDestination(t *testing.T) {
	t.Parallel()
	const size = 100_000
	content := ztest.Pattern(26).Bytes(size)
	for _, to := range impostors {
		for _, k := range []ztest.Kind{ztest.File, ztest.TCP4, ztest.Unix, ztest.Pipe} {
			for _, wrapped := range []bool{false, true} {
				src, dst := ztest.NewSource(t, k, content), ztest.NewDest(t, to.kind)
				w := io.Writer(to.make(dst.Writer))
				b := bufio.NewWriter(w)
				if wrapped {
					w = b
				}
				n, err := track(t, nil).within(t, w, src.Reader)
				if err == nil {
					err = b.Flush()
				}
				checkWhole(t, dst, n, err, flipped(content))
			}
		}
	}
}

// TestH25Promoted: where a type keeps the WriteTo or ReadFrom of what it embeds,
// io.Copy calls that and goes past its Read. Copy does the same and no more.
func TestH25Promoted(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(27).Bytes(70_000)
	for name, run := range map[string]func(copy func(io.Writer, io.Reader) (int64, error)) []byte{
		"WriteTo of a TCPConn": func(copy func(io.Writer, io.Reader) (int64, error)) []byte {
			src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.File)
			copy(dst.Writer, promotedTCP{src.Reader.(*net.TCPConn)})
			return dst.Finish()
		},
		"ReadFrom of a File": func(copy func(io.Writer, io.Reader) (int64, error)) []byte {
			src, dst := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.File)
			copy(promotedFile{dst.Writer.(*os.File)}, src.Reader)
			return dst.Finish()
		},
		"neither": func(copy func(io.Writer, io.Reader) (int64, error)) []byte {
			src, dst := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.File)
			copy(dst.Writer, &flippedFile{File: src.Reader.(*os.File)})
			return dst.Finish()
		},
	} {
		ztest.Equal(t, name, run(zerocopy.Copy), run(io.Copy))
	}
}

type promotedTCP struct{ *net.TCPConn }

func (c promotedTCP) Read(p []byte) (int, error) { return readFlipped(c.TCPConn, p) }

type promotedFile struct{ *os.File }

func (c promotedFile) Write(p []byte) (int, error) { return writeFlipped(c.File, p) }

// A declared Reader and Writer has declared itself transparent, and is.
type declared struct {
	ztest.Stream
	moved int64
}

func (d *declared) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: d, Reader: d.Stream, Moved: d.count}, true
}
func (d *declared) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: d, Writer: d.Stream, Moved: d.count}, true
}
func (d *declared) count(n int64) error { d.moved += n; return nil }

// A valueDeclared declares itself, but not by a pointer.
type valueDeclared struct{ io.ReadWriter }

func (d valueDeclared) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: d, Reader: d.ReadWriter}, true
}
func (d valueDeclared) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: d, Writer: d.ReadWriter}, true
}
func (d valueDeclared) Read(p []byte) (int, error)  { return readFlipped(d.ReadWriter, p) }
func (d valueDeclared) Write(p []byte) (int, error) { return writeFlipped(d.ReadWriter, p) }

type (
	heirByPointer struct{ *declared }
	heirByValue   struct{ declared }
	heirOfHeir    struct{ heirByValue }
	heirByIface   struct {
		zerocopy.ReaderUnwrapper
		zerocopy.WriterUnwrapper
		io.ReadWriter
	}
)

func (h heirByPointer) Read(p []byte) (int, error)  { return readFlipped(h.declared, p) }
func (h heirByPointer) Write(p []byte) (int, error) { return writeFlipped(h.declared, p) }
func (h *heirByValue) Read(p []byte) (int, error)   { return readFlipped(&h.declared, p) }
func (h *heirByValue) Write(p []byte) (int, error)  { return writeFlipped(&h.declared, p) }
func (h heirByIface) Read(p []byte) (int, error)    { return readFlipped(h.ReadWriter, p) }
func (h heirByIface) Write(p []byte) (int, error)   { return writeFlipped(h.ReadWriter, p) }

// TestH36Promotion: a type that embeds an unwrapper has its UnwrapReader, but a
// Read of its own, which counts.
func TestH36Promotion(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(36).Bytes(100_000)
	for _, tt := range []struct {
		name  string
		make  func(ztest.Stream) io.ReadWriter
		heirs bool
	}{
		{"the unwrapper itself is believed", func(s ztest.Stream) io.ReadWriter { return &declared{Stream: s} }, false},
		{"embedded by pointer", func(s ztest.Stream) io.ReadWriter { return heirByPointer{&declared{Stream: s}} }, true},
		{"a pointer to that", func(s ztest.Stream) io.ReadWriter { return &heirByPointer{&declared{Stream: s}} }, true},
		// Both have the same address.
		{"embedded by value, first field", func(s ztest.Stream) io.ReadWriter { return &heirByValue{declared{Stream: s}} }, true},
		{"embedded twice", func(s ztest.Stream) io.ReadWriter { return &heirOfHeir{heirByValue{declared{Stream: s}}} }, true},
		{"embedded as an interface", func(s ztest.Stream) io.ReadWriter {
			d := &declared{Stream: s}
			return heirByIface{d, d, s}
		}, true},
		// Not by a pointer: two equal values are not one.
		{"Self is not a pointer", func(s ztest.Stream) io.ReadWriter { return valueDeclared{s} }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := content
			if tt.heirs {
				want = flipped(content)
			}
			src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
			c := track(t, nil)
			n, err := c.within(t, dst.Writer, tt.make(src.Reader))
			checkWhole(t, dst, n, err, want)
			if fast := c.report.Bytes(zerocopy.Splice) > 0; fast == tt.heirs {
				t.Errorf("as the source: %v", c.report)
			}
			src, dst = ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.Unix)
			n, err = c.within(t, tt.make(dst.Writer), src.Reader)
			checkWhole(t, dst, n, err, want)
			if fast := c.report.Bytes(zerocopy.Sendfile) > 0; fast == tt.heirs {
				t.Errorf("as the destination: %v", c.report)
			}
		})
	}
}

// TestH38ClosedFile: what RawConn of an *os.File says of a file that is closed
// meanwhile, or that the poller does not have, is made what Read says.
func TestH38ClosedFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		src, dst ztest.Kind
		reason   string
	}{
		{ztest.Pipe, ztest.TCP4, "waiting in a splice with no pipe between"},
		{ztest.FIFO, ztest.Pipe, "the same, both are files"},
		{ztest.SockFile, ztest.TCP4, "waiting before a pipe is borrowed"},
		{ztest.PTY, ztest.TCP4, "waiting in Read"},
	} {
		src, dst := ztest.NewSource(t, tt.src, nil, ztest.Manual()), ztest.NewDest(t, tt.dst)
		r := track(t, nil).begin(t, nil, dst.Writer, src.Reader)
		src.Feed([]byte("held"))
		dst.AwaitReceived(4)
		r.AwaitParked()
		src.Reader.Close()
		r.Wait()
		checkFailed(t, r.err, failed{src.Reader, "read", os.ErrClosed})
		if r.n != 4 {
			t.Errorf("%s: n = %d", tt.reason, r.n)
		}
	}
	// In blocking mode when package os got it, hence not in the poller; made
	// nonblocking by somebody else since.
	for _, off := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
		src, dst := ztest.NewSource(t, ztest.Pipe, nil, ztest.Manual(), ztest.Blocking()), ztest.NewDest(t, ztest.TCP4)
		if err := ztest.SetNonblock(src.Reader, true); err != nil {
			t.Fatal(err)
		}
		src.Feed([]byte("held"))
		c := track(t, nil)
		c.Disable = off
		n, err := c.within(t, dst.Writer, src.Reader)
		if n != 4 {
			t.Errorf("n = %d", n)
		}
		checkFailed(t, err, failed{src.Reader, "read", syscall.EAGAIN})
		_, want := io.Copy(dst.Writer, src.Reader)
		if !errors.Is(want, syscall.EAGAIN) {
			t.Errorf("io.Copy says %v", want)
		}
	}
}
