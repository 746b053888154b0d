package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy"
)

func tcpPair(t testing.TB) (a, b *net.TCPConn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn), d.(*net.TCPConn)
}

func TestSmoke(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	f, _ := os.CreateTemp("", "x")
	defer os.Remove(f.Name())
	f.Write(data)
	rep := func(name string, dst io.Writer, src io.Reader) {
		fmt.Println(name, "PLAN", zerocopy.Explain(dst, src))
		c := &zerocopy.Copier{Report: func(r zerocopy.Report) { fmt.Println(name, r) }}
		if _, err := c.Copy(context.Background(), dst, src); err != nil {
			t.Error(name, err)
		}
	}
	sink := func(name string, want []byte, run func(c *net.TCPConn)) {
		a, b := tcpPair(t)
		done := make(chan []byte)
		go func() { p, _ := io.ReadAll(b); done <- p }()
		run(a)
		a.Close()
		got := <-done
		b.Close()
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %d want %d", name, len(got), len(want))
		}
	}
	feed := func(p []byte) *net.TCPConn {
		a, b := tcpPair(t)
		go func() { b.Write(p); b.Close() }()
		return a
	}
	f.Seek(0, 0)
	sink("file→tcp", data, func(c *net.TCPConn) { rep("file→tcp", c, f) })
	sink("tcp→tcp", data, func(c *net.TCPConn) { rep("tcp→tcp", c, feed(data)) })
	sink("bytes→tcp", data, func(c *net.TCPConn) { rep("bytes→tcp", c, bytes.NewReader(data)) })
	sink("section→tcp", data[5:1005000], func(c *net.TCPConn) { rep("section→tcp", c, io.NewSectionReader(f, 5, 1004995)) })
	sink("multi→tcp", append([]byte("hello"), data...), func(c *net.TCPConn) {
		rep("multi→tcp", c, io.MultiReader(bytes.NewReader([]byte("hello")), feed(data)))
	})
	sink("bufio→tcp", data[10:], func(c *net.TCPConn) {
		br := bufio.NewReader(feed(data))
		io.CopyN(io.Discard, br, 10)
		rep("bufio→tcp", c, br)
	})
	sink("limbufio→tcp", data[10:1000010], func(c *net.TCPConn) {
		br := bufio.NewReader(io.LimitReader(feed(data), 1<<30))
		io.CopyN(io.Discard, br, 10)
		rep("limbufio→tcp", c, io.LimitReader(io.LimitReader(br, 1000000), 2000000))
	})
	sink("tcp→bufio.Writer", append([]byte("ab"), data...), func(c *net.TCPConn) {
		bw := bufio.NewWriter(c)
		bw.WriteString("ab")
		rep("tcp→bufw", bw, feed(data))
		bw.Flush()
	})
	sink("wrapped", data, func(c *net.TCPConn) { rep("wrapped", c, struct{ net.Conn }{feed(data)}) })
	g, _ := os.CreateTemp("", "x")
	f.Seek(0, 0)
	rep("file→file", g, f)
	r, w, _ := os.Pipe()
	go func() { w.Write(data); w.Close() }()
	sink("pipe→tcp", data, func(c *net.TCPConn) { rep("pipe→tcp", c, r) })
	r, w, _ = os.Pipe()
	go io.Copy(io.Discard, r)
	f.Seek(0, 0)
	rep("file→pipe", w, f)
	rep("tcp→pipe", w, feed(data))
	rep("tcp→discard", io.Discard, feed(data))
	fmt.Printf("%+v\n", zerocopy.ReadStats())
}
