package zcnet_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// connected returns two ends of a TCP connection.
func connected() (a, b net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	check(err)
	b, err = l.Accept()
	check(err)
	return a, b
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// Every io.Copy from or to the connection is a zerocopy.Copy from now on, also in code that
// cannot be edited.
func ExampleNewConn() {
	client, server := connected()
	conn := zcnet.NewConn(server)
	go func() {
		io.Copy(conn, conn) // echo
		conn.Close()
	}()
	io.WriteString(client, "hello")
	client.(*net.TCPConn).CloseWrite()
	reply, _ := io.ReadAll(client)
	client.Close()
	fmt.Printf("%s\n", reply)
	// Output: hello
}

// A server that tells protocols apart by the first byte. The copy begins with it.
func ExampleConn() {
	client, server := connected()
	defer client.Close()
	io.WriteString(client, "GET / HTTP/1.1\r\n\r\n")
	client.(*net.TCPConn).CloseWrite()

	conn := zcnet.NewConn(server)
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	first, err := conn.Peek(1)
	check(err)
	conn.SetReadDeadline(time.Time{})
	switch first[0] {
	case 0x16:
		fmt.Println("a TLS handshake")
	default:
		fmt.Println("plain text,", conn.Buffered(), "byte peeked:")
	}
	io.Copy(os.Stdout, conn)
	// Output:
	// plain text, 1 byte peeked:
	// GET / HTTP/1.1
}

// A PROXY protocol line is read by a bufio.Reader; what that has read too much of goes back.
func ExampleConn_unread() {
	client, server := connected()
	defer client.Close()
	io.WriteString(client, "PROXY TCP4 192.0.2.1 192.0.2.2 51000 443\r\nhello\n")
	client.(*net.TCPConn).CloseWrite()

	conn := zcnet.NewConn(server)
	defer conn.Close()
	header := bufio.NewReader(conn)
	line, err := header.ReadString('\n')
	check(err)
	rest, _ := header.Peek(header.Buffered())
	conn.Unread(rest)
	fmt.Println("from", strings.Fields(line)[2])
	io.Copy(os.Stdout, conn)
	// Output:
	// from 192.0.2.1
	// hello
}

// Options of the socket are set as ever.
func ExampleTCPConn() {
	client, server := connected()
	defer client.Close()
	conn := zcnet.NewConn(server)
	defer conn.Close()
	if tcp, ok := zcnet.TCPConn(conn); ok {
		fmt.Println(tcp.SetKeepAlive(true))
	}
	_, ok := zcnet.UnixConn(conn)
	fmt.Println(ok, zcnet.Inner(conn) == server)
	// Output:
	// <nil>
	// false true
}

// One line accelerates a server; responses of files and proxied bodies go by sendfile and
// splice.
func ExampleNewListener() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	l = zcnet.NewListener(l) // this one
	s := &http.Server{Handler: http.FileServer(http.Dir("."))}
	go s.Serve(l)
	defer s.Close()

	transport := &http.Transport{DialContext: (&zcnet.Dialer{}).DialContext}
	client := &http.Client{Transport: transport}
	r, err := client.Get("http://" + l.Addr().String() + "/doc.go")
	check(err)
	defer r.Body.Close()
	line, _ := bufio.NewReader(r.Body).ReadString('\n')
	fmt.Print(line)
	// Output: // Package zcnet puts package zerocopy under code that knows net.Conn and net.Listener only.
}

// Timeouts, keep-alive and the rest are those of net.Dialer.
func ExampleDialer() {
	d := &zcnet.Dialer{Dialer: net.Dialer{Timeout: 10 * time.Second}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	conn, err := d.Dial("tcp", l.Addr().String())
	check(err)
	defer conn.Close()
	_, ok := conn.(zcnet.Conn)
	fmt.Println(ok)
	// Output: true
}

// The body of a TCP proxy.
func ExampleRelay() {
	proxy := func(client, backend net.Conn) {
		stats, err := zcnet.Relay(context.Background(), client, backend, &zcnet.RelayOptions{
			IdleTimeout:       10 * time.Minute,
			HalfClosedTimeout: time.Minute,
		})
		if err != nil && !errors.Is(err, zcnet.ErrIdle) {
			zcnet.Reset(client) // or it would take what it has for the whole
			zcnet.Reset(backend)
		}
		client.Close()
		backend.Close()
		fmt.Println(stats.AToB.Written, stats.BToA.Written, stats.Ending, stats.First)
	}

	atClient, client := connected()
	backend, atBackend := connected()
	go func() { // answers when it has heard all
		io.Copy(io.Discard, atBackend)
		io.WriteString(atBackend, "welcome")
		atBackend.Close()
	}()
	io.WriteString(atClient, "hello")
	atClient.(*net.TCPConn).CloseWrite()
	proxy(client, backend)
	reply, _ := io.ReadAll(atClient)
	atClient.Close()
	fmt.Printf("%s\n", reply)
	// Output:
	// 5 7 eof a
	// welcome
}

// A metrics page reads the counts of a relay that runs.
func ExampleRelayMeters() {
	atA, a := connected()
	b, atB := connected()
	var live zcnet.RelayMeters
	done := make(chan error)
	go func() {
		_, err := zcnet.Relay(context.Background(), a, b, &zcnet.RelayOptions{Live: &live})
		done <- err
	}()
	io.WriteString(atA, "hello")
	io.ReadFull(atB, make([]byte, 5))
	for live.AToB.Bytes() < 5 {
		time.Sleep(time.Millisecond) // the peer has them before they are counted
	}
	fmt.Println(live.AToB.Bytes(), live.AToB.Step().Mechanism, live.BToA.Bytes())
	atA.Close()
	atB.Close()
	fmt.Println(<-done)
	a.Close()
	b.Close()
	// Output:
	// 5 buffered 0
	// <nil>
}

// turns is a limiter of 100 bytes a turn; golang.org/x/time/rate has one by time.
type turns struct{ taken int }

func (t *turns) Burst() int                           { return 100 }
func (t *turns) WaitN(_ context.Context, n int) error { t.taken += n; return nil }

// Each direction can be paced, and the whole cancelled, with a cause.
func ExampleRelay_options() {
	atA, a := connected()
	b, atB := connected()
	up := &turns{}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		io.WriteString(atA, strings.Repeat("x", 250))
		io.ReadFull(atB, make([]byte, 250))
		cancel(errors.New("maintenance"))
	}()
	stats, err := zcnet.Relay(ctx, a, b, &zcnet.RelayOptions{
		PaceAToB: up,
		Copier:   &zerocopy.Copier{Disable: zerocopy.AllMechanisms},
	})
	fmt.Println(up.taken, stats.Ending, err)
	for _, c := range []net.Conn{atA, a, b, atB} {
		zcnet.Reset(c)
	}
	// Output: 250 context maintenance
}
