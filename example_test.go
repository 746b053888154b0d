package zerocopy_test

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// upstream and client stand for two connections of a proxy.
var upstream, client *net.TCPConn

func ExampleCopy() {
	proxy := func() error {
		_, err := zerocopy.Copy(client, upstream) // was: io.Copy(client, upstream)
		return err
	}
	_ = proxy
}

func ExampleCopyN() {
	n, err := zerocopy.CopyN(os.Stdout, strings.NewReader("a header and a body\n"), 8)
	fmt.Println()
	fmt.Println(n, err)
	// Output:
	// a header
	// 8 <nil>
}

func ExampleCopyBuffer() {
	buf := make([]byte, 8<<10) // for what has to pass user memory
	zerocopy.CopyBuffer(os.Stdout, strings.NewReader("some text\n"), buf)
	// Output: some text
}

func ExampleCopyContext() {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("the tunnel's time is up"))
	defer cancel()
	tunnel := func() {
		_, err := zerocopy.CopyContext(ctx, client, upstream)
		fmt.Println(err) // the tunnel's time is up
	}
	_ = tunnel
}

func ExampleExplain() {
	packed, _ := gzip.NewReader(strings.NewReader("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00"))
	fmt.Println(zerocopy.Explain(os.Stdout, packed))
	fmt.Println(zerocopy.Explain(os.Stdout, strings.NewReader("text")))
	// Output:
	// buffered: source *gzip.Reader is not a descriptor
	// delegated: source *strings.Reader brings its own method
}

func ExamplePlan_Main() {
	plan := zerocopy.Explain(io.Discard, struct{ io.Reader }{os.Stdin})
	if main := plan.Main(); main.Mechanism == zerocopy.Delegated {
		fmt.Println("its own business:", main.End, main.Type)
	}
	// Output: its own business: destination io.discard
}

func ExampleCopier() {
	c := &zerocopy.Copier{
		Pages:   zerocopy.Stable, // the receiver gets what the file holds now
		Disable: zerocopy.Mechanisms(zerocopy.Splice),
		Report:  func(r zerocopy.Report) { log.Print(r) },
	}
	serve := func(f *os.File) error {
		_, err := c.Copy(context.Background(), client, f)
		return err
	}
	_ = serve
}

func ExampleCopier_report() {
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) {
		for _, s := range r.Steps {
			fmt.Println(s.Bytes, s)
		}
	}}
	src := io.LimitReader(struct{ io.Reader }{strings.NewReader("abcdef")}, 4)
	c.Copy(context.Background(), struct{ io.Writer }{io.Discard}, src)
	// Output: 4 buffered: source struct { io.Reader } is not a descriptor
}

func ExampleReport_Bytes() {
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) {
		if slow := r.Bytes(zerocopy.Buffered); slow > 1<<20 {
			log.Printf("%d MiB went through user memory: %v", slow>>20, r)
		}
	}}
	_ = c
}

func ExampleReport_Summary() {
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) { fmt.Println(r.Summary()) }}
	c.Copy(context.Background(), struct{ io.Writer }{io.Discard}, struct{ io.Reader }{strings.NewReader("abcd")})
	// Output: 4 bytes (buffered: source struct { io.Reader } is not a descriptor)
}

// A pool as httputil.ReverseProxy has it.
type pool struct{ free chan []byte }

func (p pool) Get() []byte {
	select {
	case b := <-p.free:
		return b
	default:
		return make([]byte, 64<<10)
	}
}

func (p pool) Put(b []byte) {
	select {
	case p.free <- b:
	default:
	}
}

func ExampleBufferPool() {
	c := &zerocopy.Copier{BufferPool: pool{make(chan []byte, 8)}}
	n, err := c.Copy(context.Background(), struct{ io.Writer }{io.Discard}, strings.NewReader("text"))
	fmt.Println(n, err)
	// Output: 4 <nil>
}

// A countingConn is a foreign type that cannot be edited.
type countingConn struct {
	net.Conn
	read atomic.Int64
}

