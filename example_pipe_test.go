package zerocopy_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// A proxy whose two directions have a kernel buffer of a MiB each: the reader of one
// connection is not held up by the writer of the other.
func ExamplePipe() {
	forward := func(dst, src *net.TCPConn) error {
		p, err := zerocopy.NewPipe(1 << 20)
		if err != nil {
			return err
		}
		defer p.Close()
		filled := make(chan error, 1)
		go func() {
			_, err := p.ReadFrom(src) // spliced in
			p.CloseWrite()
			filled <- err
		}()
		_, err = p.WriteTo(dst) // spliced out
		if err != nil {
			p.Close() // ends the other
		}
		return errors.Join(err, <-filled)
	}
	_ = forward
}

// What passes from one connection to another is recorded in a file, and never
// enters user memory.
func ExamplePipe_Tee() {
	tap := func(dst, src *net.TCPConn, record *os.File) error {
		p, err := zerocopy.NewPipe(0)
		if err != nil {
			return err
		}
		defer p.Close()
		q, err := zerocopy.NewPipe(p.Size()) // as large as p, and so it takes all that p holds
		if err != nil {
			return err
		}
		defer q.Close()
		go func() {
			p.ReadFrom(src)
			p.CloseWrite()
		}()
		for {
			n, err := p.Tee(q, int64(p.Size()))
			if err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			if _, err := zerocopy.CopyN(record, q, n); err != nil {
				return err
			}
			if _, err := zerocopy.CopyN(dst, p, n); err != nil { // now they leave p
				return err
			}
		}
	}
	_ = tap
}

func ExampleNewPipe() {
	p, err := zerocopy.NewPipe(0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	fmt.Fprint(p, "text")
	p.CloseWrite()
	b, err := io.ReadAll(p)
	fmt.Println(string(b), err)
	// Output: text <nil>
}

func ExamplePipe_Read() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.Write([]byte("a header and a body"))
	header := make([]byte, 8)
	n, err := p.Read(header) // what follows stays in the kernel
	fmt.Println(string(header[:n]), err)
	// Output: a header <nil>
}

func ExamplePipe_Write() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.Write([]byte("a header "))
	p.ReadFrom(strings.NewReader("and a body\n"))
	p.CloseWrite()
	p.WriteTo(os.Stdout)
	// Output: a header and a body
}

func ExamplePipe_ReadFrom() {
	collect := func(p *zerocopy.Pipe, conn *net.TCPConn) (int64, error) {
		return p.ReadFrom(io.LimitReader(conn, int64(p.Size()))) // what fits
	}
	_ = collect
}

func ExamplePipe_WriteTo() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.Write([]byte("text\n"))
	p.CloseWrite()
	n, err := p.WriteTo(os.Stdout)
	fmt.Println(n, err)
	// Output:
	// text
	// 5 <nil>
}

func ExamplePipe_Buffered() {
	drop := func(p *zerocopy.Pipe) error {
		_, err := zerocopy.CopyN(io.Discard, p, int64(p.Buffered()))
		return err
	}
	_ = drop
}

func ExamplePipe_Size() {
	full := func(p *zerocopy.Pipe) bool { return p.Buffered() == p.Size() } // or its slots are used up before
	_ = full
}

func ExamplePipe_SetSize() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	switch n, err := p.SetSize(1 << 20); {
	case errors.Is(err, os.ErrPermission):
		_ = p.Size() // it stays as it is
	case err == nil:
		_ = n // 1 MiB at least
	}
}

func ExamplePipe_SetDeadline() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.SetDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := p.WriteTo(io.Discard) // nobody fills it
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

func ExamplePipe_SetReadDeadline() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := p.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

func ExamplePipe_SetWriteDeadline() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := p.Write(make([]byte, 16<<20)) // nobody empties it
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	// Output: true
}

func ExamplePipe_CloseWrite() {
	p, _ := zerocopy.NewPipe(0)
	defer p.Close()
	p.CloseWrite()
	n, err := p.Read(make([]byte, 1))
	fmt.Println(n, err)
	// Output: 0 EOF
}

func ExamplePipe_Close() {
	p, _ := zerocopy.NewPipe(0)
	p.Write([]byte("dropped"))
	p.Close()
	_, err := p.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, os.ErrClosed))
	// Output: true
}

// An upload is stored and its digest computed: the file gets its bytes from the
// connection in the kernel, the hash its own from memory.
func ExampleMultiWriter() {
	store := func(f *os.File, upload *net.TCPConn) (digest []byte, err error) {
		h := sha256.New()
		_, err = zerocopy.Copy(zerocopy.MultiWriter(f, h), upload)
		return h.Sum(nil), err
	}
	_ = store

	var h = sha256.New()
	n, err := io.Copy(zerocopy.MultiWriter(os.Stdout, h), strings.NewReader("text\n"))
	fmt.Printf("%d %v %x\n", n, err, h.Sum(nil)[:4])
	// Output:
	// text
	// 5 <nil> b9e68e1b
}

// A proxy records what it forwards.
func ExampleTeeReader() {
	record := func(client, upstream *net.TCPConn, log *os.File) error {
		_, err := zerocopy.Copy(client, zerocopy.TeeReader(upstream, log))
		return err
	}
	_ = record

	var b strings.Builder
	io.Copy(os.Stdout, zerocopy.TeeReader(strings.NewReader("text\n"), &b))
	fmt.Print(b.String())
	// Output:
	// text
	// text
}
