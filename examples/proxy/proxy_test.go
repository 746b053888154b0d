package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// asProxy in the environment makes the test binary the program itself.
const asProxy = "PROXY_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProxy) != "" {
		main()
		return
	}
	ztest.Main(m, kpipe.Shared.CloseIdle)
}

// patience is how long a test waits for what must happen.
const patience = time.Minute

// A running is a proxy in this process.
type running struct {
	*ztest.Output
	addr    string
	signals chan os.Signal
	status  chan int
}

// start runs a proxy before to, if that is not empty, and ends it with the test.
func start(t *testing.T, to string, flags ...string) *running {
	t.Helper()
	r := &running{Output: new(ztest.Output), signals: make(chan os.Signal, 2), status: make(chan int, 1)}
	args := append([]string{"-listen", "127.0.0.1:0"}, flags...)
	if to != "" {
		args = append(args, "-to", to)
	}
	go func() { r.status <- run(args, r.signals, r, r) }()
	r.addr = r.Await(t, `listening on (\S+),`)[1]
	t.Cleanup(func() {
		if r.signals != nil {
			r.stop(t)
		}
	})
	return r
}

// stop ends the proxy, cutting what is open, and returns its last line.
func (r *running) stop(t *testing.T) string {
	t.Helper()
	r.signals <- os.Interrupt
	r.signals <- os.Interrupt
	return r.ended(t)
}

// ended waits for the proxy's end and returns its last line.
func (r *running) ended(t *testing.T) string {
	t.Helper()
	r.signals = nil
	select {
	case status := <-r.status:
		if status != 0 {
			t.Errorf("exit status %d, want 0", status)
		}
	case <-time.After(patience):
		t.Fatalf("the proxy does not end; so far:\n%s", r)
	}
	t.Logf("output:\n%s", r)
	lines := strings.Split(strings.TrimSpace(r.String()), "\n")
	return lines[len(lines)-1]
}

// backend serves one connection after another with serve and returns its address.
func backend(t *testing.T, serve func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() {
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		open.Wait()
	})
	return ln.Addr().String()
}

// dial connects to a proxy.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// pair is a connection through p: the client's end and the backend's.
func pair(t *testing.T, flags ...string) (p *running, client, server *net.TCPConn) {
	t.Helper()
	accepted, done := make(chan *net.TCPConn), make(chan struct{})
	p = start(t, backend(t, func(c *net.TCPConn) {
		accepted <- c
		<-done
	}), flags...)
	t.Cleanup(func() { close(done) })
	client = dial(t, p.addr)
	select {
	case server = <-accepted:
	case <-time.After(patience):
		t.Fatal("the backend sees no connection")
	}
	return p, client, server
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("received %q, %v; want %q", got[:n], err, text)
	}
}

func receiveEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Fatalf("received %q, %v; want the end", rest, err)
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	p := start(t, backend(t, func(c *net.TCPConn) { io.Copy(c, c) }))
	client := dial(t, p.addr)
	for _, text := range []string{"a", "bc", strings.Repeat("d", 10000)} {
		send(t, client, text)
		receive(t, client, text)
	}
	client.CloseWrite()
	receiveEnd(t, client)
	client.Close()
	line := p.Await(t, `#1 127\.0\.0\.1:\d+ → 127\.0\.0\.1:\d+ in \S+: up 10003 bytes.*; down 10003 bytes.*`)[0]
	if strings.Contains(line, "error") {
		t.Errorf("an error was printed: %s", line)
	}
}

// The end of one direction reaches the other side as such and leaves the other
// direction alone (H30).
func TestHalfClose(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"client first", "backend first"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, first, second := pair(t)
			if name == "backend first" {
				first, second = second, first
			}
			send(t, first, "all I have")
			first.CloseWrite()
			receive(t, second, "all I have")
			receiveEnd(t, second)
			for _, text := range []string{"an answer", "after the end", "in pieces"} {
				send(t, second, text)
				receive(t, first, text)
			}
			second.CloseWrite()
			receiveEnd(t, first)
			p.Await(t, `up \d+ bytes.*; down \d+ bytes`)
			if strings.Contains(p.String(), "error") {
				t.Errorf("an error was printed:\n%s", p)
			}
		})
	}
}

