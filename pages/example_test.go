package pages_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/pages"
)

// A server makes what it sends in memory that it lends to the kernel.
func Example() {
	serve := func(conn *net.TCPConn, render func(frame []byte) int) error {
		w, err := pages.NewWriter(conn, &pages.Options{Size: 1 << 20})
		if err != nil {
			return err
		}
		defer w.Close()
		for {
			frame, err := w.Next() // nobody reads it, and nobody else has it
			if err != nil {
				return err
			}
			n := render(frame)
			if n == 0 {
				break
			}
			if err := w.Commit(n); err != nil { // it is the kernel's from here on
				return err
			}
		}
		log.Print(w.Stats()) // 73400320 bytes: 73138176 lent, 262144 copied; msg_zerocopy
		return w.Wait()      // until the peer has acknowledged everything
	}
	_ = serve
}

// In front of a pipe, or of standard output where that is one.
func ExampleNewWriter() {
	r, p, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	go func() {
		defer p.Close()
		w, err := pages.NewWriter(p, nil)
		if err != nil {
			log.Fatal(err)
		}
		defer w.Close()
		for i := range 3 {
			buf, err := w.Next()
			if err != nil {
				log.Fatal(err)
			}
			n := copy(buf, strings.Repeat("all work and no play\n", i+1))
			if err := w.Commit(n); err != nil {
				log.Fatal(err)
			}
		}
	}()
	n, err := io.Copy(io.Discard, r)
	fmt.Println(n, err)
	// Output: 126 <nil>
}

// A Writer in the place of a bufio.Writer.
func ExampleWriter_Write() {
	w, err := pages.NewWriter(os.Stdout, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	fmt.Fprintf(w, "%d bottles of beer on the wall", 99)
	w.WriteByte(',')
	w.WriteString(" take one down,\n")
	w.Write(fmt.Appendf(w.AvailableBuffer(), "%d bottles of beer on the wall.\n", 98))
	if err := w.Flush(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 99 bottles of beer on the wall, take one down,
	// 98 bottles of beer on the wall.
}

// What a Reader makes up is read straight into memory that is lent.
func ExampleWriter_ReadFrom() {
	var dst bytes.Buffer
	w, err := pages.NewWriter(&dst, &pages.Options{Size: 4096})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	n, err := w.ReadFrom(strings.NewReader(strings.Repeat("tick tock ", 1000)))
	fmt.Println(n, err, w.Buffered(), "not sent yet")
	fmt.Println(w.Flush(), dst.Len())
	// Output:
	// 10000 <nil> 1808 not sent yet
	// <nil> 10000
}

// A program that promises what its Writer cannot know: that this pipe is read, and not
// spliced on.
func ExampleOptions() {
	r, p, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer p.Close()
	w, err := pages.NewWriter(p, &pages.Options{
		Lend:   pages.ReaderCopies,
		Size:   32 << 10,
		Check:  true, // in tests: a write to a buffer that is not ours faults
		Linger: 10 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	buf, err := w.Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(buf), w.Commit(len(buf)))
	// Output: 32768 <nil>
}

// The choice is the user's.
func ExampleLending() {
	var lend pages.Lending
	flags := flag.NewFlagSet("prog", flag.ContinueOnError)
	flags.TextVar(&lend, "lend", pages.Fastest, "how memory is lent to a pipe")
	fmt.Println(flags.Parse([]string{"-lend", "fresh-pages"}), lend)
	fmt.Println(lend.UnmarshalText([]byte("often")))
	// Output:
	// <nil> fresh-pages
	// pages: unknown lending "often" (known: fastest, fresh-pages, reader-copies, never)
}

// A header that goes to every client is filled once, and lent to all of them at the same time.
func ExampleNewConstant() {
	header, err := pages.NewConstant(16, func(p []byte) error {
		copy(p, "HTTP/1.1 200 OK\n")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer header.Close()
	for range 2 {
		if _, err := header.WriteTo(os.Stdout); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(header.Len(), "bytes")
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 200 OK
	// 16 bytes
}

// The program yes(1).
func ExampleConstant_Repeat() {
	yes, err := pages.NewConstant(2*1024, func(p []byte) error {
		for i := range p {
			p[i] = "y\n"[i%2]
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer yes.Close()
	n, err := yes.Repeat(os.Stdout, 6) // with -1 until nobody reads any more
	fmt.Println(n, err)
	// Output:
	// y
	// y
	// y
	// 6 <nil>
}

// The same content to several destinations at a time, from the same pages.
func ExampleConstant_NewReader() {
	c, err := pages.NewConstant(5, func(p []byte) error {
		copy(p, "same\n")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	var other bytes.Buffer
	n, err := zerocopy.Copy(zerocopy.MultiWriter(os.Stdout, &other), c.NewReader())
	fmt.Println(n, err, other.String() == string(c.Bytes()))
	// Output:
	// same
	// 5 <nil> true
}

// A filter reads its standard input by whichever way is faster on this kernel.
func ExampleNewReader() {
	r, p, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	io.WriteString(p, "from a pipe")
	p.Close()
	b, err := io.ReadAll(pages.NewReader(r))
	fmt.Printf("%s, %v\n", b, err)
	// Output: from a pipe, <nil>
}

// Blocks of the same size out of a stream, with what is left at its end.
func ExampleReadPages() {
	r, p, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	io.WriteString(p, "twelve bytes")
	p.Close()
	block, err := pages.NewMemory(5, false)
	if err != nil {
		log.Fatal(err)
	}
	defer block.Free()
	for src := pages.NewReader(r); ; {
		n, err := pages.ReadPages(src, block.Bytes())
		fmt.Printf("%q %v\n", block.Bytes()[:n], err)
		if err != nil {
			break
		}
	}
	// Output:
	// "twelv" <nil>
	// "e byt" <nil>
	// "es" unexpected EOF
}

// Memory outside of the Go heap.
func ExampleNewMemory() {
	m, err := pages.NewMemory(1<<20, true) // of huge pages, if there are any
	if err != nil {
		log.Fatal(err)
	}
	defer m.Free()
	p := m.Bytes()
	fmt.Println(len(p), p[0], p[len(p)-1])
	// Output: 1048576 0 0
}
