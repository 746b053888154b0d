package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
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
	cmd.Env = append(os.Environ(), asGenerate+"=1")
	return cmd
}

func TestFile(t *testing.T) {
	t.Parallel()
	f, err := os.Create(t.TempDir() + "/rows.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out output
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
			addr := r.wait(t, `listening on (\S+)`)[1]
			early := dial(t, addr)
			if _, err := io.ReadFull(early, make([]byte, 100)); err != nil {
				t.Error(err)
			}
			early.SetLinger(0)
			early.Close()
			r.wait(t, regexp.QuoteMeta(early.LocalAddr().String())+`: .*; it has left`)

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
				r.wait(t, regexp.QuoteMeta(conn.LocalAddr().String())+`: \d+ \w+, [\d.]+ MB in`)
			}
			r.signals <- os.Interrupt
			if last := r.ended(0); !strings.HasPrefix(last, "0 receivers, 4 have ended; ") {
				t.Errorf("the last line is %q", last)
			}
		})
	}
}

// A signal ends every stream behind a whole record, and nobody finds it reset.
func TestStop(t *testing.T) {
	t.Parallel()
	for format, flags := range map[string][]string{
		"csv": {}, "y4m": {"-format", "y4m", "-frame", "640x480"}, "lines": {"-format", "lines", "-line", "forty-two"},
	} {
		for _, lend := range lendings {
			flags := append([]string{"-lend", lend}, flags...)
			t.Run(format+" "+lend+" pipe", func(t *testing.T) {
				t.Parallel()
				r := start(t, flags...)
				head := make([]byte, 6<<20)
				if _, err := io.ReadFull(r.stdout, head); err != nil {
					t.Error(err)
				}
				r.signals <- os.Interrupt
				whole(t, format, string(head)+readAll(t, r.stdout))
				r.ended(0)
			})
			t.Run(format+" "+lend+" listen", func(t *testing.T) {
				t.Parallel()
				r := start(t, append([]string{"-listen", "127.0.0.1:0"}, flags...)...)
				addr := r.wait(t, `listening on (\S+)`)[1]
				conns, heads := []*net.TCPConn{dial(t, addr), dial(t, addr)}, [2][1 << 20]byte{}
				for i, conn := range conns {
					if _, err := io.ReadFull(conn, heads[i][:]); err != nil {
						t.Error(err)
					}
				}
				r.signals <- syscall.SIGTERM
				for i, conn := range conns {
					whole(t, format, string(heads[i][:])+readAll(t, conn))
					conn.Close()
				}
				r.ended(0)
			})
		}
	}
}

// whole checks that a stream has only whole records.
func whole(t *testing.T, format, stream string) {
	t.Helper()
	ok := false
	switch format {
	case "csv":
		ok = regexp.MustCompile(`\n2026-\S+Z,\d+,\w+,-?\d+\.\d,\d+,\d+\.\d\d\n$`).MatchString(stream[max(0, len(stream)-200):])
	case "y4m":
		header := strings.IndexByte(stream, '\n') + 1
		ok = (len(stream)-header)%(len(frameLine)+640*480*3/2) == 0
	case "lines":
		ok = strings.HasSuffix(stream, "\nforty-two\n")
	}
	if !ok {
		t.Errorf("the stream of %d bytes ends with %q", len(stream), stream[max(0, len(stream)-100):])
	}
}

// A reader that does not take the rest is cut off, by time or by another signal.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, grace     string
		signals, status int
		want            string
	}{
		{"time is up", "20ms", 1, failed, "in the time of -grace"},
		{"no time given", "0s", 1, failed, "in the time of -grace"},
		{"second signal", "1h", 2, killed, "the program was stopped"},
	} {
		for _, lend := range lendings {
			for _, format := range []string{"csv", "lines"} {
				// No pipe or socket takes the first buffer as a whole.
				flags := []string{"-format", format, "-lend", lend, "-grace", row.grace, "-size", "16M"}
				t.Run(strings.Join([]string{row.name, lend, format, "pipe"}, " "), func(t *testing.T) {
					t.Parallel()
					if runtime.GOOS != "linux" {
						t.Skip("a pipe cannot be opened again here")
					}
					r := start(t, flags...)
					cutOff(t, r, r.stdout, row.signals, row.status, row.want)
				})
				t.Run(strings.Join([]string{row.name, lend, format, "to"}, " "), func(t *testing.T) {
					t.Parallel()
					ln := listener(t)
					r := start(t, append([]string{"-to", ln.Addr().String()}, flags...)...)
					cutOff(t, r, accept(t, ln), row.signals, row.status, row.want)
				})
			}
		}
	}
}

