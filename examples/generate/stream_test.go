package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// want returns the stream of the flags as it is made without anything that lends.
func want(t *testing.T, flags ...string) string {
	t.Helper()
	opt, err := parse(flags, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, _ := made(&opt, 64<<10)
	return stream
}

// streams are longer than what -lend fastest writes plainly at first.
var streams = map[string][]string{
	"csv":   {"-n", "150000", "-seed", "1"},
	"y4m":   {"-format", "y4m", "-n", "20", "-frame", "640x480"},
	"lines": {"-format", "lines", "-line", "forty-two", "-n", "1000003"},
	"zeros": {"-format", "zeros", "-bytes", "10M"},
}

// sums are what the last line says of them.
var sums = map[string]string{"csv": "150000 rows, 8.0 MB", "y4m": "20 frames, 9.2 MB", "lines": "1000003 lines, 10.0 MB", "zeros": "10485760 zeros, 10.5 MB"}

// However it is sent, the stream is the same, over a pipe in this process and to
// another.
func TestPipe(t *testing.T) {
	t.Parallel()
	for format, flags := range streams {
		all := want(t, flags...)
		for _, lend := range lendings {
			for _, more := range [][]string{nil, {"-huge"}, {"-size", "1M"}, {"-check", "-size", "20K"}} {
				args := append(append([]string{"-lend", lend}, flags...), more...)
				t.Run(strings.Join(append([]string{format, lend}, more...), " "), func(t *testing.T) {
					t.Parallel()
					got, last := generate(t, args...)
					if got != all {
						t.Errorf("%d bytes, or others than the %d there have to be", len(got), len(all))
					}
					if !strings.HasPrefix(last, sums[format]+" in ") {
						t.Errorf("the last line is %q", last)
					}
					if lent := strings.Contains(last, "; vmsplice") && !strings.Contains(last, ": 0 lent"); accelerated() && lend != "fastest" && lent != (lend != "never") {
						t.Errorf("the last line is %q", last)
					}
				})
			}
			t.Run(format+" "+lend+" child", func(t *testing.T) {
				t.Parallel()
				cmd := program(append([]string{"-lend", lend}, flags...)...)
				got, err := cmd.Output()
				if err != nil || string(got) != all {
					t.Errorf("%d bytes, or others than the %d there have to be: %v", len(got), len(all), err)
				}
			})
		}
	}
}

// program is the real one.
func program(flags ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], flags...)
	cmd.Env = append(os.Environ(), asGenerate+"=1", "GORACE=atexit_sleep_ms=0")
	return cmd
}

func TestFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(t.TempDir() + "/rows.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out ztest.Output
	if status := run(streams["csv"], nil, f, &out); status != 0 {
		t.Errorf("exit status %d: %s", status, &out)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || string(got) != want(t, streams["csv"]...) {
		t.Errorf("the file has %d bytes, or others than it should: %v", len(got), err)
	}
}

func TestTo(t *testing.T) {
	t.Parallel()
	for format, flags := range streams {
		all := want(t, flags...)
		for _, lend := range lendings {
			t.Run(format+" "+lend, func(t *testing.T) {
				t.Parallel()
				ln := listener(t)
				r := start(t, append([]string{"-to", ln.Addr().String(), "-lend", lend}, flags...)...)
				conn := accept(t, ln)
				if got := readAll(t, conn); got != all {
					t.Errorf("%d bytes, or others than the %d there have to be", len(got), len(all))
				}
				conn.Close()
				r.ended(0)
			})
		}
	}
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func accept(t *testing.T, ln net.Listener) *net.TCPConn {
	t.Helper()
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(enough))
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(enough))
	return conn.(*net.TCPConn)
}

// A receiver that goes is an error where there is only one.
func TestReceiverLeaves(t *testing.T) {
	t.Parallel()
	for _, lend := range lendings {
		t.Run(lend, func(t *testing.T) {
			t.Parallel()
			ln := listener(t)
			r := start(t, "-to", ln.Addr().String(), "-lend", lend)
			conn := accept(t, ln)
			if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
				t.Error(err)
			}
			conn.Close()
			if last := r.ended(failed); !strings.Contains(last, "the receiver has closed the connection") {
				t.Errorf("the last line is %q", last)
			}
		})
	}
}

// Everybody gets a stream from its beginning, whoever leaves and whatever he sends.
func TestListen(t *testing.T) {
	t.Parallel()
	for format, flags := range streams {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			all := want(t, flags...)
			r := start(t, append([]string{"-listen", "127.0.0.1:0"}, flags...)...)
			addr := r.Await(t, `listening on (\S+)`)[1]
			early := dial(t, addr)
			if _, err := io.ReadFull(early, make([]byte, 100)); err != nil {
				t.Error(err)
			}
			early.SetLinger(0)
			early.Close()
			r.Await(t, regexp.QuoteMeta(early.LocalAddr().String())+`: .*; it has left`)

			var conns []*net.TCPConn
			for range 3 {
				conn := dial(t, addr)
				io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
				conns = append(conns, conn)
			}
			for _, conn := range conns {
				if got := readAll(t, conn); got != all {
					t.Errorf("%d bytes, or others than the %d there have to be", len(got), len(all))
				}
				conn.Close()
				r.Await(t, regexp.QuoteMeta(conn.LocalAddr().String())+`: \d+ \w+, [\d.]+ MB in`)
			}
			r.signals <- os.Interrupt
			if last := r.ended(0); !strings.HasPrefix(last, "0 receivers, 4 have ended; ") {
				t.Errorf("the last line is %q", last)
			}
		})
	}
}

// A stream of a rate takes its time, and one of a duration not more.
func TestTime(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why, args      string
		least, most    time.Duration
		fewest, utmost int
	}{
		{"the first record begins at once, the last after 0.3 s", "-n 31 -rate 100", 300 * time.Millisecond, enough, 31, 31},
		{"a slow stream ends in between", "-rate 0.01 -duration 1s", time.Second, 50 * time.Second, 1, 1},
		{"a constant, too", "-format lines -rate 100 -n 21", 200 * time.Millisecond, enough, 21, 21},
		{"a constant has an end", "-format lines -rate 0.01 -duration 1s", time.Second, 50 * time.Second, 1, 1},
		{"as fast as possible", "-duration 1s", time.Second, 50 * time.Second, 1, 1 << 30},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			stream, _ := generate(t, strings.Fields(row.args)...)
			took, n := time.Since(began), strings.Count(stream, "\n")-strings.Count(stream, csvHeader)
			if took < row.least || took > row.most || n < row.fewest || n > row.utmost {
				t.Errorf("%s: %d records in %v", row.args, n, took)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var out ztest.Output
	p := &progress{w: &out, verbose: true}
	stop := p.every(time.Millisecond, func() string { return "half way" })
	out.Await(t, "half way\nhalf way\n")
	stop()

	out = ztest.Output{}
	p = &progress{w: &out, terminal: true}
	stop = p.every(time.Millisecond, func() string { return "half way" })
	out.Await(t, `\r\x1b\[K\x1b\[\?7lhalf way`)
	p.printf("a line")
	out.Await(t, `\r\x1b\[Ka line\n`)
	stop()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Errorf("the bottom line stays: %q", out.String())
	}
	(&progress{w: &out}).every(time.Nanosecond, func() string { panic("nobody sees it") })()
}
