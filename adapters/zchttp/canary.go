package zchttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
)

// The canary lets net/http read bodies of every kind into a marker, from connections that do with
// it as those of package zcnet do: they leave the memory alone and note what they were asked
// for. What comes of it must be the body, byte for byte.

// A song is one exchange: what comes from the connection, and the body in it.
type song struct {
	name  string
	wire  string
	body  string
	limit int64 // of http.MaxBytesReader; 0: none
	plain bool  // nothing of it is large enough
}

// canarySize is the size of a body: several buffers of net/http (4 KiB each).
const canarySize = 40_000

func songs(request bool) (all []song) {
	first := "HTTP/1.1 200 OK\r\n"
	if request {
		first = "POST / HTTP/1.1\r\nHost: canary\r\n"
	}
	// No two stretches of it are alike.
	var text strings.Builder
	for i := 0; text.Len() < canarySize; i++ {
		fmt.Fprintf(&text, "%d.", i)
	}
	body := text.String()[:canarySize]
	declared := first + fmt.Sprintf("Content-Length: %d\r\n", len(body))
	all = []song{{name: "Content-Length", wire: declared + "\r\n" + body, body: body}}
	for _, size := range []int{1000, 10_000, canarySize} {
		var chunks strings.Builder
		for rest := body; rest != ""; rest = rest[min(size, len(rest)):] {
			fmt.Fprintf(&chunks, "%x\r\n%s\r\n", min(size, len(rest)), rest[:min(size, len(rest))])
		}
		all = append(all, song{
			name: fmt.Sprint("chunks of ", size), body: body, plain: size < 4096,
			wire: first + "Transfer-Encoding: chunked\r\n\r\n" + chunks.String() + "0\r\n\r\n",
		})
	}
	if request {
		return append(all,
			song{name: "Expect", wire: declared + "Expect: 100-continue\r\n\r\n" + body, body: body},
			song{name: "MaxBytesReader, at its limit", wire: declared + "\r\n" + body, body: body, limit: canarySize},
			song{name: "MaxBytesReader, beyond", wire: declared + "\r\n" + body, body: body[:30_000], limit: 30_000})
	}
	return append(all, song{name: "until EOF", wire: first + "Connection: close\r\n\r\n" + body, body: body})
}

// canary returns how net/http differs, nil if it does not. read is how a body is read.
func canary(read func(body io.Reader, p []byte) (int, error)) error {
	for _, s := range songs(true) {
		if err := s.request(read); err != nil {
			return fmt.Errorf("request, %s: %w", s.name, err)
		}
	}
	for _, s := range songs(false) {
		if err := s.response(read); err != nil {
			return fmt.Errorf("response, %s: %w", s.name, err)
		}
	}
	return nil
}

func readBody(body io.Reader, p []byte) (int, error) { return body.Read(p) }

// request has a server read the body.
func (s song) request(read func(io.Reader, []byte) (int, error)) error {
	c := newPerch(s.wire)
	result := make(chan error, 1)
	srv := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := r.Body
			if s.limit > 0 {
				body = http.MaxBytesReader(w, body, s.limit)
			}
			result <- s.listen(c, body, read)
		}),
	}
	defer srv.Close()
	ln := &perches{c: c, done: make(chan struct{})}
	go srv.Serve(ln)
	return within(result)
}

// response has a client read the body.
func (s song) response(read func(io.Reader, []byte) (int, error)) error {
	c := newPerch(s.wire)
	result := make(chan error, 1)
	go func() {
		t := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }}
		defer t.CloseIdleConnections()
		req, _ := http.NewRequest(http.MethodGet, "http://canary/", nil)
		resp, err := t.RoundTrip(req)
		if err != nil {
			result <- err
			return
		}
		defer resp.Body.Close()
		result <- s.listen(c, resp.Body, read)
	}()
	defer c.Close()
	return within(result)
}

// patience is for a machine that has a lot else to do: the canary sings for a millisecond.
const patience = 10 * time.Second

func within(result <-chan error) error {
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		return errors.New("it hangs")
	}
}

// listen reads the body and compares.
func (s song) listen(c *perch, body io.Reader, read func(io.Reader, []byte) (int, error)) error {
	if b, _ := stdtypes.HTTPBody(body); b.Conn != net.Conn(c) {
		return errors.New("another chain of types")
	}
	marker := make([]byte, 32<<10)
	var got bytes.Buffer
	spliced := 0
	for {
		ask := marker[:min(len(marker), c.ready())]
		if len(ask) == 0 {
			ask = marker // for the end
		}
		c.mark(marker)
		n, err := read(body, ask)
		for _, seg := range c.unmark() {
			spliced += len(seg.bytes)
			copy(marker[seg.at:], seg.bytes)
		}
		got.Write(marker[:n])
		if err == nil {
			continue
		}
		var tooLarge *http.MaxBytesError
		switch {
		case got.String() != s.body:
			return errors.New("other bytes")
		case s.limit > 0 && s.limit < canarySize && !errors.As(err, &tooLarge):
			return err
		case s.limit == 0 && err != io.EOF:
			return err
		case !s.plain && spliced < len(s.body)/2:
			return errors.New("the caller's memory is not handed down")
		}
		return nil
	}
}

// A perch is the connection.
type perch struct {
	mu     sync.Mutex
	wire   string
	marker []byte
	segs   []segment
	server bool
	asked  chan struct{} // closed when the peer has said something; a server's peer speaks first
	closed chan struct{}
	ask    func()
	close  func()
}

// A segment is what stands for a part of the marker.
type segment struct {
	at    int
	bytes string
}

func newPerch(wire string) *perch {
	c := &perch{wire: wire, server: strings.HasPrefix(wire, "POST"), asked: make(chan struct{}), closed: make(chan struct{})}
	c.ask = sync.OnceFunc(func() { close(c.asked) })
	c.close = sync.OnceFunc(func() { close(c.closed) })
	return c
}

func (c *perch) mark(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marker, c.segs = p, nil
}

func (c *perch) unmark() []segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marker = nil
	return c.segs
}

func (c *perch) ready() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.wire)
}

// Read notes what was asked for in the marker's place, and fills other memory.
func (c *perch) Read(p []byte) (int, error) {
	if !c.server {
		select {
		case <-c.asked:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	c.mu.Lock()
	if c.wire == "" {
		c.mu.Unlock()
		if c.server {
			<-c.closed // keep-alive
		}
		return 0, io.EOF
	}
	defer c.mu.Unlock()
	n := min(len(p), len(c.wire))
	if k := c.marker; k != nil && cap(p) > 0 && &p[:cap(p)][cap(p)-1] == &k[len(k)-1] {
		c.segs = append(c.segs, segment{len(k) - cap(p), c.wire[:n]})
		clear(p[:n])
	} else {
		copy(p, c.wire[:n])
	}
	c.wire = c.wire[n:]
	return n, nil
}

func (c *perch) Write(p []byte) (int, error)      { c.ask(); return len(p), nil }
func (c *perch) Close() error                     { c.close(); return nil }
func (c *perch) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *perch) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *perch) SetDeadline(time.Time) error      { return nil }
func (c *perch) SetReadDeadline(time.Time) error  { return nil }
func (c *perch) SetWriteDeadline(time.Time) error { return nil }

// perches are a listener's one connection.
type perches struct {
	mu   sync.Mutex
	c    *perch
	done chan struct{}
	once sync.Once
}

func (l *perches) Accept() (net.Conn, error) {
	l.mu.Lock()
	c := l.c
	l.c = nil
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *perches) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *perches) Addr() net.Addr { return &net.TCPAddr{} }
