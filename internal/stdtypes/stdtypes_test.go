//lint:file-ignore U1000 The fields and methods of look-alikes are there for their layout.

package stdtypes_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// Each of the supported Go releases has the layouts that were verified.
func TestVerified(t *testing.T) {
	t.Parallel()
	verified := stdtypes.Verified()
	if len(verified) != 8 {
		t.Errorf("%d layouts", len(verified))
	}
	for name, ok := range verified {
		if !ok {
			t.Errorf("the layout of %s is not as it was verified", name)
		}
	}
}

func TestBufioReader(t *testing.T) {
	t.Parallel()
	under := strings.NewReader("buffered and not")
	b := bufio.NewReaderSize(under, 16)
	rd, pending, ok := stdtypes.BufioReader(b)
	if rd != io.Reader(under) || pending != nil || !ok || len(stdtypes.BufioBuffered(b)) != 0 {
		t.Errorf("fresh: %T, %v, %v", rd, pending, ok)
	}
	b.ReadByte()
	if got := string(stdtypes.BufioBuffered(b)); got != "uffered and not" {
		t.Errorf("buffered %q", got)
	}
	if err := b.UnreadByte(); err != nil {
		t.Errorf("looking has changed something: %v", err)
	}
	// An error that Read would tell only when the buffer is empty.
	broken := errors.New("broken")
	b = bufio.NewReaderSize(together{"last", broken}, 16)
	b.Peek(1)
	if _, pending, ok = stdtypes.BufioReader(b); pending != broken || !ok || string(stdtypes.BufioBuffered(b)) != "last" {
		t.Errorf("pending %v, buffered %q", pending, stdtypes.BufioBuffered(b))
	}
	b.Reset(under)
	if rd, pending, _ = stdtypes.BufioReader(b); rd != io.Reader(under) || pending != nil {
		t.Errorf("after Reset: %T, %v", rd, pending)
	}
	if rd, _, ok = stdtypes.BufioReader(new(bufio.Reader)); rd != nil || !ok {
		t.Errorf("zero: %T, %v", rd, ok)
	}
}

// A together returns its bytes and its error at once.
type together struct {
	s   string
	err error
}

func (r together) Read(p []byte) (int, error) { return copy(p, r.s), r.err }

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestBufioWriter(t *testing.T) {
	t.Parallel()
	var under bytes.Buffer
	b := bufio.NewWriter(&under)
	wr, sticky, ok := stdtypes.BufioWriter(b)
	if wr != io.Writer(&under) || *sticky != nil || !ok {
		t.Errorf("fresh: %T, %v, %v", wr, *sticky, ok)
	}
	broken := errors.New("broken")
	*sticky = broken
	if _, err := b.Write([]byte("x")); err != broken {
		t.Errorf("Write after an error was put there: %v", err)
	}
	b = bufio.NewWriterSize(failing{broken}, 16)
	b.Write(make([]byte, 17))
	if _, sticky, _ = stdtypes.BufioWriter(b); *sticky != broken {
		t.Errorf("sticky is %v", *sticky)
	}
	if wr, _, ok = stdtypes.BufioWriter(new(bufio.Writer)); wr != nil || !ok {
		t.Errorf("zero: %T, %v", wr, ok)
	}
}

func TestMultiWriter(t *testing.T) {
	t.Parallel()
	a, b := new(bytes.Buffer), new(strings.Builder)
	writers, ok := stdtypes.MultiWriter(io.MultiWriter(a, io.MultiWriter(b)))
	if !ok || len(writers) != 2 || writers[0] != io.Writer(a) || writers[1] != io.Writer(b) {
		t.Errorf("%v, %v", writers, ok)
	}
	if writers, ok = stdtypes.MultiWriter(io.MultiWriter()); !ok || len(writers) != 0 {
		t.Errorf("empty: %v, %v", writers, ok)
	}
	type multiWriter struct{ writers []io.Writer }
	for name, v := range map[string]io.Writer{
		"nil": nil, "a writer": a, "embedded": struct{ io.Writer }{io.MultiWriter(a)},
		"io.MultiWriter by another name": struct {
			*multiWriter
			io.Writer
		}{&multiWriter{[]io.Writer{a}}, a},
	} {
		if _, ok := stdtypes.MultiWriter(v); ok {
			t.Errorf("%s is taken for an io.MultiWriter", name)
		}
	}
}

func TestTeeReader(t *testing.T) {
	t.Parallel()
	from, to := strings.NewReader("text"), new(bytes.Buffer)
	r, w, ok := stdtypes.TeeReader(io.TeeReader(from, to))
	if !ok || r != io.Reader(from) || w != io.Writer(to) {
		t.Errorf("%T, %T, %v", r, w, ok)
	}
	for name, v := range map[string]io.Reader{
		"nil": nil, "a reader": from, "embedded": struct{ io.Reader }{io.TeeReader(from, to)},
	} {
		if _, _, ok := stdtypes.TeeReader(v); ok {
			t.Errorf("%s is taken for an io.TeeReader", name)
		}
	}
}

