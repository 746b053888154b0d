package zerocopy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A spy is a destination that remembers which of its methods were called.
type spy struct {
	bytes.Buffer
	largest int // largest Write
}

func (s *spy) Write(p []byte) (int, error) {
	s.largest = max(s.largest, len(p))
	return s.Buffer.Write(p)
}

// ReadFrom hides bytes.Buffer's.
func (s *spy) ReadFrom() {}

// handedTo is a Reader whose WriteTo remembers what it was handed.
type handedTo struct {
	io.Reader
	dst *io.Writer
}

func (h handedTo) WriteTo(w io.Writer) (int64, error) {
	*h.dst = w
	return io.Copy(struct{ io.Writer }{w}, h.Reader)
}

func compressed(t *testing.T, plain []byte) map[string]func() io.Reader {
	pack := func(w io.WriteCloser, b *bytes.Buffer) []byte {
		if _, err := w.Write(plain); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	must := func(r io.Reader, err error) io.Reader {
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var g, z, s bytes.Buffer
	zw, err := zstd.NewWriter(&z)
	if err != nil {
		t.Fatal(err)
	}
	gz, zs, sn := pack(gzip.NewWriter(&g), &g), pack(zw, &z), pack(s2.NewWriter(&s), &s)
	return map[string]func() io.Reader{
		"compress/gzip":  func() io.Reader { return must(gzip.NewReader(bytes.NewReader(gz))) },
		"klauspost gzip": func() io.Reader { return must(kgzip.NewReader(bytes.NewReader(gz))) },
		"zstd": func() io.Reader {
			r, err := zstd.NewReader(bytes.NewReader(zs))
			t.Cleanup(func() { r.Close() })
			return must(r, err)
		},
		"s2": func() io.Reader { return s2.NewReader(bytes.NewReader(sn)) },
	}
}

// TestCompressed: streams that have to be unpacked, into every kind of destination.
func TestCompressed(t *testing.T) {
	t.Parallel()
	plain := bytes.Repeat([]byte("compressible text, "), 50000)
	for name, open := range compressed(t, plain) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []ztest.Kind{ztest.TCP4, ztest.File, ztest.Pipe, ztest.Append} {
				dst := ztest.NewDest(t, kind)
				var r zerocopy.Report
				c := &zerocopy.Copier{Report: func(got zerocopy.Report) { r = got }}
				src := open()
				n, err := c.Copy(context.Background(), dst.Writer, src)
				if n != int64(len(plain)) || err != nil {
					t.Fatal(kind, n, err)
				}
				ztest.Equal(t, string(kind), dst.Finish(), plain)
				_, delegates := src.(io.WriterTo)
				if delegated := r.Bytes(zerocopy.Delegated) == n; delegated != delegates {
					t.Errorf("a %T that has WriteTo == %v: %v", src, delegates, r)
				}
			}
		})
	}
}

// TestBareDestination: a source's own WriteTo is handed the destination itself,
// also where ours is around it, so that it can look for what it knows.
func TestBareDestination(t *testing.T) {
	t.Parallel()
	conn := ztest.NewDest(t, ztest.TCP4)
	for _, dst := range []io.Writer{conn.Writer, zerocopy.NewWriter(conn.Writer), zerocopy.NewWriter(zerocopy.NewWriter(conn.Writer))} {
		var got io.Writer
		if _, err := zerocopy.Copy(dst, handedTo{strings.NewReader("text"), &got}); err != nil {
			t.Fatal(err)
		}
		if got != io.Writer(conn.Writer) {
			t.Errorf("to a %T: WriteTo was handed a %T", dst, got)
		}
	}
}

// TestNetBuffers: many slices leave by one writev, not by a write each.
func TestNetBuffers(t *testing.T) {
	if !ztest.Isolated(t) { // counts the system calls of the process
		return
	}
	dst := ztest.NewDest(t, ztest.TCP4)
	const pieces = 200
	piece := ztest.Pattern(1).Bytes(100)
	all := make(net.Buffers, pieces)
	for i := range all {
		all[i] = piece
	}
	before := writeCalls(t)
	n, err := zerocopy.Copy(zerocopy.NewWriter(dst.Writer), &all)
	calls := writeCalls(t) - before
	if n != 100*pieces || err != nil || len(all) != 0 {
		t.Fatal(n, err, len(all))
	}
	if calls > 50 { // the runtime writes to itself to wake threads
		t.Errorf("%d write calls for %d slices", calls, pieces)
	}
	ztest.Equal(t, "tcp", dst.Finish(), bytes.Repeat(piece, pieces))
}

// TestCopyBuffer: its contract is io.CopyBuffer's.
func TestCopyBuffer(t *testing.T) {
	t.Parallel()
	for _, buf := range [][]byte{make([]byte, 7), make([]byte, 100000)} {
		var w spy
		src := strings.NewReader(strings.Repeat("abc", 50000))
		n, err := zerocopy.CopyBuffer(&w, struct{ io.Reader }{src}, buf)
		if n != 150000 || err != nil || w.largest != len(buf) {
			t.Errorf("%d, %v; a buffer of %d was used as %d", n, err, len(buf), w.largest)
		}
	}
	defer func() {
		if v := recover(); v != "empty buffer in CopyBuffer" {
			t.Errorf("recovered %v", v)
		}
	}()
	zerocopy.CopyBuffer(nil, nil, []byte{}) // before anything else is looked at
}

