package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// asProxy in the environment makes the test binary the program itself.
const asProxy = "REVERSEPROXY_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProxy) != "" {
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
	url     string
	client  *http.Client
	signals chan os.Signal
	status  chan int
}

// start runs the program, and waits until it listens.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{t: t, signals: make(chan os.Signal, 2), status: make(chan int, 1)}
	go func() { r.status <- run(append([]string{"-listen", "127.0.0.1:0"}, args...), r.signals, r, r) }()
	r.listening()
	return r
}

func (r *running) listening() {
	r.t.Helper()
	r.url = "http://" + r.Await(r.t, `listening on (\S+)`)[1]
	transport := &http.Transport{}
	r.client = &http.Client{Transport: transport, Timeout: enough}
	r.t.Cleanup(func() {
		transport.CloseIdleConnections()
		if r.t.Failed() {
			r.t.Logf("it printed:\n%s", &r.Output)
		}
	})
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

// get returns the body of a 200.
func (r *running) get(path string) string {
	r.t.Helper()
	res, err := r.client.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		r.t.Fatalf("%s: %v, %v", path, res.Status, err)
	}
	return string(body)
}

// large is more than what is left to httputil.ReverseProxy.
var large = ztest.Pattern(1).Bytes(3 << 20)

// upstreamServer runs a server which has /large, /sum, /headers and a tunnel that echoes, and says
// its name on all other paths.
func upstreamServer(t *testing.T, name string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(large)))
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Write(large)
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		fmt.Fprint(w, bytes.Equal(got, large), err)
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Host"], r.Header["X-Forwarded-Proto"])
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		io.Copy(conn, brw)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, name) })
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL
}

// spliced is whether the kernel moves what can be moved here.
var spliced = runtime.GOOS == "linux" && os.Getenv("ZEROCOPY") == ""

// A large body is right, and the access log says how it went.
func TestBodies(t *testing.T) {
	t.Parallel()
	up := upstreamServer(t, "a")
	for _, row := range []struct{ why, flag, line string }{
		{"spliced", "", `"GET" "/large" → \S+ in \S+: 200, 3145728 bytes, of which .*splice tcp→pipe→tcp`},
		{"as httputil does it", "-buffered", `"GET" "/large" → \S+ in \S+: 200, 3145728 bytes \(buffered: httputil.ReverseProxy\)`},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			r := start(t, append(strings.Fields(row.flag), up)...)
			if got := r.get("/large"); got != string(large) {
				t.Errorf("%d bytes, or others", len(got))
			}
			if spliced {
				r.Await(t, row.line)
			}
			res, err := r.client.Post(r.url+"/sum", "", bytes.NewReader(large))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if got, _ := io.ReadAll(res.Body); string(got) != "true <nil>" {
				t.Errorf("the upload: %s", got)
			}
			if got := r.get("/headers"); got != "[127.0.0.1] ["+strings.TrimPrefix(r.url, "http://")+"] [http]" {
				t.Errorf("X-Forwarded: %s", got)
			}
			if last := r.stop(1); !strings.Contains(last, "3 requests, 0 failed") {
				t.Errorf("the last line is %q", last)
			}
		})
	}
}

// The longest prefix of whole elements decides, and its upstreams take turns.
func TestRoutes(t *testing.T) {
	t.Parallel()
	r := start(t, upstreamServer(t, "a"), upstreamServer(t, "b"), "/api="+upstreamServer(t, "c"))
	if got := r.get("/") + r.get("/") + r.get("/apiary") + r.get("/api") + r.get("/api/x"); got != "abacc" {
		t.Errorf("answered by %s", got)
	}
	r.stop(1)

	r = start(t, "/api="+upstreamServer(t, "c"))
	res, err := r.client.Get(r.url + "/other")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusNotFound {
		t.Error(res.Status)
	}
	r.Await(t, `"/other" → - in .*: 404, .*no upstream for this path`)
	r.stop(1)
}

