// Package stdtypes holds all that is known about the inside of types of the
// standard library: which wrappers pass their inner stream's bytes through
// unchanged, and where they keep it.
//
// A layout is compared with the running release's by reflection before it is
// used, once a type. Where it differs, the wrapper is not looked into and Verified
// says so. Only exact types are known: a type that embeds one of them is not it.
package stdtypes

import (
	"bufio"
	"io"
	"net"
	"os"
	"reflect"
	"unsafe"
)

// A field is what a layout expects of one field of a struct.
type field struct {
	name string
	typ  reflect.Type
}

var (
	intType    = reflect.TypeFor[int]()
	errorType  = reflect.TypeFor[error]()
	bytesType  = reflect.TypeFor[[]byte]()
	readerType = reflect.TypeFor[io.Reader]()
	writerType = reflect.TypeFor[io.Writer]()
)

// verify reports whether struct type t has exactly these fields in this order.
func verify(t reflect.Type, fields ...field) bool {
	if t.Kind() != reflect.Struct || t.NumField() != len(fields) {
		return false
	}
	for i, want := range fields {
		if f := t.Field(i); f.Name != want.name || f.Type != want.typ {
			return false
		}
	}
	return true
}

// The mirrors of the verified layouts. Fields are in the order of the type.
type bufioReader struct {
	buf                    []byte
	rd                     io.Reader
	r, w                   int
	err                    error
	lastByte, lastRuneSize int
}

type bufioWriter struct {
	err error
	buf []byte
	n   int
	wr  io.Writer
}

type multiReader struct{ readers []io.Reader }

type multiWriter struct{ writers []io.Writer }

type teeReader struct {
	r io.Reader
	w io.Writer
}

var (
	bufioReaderOK = verify(reflect.TypeFor[bufio.Reader](), field{"buf", bytesType}, field{"rd", readerType},
		field{"r", intType}, field{"w", intType}, field{"err", errorType},
		field{"lastByte", intType}, field{"lastRuneSize", intType})
	bufioWriterOK = verify(reflect.TypeFor[bufio.Writer](), field{"err", errorType}, field{"buf", bytesType},
		field{"n", intType}, field{"wr", writerType})

	readWriterOK = verify(reflect.TypeFor[bufio.ReadWriter](), field{"Reader", reflect.TypeFor[*bufio.Reader]()},
		field{"Writer", reflect.TypeFor[*bufio.Writer]()})

	multiReaderType = reflect.TypeOf(io.MultiReader())
	multiReaderOK   = multiReaderType.Kind() == reflect.Pointer &&
		verify(multiReaderType.Elem(), field{"readers", reflect.TypeFor[[]io.Reader]()})

	multiWriterType = reflect.TypeOf(io.MultiWriter())
	multiWriterOK   = multiWriterType.Kind() == reflect.Pointer &&
		verify(multiWriterType.Elem(), field{"writers", reflect.TypeFor[[]io.Writer]()})

	teeReaderType = reflect.TypeOf(io.TeeReader(nil, nil))
	teeReaderOK   = teeReaderType.Kind() == reflect.Pointer &&
		verify(teeReaderType.Elem(), field{"r", readerType}, field{"w", writerType})
)

// Verified names the types whose layout is as it was verified to be, for tests:
// each of the supported Go releases must have them all.
func Verified() map[string]bool {
	return map[string]bool{
		"bufio.Reader": bufioReaderOK, "bufio.Writer": bufioWriterOK, "bufio.ReadWriter": readWriterOK, "io.multiReader": multiReaderOK,
		"io.multiWriter": multiWriterOK, "io.teeReader": teeReaderOK,
		"io.nopCloser": nopCloserOK, "io.nopCloserWriterTo": nopCloserWriterToOK,
	}
}

// BufioReader returns the Reader under b and the error that b holds back until
// its buffer is empty. It changes nothing; b's buffered bytes are b.Buffered()
// many and come first. ok is false where the layout is not verified.
func BufioReader(b *bufio.Reader) (rd io.Reader, pending error, ok bool) {
	if !bufioReaderOK {
		return nil, nil, false
	}
	m := (*bufioReader)(unsafe.Pointer(b))
	return m.rd, m.err, true
}

// bufioInner is BufioReader of a Reader that somebody else may be reading.
func bufioInner(b *bufio.Reader) (rd io.Reader, ok bool) {
	if !bufioReaderOK || b == nil {
		return nil, false
	}
	return (*bufioReader)(unsafe.Pointer(b)).rd, true
}

// BufioBuffered returns the buffered bytes of b, which a Peek would return too,
// but not without a change to what UnreadByte does.
func BufioBuffered(b *bufio.Reader) []byte {
	m := (*bufioReader)(unsafe.Pointer(b))
	return m.buf[m.r:m.w]
}

