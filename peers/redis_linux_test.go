package peers_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// silence is how long nothing is published.
const silence = 3 * time.Second

// longer is more than one silence and less than two: each byte begins a new one.
const longer = silence + 2*time.Second

func TestRedis(t *testing.T) {
	t.Parallel()
	server, cli := find(t, "redis-server", "redis-server"), find(t, "redis-cli", "redis-tools")
	dir := directory(t)
	if os.Geteuid() == 0 {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	port := freePort(t)
	socket := filepath.Join(dir, "socket")
	cmd := program(t, syscall.SIGTERM, server, "--bind", "127.0.0.1", "--port", port, "--unixsocket", socket, "--unixsocketperm", "777",
		"--dir", dir, "--save", "", "--appendonly", "no", "--daemonize", "no")
	as(t, cmd, "nobody")
	startServer(t, cmd, "tcp", "127.0.0.1:"+port)

	client := func(t *testing.T, port string, args ...string) *exec.Cmd {
		return program(t, syscall.SIGKILL, cli, append([]string{"-h", "127.0.0.1", "-p", port}, args...)...)
	}
	// publish sends n messages to a channel, with no relay between.
	publish := func(t *testing.T, channel string, from, n int) {
		t.Helper()
		var commands strings.Builder
		for i := range n {
			fmt.Fprintf(&commands, "PUBLISH %s %d\n", channel, from+i)
		}
		cmd := client(t, port)
		cmd.Stdin = strings.NewReader(commands.String())
		run(t, cmd)
	}

	for _, row := range []struct {
		name    string
		network string
		idle    time.Duration
		ended   bool // by the idle timeout
	}{
		{"longer than the silence", "tcp", longer, false},
		{"no idle timeout", "tcp", 0, false},
		{"no idle timeout", "unix", 0, false},
		{"shorter than the silence", "tcp", silence * 2 / 3, true}, // more than a busy machine takes to publish
	} {
		t.Run("publish/"+row.network+"/"+row.name, func(t *testing.T) {
			t.Parallel()
			to := "127.0.0.1:" + port
			if row.network == "unix" {
				to = socket
			}
			p := startProxy(t, listen(t, "tcp"), row.network, to, zcnet.RelayOptions{IdleTimeout: row.idle})
			channel := strings.ReplaceAll(t.Name(), " ", "_")
			s := subscribe(t, client(t, p.port(), "SUBSCRIBE", channel))
			const before, after = 1000, 10
			publish(t, channel, 0, before)
			for i := range before {
				s.next(channel, i)
			}
			if now := zerocopy.ReadStats(); now.Relays < 1 || now.Active < 2 {
				t.Errorf("there are %d relays and %d copies", now.Relays, now.Active)
			}
			if row.ended {
				e := p.relays(1)[0]
				publish(t, channel, before, after)
				s.end()
				if !errors.Is(e.err, zcnet.ErrIdle) || e.Ending != zcnet.EndedByIdle || e.First != zcnet.NoSide {
					t.Errorf("the relay ended with %v: %v", e.err, e)
				}
				if e.Elapsed < row.idle {
					t.Errorf("the relay ended after %v", e.Elapsed)
				}
				return
			}
			time.Sleep(silence)
			publish(t, channel, before, after)
			for i := range after {
				s.next(channel, before+i)
			}
			if row.idle > 0 {
				time.Sleep(silence)
				publish(t, channel, before+after, 1)
				s.next(channel, before+after)
			}
			s.end()
			e := p.relay()
			interactive(t, "to the server", e.AToB)
			interactive(t, "to the subscriber", e.BToA)
			if e.Elapsed < silence {
				t.Errorf("the relay ended after %v", e.Elapsed)
			}
			p.counted(e)
		})
	}

	t.Run("big value", func(t *testing.T) {
		t.Parallel()
		const size = 64 * mega
		value, _ := patternFile(t, 5, size, dir, "value")
		in, err := os.Open(value)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		for _, network := range []string{"tcp", "unix"} {
			to := "127.0.0.1:" + port
			if network == "unix" {
				to = socket
			}
			p := startProxy(t, listen(t, "tcp"), network, to, zcnet.RelayOptions{})
			in.Seek(0, io.SeekStart)
			set := client(t, p.port(), "-x", "SET", "value-"+network)
			set.Stdin = in
			if answer := run(t, set); answer != "OK\n" {
				t.Errorf("SET: %q", answer)
			}
			up := p.relay()
			bulk(t, network+" SET", up.AToB, size)
			interactive(t, network+" SET's answer", up.BToA)

			got, err := os.Create(filepath.Join(dir, "got"))
			if err != nil {
				t.Fatal(err)
			}
			get := client(t, p.port(), "--raw", "GET", "value-"+network)
			get.Stdout = got
			run(t, get)
			got.Truncate(size) // redis-cli adds a newline
			got.Close()
			down := p.relay()
			bulk(t, network+" GET's answer", down.BToA, size)
			if a, b := sumOfFile(t, value), sumOfFile(t, got.Name()); a != b {
				t.Errorf("%s: got %v, want %v", network, b, a)
			}
			p.counted(up, down)
		}
	})
}

// A subscriber is a client that has subscribed to a channel.
type subscriber struct {
	t     testing.TB
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func subscribe(t testing.TB, cmd *exec.Cmd) *subscriber {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &subscriber{t, cmd, bufio.NewReader(out)}
	s.expect("subscribe")
	s.expect(cmd.Args[len(cmd.Args)-1])
	s.expect("1")
	return s
}

// expect reads a line, which has to be want.
func (s *subscriber) expect(want string) {
	s.t.Helper()
	if line, err := s.lines.ReadString('\n'); err != nil || line != want+"\n" {
		s.t.Fatalf("the subscriber printed %q, want %q: %v", line, want, err)
	}
}

// next expects message i.
func (s *subscriber) next(channel string, i int) {
	s.t.Helper()
	s.expect("message")
	s.expect(channel)
	s.expect(fmt.Sprint(i))
}

// end ends the subscriber, which has to have printed nothing more but that it was cut off.
func (s *subscriber) end() {
	s.cmd.Process.Kill()
	rest, _ := io.ReadAll(s.lines)
	if strings.Contains(string(rest), "message") {
		s.t.Errorf("the subscriber printed %q besides", rest)
	}
	s.cmd.Wait()
}