// Both directions carry much at the same time, and it stays in the kernel
// unless that was declined.
func TestBulk(t *testing.T) {
	t.Parallel()
	const size = 32 << 20
	for name, flags := range map[string][]string{"accelerated": nil, "plain": {"-no-zerocopy"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, client, server := pair(t, flags...)
			var all sync.WaitGroup
			for i, end := range []*net.TCPConn{client, server} {
				data := make([]byte, size)
				rand.NewChaCha8([32]byte{byte(i)}).Read(data)
				other := [...]*net.TCPConn{server, client}[i]
				all.Go(func() {
					if _, err := end.Write(data); err != nil {
						t.Error(err)
					}
					end.CloseWrite()
				})
				all.Go(func() {
					sum := sha256.New()
					n, err := io.Copy(sum, other)
					if err != nil || n != size || !bytes.Equal(sum.Sum(nil), digest(data)) {
						t.Errorf("received %d bytes, %v, of %d, or others than were sent", n, err, size)
					}
				})
			}
			all.Wait()
			p.Await(t, fmt.Sprintf("up %d bytes .*; down %d bytes ", size, size))
			requireSpliced(t, p.stop(t), 2*size, flags == nil)
		})
	}
}

// requireSpliced fails t unless the summary says that nearly size bytes were spliced, or more,
// where anything can be, or none.
func requireSpliced(t *testing.T, summary string, size int, accelerated bool) {
	t.Helper()
	spliced := 0
	if m := regexp.MustCompile(`bytes:.* splice (\d+)`).FindStringSubmatch(summary); m != nil {
		spliced, _ = strconv.Atoi(m[1])
	}
	switch {
	case accelerated && runtime.GOOS == "linux" && os.Getenv("ZEROCOPY") == "":
		if spliced < size/100*98 {
			t.Errorf("%d bytes were spliced, want nearly %d", spliced, size)
		}
	case spliced > 0:
		t.Errorf("%d bytes were spliced, want none", spliced)
	}
}

func digest(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// A connection that one side breaks is broken to the other side too: a stream
// that was cut must not look complete.
func TestReset(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"client", "backend"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, first, second := pair(t)
			if name == "backend" {
				first, second = second, first
			}
			send(t, first, "a beginning")
			receive(t, second, "a beginning")
			first.SetLinger(0)
			first.Close()
			if rest, err := io.ReadAll(second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the other side received %q, %v; want a reset", rest, err)
			}
			p.Await(t, `(up|down) 11 bytes.*; error: .*reset`)
			if last := p.stop(t); !strings.Contains(last, "1 connections, 1 failed;") {
				t.Errorf("summary %q", last)
			}
		})
	}
}

// A backend that cannot be reached costs the client its connection and nobody
// else theirs.
func TestBackendUnreachable(t *testing.T) {
	t.Parallel()
	// The client's end of a connection: nobody listens at its address, and as long as
	// it is open nobody else is given it.
	taken := dial(t, backend(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }))
	for _, row := range []struct {
		name  string
		flags []string
		want  string
	}{
		{"refuses", nil, "refused"},
		{"too slow", []string{"-dial-timeout", "1ns"}, "timeout"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, taken.LocalAddr().String(), row.flags...)
			for range 2 {
				receiveEnd(t, dial(t, p.addr))
			}
			p.Await(t, `(?s)(up 0 bytes; down 0 bytes; error: dial .*`+row.want+`.*){2}`)
			if last := p.stop(t); !strings.Contains(last, "2 connections, 2 failed;") {
				t.Errorf("summary %q", last)
			}
		})
	}
}