func cutOff(t *testing.T, r *running, stream io.Reader, signals, status int, want string) {
	t.Helper()
	if _, err := io.ReadFull(stream, make([]byte, 1<<20)); err != nil {
		t.Error(err)
	}
	for range signals {
		r.signals <- os.Interrupt
	}
	if last := r.ended(status); !strings.Contains(last, want) {
		t.Errorf("the last line is %q", last)
	}
}

// Receivers that are cut off are no failure of a program that listens.
func TestListenCutOff(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		grace           string
		signals, status int
	}{{"10ms", 1, 0}, {"1h", 2, killed}} {
		t.Run(row.grace, func(t *testing.T) {
			t.Parallel()
			r := start(t, "-listen", "127.0.0.1:0", "-grace", row.grace, "-size", "16M")
			conn := dial(t, r.wait(t, `listening on (\S+)`)[1])
			if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
				t.Error(err)
			}
			for range row.signals {
				r.signals <- os.Interrupt
			}
			r.ended(row.status)
			if n, err := io.Copy(io.Discard, conn); err == nil {
				t.Errorf("the receiver got %d more bytes and an end, want a reset", n)
			}
			r.wait(t, `i/o timeout`)
		})
	}
}

// The reader of standard output may leave, of which nothing is said.
func TestHead(t *testing.T) {
	t.Parallel()
	for _, lend := range lendings {
		for _, format := range []string{"csv", "y4m", "zeros"} {
			t.Run(lend+" "+format, func(t *testing.T) {
				t.Parallel()
				r := start(t, "-lend", lend, "-format", format)
				if _, err := io.ReadFull(r.stdout, make([]byte, 6<<20)); err != nil {
					t.Error(err)
				}
				r.stdout.Close()
				if last := r.ended(unread); last != "" {
					t.Errorf("the last line is %q", last)
				}
			})
		}
	}
	t.Run("head -1", func(t *testing.T) {
		t.Parallel()
		head, err := exec.LookPath("head")
		if err != nil {
			t.Skip(err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		source, sink := program(), exec.Command(head, "-1")
		var stderr output
		source.Stdout, source.Stderr, sink.Stdin = w, &stderr, r
		if err := source.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		got, err := sink.Output()
		r.Close()
		if string(got) != csvHeader || err != nil {
			t.Errorf("head prints %q, %v", got, err)
		}
		if err := source.Wait(); source.ProcessState.ExitCode() != unread || stderr.String() != "" {
			t.Errorf("the program ends with %v and prints %q", err, &stderr)
		}
	})
}

// The real signals, sent to the real program, whose reader takes its time.
func TestSignals(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no process can be sent these signals here")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			cmd := program("-rate", "100000", "-v")
			var stderr output
			cmd.Stderr = &stderr
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(enough, func() { cmd.Process.Kill() })
			defer kill.Stop()
			head := make([]byte, 256<<10)
			if _, err := io.ReadFull(stdout, head); err != nil {
				t.Error(err)
			}
			cmd.Process.Signal(sig)
			stream := string(head) + readAll(t, stdout)
			if err := cmd.Wait(); err != nil {
				t.Errorf("the program ended with %v, want status 0", err)
			}
			whole(t, "csv", stream)
			if stream != want(t, "-bytes", "10M")[:len(stream)] {
				t.Error("the stream is not the one it has to be")
			}
			stderr.wait(t, `(?m)^\d+ rows, [\d.]+ kB in [\d.]+ s, [\d.]+ GB/s; \d+ bytes: .*$`)
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
		{"a slow stream ends in between", "-rate 0.01 -duration 200ms", 200 * time.Millisecond, 50 * time.Second, 1, 1},
		{"a constant, too", "-format lines -rate 100 -n 21", 200 * time.Millisecond, enough, 21, 21},
		{"a constant has an end", "-format lines -rate 0.01 -duration 200ms", 200 * time.Millisecond, 50 * time.Second, 1, 1},
		{"as fast as possible", "-duration 200ms", 200 * time.Millisecond, 50 * time.Second, 1, 1 << 30},
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
	var out output
	p := &progress{w: &out, verbose: true}
	stop := p.every(time.Millisecond, func() string { return "half way" })
	out.wait(t, "half way\nhalf way\n")
	stop()

	out = output{}
	p = &progress{w: &out, terminal: true}
	stop = p.every(time.Millisecond, func() string { return "half way" })
	out.wait(t, `\r\x1b\[K\x1b\[\?7lhalf way`)
	p.printf("a line")
	out.wait(t, `\r\x1b\[Ka line\n`)
	stop()
	if !strings.HasSuffix(out.String(), "\r\x1b[K") {
		t.Errorf("the bottom line stays: %q", out.String())
	}
	(&progress{w: &out}).every(time.Nanosecond, func() string { panic("nobody sees it") })()
}
