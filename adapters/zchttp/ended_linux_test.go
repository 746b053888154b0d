package zchttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestCancelAfterEnd: a copy that is cancelled after its body was read to the end, while it waits for the
// destination, leaves the connection alone, which is another request's by then.
func TestCancelAfterEnd(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"pipeline", "delegated"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			for range 20 {
				if cancelAfterEnd(t, way) {
					return
				}
			}
			t.Error("the copy was over before it could be cancelled, each time")
		})
	}
}

// cancelAfterEnd cancels the copy of a body that has been read to its end, and reports false if the copy was over
// by then.
func cancelAfterEnd(t *testing.T, way string) bool {
	size := 1 << 20
	body := ztest.Pattern(3).Bytes(size)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	asked, gone := make(chan struct{}), make(chan struct{})
	goOn := make(chan struct{})
	go func() {
		defer close(gone)
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in := bufio.NewReader(c)
		http.ReadRequest(in)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
		c.Write(body)
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		close(asked)
		<-goOn
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")
		in.ReadByte()
	}()
	tr := transport(nil)
	tr.MaxConnsPerHost = 1
	defer tr.CloseIdleConnections()
	hc := &http.Client{Transport: tr}
	resp, err := hc.Get("http://" + ln.Addr().String())
	must(t, err)
	defer resp.Body.Close()

	// A destination that nobody reads.
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer sink.Close()
	out, err := net.Dial("tcp", sink.Addr().String())
	must(t, err)
	defer out.Close()
	out.(*net.TCPConn).SetWriteBuffer(16 << 10)
	far, err := sink.Accept()
	must(t, err)
	defer far.Close()
	far.(*net.TCPConn).SetReadBuffer(16 << 10)
	var dst io.Writer = out
	if way == "delegated" {
		dst = &from{out.(*net.TCPConn)}
	}
	ctx, cancel := context.WithCancel(t.Context())
	copied := make(chan error, 1)
	go func() {
		n, err := zerocopy.CopyContext(ctx, dst, resp.Body)
		t.Log(n, err)
		copied <- err
	}()
	// drain slowly until the body is at its end
	second := make(chan error, 1)
	go func() {
		resp, err := hc.Post("http://"+ln.Addr().String(), "", nil) // no retry
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		second <- err
	}()
	buf := make([]byte, 4<<10)
	for waiting := true; waiting; {
		select {
		case <-asked:
			waiting = false
		case <-gone: // a busy client does not always use a connection again
			waiting = false
		default:
			far.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // there may be no more
			if _, err := far.Read(buf); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	err = <-copied
	close(goOn)
	select {
	case <-asked:
	default:
		ln.Close()
		<-second
		return false
	}
	if err := <-second; err != nil {
		t.Errorf("the other request: %v", err)
	}
	return err != nil
}

// A from is an unknown destination with a ReadFrom.
type from struct{ c *net.TCPConn }

func (f *from) Write(p []byte) (int, error)         { return f.c.Write(p) }
func (f *from) ReadFrom(r io.Reader) (int64, error) { return zerocopy.Copy(f.c, r) }
func (f *from) SetWriteDeadline(t time.Time) error  { return f.c.SetWriteDeadline(t) }

// TestRaceEnd: what readLoop does after the end of a body is no race with detection.
func TestRaceEnd(t *testing.T) {
	t.Parallel()
	body := ztest.Pattern(3).Bytes(1000)
	f := framings[0]
	for range 50 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		go func() {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(c))
			c.Write(f.wire("HTTP/1.1 200 OK\r\n", body))
			time.Sleep(time.Millisecond)
			c.Close()
		}()
		hc := spliceClient(t)
		resp, err := hc.Get("http://" + ln.Addr().String())
		must(t, err)
		io.Copy(struct{ io.Writer }{io.Discard}, resp.Body)
		out, _ := os.OpenFile("/dev/null", os.O_WRONLY, 0)
		for at := time.Now(); time.Since(at) < 5*time.Millisecond; {
			zerocopy.Explain(out, resp.Body)
		}
		out.Close()
		resp.Body.Close()
		ln.Close()
	}
}
