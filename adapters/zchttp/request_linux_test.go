package zchttp_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
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
			// The server may have answered before the Transport has counted.
			ztest.Eventually(t, ztest.Patience, "all but 4096 bytes by sendfile", func() bool {
				return zerocopy.ReadStats().Bytes(zerocopy.Sendfile)-before >= int64(len(want))-4096
			})
		})
	}
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
	var passed, read atomic.Int64
	tr := &http.Transport{DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
		c, err := net.Dial(network, addr)
		if err != nil {
			return nil, err
		}
		return sender{c.(*net.TCPConn), &passed, &read}, nil
	}}
	defer tr.CloseIdleConnections()
	req, err := zchttp.NewFileRequest(t.Context(), "PUT", "http://"+upload(t, got), io.NewSectionReader(f, 50, size-100))
	must(t, err)
	resp, err := tr.RoundTrip(req)
	must(t, err)
	resp.Body.Close()
	ztest.Equal(t, "body", <-got, content[50:size-50])
	ztest.Eventually(t, ztest.Patience, "all but 4096 bytes handed to package net", func() bool { return passed.Load() >= size-100-4096 })
	if read.Load() > 0 {
		t.Errorf("package net has read %d of it", read.Load())
	}
}
