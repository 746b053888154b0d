package main

import (
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// asGenerate in the environment makes the test binary the program itself.
const asGenerate = "GENERATE_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asGenerate) != "" {
		main()
		return
	}
	ztest.Main(m, kpipe.Shared.CloseIdle)
}

// enough is how long a test waits for what must happen.
const enough = time.Minute

// lendings are the values of -lend.
var lendings = []string{"fastest", "fresh-pages", "reader-copies", "never"}

// A running is a program in this process.
type running struct {
	*ztest.Output
	t       *testing.T
	stdout  *os.File // the end for reading, whose deadline is set
	signals chan os.Signal
	status  chan int
}

// start runs the program with the flags, its standard output a pipe.
func start(t *testing.T, flags ...string) *running {
	t.Helper()
	stdout, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout.SetReadDeadline(time.Now().Add(enough))
	r := &running{new(ztest.Output), t, stdout, make(chan os.Signal, 2), make(chan int, 1)}
	go func() {
		status := run(flags, r.signals, w, r)
		w.Close()
		r.status <- status
	}()
	t.Cleanup(func() {
		stdout.Close()
		if t.Failed() {
			t.Logf("%q printed:\n%s", flags, r)
		}
	})
	return r
}

// ended waits for the program's end, checks its exit status and returns the last line
// that it has printed.
func (r *running) ended(status int) string {
	r.t.Helper()
	select {
	case got := <-r.status:
		if got != status {
			r.t.Errorf("exit status %d, want %d", got, status)
		}
	case <-time.After(enough):
		r.t.Fatal("the program does not end")
	}
	lines := strings.Split(strings.TrimSpace(r.String()), "\n")
	return lines[len(lines)-1]
}

// generate returns what the program with the flags writes to standard output, and its
// last line on standard error.
func generate(t *testing.T, flags ...string) (stream, last string) {
	t.Helper()
	r := start(t, flags...)
	stream = readAll(t, r.stdout)
	return stream, r.ended(0)
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Errorf("after %d bytes: %v", len(b), err)
	}
	return string(b)
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	return conn.(*net.TCPConn)
}

// accelerated is whether memory can be lent in this run.
func accelerated() bool { return runtime.GOOS == "linux" && os.Getenv("ZEROCOPY") == "" }
