package zchttp

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

//go:generate go run wrap_gen.go

// ResponseHooks are what [WrapResponseWriter] is asked for beyond counting. The zero value
// asks for nothing. They are called by the goroutine that uses the ResponseWriter.
type ResponseHooks struct {
	// Request tells that the response is one to HEAD, whose body is not sent and so not
	// counted. If nil, it is taken for another.
	Request *http.Request
	// WriteHeader, if not nil, is called once, before the header of the response is written, by
	// WriteHeader or implicitly, with its status: the last moment to change the header. It is not
	// called for 1xx but 101, and not where the handler writes nothing: then net/http itself writes
	// a 200 after the handler has returned.
	WriteHeader func(status int)
	// Moved, if not nil, is called after each n bytes of body, n > 0, that were accepted. The sum
	// is that of Bytes. It should return soon: a copy waits for it. It must not panic.
	Moved func(n int64)
}

// A ResponseCount is what a ResponseWriter of [WrapResponseWriter] has counted. It may be
// read at any time, by anybody, also while a body is being sent by sendfile.
type ResponseCount struct {
	status   atomic.Int32
	bytes    atomic.Int64
	hijacked atomic.Bool
}

// Status returns the status of the response, and 0 as long as its header is not written. If it is
// 0 when the handler returns, net/http sends a 200, unless Hijacked; if it is 0 when the handler
// panics, nothing is sent. 1xx does not count, but 101 does.
func (c *ResponseCount) Status() int { return int(c.status.Load()) }

// Bytes returns how many bytes of body the ResponseWriter below has accepted, without what is not
// sent: the bodies of responses to HEAD, and of status 204 and 304. What was written to a
// hijacked connection is not among them.
func (c *ResponseCount) Bytes() int64 { return c.bytes.Load() }

// Hijacked reports whether the connection was hijacked.
func (c *ResponseCount) Hijacked() bool { return c.hijacked.Load() }

// WrapResponseWriter returns a ResponseWriter that counts what goes to w, for the authors of
// middleware, and the counts. It costs an io.Copy to w nothing of its fast path:
//
//   - It has exactly those methods of w, of Flush, FlushError, Hijack, CloseNotify, Push, ReadFrom
//     and WriteString, that programs ask for by a type assertion, and Unwrap, by which
//     http.ResponseController finds all others.
//   - ReadFrom hands the source on in such a way that a file goes by sendfile, on a connection of
//     package net as well as of package zcnet, and the counts move meanwhile, every MiB or
//     two.
//   - Where a Content-Length was declared, ReadFrom sends no more than that, and says
//     http.ErrContentLength where there is more, as Write does. (ReadFrom of net/http sends it all,
//     which the client takes for the beginning of the next response.)
//
// What goes to w otherwise, as by Unwrap, is not counted.
//
// github.com/felixge/httpsnoop (1.1.0 was looked at) has the same care for methods, and more hooks; it is a
// good choice where they are needed. It is not used here since it is another requirement, and since its count
// of a ReadFrom is there when the ReadFrom has returned, which for a large file is minutes; and it
// leaves the Content-Length to w.
func WrapResponseWriter(w http.ResponseWriter, hooks ResponseHooks) (http.ResponseWriter, *ResponseCount) {
	c := &counter{w: w, hooks: hooks, declared: -1}
	return c.expose(methodsOf(w)), &c.ResponseCount
}

// A counter is what is behind a ResponseWriter of WrapResponseWriter.
type counter struct {
	ResponseCount
	w        http.ResponseWriter
	hooks    ResponseHooks
	begun    bool  // the status is known
	declared int64 // the Content-Length at that time, or negative
	accepted int64 // bytes that w took, sent or not: what w compares with declared
}

// The types in wrap_types.go embed nothing: promoted methods, and wrappers of them for values, would be in
// the program for each of 128.

// basic has the methods that all of them have.
type basic struct{ c *counter }

// Header implements http.ResponseWriter.
func (m basic) Header() http.Header { return m.c.w.Header() }

// Unwrap returns the ResponseWriter below, for http.ResponseController.
func (m basic) Unwrap() http.ResponseWriter { return m.c.w }

// WriteHeader implements http.ResponseWriter.
func (m basic) WriteHeader(status int) { m.c.writeHeader(status) }

// Write implements http.ResponseWriter.
func (m basic) Write(p []byte) (int, error) { return m.c.write(p) }

func (m basic) base() *counter { return m.c }

