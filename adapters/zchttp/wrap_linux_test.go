package zchttp_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestWrapSendfile: a file goes by sendfile behind one and two counting middlewares, and the counts
// move while it goes. Not in parallel: others count, too.
func TestWrapSendfile(t *testing.T) {
	const size = 64 << 20 // more than the buffers of a connection
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, nil, 0o600))
	must(t, os.Truncate(name, size))
	for _, tt := range []struct {
		reason string
		source func(f *os.File) io.Reader
		net    bool // package net has a fast path for it
	}{
		{"a file", func(f *os.File) io.Reader { return f }, true},
		{"a part of one", func(f *os.File) io.Reader { return io.LimitReader(f, size) }, true},
		{"more than there is", func(f *os.File) io.Reader { return io.LimitReader(f, size+1) }, true},
		{"a section", func(f *os.File) io.Reader { return io.NewSectionReader(f, 0, size) }, false},
	} {
		for _, ours := range []bool{false, true} {
			for _, twice := range []bool{false, true} {
				t.Run(tt.reason+"/ours="+strconv.FormatBool(ours)+",twice="+strconv.FormatBool(twice), func(t *testing.T) {
					running, done := make(chan *zchttp.ResponseCount, 1), make(chan error, 1)
					ln, err := net.Listen("tcp", "127.0.0.1:0")
					must(t, err)
					var passed, read atomic.Int64 // by the ReadFrom of a connection of package net
					if ours {
						ln = zcnet.NewListener(ln)
					} else {
						ln = senders{ln, &passed, &read}
					}
					addr := serveOn(t, ln, func(w http.ResponseWriter, r *http.Request) {
						w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{})
						if twice {
							w, _ = zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
						}
						f, err := os.Open(name)
						if err != nil {
							t.Error(err)
							return
						}
						defer f.Close()
						w.Header().Set("Content-Length", strconv.Itoa(size))
						running <- count
						_, err = io.Copy(w, tt.source(f))
						done <- err
					})
					before := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
					resp, err := client(t).Get("http://" + addr)
					must(t, err)
					defer resp.Body.Close()
					count := <-running
					ztest.Eventually(t, ztest.Patience, "the count moves", func() bool { return count.Bytes() > 1<<16 })
					if n := count.Bytes(); n >= size {
						t.Errorf("%d bytes before the client read any", n)
					}
					n, err := io.Copy(io.Discard, resp.Body)
					must(t, err)
					must(t, <-done)
					if n != size || count.Bytes() != size {
						t.Errorf("got %d, counted %d", n, count.Bytes())
					}
					switch sent := zerocopy.ReadStats().Bytes(zerocopy.Sendfile) - before; {
					case ours && sent < size-512:
						t.Errorf("by sendfile %d", sent)
					case !ours && tt.net && (passed.Load() < size-512 || read.Load() > 0):
						t.Errorf("package net was handed %d, and has read %d of it", passed.Load(), read.Load())
					}
				})
			}
		}
	}
}

// A senders is a listener of package net whose connections are senders.
type senders struct {
	net.Listener
	passed, read *atomic.Int64
}

func (l senders) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return sender{c.(*net.TCPConn), l.passed, l.read}, nil
}

// A sender is a connection of package net that counts what its ReadFrom is handed of a descriptor,
// and what that reads: what it sends otherwise goes by sendfile or splice.
type sender struct {
	*net.TCPConn
	passed, read *atomic.Int64
}

func (c sender) ReadFrom(r io.Reader) (int64, error) {
	l, ok := r.(*io.LimitedReader)
	if !ok {
		return c.TCPConn.ReadFrom(r)
	}
	d, ok := l.R.(descriptor)
	if !ok {
		return c.TCPConn.ReadFrom(r)
	}
	inner := &io.LimitedReader{R: &readCounter{d, c.read}, N: l.N}
	n, err := c.TCPConn.ReadFrom(inner)
	l.N = inner.N
	c.passed.Add(n)
	return n, err
}

type descriptor interface {
	io.Reader
	syscall.Conn
}

type readCounter struct {
	descriptor
	read *atomic.Int64
}

func (r *readCounter) Read(p []byte) (int, error) {
	n, err := r.descriptor.Read(p)
	r.read.Add(int64(n))
	return n, err
}
