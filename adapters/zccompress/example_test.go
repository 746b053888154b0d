package zccompress_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
)

// gzipped returns s compressed.
func gzipped(s string) *bytes.Buffer {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s)
	w.Close()
	return &b
}

// A file may be compressed or not. If it is not, the copy is by sendfile or splice.
func Example() {
	for _, r := range []io.Reader{gzipped("from a file\n"), strings.NewReader("from another\n")} {
		z := zccompress.NewReader(r, nil)
		if _, err := zerocopy.Copy(os.Stdout, z); err != nil {
			log.Fatal(err)
		}
		z.Close()
		fmt.Println(z.Format())
	}
	// Output:
	// from a file
	// gzip
	// from another
	// plain
}

func ExampleNewReader() {
	z := zccompress.NewReader(gzipped("content"), &zccompress.Options{Formats: zccompress.Gzip | zccompress.Zstd})
	defer z.Close()
	b, err := io.ReadAll(z)
	fmt.Printf("%s, %v\n", b, err)

	z = zccompress.NewReader(strings.NewReader("content"), &zccompress.Options{Formats: zccompress.Gzip | zccompress.Zstd})
	_, err = io.ReadAll(z)
	fmt.Println(err == zccompress.ErrFormat)
	// Output:
	// content, <nil>
	// true
}

// Ten bytes are let through, and the rest is an error.
func ExampleOptions() {
	z := zccompress.NewReader(gzipped(strings.Repeat("bomb ", 1e6)), &zccompress.Options{MaxBytes: 10})
	defer z.Close()
	b, err := io.ReadAll(z)
	fmt.Printf("%q\n%v\n%v\n", b, err, errors.Is(err, zccompress.ErrTooLarge))
	// Output:
	// "bomb bomb "
	// zccompress: the gzip stream is more than 10 bytes when decompressed (MaxBytes)
	// true
}

func ExampleLimitError() {
	z := zccompress.NewReader(gzipped("more than that"), &zccompress.Options{MaxBytes: 4})
	_, err := zerocopy.Copy(io.Discard, z)
	if e := (*zccompress.LimitError)(nil); errors.As(err, &e) {
		fmt.Println(e.Format, e.Option, e.Limit)
	}
	// Output: gzip MaxBytes 4
}

// A proxy can decide by the format, before a byte has been passed on.
func ExampleReader_Sniff() {
	z := zccompress.NewReader(gzipped("content"), nil)
	defer z.Close()
	f, err := z.Sniff()
	fmt.Println(f, err, f&(zccompress.Gzip|zccompress.Zstd) != 0)
	// Output: gzip <nil> true
}

func ExampleFormat() {
	fmt.Println(zccompress.Standard)
	fmt.Println(zccompress.Standard | zccompress.Zlib)
	// Output:
	// plain|gzip|zstd|s2|snappy
	// plain|gzip|zstd|s2|snappy|zlib
}
