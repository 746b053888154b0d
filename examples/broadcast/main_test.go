package main

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// asBroadcast in the environment makes the test binary the program itself.
const asBroadcast = "BROADCAST_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asBroadcast) != "" {
		main()
		return
	}
	ztest.Main(m, kpipe.Shared.CloseIdle)
}

// enough is how long a test waits for what must happen.
const enough = time.Minute

// A running is a program in this process, with a page and viewers over TCP.
type running struct {
	*ztest.Output
	t         *testing.T
	http, tcp string // addresses
	signals   chan os.Signal
	status    chan int
}

// start runs the program with -http, -tcp and the flags, and ends it with the test.
func start(t *testing.T, flags ...string) *running {
	t.Helper()
	r := &running{Output: new(ztest.Output), t: t, signals: make(chan os.Signal, 2), status: make(chan int, 1)}
	args := append([]string{"-http", "127.0.0.1:0", "-tcp", "127.0.0.1:0"}, flags...)
	go func() { r.status <- run(args, r.signals, r) }()
	r.http = r.Await(t, `the page is http://([^/]+)/`)[1]
	r.tcp = r.Await(t, `viewers may connect to (\S+)`)[1]
	t.Cleanup(func() {
		if r.signals != nil {
			r.signals <- os.Interrupt
			r.signals <- os.Interrupt
			<-r.status
		}
		if t.Failed() {
			t.Logf("output:\n%s", r)
		}
	})
	return r
}

// ended waits for the program's end and checks its exit status.
func (r *running) ended(status int) {
	r.t.Helper()
	select {
	case got := <-r.status:
		r.signals = nil
		if got != status {
			r.t.Errorf("exit status %d, want %d", got, status)
		}
	case <-time.After(enough):
		r.t.Fatal("the program does not end")
	}
}

// publish starts the program with a recording and connects to it as a publisher.
func publish(t *testing.T, flags ...string) (r *running, publisher *net.TCPConn, recording string) {
	t.Helper()
	recording = t.TempDir() + "/recording"
	r = start(t, append([]string{"-source", "listen:127.0.0.1:0", "-record", recording}, flags...)...)
	return r, r.publisher(), recording
}

// publisher connects to the program as the one publisher.
func (r *running) publisher() *net.TCPConn {
	r.t.Helper()
	c := dial(r.t, r.Await(r.t, `waiting for a publisher on (\S+)`)[1])
	r.Await(r.t, "the stream comes from")
	return c
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	tcp := conn.(*net.TCPConn)
	tcp.SetReadBuffer(64 << 10) // or it grows, and holds all that a test would have it lag by
	return tcp
}

// ask sends a request.
func (r *running) ask(path string) *net.TCPConn {
	r.t.Helper()
	conn := dial(r.t, r.http)
	send(r.t, conn, []byte("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"))
	return conn
}

// get joins the stream over HTTP and returns the connection behind the header.
func (r *running) get(path string) *net.TCPConn {
	r.t.Helper()
	conn := r.ask(path)
	header := readHeader(r.t, conn)
	if !strings.HasPrefix(header, "HTTP/1.1 200 OK\r\n") {
		r.t.Fatalf("%s: %q", path, header)
	}
	return conn
}

// readHeader reads up to the empty line, byte by byte: what follows is the stream's.
func readHeader(t *testing.T, conn net.Conn) string {
	t.Helper()
	var header []byte
	for b := make([]byte, 1); !bytes.HasSuffix(header, []byte("\r\n\r\n")); header = append(header, b...) {
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatalf("after %q: %v", header, err)
		}
	}
	return string(header)
}

func send(t *testing.T, conn net.Conn, data []byte) {
	t.Helper()
	if _, err := conn.Write(data); err != nil {
		t.Fatal(err)
	}
}

// receive reads as many bytes as want has and compares.
func receive(t *testing.T, conn net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("received %d of %d bytes, %v; right: %v", n, len(want), err, bytes.Equal(got[:n], want[:n]))
	}
}

// feed sends b in pieces, each once all viewers have received the one before, so
// that none of them lags, whatever the machine.
func feed(t *testing.T, publisher net.Conn, b []byte, viewers ...net.Conn) {
	t.Helper()
	for len(b) > 0 {
		piece := b[:min(len(b), 128<<10)]
		send(t, publisher, piece)
		for _, v := range viewers {
			receive(t, v, piece)
		}
		b = b[len(piece):]
	}
}

func receiveEnd(t *testing.T, conn io.Reader) {
	t.Helper()
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Fatalf("received %d more bytes, %v; want the end", len(rest), err)
	}
}

// data returns n bytes that are the same in every run and nowhere alike.
func data(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// state returns what /status.json says.
func (r *running) state(query string) *status {
	r.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: enough}
	answer, err := client.Get("http://" + r.http + "/status.json" + query)
	if err != nil {
		r.t.Fatal(err)
	}
	defer answer.Body.Close()
	st := new(status)
	if err := json.NewDecoder(answer.Body).Decode(st); err != nil {
		r.t.Fatal(err)
	}
	return st
}

// until waits for a status of which is holds.
func (r *running) until(what string, is func(*status) bool) *status {
	r.t.Helper()
	for deadline := time.Now().Add(enough); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if st := r.state(""); is(st) {
			return st
		}
	}
	text, _ := json.Marshal(r.state("?since=1000000000"))
	r.t.Fatalf("it does not come to be that %s: %s", what, text)
	return nil
}

// of returns what a status says of the viewer at the other end of c, nothing if it
// is not there.
func (st *status) of(c net.Conn) viewerStatus {
	for _, v := range st.Viewers {
		if v.Name == c.LocalAddr().String() {
			return *v
		}
	}
	return viewerStatus{}
}

// are is a condition of until: the viewers at the other ends of conns have that state.
func are(state string, conns ...net.Conn) func(*status) bool {
	return func(st *status) bool {
		for _, c := range conns {
			if st.of(c).State != state {
				return false
			}
		}
		return true
	}
}

// accelerated is whether bytes can stay in the kernel in this run.
func accelerated() bool { return runtime.GOOS == "linux" && os.Getenv("ZEROCOPY") == "" }
