package zerocopy_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy"
)

// writer takes bytes and has no ReadFrom.
type writer struct{ n int }

func (w *writer) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

var contenders = []struct {
	name string
	copy func(io.Writer, io.Reader) (int64, error)
}{{"io", io.Copy}, {"zerocopy", zerocopy.Copy}}

// BenchmarkHelpless compares what a Copy costs that the kernel cannot help, in
// one run: the two contenders of a row follow each other. Run it as
//
//	go test -run '^$' -bench Helpless -count 10 . | benchstat -col /by -
func BenchmarkHelpless(b *testing.B) {
	small := bytes.Repeat([]byte("x"), 64)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(small)
	z.Close()
	reader, zsrc := bytes.NewReader(nil), bytes.NewReader(nil)
	unzip, _ := gzip.NewReader(bytes.NewReader(zipped.Bytes()))
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	conn, done := discarding(b)
	defer done()
	for _, row := range []struct {
		name string
		dst  io.Writer
		src  func() io.Reader
	}{
		{"bytes.Reader→writer", new(writer), func() io.Reader { reader.Reset(small); return reader }},
		{"bytes.Reader→devnull", null, func() io.Reader { reader.Reset(small); return reader }},
		{"bytes.Reader→tcp", conn, func() io.Reader { reader.Reset(small); return reader }},
		{"gzip→writer", new(writer), func() io.Reader {
			zsrc.Reset(zipped.Bytes())
			unzip.Reset(zsrc)
			return unzip
		}},
		// A limit spares io.Copy the 32 KiB: what is left is the search alone.
		{"limit(struct)→writer", new(writer), func() io.Reader {
			reader.Reset(small)
			return io.LimitReader(struct{ io.Reader }{reader}, 64)
		}},
		{"struct→writer", new(writer), func() io.Reader { reader.Reset(small); return struct{ io.Reader }{reader} }},
	} {
		for _, by := range contenders {
			b.Run(row.name+"/by="+by.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if n, err := by.copy(row.dst, row.src()); n != int64(len(small)) || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

// discarding returns a TCP connection whose peer reads and drops.
func discarding(b *testing.B) (c net.Conn, done func()) {
	c, peer := tcpPair(b)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1<<20)
		for {
			if _, err := peer.Read(buf); err != nil {
				peer.Close()
				return
			}
		}
	}()
	return c, func() { c.Close(); <-ended }
}

// BenchmarkSmallFile compares, in one run, a small file sent (io.Copy) with one
// read and written (Copy, up to smallFile). The peer reads in the same process, so
// that its CPU time is in both. Run it as
//
//	go test -run '^$' -bench SmallFile -count 10 . | benchstat -col /by -
func BenchmarkSmallFile(b *testing.B) {
	conn, done := discarding(b)
	defer done()
	for _, size := range []int{512, 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10} {
		f, err := os.CreateTemp(b.TempDir(), "small")
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		f.Write(make([]byte, size))
		for _, by := range contenders {
			b.Run(fmt.Sprintf("size=%d/by=%s", size, by.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					f.Seek(0, io.SeekStart)
					if n, err := by.copy(conn, f); n != int64(size) || err != nil {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}

// tcpPair returns the two ends of a connection over loopback.
func tcpPair(b *testing.B) (dialled, accepted net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if dialled, err = net.Dial("tcp", l.Addr().String()); err != nil {
		b.Fatal(err)
	}
	if accepted, err = l.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { dialled.Close(); accepted.Close() })
	return dialled, accepted
}