// What cannot be dialled is passed by, once a connection was refused.
func TestDown(t *testing.T) {
	t.Parallel()
	// The client's end of a connection: nobody listens at its address, and as long as
	// it is open nobody else is given it.
	taken, err := net.Dial("tcp", strings.TrimPrefix(upstreamServer(t, "a"), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	gone := "http://" + taken.LocalAddr().String()
	r := start(t, "-down", "1h", gone, upstreamServer(t, "b"))
	for range 5 {
		if got := r.get("/"); got != "b" {
			t.Errorf("answered by %q", got)
		}
	}
	if n := strings.Count(r.String(), "is left out for"); n != 1 {
		t.Errorf("left out %d times", n)
	}
	r.stop(1)

	r = start(t, gone)
	res, err := r.client.Get(r.url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Error(res.Status)
	}
	r.Await(t, `: 502, .*; error: "dial tcp`)
	if last := r.stop(1); !strings.Contains(last, "1 requests, 1 failed") {
		t.Errorf("the last line is %q", last)
	}
}

// tunnel opens one, with bytes sent along with the request, and checks that all come back.
func (r *running) tunnel() net.Conn {
	r.t.Helper()
	conn, err := r.tryTunnel()
	if err != nil {
		r.t.Fatal(err)
	}
	return conn
}

func (r *running) tryTunnel() (net.Conn, error) {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	io.WriteString(conn, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 {
		return nil, fmt.Errorf("%v, %v", res, err)
	}
	io.WriteString(conn, " and late")
	got := make([]byte, len("early and late"))
	if n, err := io.ReadFull(br, got); err != nil || string(got) != "early and late" {
		return nil, fmt.Errorf("%q, %v", got[:n], err)
	}
	return conn, nil
}

// A tunnel echoes, is waited for after a signal, and no longer than the grace.
func TestTunnel(t *testing.T) {
	t.Parallel()
	up := upstreamServer(t, "a")
	r := start(t, "-grace", "1h", up)
	conn := r.tunnel()
	r.signals <- os.Interrupt
	r.Await(t, "no new connections")
	conn.(*net.TCPConn).CloseWrite()
	if _, err := io.ReadAll(conn); err != nil {
		t.Error(err)
	}
	r.Await(t, `"GET" "/echo" → .*: 101, `)
	if last := r.stop(0); !strings.Contains(last, "1 requests, 0 failed") {
		t.Errorf("the last line is %q", last)
	}

	for _, row := range []struct {
		grace   string
		signals int
	}{{"50ms", 1}, {"1h", 2}} {
		r = start(t, "-grace", row.grace, up)
		conn = r.tunnel()
		r.stop(row.signals)
		if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Error("the tunnel goes on after the end")
		}
	}

	for idle := 50 * time.Millisecond; ; idle *= 4 { // a busy machine may be silent for long
		r = start(t, "-idle", idle.String(), up)
		var err error
		if conn, err = r.tryTunnel(); err == nil {
			break
		}
		if r.stop(1); idle > 5*time.Second {
			t.Fatalf("within %v: %v", idle, err)
		}
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("an idle tunnel: %v", err)
	}
	r.stop(1)
}

// The page is at its own address, and not at that of the proxy.
func TestDebug(t *testing.T) {
	t.Parallel()
	r := start(t, "-debug", "127.0.0.1:0", upstreamServer(t, "a"))
	page := r.Await(t, `debug page: (\S+)`)[1]
	res, err := r.client.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !bytes.Contains(body, []byte("<html")) {
		t.Errorf("%v, %v: %.200s", res.Status, err, body)
	}
	if got := r.get("/debug/zerocopy"); got != "a" {
		t.Errorf("the proxy answers %q", got)
	}
	r.stop(1)
}

// Whatever is wrong is said in one line.
func TestUsage(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		args   string
		status int
		want   string
	}{
		{"", 2, "reverseproxy: want an upstream"},
		{"127.0.0.1:9001", 2, "reverseproxy: upstream "},
		{"ftp://a", 2, "reverseproxy: upstream "},
		{"http://a/b", 2, "reverseproxy: upstream "},
		{"/api", 2, "reverseproxy: upstream "},
		{"-grace -1s http://a", 2, "reverseproxy: -idle, -down and -grace"},
		{"-fast http://a", 2, "reverseproxy: flag provided but not defined: -fast"},
		{"-listen nowhere http://a", 1, "reverseproxy: listen tcp: "},
		{"-listen 127.0.0.1:0 -debug nowhere http://a", 1, "reverseproxy: -debug: listen tcp: "},
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

// The real one ends by a real signal.
func TestProcess(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0], "-listen", "127.0.0.1:0", upstreamServer(t, "a"))
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "GORACE=") }), asProxy+"=1", "GORACE=atexit_sleep_ms=0")
	r := &running{t: t}
	cmd.Stdout, cmd.Stderr = &r.Output, &r.Output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.listening()
	if got := r.get("/"); got != "a" {
		t.Errorf("%q", got)
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	r.Await(t, regexp.QuoteMeta("1 requests, 0 failed"))
}