func (c *countingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func ExampleCopier_unwrapReader() {
	c := &zerocopy.Copier{
		UnwrapReader: map[reflect.Type]func(io.Reader) (zerocopy.InnerReader, bool){
			// *countingConn counts and passes on: the application vouches for it.
			reflect.TypeFor[*countingConn](): func(r io.Reader) (zerocopy.InnerReader, bool) {
				c := r.(*countingConn)
				return zerocopy.InnerReader{
					Reader: c.Conn,
					Moved:  func(n int64) error { c.read.Add(n); return nil },
				}, true
			},
		},
	}
	proxy := func(from *countingConn) error {
		_, err := c.Copy(context.Background(), client, from)
		return err
	}
	_ = proxy
}

// idleConn cuts a connection that is silent for a minute. It says of itself that
// it passes bytes through, so copies from it and to it keep the fast path.
type idleConn struct{ *net.TCPConn }

const idle = time.Minute

func (c *idleConn) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(idle))
	return c.TCPConn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(idle))
	return c.TCPConn.Write(p)
}

func (c *idleConn) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{
		Self: c, Reader: c.TCPConn,
		Before: func() error { return c.SetReadDeadline(time.Now().Add(idle)) },
	}, true
}

func (c *idleConn) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{
		Self: c, Writer: c.TCPConn,
		Before: func() error { return c.SetWriteDeadline(time.Now().Add(idle)) },
	}, true
}

var (
	_ zerocopy.ReaderUnwrapper = (*idleConn)(nil)
	_ zerocopy.WriterUnwrapper = (*idleConn)(nil)
)

func ExampleReaderUnwrapper() {
	proxy := func() error {
		_, err := zerocopy.Copy(&idleConn{client}, &idleConn{upstream}) // spliced
		return err
	}
	_ = proxy
}

func ExampleWriterUnwrapper() {
	fmt.Println(zerocopy.Explain(&idleConn{client}, strings.NewReader("text")))
	// Output: buffered: source *strings.Reader is not a descriptor
}

func ExampleNewReader() {
	// Somebody else's code calls io.Copy(w, r) and cannot be edited.
	library := func(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, r) }
	use := func() { library(client, zerocopy.NewReader(upstream)) }
	_ = use
}

func ExampleNewWriter() {
	library := func(w io.Writer, r io.Reader) (int64, error) { return io.Copy(w, r) }
	n, err := library(zerocopy.NewWriter(os.Stdout), strings.NewReader("text\n"))
	fmt.Println(n, err)
	// Output:
	// text
	// 5 <nil>
}

func ExamplePartialError() {
	forward := func() error {
		_, err := zerocopy.Copy(client, upstream)
		var partial *zerocopy.PartialError
		if errors.As(err, &partial) {
			// upstream has given bytes that client did not take: they are not lost.
			return save(partial.Unwritten)
		}
		return err
	}
	_ = forward
}

func save([]byte) error { return nil }

func ExampleSetDefault() {
	// A switch for a running program: every Copy, also those under way, goes
	// through user memory from its next chunk on.
	zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.AllMechanisms})
	fmt.Println(zerocopy.Default().Disable)
	zerocopy.SetDefault(nil)
	// Output: delegated,sendfile,splice,tee,copy_file_range,vmsplice,msg_zerocopy
}

func ExampleReadStats() {
	s := zerocopy.ReadStats()
	fmt.Println("bytes that never saw user memory:", s.Bytes(zerocopy.Splice)+s.Bytes(zerocopy.Sendfile))
	for _, r := range s.Reasons {
		fmt.Println(r.Bytes, "bytes buffered:", r.End, r.Type, r.Reason)
	}
}

func ExampleMechanism() {
	var m zerocopy.Mechanism
	fmt.Println(m.UnmarshalText([]byte("splice")), m, m == zerocopy.Splice)
	// Output: <nil> splice true
}

func ExampleMechanismSet() {
	off := zerocopy.Mechanisms(zerocopy.Sendfile, zerocopy.Splice)
	fmt.Println(off, off.Has(zerocopy.Splice), off.Has(zerocopy.Tee))
	// Output: sendfile,splice true false
}
