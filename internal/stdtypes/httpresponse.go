package stdtypes

import (
	"io"
	"net"
	"reflect"
	"runtime"
	"strconv"
	"sync"
	"unsafe"
)

// A Response is what is known of the http.ResponseWriter of an HTTP/1 server.
type Response struct {
	// Conn is the connection of the server.
	Conn net.Conn
	// Written is how many bytes of the body have been written, and Declared how many its
	// Content-Length has said that there will be, or negative.
	Written, Declared int64
}

// responseFields are the offsets of what is used of *http.response, and of the *http.conn in it.
type responseFields struct{ conn, header, wrote, written, declared, rwc uintptr }

// responses has those of the one type there is, nil if they are not verified; and nothing where
// a program has no server.
var responses sync.Map

// HTTPResponse looks into w, if that is the ResponseWriter of an HTTP/1 server; else, and where
// the layout is not verified, ok is false. It changes nothing. It is called by the handler's
// goroutine, as the methods of w.
func HTTPResponse(w io.Writer) (r Response, ok bool) {
	t := reflect.TypeOf(w)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().PkgPath() != "net/http" || t.Elem().Name() != "response" {
		return r, false
	}
	cached, found := responses.Load(t)
	if !found {
		cached = newResponseFields(t.Elem())
		responses.Store(t, cached)
	}
	f := cached.(*responseFields)
	p := reflect.ValueOf(w).UnsafePointer()
	if f == nil || p == nil {
		return r, false
	}
	conn := *(*unsafe.Pointer)(unsafe.Add(p, f.conn))
	if conn == nil {
		return r, false
	}
	r.Conn = *(*net.Conn)(unsafe.Add(conn, f.rwc))
	r.Written = *(*int64)(unsafe.Add(p, f.written))
	if *(*bool)(unsafe.Add(p, f.wrote)) {
		r.Declared = *(*int64)(unsafe.Add(p, f.declared))
		return r, true
	}
	r.Declared = -1
	header := *(*map[string][]string)(unsafe.Add(p, f.header))
	if v := header["Content-Length"]; len(v) > 0 {
		// As WriteHeader has it.
		if n, err := strconv.ParseInt(v[0], 10, 64); err == nil && n >= 0 {
			r.Declared = n
		}
	}
	return r, true
}

func newResponseFields(t reflect.Type) *responseFields {
	conn, ok := t.FieldByName("conn")
	if !ok || !knownRelease(runtime.Version()) || conn.Type.Kind() != reflect.Pointer || conn.Type.String() != "*http.conn" ||
		!laidOut(t, "... conn *http.conn; wroteHeader bool; handlerHeader http.Header; written int64; contentLength int64") ||
		!laidOut(conn.Type.Elem(), "... rwc net.Conn") {
		return nil
	}
	offset := func(t reflect.Type, name string) uintptr {
		f, _ := t.FieldByName(name)
		return f.Offset
	}
	return &responseFields{
		conn: conn.Offset, header: offset(t, "handlerHeader"), wrote: offset(t, "wroteHeader"),
		written: offset(t, "written"), declared: offset(t, "contentLength"), rwc: offset(conn.Type.Elem(), "rwc"),
	}
}
