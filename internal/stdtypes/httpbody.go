package stdtypes

import (
	"bufio"
	"io"
	"net"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Bodies of net/http. Each is a chain of Readers down to a connection:
//
//	server  [maxBytesReader >] [expectContinueReader >] body > LimitedReader | chunkedReader > bufio.Reader > connReader > conn
//	client  [cancelTimerBody >] bodyEOFSignal > body > LimitedReader | chunkedReader | nothing > bufio.Reader > persistConn > conn
//
// and in a proxy with a noopCloseReader or a readTrackingBody around it; that of http.ReadRequest and
// http.ReadResponse has the connection under the caller's bufio.Reader. A large Read hands the
// caller's own memory down to the connection, cut and in pieces, and nobody looks into it but
// bufio.Reader, which keeps the last byte for an UnreadByte that does not come.
//
// The layouts are those of the supported Go releases. Whether a Read of theirs does what is
// written here, the canary of package zchttp finds out.

// A hop is one of the Readers.
type hop struct {
	name   string // of its type
	level  level
	next   string // the field with what it reads from
	mutex  string // the field with the mutex that is held during a Read, if there is one
	closed string // the field that tells that it is not to be read any more
	ended  string // the field that tells that it has been read to its end
	chunk  string // the field that tells how much of a chunk is left
	// layouts are the fields in order, with their types, of Go 1.26 and, where they differ,
	// 1.27. After "..." there are those that matter, among others.
	layouts []string
}

// A level is where in a chain a hop can be. Each is at a higher one than that around it, but for
// those outside, of which there can be several.
type level uint8

const (
	outside level = iota
	framing
	length
	buffering
	connection
)

var hops = []hop{
	{name: "net/http.maxBytesReader", next: "r", layouts: []string{
		"w http.ResponseWriter; r io.ReadCloser; i int64; n int64; err error"}},
	{name: "net/http.expectContinueReader", next: "readCloser", layouts: []string{
		"resp *http.response; readCloser io.ReadCloser; closed atomic.Bool; sawEOF atomic.Bool",
		"resp *http.response; readCloser io.ReadCloser; closed atomic.Bool"}},
	{name: "net/http.cancelTimerBody", next: "rc", layouts: []string{
		"stop func(); rc io.ReadCloser; reqDidTimeout func() bool"}},
	{name: "net/http.bodyEOFSignal", next: "body", layouts: []string{
		"body io.ReadCloser; mu sync.Mutex; closed bool; rerr error; fn func(error) error; earlyCloseFn func() error"}},
	{name: "net/http.readTrackingBody", next: "ReadCloser", layouts: []string{
		"ReadCloser io.ReadCloser; didRead bool; didClose atomic.Bool"}},
	{name: "net/http/httputil.noopCloseReader", next: "readCloser", layouts: []string{
		"readCloser io.ReadCloser; closed atomic.Bool"}},
	{name: "net/http.body", level: framing, next: "src", mutex: "mu", closed: "closed", ended: "sawEOF", layouts: []string{
		"src io.Reader; hdr interface {}; r *bufio.Reader; closing bool; doEarlyClose bool; " +
			"mu sync.Mutex; sawEOF bool; closed bool; earlyClose bool; onHitEOF func()",
		"src io.Reader; hdr interface {}; r *bufio.Reader; closing bool; doEarlyClose bool; maxTrailerHeaders int64; " +
			"mu sync.Mutex; sawEOF bool; closed bool; earlyClose bool; dropTrailer bool; onHitEOF func()"}},
	{name: "net/http/internal.chunkedReader", level: length, next: "r", chunk: "n", layouts: []string{
		"r *bufio.Reader; n uint64; err error; buf [2]uint8; checkEnd bool; excess int64"}},
	{name: "net/http.connReader", level: connection, next: "rwc", layouts: []string{
		"rwc net.Conn; mu sync.Mutex; conn *http.conn; hasByte bool; byteBuf [1]uint8; cond *sync.Cond; " +
			"inRead bool; aborted bool; remain int64"}},
	{name: "net/http.persistConn", level: connection, next: "conn", layouts: []string{
		"... conn net.Conn; br *bufio.Reader; sawEOF bool; readLimit int64"}},
}

// A link is a hop whose layout is verified.
type link struct {
	*hop
	verified                          bool
	next, mutex, closed, ended, chunk uintptr // offsets
	typ                               reflect.Type
}

// links are the links of the types that were met, by type; those that are no hop have none.
var links sync.Map

// linkOf returns the link of a pointer to t, or nil where that is no hop.
func linkOf(t reflect.Type) *link {
	if t == nil || t.Kind() != reflect.Pointer || !strings.HasPrefix(t.Elem().PkgPath(), "net/http") {
		return nil
	}
	if l, ok := links.Load(t); ok {
		return l.(*link)
	}
	l := newLink(t.Elem())
	links.Store(t, l)
	return l
}

func newLink(t reflect.Type) *link {
	i := slices.IndexFunc(hops, func(h hop) bool { return h.name == t.PkgPath()+"."+t.Name() })
	if i < 0 {
		return nil
	}
	h := &hops[i]
	l := &link{hop: h}
	if t.Kind() != reflect.Struct || !knownRelease(runtime.Version()) || !slices.ContainsFunc(h.layouts, func(s string) bool { return laidOut(t, s) }) {
		return l
	}
	offset := func(name string) uintptr {
		if f, ok := t.FieldByName(name); ok {
			return f.Offset
		}
		return 0
	}
	next, _ := t.FieldByName(h.next)
	l.verified, l.typ = true, next.Type
	l.next, l.mutex, l.closed, l.ended = offset(h.next), offset(h.mutex), offset(h.closed), offset(h.ended)
	l.chunk = offset(h.chunk)
	return l
}

// laidOut reports whether struct type t has the fields of a layout.
func laidOut(t reflect.Type, layout string) bool {
	fields, some := strings.CutPrefix(layout, "... ")
	want := strings.Split(fields, "; ")
	if some {
		return !slices.ContainsFunc(want, func(s string) bool {
			name, typ, _ := strings.Cut(s, " ")
			f, ok := t.FieldByName(name)
			return !ok || f.Type.String() != typ
		})
	}
	if t.NumField() != len(want) {
		return false
	}
	for i, s := range want {
		if f := t.Field(i); f.Name+" "+f.Type.String() != s {
			return false
		}
	}
	return true
}

// knownRelease reports whether the layouts and the semantics of that Go release are known.
func knownRelease(version string) bool {
	release, _, _ := strings.Cut(version, " ") // what follows are experiments
	for _, known := range []string{"go1.26", "go1.27"} {
		if rest, ok := strings.CutPrefix(release, known); ok && (rest == "" || strings.IndexByte(".-r", rest[0]) >= 0) {
			return true
		}
	}
	return false
}

// A Body is what is known of a body of net/http.
type Body struct {
	// Conn is the connection that the body is read from, nil if that cannot be told: then
	// the body is closed, at its end or being read, or Unverified, or it is Foreign that stands in the way.
	Conn       net.Conn
	Unverified bool
	Foreign    any
	// Chunked says that one Read may read from Conn several times.
	Chunked bool
	// Left is how many bytes are still to come, where the length is declared; else 0.
	Left int64

	state bodyState
}

// A bodyState is what a body of net/http says of itself, under its mutex, which is held during a Read.
type bodyState struct {
	mu            *sync.Mutex
	closed, ended *bool
	chunk         *uint64
}

func (s *bodyState) over() bool { return *s.closed || *s.ended }

// Chunk returns how many bytes of the current chunk of a Chunked body are still to come, 0 between two
// chunks and where somebody else has the body.
func (b *Body) Chunk() uint64 {
	if b.state.chunk == nil || !b.state.mu.TryLock() {
		return 0
	}
	defer b.state.mu.Unlock()
	if b.state.over() {
		return 0
	}
	return *b.state.chunk
}

// Expire sets the read deadline of conn, from which the body of a chain with a Conn is read, unless the
// body is closed or at its end: the connection can be another request's by then. Of a Read that
// is under way it is not known whether that is the last one. It ends by the deadline, and if the body is at its end
// then, the deadline is cleared.
func (b *Body) Expire(conn net.Conn, at time.Time) error {
	if b.state.mu.TryLock() {
		defer b.state.mu.Unlock()
		if b.state.over() {
			return nil
		}
		return conn.SetReadDeadline(at)
	}
	err := conn.SetReadDeadline(at)
	b.state.mu.Lock()
	defer b.state.mu.Unlock()
	if b.state.over() {
		conn.SetReadDeadline(time.Time{})
	}
	return err
}

// HTTPBody looks into r, if that is a body of net/http, or of httputil; else is is false.
// It changes nothing, and may be called while somebody else reads or closes r.
func HTTPBody(r io.Reader) (b Body, is bool) {
	l := linkOf(reflect.TypeOf(r))
	if l == nil || l.level > framing {
		return b, false
	}
	at := outside
	for range len(hops) + 2 {
		switch v := r.(type) {
		case *io.LimitedReader:
			if at != framing || v == nil {
				b.Foreign = v
				return b, true
			}
			r, at, b.Left = v.R, length, v.N
			continue
		case *bufio.Reader:
			// Once the body has ended, somebody else may be filling it: nothing but rd, which stays.
			rd, ok := bufioInner(v)
			if at < framing || at > length || !ok {
				b.Unverified = true
				return b, true
			}
			r, at = rd, buffering
			continue
		}
		if c, ok := r.(net.Conn); ok && at == buffering { // of http.ReadRequest and http.ReadResponse
			b.Conn = c
			return b, true
		}
		l := linkOf(reflect.TypeOf(r))
		p := reflect.ValueOf(r)
		switch {
		case l == nil || l.level < at || l.level == at && at != outside || p.IsNil():
			b.Foreign = r
			return b, true
		case !l.verified:
			b.Unverified = true
			return b, true
		}
		ptr := p.UnsafePointer()
		if l.hop.mutex != "" {
			// What is under it is replaced once it is closed. Once it is at its end, the
			// connection is in other hands.
			b.state = bodyState{
				mu:     (*sync.Mutex)(unsafe.Add(ptr, l.mutex)),
				closed: (*bool)(unsafe.Add(ptr, l.closed)), ended: (*bool)(unsafe.Add(ptr, l.ended)),
			}
			if !b.state.mu.TryLock() {
				return b, true
			}
			defer b.state.mu.Unlock()
			if b.state.over() {
				return b, true
			}
		}
		at = l.level
		next := unsafe.Add(ptr, l.next)
		switch l.typ {
		case readerType:
			r = *(*io.Reader)(next)
		case readCloserType:
			r = *(*io.ReadCloser)(next)
		case bufioType:
			b.Chunked = true // the one that has no interface there
			b.state.chunk = (*uint64)(unsafe.Add(ptr, l.chunk))
			r = *(**bufio.Reader)(next)
		case connType:
			if b.state.mu == nil {
				b.Unverified = true // whether it is at its end cannot be told
				return b, true
			}
			b.Conn = *(*net.Conn)(next)
			return b, true
		}
	}
	return b, true
}

var (
	readCloserType = reflect.TypeFor[io.ReadCloser]()
	bufioType      = reflect.TypeFor[*bufio.Reader]()
	connType       = reflect.TypeFor[net.Conn]()
)
