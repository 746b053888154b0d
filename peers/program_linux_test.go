package peers_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// find returns the path of a program, which administrators' directories may have, too. Without
// it the test is skipped, by the name of the Debian package that has it.
func find(t testing.TB, program, debian string) string {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, pattern := range []string{"/usr/sbin/", "/usr/local/sbin/", "/usr/lib/postgresql/*/bin/", "/usr/local/pgsql/bin/"} {
		found, _ := filepath.Glob(pattern + program)
		for i := len(found) - 1; i >= 0; i-- { // the newest release sorts last
			if path, err := exec.LookPath(found[i]); err == nil {
				return path
			}
		}
	}
	t.Skipf("there is no %s: Debian's package is %s", program, debian)
	return ""
}

// directory returns a new directory with a short path, for sockets, that everybody can enter:
// programs may give up their privileges.
func directory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// file writes a file of the test's.
func file(t testing.TB, content []byte, mode os.FileMode, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.WriteFile(name, content, mode); err != nil {
		t.Fatal(err)
	}
	return name
}

// A log collects what programs print.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// program returns a command that ends with the test, at the latest: by signal, and if it does
// not obey that with all that it has started. The signal comes from the kernel, too, should
// the process of the test die.
func program(t testing.TB, signal syscall.Signal, path string, args ...string) *exec.Cmd {
	ctx := t.Context()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: signal}
	cmd.Cancel = func() error { return cmd.Process.Signal(signal) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	return cmd
}

// as has cmd run as another user, where the test is root's: some programs refuse to be.
func as(t testing.TB, cmd *exec.Cmd, names ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	uid, gid := account(t, names...)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	cmd.Dir = "/"
}

// account returns the numbers of the first of the users that there is.
func account(t testing.TB, names ...string) (uid, gid int) {
	t.Helper()
	for _, name := range names {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.Atoi(u.Uid)
			gid, _ := strconv.Atoi(u.Gid)
			return uid, gid
		}
	}
	t.Fatalf("there is no user %s", strings.Join(names, " or "))
	return 0, 0
}

// startServer starts cmd, for the length of the test, and waits until it accepts connections.
func startServer(t testing.TB, cmd *exec.Cmd, network, address string) {
	t.Helper()
	printed := new(log)
	cmd.Stdout, cmd.Stderr = printed, printed
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // t.Context ends before the cleanups
		close(ended)
	}()
	t.Cleanup(func() {
		<-ended
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), printed)
		}
	})
	ztest.Eventually(t, ztest.Patience, cmd.Path+" accepts connections", func() bool {
		select {
		case <-ended:
			t.Fatalf("%s has ended: %v", strings.Join(cmd.Args, " "), cmd.ProcessState)
		default:
		}
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// run runs cmd and returns what it has printed. It fails the test if cmd fails.
func run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out.String(), errs.String())
	}
	return out.String()
}

// exitCode runs cmd and returns the code that it exits with.
func exitCode(t testing.TB, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// freePort returns a port of 127.0.0.1 that nobody listens on. It is below those that the kernel gives to who
// asks for any, as other tests do before the program that it is for has started (ip_local_port_range).
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("there is no free port")
	return ""
}

// A sum is a hash of a stream, and its length.
type sum struct {
	hash string
	n    int64
}

func sumOf(t testing.TB, r io.Reader) sum {
	t.Helper()
	h := sha256.New()
	n, err := io.Copy(h, struct{ io.Reader }{r})
	if err != nil {
		t.Fatal(err)
	}
	return sum{hex.EncodeToString(h.Sum(nil)), n}
}

func sumOfFile(t testing.TB, path string) sum {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return sumOf(t, f)
}

// patternFile makes a file of n bytes of a pattern.
func patternFile(t testing.TB, p ztest.Pattern, n int64, path ...string) (name string, s sum) {
	t.Helper()
	name = filepath.Join(path...)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), p.Reader(n)); err != nil {
		t.Fatal(err)
	}
	return name, sum{hex.EncodeToString(h.Sum(nil)), n}
}