func TestMultiReader(t *testing.T) {
	t.Parallel()
	a, b := strings.NewReader("a"), strings.NewReader("b")
	r := io.MultiReader(a, b)
	parts, ok := stdtypes.MultiReader(r)
	if !ok || !stdtypes.IsMultiReader(r) || len(*parts) != 2 || (*parts)[0] != io.Reader(a) || (*parts)[1] != io.Reader(b) {
		t.Fatalf("%v, %v", parts, ok)
	}
	// What is changed there is what r reads.
	(*parts)[0] = stdtypes.AtEnd{}
	if got, err := io.ReadAll(r); string(got) != "b" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if parts, ok = stdtypes.MultiReader(io.MultiReader()); !ok || len(*parts) != 0 {
		t.Errorf("of nothing: %v, %v", parts, ok)
	}
}

// Types of this package that look like those of the standard library.
type (
	multiReader        struct{ readers []io.Reader }
	nopCloser          struct{ io.Reader }
	noWriteTo          struct{}
	fileWithoutWriteTo struct {
		noWriteTo
		*os.File
	}
	tcpConnWithoutReadFrom struct {
		noWriteTo
		*net.TCPConn
	}
)

func (m *multiReader) Read(p []byte) (int, error)      { return m.readers[0].Read(p) }
func (nopCloser) Close() error                         { return nil }
func (noWriteTo) WriteTo(io.Writer) (int64, error)     { panic("not promoted") }
func (c nopCloser) WriteTo(w io.Writer) (int64, error) { return 0, nil }

func TestLookAlikesAreRefused(t *testing.T) {
	t.Parallel()
	r := strings.NewReader("")
	real := io.NopCloser(r)
	for name, v := range map[string]any{
		"nil":                          nil,
		"a reader":                     r,
		"io.NopCloser by another name": nopCloser{r},
		"a pointer to io.NopCloser":    &real,
		"io.NopCloser embedded":        struct{ io.ReadCloser }{real},
		"a struct around a reader":     struct{ io.Reader }{r},
		"os.fileWithoutWriteTo's twin": fileWithoutWriteTo{File: os.Stdin},
		"a pointer to it":              &fileWithoutWriteTo{File: os.Stdin},
		"net.tcpConnWithoutReadFrom's": tcpConnWithoutReadFrom{},
		"anonymous, with the fields": struct {
			noWriteTo
			*os.File
		}{File: os.Stdin},
		"io.LimitedReader": &io.LimitedReader{R: r},
	} {
		if inner, ok := stdtypes.Hidden(v); ok {
			t.Errorf("%s: Hidden says %T", name, inner)
		}
	}
	for name, v := range map[string]io.Reader{
		"nil": nil, "io.MultiReader by another name": &multiReader{[]io.Reader{r}},
		"embedded": struct{ io.Reader }{io.MultiReader(r)}, "a reader": r,
	} {
		if _, ok := stdtypes.MultiReader(v); ok || stdtypes.IsMultiReader(v) {
			t.Errorf("%s is taken for an io.MultiReader", name)
		}
	}
}

// A capture keeps what the standard library hands to its ReadFrom or WriteTo.
type capture struct{ got any }

func (c *capture) Write(p []byte) (int, error)                    { return len(p), nil }
func (c *capture) Read([]byte) (int, error)                       { return 0, io.EOF }
func (c *capture) ReadFrom(r io.Reader) (n int64, err error)      { c.got = r; return 0, nil }
func (c *capture) WriteTo(w io.Writer) (written int64, err error) { c.got = w; return 0, nil }

// The structs that the standard library itself makes are looked into, as it makes
// them.
func TestHidden(t *testing.T) {
	t.Parallel()
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn := c.(*net.TCPConn)
	for _, tt := range []struct {
		name, typ string
		make      func(*capture)
		inner     any
	}{
		{"by os for WriteTo", "os.fileWithoutWriteTo", func(c *capture) { f.WriteTo(c) }, f},
		{"by os for ReadFrom", "os.fileWithoutReadFrom", func(c *capture) { f.ReadFrom(c) }, f},
		{"by net for WriteTo", "net.tcpConnWithoutWriteTo", func(c *capture) { conn.WriteTo(c) }, conn},
		{"by net for ReadFrom", "net.tcpConnWithoutReadFrom", func(c *capture) { conn.ReadFrom(c) }, conn},
		{"io.NopCloser", "io.nopCloser", func(c *capture) { c.got = io.NopCloser(struct{ io.Reader }{f}) }, struct{ io.Reader }{f}},
		{"io.NopCloser with WriteTo", "io.nopCloserWriterTo", func(c *capture) { c.got = io.NopCloser(conn) }, conn},
	} {
		var got capture
		tt.make(&got)
		inner, ok := stdtypes.Hidden(got.got)
		if !ok || inner != tt.inner {
			t.Errorf("%s: %T, inside %T, %v", tt.name, got.got, inner, ok)
		}
		if name := reflect.TypeOf(got.got).String(); name != tt.typ {
			t.Errorf("%s: the type is %s, not %s", tt.name, name, tt.typ)
		}
	}
}