// BufioWriter returns the Writer under b, and where b keeps its sticky error.
func BufioWriter(b *bufio.Writer) (wr io.Writer, sticky *error, ok bool) {
	if !bufioWriterOK {
		return nil, nil, false
	}
	m := (*bufioWriter)(unsafe.Pointer(b))
	return m.wr, &m.err, true
}

// ReadWriter returns the two halves of a bufio.ReadWriter, or of a pointer to one: it
// has no method but theirs. is reports that v is one, ok that the layout is verified too.
func ReadWriter(v any) (halves bufio.ReadWriter, is, ok bool) {
	switch v := v.(type) {
	case *bufio.ReadWriter:
		if v == nil {
			return halves, false, false
		}
		halves = *v
	case bufio.ReadWriter:
		halves = v
	default:
		return halves, false, false
	}
	return halves, true, readWriterOK
}

// Encrypts reports whether v is a *tls.Conn. Package crypto/tls need not be linked for that.
func Encrypts(v any) bool {
	t := reflect.TypeOf(v)
	return t != nil && t.String() == "*tls.Conn" && t.Elem().PkgPath() == "crypto/tls"
}

// IsMultiReader reports whether r is what io.MultiReader returns.
func IsMultiReader(r io.Reader) bool { return reflect.TypeOf(r) == multiReaderType }

// MultiReader returns where r, which [IsMultiReader], keeps the Readers that are
// not yet at their end, the first of them being the current one.
func MultiReader(r io.Reader) (readers *[]io.Reader, ok bool) {
	if !multiReaderOK || reflect.TypeOf(r) != multiReaderType {
		return nil, false
	}
	return &(*multiReader)(reflect.ValueOf(r).UnsafePointer()).readers, true
}

// MultiWriter returns the Writers of w, if it is what io.MultiWriter returns and its
// layout is verified.
func MultiWriter(w io.Writer) (writers []io.Writer, ok bool) {
	if !multiWriterOK || reflect.TypeOf(w) != multiWriterType {
		return nil, false
	}
	return (*multiWriter)(reflect.ValueOf(w).UnsafePointer()).writers, true
}

// TeeReader returns what r reads from and what it writes to, if it is what
// io.TeeReader returns and its layout is verified.
func TeeReader(r io.Reader) (inner io.Reader, w io.Writer, ok bool) {
	if !teeReaderOK || reflect.TypeOf(r) != teeReaderType {
		return nil, nil, false
	}
	m := (*teeReader)(reflect.ValueOf(r).UnsafePointer())
	return m.r, m.w, true
}

// AtEnd is what io.MultiReader puts in the place of a Reader that is at its end,
// so that the Reader can be collected.
type AtEnd struct{}

// Read returns io.EOF.
func (AtEnd) Read([]byte) (int, error) { return 0, io.EOF }

type writerToReader struct{ io.Reader }

func (writerToReader) WriteTo(io.Writer) (int64, error) { return 0, nil }

var (
	nopCloserType         = reflect.TypeOf(io.NopCloser(AtEnd{}))
	nopCloserWriterToType = reflect.TypeOf(io.NopCloser(writerToReader{}))
	nopCloserOK           = verify(nopCloserType, field{"Reader", readerType})
	nopCloserWriterToOK   = verify(nopCloserWriterToType, field{"Reader", readerType})

	fileType    = reflect.TypeFor[*os.File]()
	tcpConnType = reflect.TypeFor[*net.TCPConn]()
)

// Hidden looks into the structs by which the standard library adds or hides a
// method: io.NopCloser's two, and those by which os and net keep their own
// WriteTo and ReadFrom from calling themselves.
func Hidden(v any) (inner any, ok bool) {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Struct {
		return nil, false
	}
	switch {
	case t == nopCloserType && nopCloserOK, t == nopCloserWriterToType && nopCloserWriterToOK:
		return reflect.ValueOf(v).Field(0).Interface(), true
	case t.NumField() != 2 || !t.Field(1).Anonymous || t.Field(0).Type.Size() != 0:
		return nil, false
	case t.PkgPath() == "os" && t.Field(1).Type == fileType && (t.Name() == "fileWithoutWriteTo" || t.Name() == "fileWithoutReadFrom"),
		t.PkgPath() == "net" && t.Field(1).Type == tcpConnType && (t.Name() == "tcpConnWithoutWriteTo" || t.Name() == "tcpConnWithoutReadFrom"):
		return reflect.ValueOf(v).Field(1).Interface(), true
	}
	return nil, false
}
