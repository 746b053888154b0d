package zchttp_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestFileRequestSendfile: with our Transport an upload goes by sendfile, but for what goes with the
// header. Not in parallel: others count, too.
func TestFileRequestSendfile(t *testing.T) {
	const size = 8 << 20
	content := ztest.Pattern(13).Bytes(size)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	tr := zchttp.Transport(nil)
	defer tr.CloseIdleConnections()
	for _, part := range []bool{false, true} {
		t.Run("part="+strconv.FormatBool(part), func(t *testing.T) {
			f, err := os.Open(name)
			must(t, err)
			defer f.Close()
			body, want := io.Reader(io.NopCloser(f)), content
			if part {
				body, want = io.NewSectionReader(f, 100, size-200), content[100:size-100]
			}
			got := make(chan []byte, 1)
			req, err := zchttp.NewFileRequest(t.Context(), "PUT", "http://"+upload(t, got), body)
			must(t, err)
			before := zerocopy.ReadStats().Bytes(zerocopy.Sendfile)
			resp, err := tr.RoundTrip(req)
			must(t, err)
			resp.Body.Close()
			ztest.Equal(t, "body", <-got, want)
			if n := zerocopy.ReadStats().Bytes(zerocopy.Sendfile) - before; n < int64(len(want))-4096 {
				t.Errorf("by sendfile %d of %d", n, len(want))
			}
		})
	}
}

// A sender is a connection of package net that counts what its ReadFrom reads: what it sends
// otherwise goes by sendfile.
type sender struct {
	*net.TCPConn
	read *int
}

func (c sender) ReadFrom(r io.Reader) (int64, error) {
	l := r.(*io.LimitedReader)
	body := &readCounter{l.R.(fileReader), c.read}
	inner := &io.LimitedReader{R: body, N: l.N}
	n, err := c.TCPConn.ReadFrom(inner)
	l.N = inner.N
	return n, err
}

type fileReader interface {
	io.Reader
	syscall.Conn
}

type readCounter struct {
	fileReader
	read *int
}

func (r *readCounter) Read(p []byte) (int, error) {
	n, err := r.fileReader.Read(p)
	*r.read += n
	return n, err
}

// TestFileRequestNet: the Transport of net/http sends the body by sendfile, of a section as much
// as it has, though its *net.TCPConn knows nothing of sections.
func TestFileRequestNet(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	content := ztest.Pattern(14).Bytes(size)
	name := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(name, content, 0o600))
	f, err := os.Open(name)
	must(t, err)
	defer f.Close()
	got := make(chan []byte, 1)
	read := 0
	tr := &http.Transport{Dial: func(network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err != nil {
			return nil, err
		}
		return sender{c.(*net.TCPConn), &read}, nil
	}}
	defer tr.CloseIdleConnections()
	req, err := zchttp.NewFileRequest(t.Context(), "PUT", "http://"+upload(t, got), io.NewSectionReader(f, 50, size-100))
	must(t, err)
	resp, err := tr.RoundTrip(req)
	must(t, err)
	resp.Body.Close()
	ztest.Equal(t, "body", <-got, content[50:size-50])
	if read > 0 {
		t.Errorf("%d bytes were read", read)
	}
}
