package main

import (
	"bufio"
	"compress/gzip"
	"io"

	"github.com/zerocopy-go/zerocopy"
)

// A kind is a kind of endpoint, the innermost thing that bytes come from or go to.
type kind string

const (
	aFile   kind = "file"            // *os.File, a regular file
	aPipe   kind = "pipe"            // *os.File, a pipe of the default 64 KiB
	aUnix   kind = "unix"            // *net.UnixConn, a stream
	aTCP    kind = "tcp"             // *net.TCPConn over loopback
	aSocket kind = "os.File(socket)" // *os.File, a TCP socket, as os.NewFile makes it of an inherited descriptor
	aZero   kind = "/dev/zero"       // *os.File, the device, which never ends
	aGzip   kind = "gzip file"       // *os.File, a regular file to be decompressed
	memory  kind = "bytes"           // *bytes.Reader
)

// descriptor is the kind of descriptor below k, as the routes of a Report name it.
func (k kind) descriptor() string {
	switch k {
	case aSocket:
		return "tcp"
	case aZero:
		return "zero"
	case aGzip:
		return "file"
	}
	return string(k)
}

// kinds are the ends of the bare pairs, in the order of the heat map.
var kinds = []kind{aFile, aPipe, aUnix, aTCP}

// A group is a part of the table.
type group string

const (
	bare     group = "bare ends"
	wrapped  group = "wrapped ends"
	hopeless group = "nothing for the kernel to move"
)

// A pair is a row: a source, a destination, and what is wrapped around them.
type pair struct {
	name     string
	group    group
	src, dst kind
	// reader and writer wrap an end; nil leaves it bare. n is how many bytes
	// the copy is to move.
	reader func(r io.Reader, n int64) io.Reader
	writer func(w io.Writer) io.Writer
	// prefix is how many of the n bytes the reader brings itself; they are the
	// first ones of header.
	prefix int
	// finish flushes what the writer holds, within the measured time.
	finish func(w io.Writer) error
}

// pairs are all rows in the order of the table.
var pairs = append(barePairs(), []pair{
	{name: "limit(limit(file)) → tcp", group: wrapped, src: aFile, dst: aTCP, reader: limitTwice},
	{name: "section(file) → tcp", group: wrapped, src: aFile, dst: aTCP, reader: section},
	{name: "section(file) → file", group: wrapped, src: aFile, dst: aFile, reader: section},
	{name: "limit(/dev/zero) → tcp", group: wrapped, src: aZero, dst: aTCP, reader: limit},
	{name: "limit(limit(tcp)) → tcp", group: wrapped, src: aTCP, dst: aTCP, reader: limitTwice},
	{name: "limit(tcp) → unix", group: wrapped, src: aTCP, dst: aUnix, reader: limit},
	{name: "bufio(limit(tcp)) → tcp", group: wrapped, src: aTCP, dst: aTCP, reader: func(r io.Reader, n int64) io.Reader {
		return bufio.NewReader(io.LimitReader(r, n))
	}},
	{name: "limit(bufio(tcp)) → tcp", group: wrapped, src: aTCP, dst: aTCP, reader: func(r io.Reader, n int64) io.Reader {
		return io.LimitReader(bufio.NewReader(r), n)
	}},
	{name: "limit(bufio(tcp)) → file", group: wrapped, src: aTCP, dst: aFile, reader: func(r io.Reader, n int64) io.Reader {
		return io.LimitReader(bufio.NewReader(r), n)
	}},
	{name: "multi(header, tcp) → tcp", group: wrapped, src: aTCP, dst: aTCP, prefix: len(header), reader: func(r io.Reader, _ int64) io.Reader {
		return io.MultiReader(newHeaderReader(), r)
	}},
	{name: "tcp → bufio(unix)", group: wrapped, src: aTCP, dst: aUnix, writer: func(w io.Writer) io.Writer {
		return bufio.NewWriter(w)
	}, finish: func(w io.Writer) error { return w.(*bufio.Writer).Flush() }},
	{name: "os.File(socket) → tcp", group: wrapped, src: aSocket, dst: aTCP},
	{name: "opt-in meter(tcp) → tcp", group: wrapped, src: aTCP, dst: aTCP, reader: func(r io.Reader, _ int64) io.Reader {
		return &openMeter{meter{r: r}}
	}},
	{name: "unknown meter(tcp) → tcp", group: hopeless, src: aTCP, dst: aTCP, reader: func(r io.Reader, _ int64) io.Reader {
		return &meter{r: r}
	}},
	{name: "bytes.Reader → tcp", group: hopeless, src: memory, dst: aTCP},
	{name: "gzip.Reader(file) → tcp", group: hopeless, src: aGzip, dst: aTCP, reader: gunzip},
	{name: "gzip.Reader(file) → file", group: hopeless, src: aGzip, dst: aFile, reader: gunzip},
}...)

// barePairs are all combinations of kinds.
func barePairs() []pair {
	var ps []pair
	for _, src := range kinds {
		for _, dst := range kinds {
			ps = append(ps, pair{name: string(src + " → " + dst), group: bare, src: src, dst: dst})
		}
	}
	return ps
}

func findPair(name string) (pair, bool) {
	for _, p := range pairs {
		if p.name == name {
			return p, true
		}
	}
	return pair{}, false
}

func limit(r io.Reader, n int64) io.Reader      { return io.LimitReader(r, n) }
func limitTwice(r io.Reader, n int64) io.Reader { return io.LimitReader(io.LimitReader(r, n), n) }
func section(r io.Reader, n int64) io.Reader    { return io.NewSectionReader(r.(io.ReaderAt), 0, n) }

func gunzip(r io.Reader, _ int64) io.Reader {
	z, err := gzip.NewReader(r)
	if err != nil {
		return failed{err}
	}
	return z
}

// failed is a Reader of nothing but an error.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// A meter counts the bytes that pass. Nobody but its author knows that it passes
// them unchanged, so nobody may go round it.
type meter struct {
	r io.Reader
	n int64
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	return n, err
}

// An openMeter is a meter that says so.
type openMeter struct{ meter }

// UnwrapReader implements [zerocopy.ReaderUnwrapper].
func (m *openMeter) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{
		Self:   m,
		Reader: m.r,
		Moved:  func(n int64) error { m.n += n; return nil },
	}, true
}

var _ zerocopy.ReaderUnwrapper = (*openMeter)(nil)
