package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// asExec in the environment makes the test binary the program itself.
const asExec = "EXEC_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asExec) != "" {
		main()
		return
	}
	ztest.Main(m, kpipe.Shared.CloseIdle)
}

// enough is how long a test waits for what must happen.
const enough = time.Minute

// A running is a program in this process.
type running struct {
	ztest.Output
	t       *testing.T
	addr    string
	signals chan os.Signal
	status  chan int
}

// start runs the program, and waits until it listens.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, signals: make(chan os.Signal, 2), status: make(chan int, 1)}
	go func() { r.status <- run(append([]string{"-listen", "127.0.0.1:0"}, args...), r.signals, r, r) }()
	r.addr = r.Await(t, `listening on (\S+)`)[1]
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%q printed:\n%s", args, &r.Output)
		}
	})
	return r
}

// stop sends so many signals, waits for the end and returns the last line.
func (r *running) stop(signals int) string {
	r.t.Helper()
	for range signals {
		r.signals <- syscall.SIGTERM
	}
	select {
	case status := <-r.status:
		if status != 0 {
			r.t.Errorf("exit status %d", status)
		}
	case <-time.After(enough):
		r.t.Fatal("the program does not end")
	}
	lines := strings.Split(strings.TrimSpace(r.String()), "\n")
	return lines[len(lines)-1]
}

func (r *running) dial() *net.TCPConn {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	return conn.(*net.TCPConn)
}

// ask sends text and returns all that comes back.
func (r *running) ask(text string, end bool) string {
	r.t.Helper()
	conn := r.dial()
	if _, err := io.WriteString(conn, text); err != nil {
		r.t.Error(err)
	}
	if end {
		conn.CloseWrite()
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		r.t.Errorf("after %d bytes: %v", len(got), err)
	}
	conn.Close()
	r.Await(r.t, regexp.QuoteMeta(conn.LocalAddr().String())+" in ")
	return string(got)
}

// zeros is the output of head -c 3000000 /dev/zero.
var zeros = strings.Repeat("\x00", 3000000)

// Everybody gets the output of a command of his own, however it is carried.
func TestServes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why, args string
		sent      string
		want      string
		line      string // of the connection
	}{
		{"a command", "-- head -c 3000000 /dev/zero", "", zeros, `out 3000000 bytes \(splice pipe→tcp\); head: exit status 0\n`},
		{"a pipeline", "head -c 3000000 /dev/zero --- tr \\000 x --- tr x \\000", "", zeros, `splice pipe→tcp\); head: exit status 0, tr: exit status 0, tr: exit status 0\n`},
		{"with the other separator", "-- echo a | tr a b", "", "b\n", `out 2 bytes`},
		{"what is sent is thrown away", "-- echo a", "GET / HTTP/1.0\r\n\r\n", "a\n", `out 2 bytes`},
		{"input", "-stdin -- tr a-z A-Z", "hello", "HELLO", `out 5 bytes \(.*\); in 5 bytes \(.*; tr: exit status 0\n`},
		{"input that is not read", "-stdin -- dd bs=1 count=2 status=none", "hello", "he", `in 5 bytes \(.*\), of which 3 were not read; dd: exit status 0\n`},
		{"plain", "-plain -- head -c 3000000 /dev/zero", "", zeros, `out 3000000 bytes \(buffered: .*switched off\)`},
		{"passed", "-pass -- head -c 3000000 /dev/zero", "", zeros, `the socket was passed; head: exit status 0\n`},
		{"passed, with input", "-pass -stdin -- tr a-z A-Z", "hello", "HELLO", `the socket was passed; tr: exit status 0\n`},
		{"a failure", "-- false", "", "", `out 0 bytes; false: exit status 1; error: command 1 \(false\): exit status 1\n`},
		{"one that wants no more", "-- yes --- head -n 1", "", "y\n", `yes: signal: broken pipe, head: exit status 0\n`},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS != "linux" || os.Getenv("ZEROCOPY") != "" {
				row.line = "" // another mechanism
			}
			r := start(t, strings.Split(row.args, " ")...)
			for range 3 {
				// One that reads a part leaves a client that goes on.
				if got := r.ask(row.sent, !strings.Contains(row.line, "not read")); got != row.want {
					t.Errorf("%d bytes, or others than the %d: %.40q", len(got), len(row.want), got)
				}
			}
			r.Await(t, row.line)
			if last := r.stop(1); !strings.Contains(last, "3 connections, ") {
				t.Errorf("the last line is %q", last)
			}
		})
	}
}

// A client that is silent, or keeps the connection open, does not keep a command that ends.
func TestSilentClient(t *testing.T) {
	t.Parallel()
	r := start(t, "-stdin", "--", "echo", "a")
	if got := r.ask("", false); got != "a\n" {
		t.Errorf("%q", got)
	}
	r.stop(1)
}

func TestRemoteAddr(t *testing.T) {
	t.Parallel()
	r := start(t, "--", "sh", "-c", "echo $REMOTE_ADDR")
	conn := r.dial()
	if got, err := io.ReadAll(conn); err != nil || string(got) != conn.LocalAddr().String()+"\n" {
		t.Errorf("%q, %v", got, err)
	}
	r.stop(1)
}

