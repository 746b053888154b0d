package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A bodyRun is what came of reading one body.
type bodyRun struct {
	content string
	err     string
	trailer string
	rest    string // what follows the body on the connection
}

// FuzzBody compares bodies that are spliced with bodies that are read, of any bytes that a peer may
// send, well-formed or not, in pieces of any size.
func FuzzBody(f *testing.F) {
	if err := zchttp.SpliceBodies(true); err != nil {
		f.Fatal(err)
	}
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := string(bytes.Repeat([]byte("0123456789abcdef"), 4096))
	f.Add([]byte(chunked+"10000\r\n"+long+"\r\n0\r\n\r\nrest"), uint16(1000), uint32(0))
	f.Add([]byte(chunked+"8000\r\n"+long[:0x8000]+"\r\n5\r\nabcde\r\n7fff\r\n"+long[:0x7fff]+"\r\n0\r\nA: b\r\n\r\n"), uint16(9), uint32(40_000))
	f.Add([]byte(chunked+"10000\r\n"+long+"x\r\n0\r\n\r\n"), uint16(60_000), uint32(0))
	f.Add([]byte(chunked+"10001\r\n"+long), uint16(60_000), uint32(65_535))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n"+long+"rest"), uint16(5000), uint32(65_536))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 65540\r\n\r\n"+long), uint16(5000), uint32(65_530))
	f.Add([]byte("HTTP/1.0 200 OK\r\n\r\n"+long), uint16(0), uint32(1))
	f.Fuzz(func(t *testing.T, wire []byte, piece uint16, limit uint32) {
		read := runBody(t, wire, int(piece), int64(limit), func(int64) bool { return false })
		for name, force := range map[string]func(int64) bool{"at once": zerocopy.AtOnce, "in turns": zerocopy.Alternate()} {
			if got := runBody(t, wire, int(piece), int64(limit), force); got != read {
				t.Errorf("spliced %s: %s, read: %s", name, got, read)
			}
		}
	})
}

func (r bodyRun) String() string {
	return fmt.Sprintf("%d bytes %.60q…, error %q, trailer %s, then %.60q", len(r.content), r.content, r.err, r.trailer, r.rest)
}

func runBody(t *testing.T, wire []byte, piece int, limit int64, force func(int64) bool) (run bodyRun) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	must(t, err)
	defer a.Close()
	b, err := ln.Accept()
	must(t, err)
	sent := make(chan struct{})
	defer func() { a.Close(); <-sent }()
	go func() {
		defer close(sent)
		defer b.Close()
		for p := wire; len(p) > 0; {
			n := min(max(piece, len(wire)/100)+1, len(p))
			if _, err := b.Write(p[:n]); err != nil {
				return
			}
			p = p[n:]
		}
	}()
	in := bufio.NewReader(zcnet.NewConn(a))
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return bodyRun{err: err.Error()}
	}
	body := resp.Body
	if limit > 0 {
		body = http.MaxBytesReader(nil, body, limit)
	}
	dst, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer dst.Close()
	c := new(zerocopy.Copier)
	c.Force(force)
	n, err := c.Copy(context.Background(), dst, body)
	content, _ := os.ReadFile(dst.Name())
	if int64(len(content)) != n {
		t.Errorf("n = %d, %d bytes written", n, len(content))
	}
	rest, _ := io.ReadAll(in)
	return bodyRun{string(content), fmt.Sprint(err), fmt.Sprint(resp.Trailer), string(rest)}
}