func (c *counter) writeHeader(status int) {
	if status >= 100 && status <= 199 && status != http.StatusSwitchingProtocols {
		c.w.WriteHeader(status)
		return
	}
	if c.begun || c.hijacked.Load() { // w says what it has to say to that
		c.w.WriteHeader(status)
		return
	}
	c.begin(status)
	c.w.WriteHeader(status)
	c.status.Store(int32(status)) // not where w panics at a status that is none
}

// begin notes that the header is written now.
func (c *counter) begin(status int) {
	c.begun = true
	if c.hooks.WriteHeader != nil {
		c.hooks.WriteHeader(status)
	}
	// As net/http has it: what is no number is taken out there.
	if n, err := strconv.ParseInt(c.w.Header().Get("Content-Length"), 10, 64); err == nil && n >= 0 {
		c.declared = n
	}
}

// implicit is WriteHeader(200) where nobody has called it. That w does itself.
func (c *counter) implicit() {
	if !c.begun && !c.hijacked.Load() {
		c.begin(http.StatusOK)
		c.status.Store(http.StatusOK)
	}
}

func (c *counter) write(p []byte) (int, error) {
	c.implicit()
	n, err := c.w.Write(p)
	c.moved(int64(n))
	return n, err
}

// moved counts n bytes that w has accepted.
func (c *counter) moved(n int64) {
	if n <= 0 {
		return
	}
	c.accepted += n
	if !c.sends() {
		return
	}
	c.bytes.Add(n)
	if c.hooks.Moved != nil {
		c.hooks.Moved(n)
	}
}

// sends reports whether what is written goes to the client.
func (c *counter) sends() bool {
	switch c.status.Load() {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusNotModified:
		return false
	}
	return c.hooks.Request == nil || c.hooks.Request.Method != http.MethodHead
}

// The optional methods, by which sets of them are written in wrap_types.go.
type (
	flusher       struct{ c *counter }
	errorFlusher  struct{ c *counter }
	hijacker      struct{ c *counter }
	closeNotifier struct{ c *counter }
	pusher        struct{ c *counter }
	readerFrom    struct{ c *counter }
	stringWriter  struct{ c *counter }
)

// Flush implements http.Flusher.
func (m flusher) Flush() {
	m.c.implicit()
	m.c.w.(http.Flusher).Flush()
}

// FlushError is what http.ResponseController asks for before Flush.
func (m errorFlusher) FlushError() error {
	m.c.implicit()
	return m.c.w.(flushErrorer).FlushError()
}

type flushErrorer interface{ FlushError() error }

// Hijack implements http.Hijacker.
func (m hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := m.c.w.(http.Hijacker).Hijack()
	if err == nil {
		m.c.hijacked.Store(true)
	}
	return conn, rw, err
}

// CloseNotify implements http.CloseNotifier.
func (m closeNotifier) CloseNotify() <-chan bool {
	//lint:ignore SA1019 exactly the methods of w
	return m.c.w.(http.CloseNotifier).CloseNotify()
}

// Push implements http.Pusher.
func (m pusher) Push(target string, opts *http.PushOptions) error {
	return m.c.w.(http.Pusher).Push(target, opts)
}

// WriteString implements io.StringWriter.
func (m stringWriter) WriteString(s string) (int, error) {
	m.c.implicit()
	n, err := m.c.w.(io.StringWriter).WriteString(s)
	m.c.moved(int64(n))
	return n, err
}

// ReadFrom implements io.ReaderFrom.
func (m readerFrom) ReadFrom(src io.Reader) (int64, error) { return m.c.readFrom(src) }

// The optional methods as bits of the names in wrap_types.go.
const (
	hasFlush = 1 << iota
	hasFlushError
	hasHijack
	hasCloseNotify
	hasPush
	hasReadFrom
	hasWriteString
	allMethods
)

// methodsOf returns which of them w has.
func methodsOf(w http.ResponseWriter) (have int) {
	if _, ok := w.(http.Flusher); ok {
		have |= hasFlush
	}
	if _, ok := w.(flushErrorer); ok {
		have |= hasFlushError
	}
	if _, ok := w.(http.Hijacker); ok {
		have |= hasHijack
	}
	//lint:ignore SA1019 exactly the methods of w
	if _, ok := w.(http.CloseNotifier); ok {
		have |= hasCloseNotify
	}
	if _, ok := w.(http.Pusher); ok {
		have |= hasPush
	}
	if _, ok := w.(io.ReaderFrom); ok {
		have |= hasReadFrom
	}
	if _, ok := w.(io.StringWriter); ok {
		have |= hasWriteString
	}
	return have
}
