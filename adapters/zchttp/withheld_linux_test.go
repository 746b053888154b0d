package zchttp_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestWithheld: a copy of a body that has to wait in the middle of a chunk withholds no more than
// io.Copy's buffer, however much framing of small chunks there was before.
func TestWithheld(t *testing.T) {
	t.Parallel()
	const most = 32 << 10
	var wire bytes.Buffer
	wire.WriteString("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	total := 0
	chunk := func(n int) {
		fmt.Fprintf(&wire, "%x\r\n%s\r\n", n, bytes.Repeat([]byte("x"), n))
		total += n
	}
	chunk(1 << 20) // it is bulk, with the largest pipe
	chunk(50)
	for range 5000 {
		chunk(122) // 128 on the wire: no buffer of net/http ends between two of them
	}
	wire.WriteString("100000\r\npartial")
	total += len("partial")
	dst := targets["file"](t)
	sent, done := make(chan struct{}), make(chan struct{})
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 8<<20) })
	}}
	ln, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	addr := serveOn(t, zcnet.NewListener(ln), func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		<-sent
		zerocopy.Copy(dst.Writer, r.Body)
	})
	conn, err := net.Dial("tcp", addr)
	must(t, err)
	defer func() { conn.Close(); <-done }()
	_, err = io.Copy(conn, &wire)
	must(t, err)
	ztest.Eventually(t, ztest.Patience, "all of it at the server", func() bool {
		left, err := ztest.Unsent(conn.(*net.TCPConn))
		return err == nil && left == 0
	})
	close(sent)
	ztest.Eventually(t, ztest.Patience, "all but a buffer of it at the destination", func() bool {
		f, err := os.Stat(dst.Writer.(*os.File).Name())
		return err == nil && f.Size() >= int64(total-most)
	})
}