// A client that leaves ends its command, and no other one.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	r := start(t, "--", "yes")
	stays, leaves := r.dial(), r.dial()
	buf := make([]byte, 1<<20)
	for _, conn := range []*net.TCPConn{stays, leaves} {
		if _, err := io.ReadFull(conn, buf); err != nil {
			t.Fatal(err)
		}
	}
	leaves.SetLinger(0)
	leaves.Close()
	r.Await(t, regexp.QuoteMeta(leaves.LocalAddr().String())+` in .*yes: signal: broken pipe; error: `)
	if _, err := io.ReadFull(stays, buf); err != nil {
		t.Fatal(err)
	}
	stays.Close()
	r.stop(1)
}

// More than -max wait.
func TestMax(t *testing.T) {
	t.Parallel()
	r := start(t, "-max", "1", "-stdin", "--", "cat")
	first, second := r.dial(), r.dial()
	io.WriteString(second, "b")
	second.CloseWrite()
	io.WriteString(first, "a")
	buf := make([]byte, 1)
	if _, err := io.ReadFull(first, buf); err != nil || buf[0] != 'a' {
		t.Fatal(err)
	}
	second.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := second.Read(buf); n > 0 || err == nil {
		t.Error("the second is served beside the first")
	}
	second.SetReadDeadline(time.Now().Add(enough))
	first.Close()
	if _, err := io.ReadFull(second, buf); err != nil || buf[0] != 'b' {
		t.Error(err)
	}
	second.Close()
	r.stop(1)
}

// After a signal what runs has the time of -grace, a second one kills, and a client that
// reads nothing does not prevent that.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why     string
		args    string
		signals int
		want    string
	}{
		{"grace is over", "-grace 50ms -- yes", 1, "yes: signal: killed"},
		{"a second signal", "-grace 1h -- yes", 2, "yes: signal: killed"},
		{"a shell's children", "-grace 50ms -- sh -c yes;true", 1, "sh: signal: killed"},
		{"the socket is passed", "-grace 50ms -pass -- yes", 1, "yes: signal: killed"},
		{"input", "-grace 50ms -stdin -- cat", 1, "cat: signal: killed"},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			r := start(t, strings.Split(row.args, " ")...)
			conn := r.dial()
			if io.WriteString(conn, "x"); true {
				if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			if last := r.stop(row.signals); !strings.Contains(last, "1 connections, 1 with an error") {
				t.Errorf("the last line is %q", last)
			}
			if !strings.Contains(r.String(), row.want) {
				t.Errorf("no %q in the output", row.want)
			}
		})
	}

	r := start(t, "-grace", "1h", "-stdin", "--", "cat") // one that ends in time
	conn := r.dial()
	io.WriteString(conn, "x")
	io.ReadFull(conn, make([]byte, 1))
	r.signals <- os.Interrupt
	r.Await(t, "no new connections")
	conn.Close()
	if last := r.stop(0); !strings.Contains(last, "1 connections, 0 with an error; 1 bytes out, 1 in") {
		t.Errorf("the last line is %q", last)
	}
}

// Whatever is wrong is said in one line.
func TestUsage(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 2, "exec: want a command"},
		{"-- a --- --- b", 2, "exec: want a command"},
		{"-- --- b", 2, "exec: want a command"},
		{"-- a |", 2, "exec: want a command"},
		{"-max 0 -- cat", 2, "exec: -max 0: want 1 or more"},
		{"-grace -1s -- cat", 2, "exec: -grace -1s: want 0 or more"},
		{"-pass -plain -- cat", 2, "exec: -pass and -plain exclude"},
		{"-fast -- cat", 2, "exec: flag provided but not defined: -fast"},
		{"-- no-such-program", 2, `exec: "no-such-program": executable file not found`},
		{"-listen nowhere -- cat", 1, "exec: listen tcp: "},
		{"-listen " + taken.Addr().String() + " -- cat", 1, "exec: listen tcp "},
	} {
		var out ztest.Output
		if status := run(strings.Fields(row.args), nil, &out, &out); status != row.status || !strings.HasPrefix(out.String(), row.want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: exit status %d, want %d, and %s", row.args, status, row.status, &out)
		}
	}
	var out ztest.Output
	if status := run([]string{"-h"}, nil, &out, &out); status != 0 || !strings.Contains(out.String(), "-grace duration") {
		t.Errorf("-h: exit status %d, and %s", status, &out)
	}
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ args, want string }{
		{"a", "[[a]]"},
		{"a b --- c -- d", "[[a b] [c -- d]]"},
		{"a | b --- c", "[[a] [b] [c]]"},
	} {
		if got, err := split(strings.Fields(row.args)); err != nil || fmt.Sprint(got) != row.want {
			t.Errorf("%s: %v, %v", row.args, got, err)
		}
	}
}

// The real one ends by a real signal.
func TestProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", "--", "echo", "a")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GORACE=") }), asExec+"=1", "GORACE=atexit_sleep_ms=0")
	r := &running{t: t}
	cmd.Stdout, cmd.Stderr = &r.Output, &r.Output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.addr = r.Await(t, `listening on (\S+)`)[1]
	if got := r.ask("", true); got != "a\n" {
		t.Errorf("%q", got)
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	r.Await(t, "1 connections, 0 with an error; 2 bytes out, 0 in\n")
}
