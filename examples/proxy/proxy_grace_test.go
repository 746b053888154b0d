package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// How the program begins and ends: its arguments, a listener without descriptors,
// signals and the time of grace.

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
		{[]string{"-to", "127.0.0.1:1", "-listen", "127.0.0.1:0", "-metrics", taken.Addr().String()}, 1, "listen tcp"},
		{[]string{"-to", "nowhere"}, 2, "missing port"},
		{[]string{"-to", "unix:"}, 2, "no path"},
		{[]string{"-sni", "a.example.org"}, 2, "not name=address"},
		{[]string{"-sni", "=127.0.0.1:1"}, 2, "no name"},
		{[]string{"-sni", "a.*.org=127.0.0.1:1"}, 2, "not a host name"},
		{[]string{"-sni", "a.org=127.0.0.1:1", "-sni", "A.org=127.0.0.1:2"}, 2, "given twice"},
		{[]string{"-to", "127.0.0.1:1", "-send-proxy", "v3"}, 2, "neither v1 nor v2"},
		{[]string{"-to", "127.0.0.1:1", "-trust", "10.0.0.0/8"}, 2, "-trust is for -accept-proxy"},
		{[]string{"-to", "127.0.0.1:1", "-accept-proxy", "-trust", "10.0.0.0"}, 2, "no '/'"},
		{[]string{"-to", "127.0.0.1:1", "-rate", "10X"}, 2, "not a number of bytes"},
		{[]string{"-to", "127.0.0.1:1", "-rate", "9999999999G"}, 2, "not a number of bytes"},
		{[]string{"-to", "127.0.0.1:1", "-table", "maybe"}, 2, "neither auto nor on nor off"},
		{[]string{"-to", "127.0.0.1:1", "-idle", "-1s"}, 2, "negative"},
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

func TestGrace(t *testing.T) {
	t.Parallel()
	p, client, server := pair(t, "-grace", "1h")
	send(t, client, "before")
	receive(t, server, "before")
	p.signals <- os.Interrupt
	p.Await(t, "no new connections")
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
			var out ztest.Output
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(patience, func() { cmd.Process.Kill() })
			defer kill.Stop()
			client := dial(t, out.Await(t, `listening on (\S+),`)[1])
			send(t, client, "hello")
			receive(t, client, "hello")
			cmd.Process.Signal(sig)
			out.Await(t, "no new connections")
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
			var out ztest.Output
			began := time.Now()
			ln := &failing{closed: closed, tried: func(n int) {
				if n == 7 { // in the pause of 320 ms, or a later one
					time.AfterFunc(50*time.Millisecond, end)
				}
			}}
			newProxy(new(options), log.New(&out, "", 0)).serve(ctx, ln)
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
