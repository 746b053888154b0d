package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
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

// An output is what a proxy has printed so far.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait returns the submatches of pattern once the output has it.
func (o *output) wait(t testing.TB, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m
		}
	}
	t.Fatalf("no %q in the output:\n%s", pattern, o)
	return nil
}

// A running is a proxy in this process.
type running struct {
	*output
	addr    string
	signals chan os.Signal
	status  chan int
}

// start runs a proxy before to and ends it with the test.
func start(t *testing.T, to string, flags ...string) *running {
	t.Helper()
	r := &running{output: new(output), signals: make(chan os.Signal, 2), status: make(chan int, 1)}
	args := append([]string{"-listen", "127.0.0.1:0", "-to", to}, flags...)
	go func() { r.status <- run(args, r.signals, r, r) }()
	r.addr = r.wait(t, `listening on (\S+),`)[1]
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
	line := p.wait(t, `127\.0\.0\.1:\d+ in \S+: up 10003 bytes.*; down 10003 bytes.*`)[0]
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
			p.wait(t, `up \d+ bytes.*; down \d+ bytes`)
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
	for name, flags := range map[string][]string{"accelerated": nil, "plain": {"-plain"}} {
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
			p.wait(t, fmt.Sprintf("up %d bytes .*; down %d bytes ", size, size))
			spliced := 0
			if m := regexp.MustCompile(`bytes:.* splice (\d+)`).FindStringSubmatch(p.stop(t)); m != nil {
				spliced, _ = strconv.Atoi(m[1])
			}
			switch accelerated := runtime.GOOS == "linux" && os.Getenv("ZEROCOPY") == "" && flags == nil; {
			case accelerated && spliced < 2*size/100*99:
				t.Errorf("%d bytes were spliced, want nearly %d", spliced, 2*size)
			case !accelerated && spliced > 0:
				t.Errorf("%d bytes were spliced, want none", spliced)
			}
		})
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
			p.wait(t, `(up|down) 11 bytes.*; error: .*reset`)
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
			p.wait(t, `(?s)(up 0 bytes; down 0 bytes; error: dial .*`+row.want+`.*){2}`)
			if last := p.stop(t); !strings.Contains(last, "2 connections, 2 failed;") {
				t.Errorf("summary %q", last)
			}
		})
	}
}

func TestGrace(t *testing.T) {
	t.Parallel()
	p, client, server := pair(t, "-grace", "1h")
	send(t, client, "before")
	receive(t, server, "before")
	p.signals <- os.Interrupt
	p.wait(t, "no new connections")
	refused(t, p.addr)
	send(t, client, "after")
	receive(t, server, "after")
	client.CloseWrite()
	receiveEnd(t, server)
	send(t, server, "the answer")
	server.CloseWrite()
	receive(t, client, "the answer")
	receiveEnd(t, client)
	if last := p.ended(t); !strings.Contains(last, "1 connections, 0 failed;") {
		t.Errorf("summary %q", last)
	}
}

// refused waits until nobody listens on addr.
func refused(t *testing.T, addr string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(deadline) {
			t.Fatal("the proxy still accepts")
		}
	}
}

func TestGraceEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		grace   string
		signals int
	}{
		{"time is up", "20ms", 1},
		{"no time given", "0s", 1},
		{"second signal", "1h", 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p, client, server := pair(t, "-grace", row.grace)
			send(t, server, "a beginning")
			receive(t, client, "a beginning")
			for range row.signals {
				p.signals <- syscall.SIGTERM
			}
			last := p.ended(t)
			if !strings.Contains(last, "1 connections, 1 failed;") {
				t.Errorf("summary %q", last)
			}
			if !strings.Contains(p.String(), "error: "+errStopped.Error()) {
				t.Errorf("no %q in the output", errStopped)
			}
			for _, end := range []net.Conn{client, server} {
				if _, err := end.Read(make([]byte, 1)); err == nil || err == io.EOF || errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("Read at %v: %v, want a reset", end.LocalAddr(), err)
				}
			}
		})
	}
}

// The real signals, sent to the real program.
func TestSignals(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no process can be sent these signals here")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "-to", backend(t, func(c *net.TCPConn) { io.Copy(c, c) }), "-grace", "1h")
			cmd.Env = append(os.Environ(), asProxy+"=1")
			var out output
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer kill.Stop()
			client := dial(t, out.wait(t, `listening on (\S+),`)[1])
			send(t, client, "hello")
			receive(t, client, "hello")
			cmd.Process.Signal(sig)
			out.wait(t, "no new connections")
			client.CloseWrite()
			receiveEnd(t, client)
			if err := cmd.Wait(); err != nil {
				t.Errorf("the proxy ended with %v, want status 0", err)
			}
			if !strings.Contains(out.String(), "1 connections, 0 failed; bytes:") {
				t.Errorf("no summary in the output:\n%s", &out)
			}
		})
	}
}

// failing is a listener without descriptors until it is closed.
type failing struct {
	net.Listener
	tries  int
	tried  func(n int)
	closed <-chan struct{}
}

func (f *failing) Accept() (net.Conn, error) {
	f.tries++
	f.tried(f.tries)
	select {
	case <-f.closed:
		return nil, net.ErrClosed
	default:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
}

func TestAcceptBacksOff(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"closed", "cancelled"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			closed := make(chan struct{})
			end := cancel
			if name == "closed" {
				end = func() { close(closed) }
			}
			var out output
			began := time.Now()
			ln := &failing{closed: closed, tried: func(n int) {
				if n == 7 { // in the pause of 320 ms, or a later one
					time.AfterFunc(50*time.Millisecond, end)
				}
			}}
			(&proxy{log: log.New(&out, "", 0)}).serve(ctx, ln)
			// 5 + 10 + … + 160 ms came before the seventh, whatever the machine.
			if took := time.Since(began); ln.tries < 7 || took < 315*time.Millisecond {
				t.Errorf("%d tries in %v", ln.tries, took)
			}
			pauses := regexp.MustCompile(`next try in (\S+)`).FindAllStringSubmatch(out.String(), -1)
			if len(pauses) < 7 {
				t.Fatalf("%d pauses after %d tries:\n%s", len(pauses), ln.tries, &out)
			}
			for i, pause := range pauses {
				if want := min(5*time.Millisecond<<i, time.Second).String(); pause[1] != want {
					t.Errorf("pause %d is %s, want %s", i, pause[1], want)
				}
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"-h"}, 0, "-dial-timeout"},
		{nil, 2, "-to is required"},
		{[]string{"-to", "127.0.0.1:1", "more"}, 2, "no arguments"},
		{[]string{"-to", "127.0.0.1:1", "-grace", "soon"}, 2, "invalid value"},
		{[]string{"-to", "127.0.0.1:1", "-listen", taken.Addr().String()}, 1, "listen tcp"},
	} {
		var stdout, stderr strings.Builder
		if status := run(row.args, nil, &stdout, &stderr); status != row.status {
			t.Errorf("%q: status %d, want %d", row.args, status, row.status)
		}
		if !strings.Contains(stderr.String(), row.stderr) || stdout.Len() > 0 {
			t.Errorf("%q: stderr %q without %q, or stdout %q", row.args, &stderr, row.stderr, &stdout)
		}
	}
}
