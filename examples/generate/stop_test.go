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

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// How streams end before their end.

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
				addr := r.Await(t, `listening on (\S+)`)[1]
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
				// No pipe and no socket of a reader that reads no more takes the first buffer
				// as a whole.
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
					conn := accept(t, ln)
					conn.SetReadBuffer(64 << 10) // or it grows, up to tcp_rmem(7)
					cutOff(t, r, conn, row.signals, row.status, row.want)
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
			conn := dial(t, r.Await(t, `listening on (\S+)`)[1])
			conn.SetReadBuffer(64 << 10) // or it grows, up to tcp_rmem(7)
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
			r.Await(t, `i/o timeout`)
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
		var stderr ztest.Output
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
			var stderr ztest.Output
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
			if !strings.HasPrefix(want(t, "-bytes", "20M"), stream) {
				t.Error("the stream is not the one it has to be")
			}
			stderr.Await(t, `(?m)^\d+ rows, [\d.]+ kB in [\d.]+ s, [\d.]+ GB/s; \d+ bytes: .*$`)
		})
	}
}