// A countingPool counts, and gives buffers of its size.
type countingPool struct{ size, gets, puts, foreign int }

func (p *countingPool) Get() []byte { p.gets++; return make([]byte, p.size, p.size+1) }
func (p *countingPool) Put(b []byte) {
	p.puts++
	if cap(b) != p.size+1 {
		p.foreign++
	}
}

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("in Read") }

func TestBufferPool(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		size    int
		src     func(*testing.T) io.Reader
		largest int // 0: not said
		panics  bool
	}{
		{"unknown reader", 1000, func(*testing.T) io.Reader { return struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 9000))} }, 1000, false},
		{"length 0: a buffer of our own", 0, func(*testing.T) io.Reader {
			return struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 90000))}
		}, zerocopy.BufferSize, false},
		{"file", 1000, func(t *testing.T) io.Reader { return ztest.NewSource(t, ztest.File, make([]byte, 9000)).Reader }, 1000, false},
		{"stream", 1000, func(t *testing.T) io.Reader {
			return ztest.NewSource(t, ztest.TCP4, make([]byte, 9000), ztest.Pieces(3000), ztest.Barrier()).Reader
		}, 1000, false},
		{"a Read that panics", 1000, func(*testing.T) io.Reader { return panicking{} }, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := &countingPool{size: tt.size}
			var w spy
			func() {
				defer func() {
					if v := recover(); (v != nil) != tt.panics {
						t.Errorf("recovered %v", v)
					}
				}()
				if _, err := (&zerocopy.Copier{BufferPool: p}).Copy(context.Background(), &w, tt.src(t)); err != nil {
					t.Error(err)
				}
			}()
			if p.gets == 0 || p.gets != p.puts || p.foreign != 0 {
				t.Errorf("%d Gets, %d Puts, %d of other buffers", p.gets, p.puts, p.foreign)
			}
			if tt.largest != 0 && w.largest != tt.largest {
				t.Errorf("written in pieces of %d, want %d", w.largest, tt.largest)
			}
		})
	}
}

// TestTLS: bytes are unpacked and packed by the connection, in both directions.
func TestTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	config := &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"}
	ours, theirs := tls.Client(a, config), tls.Server(b, server.TLS)
	content := ztest.Pattern(5).Bytes(1 << 20)
	sent := make(chan error, 1)
	go func() {
		_, err := theirs.Write(content)
		sent <- errors.Join(err, theirs.CloseWrite())
	}()
	dst := ztest.NewDest(t, ztest.TCP4)
	if got := zerocopy.Explain(dst.Writer, ours).String(); got != "buffered: source *tls.Conn encrypts its bytes in user memory" {
		t.Error(got)
	}
	if n, err := zerocopy.Copy(dst.Writer, ours); n != int64(len(content)) || err != nil {
		t.Fatal(n, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	ztest.Equal(t, "out of TLS", dst.Finish(), content)

	got := make(chan []byte, 1)
	go func() { p, _ := io.ReadAll(theirs); got <- p }()
	src := ztest.NewSource(t, ztest.TCP4, content)
	if n, err := zerocopy.Copy(ours, src.Reader); n != int64(len(content)) || err != nil {
		t.Fatal(n, err)
	}
	ours.CloseWrite()
	ztest.Equal(t, "into TLS", <-got, content)
	a.Close()
	b.Close()
}

// TestHTTP2: bodies of HTTP/2 in both directions are read and written.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(6).Bytes(3 << 20)
	file := ztest.NewSource(t, ztest.File, content)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Error(r.Proto)
		}
		var got bytes.Buffer
		if _, err := zerocopy.Copy(&got, r.Body); err != nil {
			t.Error(err)
		}
		ztest.Equal(t, "request", got.Bytes(), content)
		if _, err := zerocopy.Copy(w, file.Reader); err != nil {
			t.Error(err)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	resp, err := server.Client().Post(server.URL, "application/octet-stream", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	dst := ztest.NewDest(t, ztest.File)
	if n, err := zerocopy.Copy(dst.Writer, resp.Body); n != int64(len(content)) || err != nil {
		t.Fatal(n, err)
	}
	ztest.Equal(t, "response", dst.Finish(), content)
}

// TestHelplessAllocates: a copy that the kernel cannot help allocates nothing of
// its own, and none of the 32 KiB that io.Copy does.
func TestHelplessAllocates(t *testing.T) {
	if raceEnabled {
		t.Log("the race detector drops pooled values: nothing to count")
		return
	}
	text := bytes.Repeat([]byte("x"), 1000)
	reader := bytes.NewReader(text)
	unknown := struct{ io.Reader }{reader}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var src io.Reader = unknown
	for name, dst := range map[string]io.Writer{"writer": new(writer), "file": null} {
		for what, from := range map[string]io.Reader{"memory": reader, "unknown": src} {
			if n := testing.AllocsPerRun(100, func() {
				reader.Reset(text)
				zerocopy.Copy(dst, from)
			}); n != 0 {
				t.Errorf("%s to %s: %v allocations", what, name, n)
			}
		}
	}
}

// writeCalls returns how many write system calls this process has made.
func writeCalls(t *testing.T) (n int) {
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "syscw: "); ok {
			n, err = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
