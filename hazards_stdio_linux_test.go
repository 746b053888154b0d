package zerocopy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// stdioEnv tells a child process what to do with its standard streams.
const stdioEnv = "HAZARD_STDIO"

// stdioChild prepares this test binary to run the test again as a program that
// reads and writes its standard streams.
func stdioChild(t *testing.T, task string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.timeout=5m")
	if parent, _, sub := strings.Cut(t.Name(), "/"); sub {
		cmd.Args[1] = "-test.run=^" + parent + "$"
	}
	cmd.Env = append(os.Environ(), stdioEnv+"="+task, "GORACE=atexit_sleep_ms=0")
	return cmd
}

// stream returns the ends of a pipe or of a socket pair, as files.
func stream(t *testing.T, kind ztest.Kind) (near, far *os.File) {
	t.Helper()
	far, near = ztest.FilePair(t, kind)
	return near, far
}

// brokenPipes are the children of TestH06BrokenPipe: where they write what, with
// which descriptor, and how that is opened.
var brokenPipes = []struct {
	from        ztest.Kind
	to          ztest.Kind
	fd          int
	nonblocking bool
	share       bool
}{
	{ztest.TCP4, ztest.Pipe, 1, false, false}, // prog | head
	{ztest.File, ztest.Pipe, 1, false, false},
	{ztest.TCP4, ztest.Pipe, 1, true, false},
	{ztest.Unix, ztest.Pipe, 1, true, false},
	{ztest.Pipe, ztest.Pipe, 1, true, false},
	{ztest.File, ztest.Pipe, 1, true, false},
	{ztest.File, ztest.Pipe, 1, true, true},
	{ztest.TCP4, ztest.SockFile, 1, true, false},
	{ztest.Pipe, ztest.SockFile, 1, true, false},
	{ztest.File, ztest.SockFile, 1, true, false},
	{ztest.File, ztest.SockFile, 1, true, true},
	{ztest.TCP4, ztest.Pipe, 2, true, false},
	{ztest.Pipe, ztest.Pipe, 2, true, false},
}

// TestH06BrokenPipe: EPIPE from splice and sendfile leaves the process alive on
// standard output and standard error, too, where a write of package os ends it.
// A program whose reader goes away dies of SIGPIPE, as with io.Copy's writes.
func TestH06BrokenPipe(t *testing.T) {
	if task := os.Getenv(stdioEnv); task != "" {
		row, err := strconv.Atoi(task)
		must(t, err)
		writeToBrokenPipe(t, row)
	}
	t.Parallel()
	for i, tt := range brokenPipes {
		t.Run(fmt.Sprintf("%s→%s %d/nonblocking=%v/share=%v", tt.from, tt.to, tt.fd, tt.nonblocking, tt.share), func(t *testing.T) {
			t.Parallel()
			theirs, ours := stream(t, tt.to)
			must(t, ztest.SetNonblock(theirs, false)) // as a shell makes them
			cmd := stdioChild(t, strconv.Itoa(i))
			var other bytes.Buffer
			if cmd.Stdout, cmd.Stderr = theirs, &other; tt.fd == 2 {
				cmd.Stdout, cmd.Stderr = &other, theirs
			}
			must(t, cmd.Start())
			theirs.Close()
			_, err := io.ReadFull(ours, make([]byte, 100_000))
			must(t, err)
			ours.Close() // head has enough
			err = cmd.Wait()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGPIPE {
				t.Errorf("the program ended with %v\n%s", err, other.String())
			}
		})
	}
}

// writeToBrokenPipe is the program. It does not return.
func writeToBrokenPipe(t *testing.T, row int) {
	tt := brokenPipes[row]
	src := ztest.NewSource(t, tt.from, ztest.Pattern(1).Bytes(16<<20))
	if tt.from.Regular() { // a signal leaves nobody to remove it later
		must(t, os.Remove(src.Reader.(*os.File).Name()))
	}
	out := map[int]*os.File{1: os.Stdout, 2: os.Stderr}[tt.fd]
	if tt.nonblocking { // as the parent of a server may make them
		must(t, syscall.SetNonblock(tt.fd, true))
		out = os.NewFile(uintptr(tt.fd), "standard stream")
		must(t, out.SetDeadline(time.Time{})) // it can be waited for
	}
	c := track(t, nil)
	if tt.share {
		c.Pages = zerocopy.Share
	}
	n, err := c.within(t, out, src.Reader)
	report := fmt.Sprintf("alive after %d, %v\n%v\n", n, err, c.report)
	syscall.Write(3-tt.fd, []byte(report))
	os.Exit(3)
}

// TestH06OtherDescriptors: a broken pipe that is no standard stream is an error,
// with every byte accounted for.
func TestH06OtherDescriptors(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.Unix, ztest.File} {
		for _, to := range []ztest.Kind{ztest.Pipe, ztest.FIFO, ztest.SockFile} {
			t.Run(fmt.Sprintf("%s→%s", from, to), func(t *testing.T) {
				t.Parallel()
				src := ztest.NewSource(t, from, ztest.Pattern(2).Bytes(4<<20))
				dst := ztest.NewDest(t, to, ztest.StallAfter(100_000))
				r := track(t, nil).begin(t, nil, dst.Writer, src.Reader)
				dst.AwaitReceived(100_000)
				dst.Reset()
				r.Wait()
				if !errors.Is(r.err, syscall.EPIPE) && !errors.Is(r.err, syscall.ECONNRESET) || r.n < 100_000 {
					t.Errorf("copied %d, %v", r.n, r.err)
				}
				checkRest(t, src, r.n, r.err)
			})
		}
	}
}

// TestH20StandardStreams: a filter between pipes, files and sockets in blocking
// mode, as a shell starts it.
func TestH20StandardStreams(t *testing.T) {
	if os.Getenv(stdioEnv) != "" {
		c := track(t, nil)
		_, err := c.Copy(t.Context(), os.Stdout, os.Stdin)
		fmt.Fprintf(os.Stderr, "splices %d, %v: %v", c.count("splice"), err, c.report)
		if err != nil {
			os.Exit(3)
		}
		os.Exit(0)
	}
	t.Parallel()
	content := ztest.Pattern(3).Bytes(1 << 20)
	for _, in := range []ztest.Kind{ztest.Pipe, ztest.SockFile, ztest.File} {
		for _, out := range []ztest.Kind{ztest.Pipe, ztest.SockFile, ztest.File} {
			t.Run(fmt.Sprintf("%s→%s", in, out), func(t *testing.T) {
				t.Parallel()
				src := ztest.NewSource(t, in, content, ztest.Pieces(7000), ztest.Blocking())
				dst := ztest.NewDest(t, out, ztest.Blocking())
				cmd := stdioChild(t, "filter")
				var stderr bytes.Buffer
				cmd.Stdin, cmd.Stdout, cmd.Stderr = src.Reader.(*os.File), dst.Writer.(*os.File), &stderr
				err := cmd.Run()
				if err != nil {
					t.Fatalf("%v\n%s", err, stderr.String())
				}
				ztest.Equal(t, "received", dst.Finish(), content)
				blocking := in != ztest.File || out != ztest.File
				if said := strings.Contains(stderr.String(), "in blocking mode"); said != blocking || blocking && !strings.Contains(stderr.String(), "splices 0,") {
					t.Errorf("the report: %s", stderr.String())
				}
			})
		}
	}
}

// TestH20BlockingMode: a stream in blocking mode at either end is read and written.
func TestH20BlockingMode(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(4).Bytes(300_000)
	for _, kind := range []ztest.Kind{ztest.Pipe, ztest.FIFO, ztest.SockFile, ztest.PTY} {
		for _, other := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
			t.Run("source/"+filepath.Join(string(kind), string(other)), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, kind, content, ztest.Blocking()), ztest.NewDest(t, other)
				c := track(t, nil)
				n, err := c.within(t, dst.Writer, src.Reader)
				if src.EndErr != nil && errors.Is(err, src.EndErr) {
					err = nil
				}
				checkWhole(t, dst, n, err, content)
				if _, ok := c.reason(zerocopy.ReasonBlocking); (!ok && kind != ztest.PTY) || c.moves() > 0 {
					t.Errorf("%d calls: %v", c.moves(), c.report)
				}
			})
			t.Run("destination/"+filepath.Join(string(kind), string(other)), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, other, content), ztest.NewDest(t, kind, ztest.Blocking())
				c := track(t, nil)
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
				if step, ok := c.reason(zerocopy.ReasonBlocking); !ok || step.Bytes != n || c.count("splice", "sendfile") > 0 {
					t.Errorf("%v", c.report)
				}
			})
		}
	}
}

// TestH20NonblockBehindThePoller: somebody sets O_NONBLOCK on a description that
// package os has opened in blocking mode. EAGAIN can then not be waited for, and
// becomes the error, as with io.Copy: neither an unknown one nor a loop.
func TestH20NonblockBehindThePoller(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(5).Bytes(3 << 20)
	for _, kind := range []ztest.Kind{ztest.Pipe, ztest.FIFO, ztest.SockFile} {
		for _, other := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.Unix, ztest.File} {
			t.Run("source/"+filepath.Join(string(kind), string(other)), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, kind, content[:50_000], ztest.Blocking(), ztest.NoEOF()), ztest.NewDest(t, other)
				src.AwaitQueued(50_000)
				must(t, ztest.SetNonblock(src.Reader, true))
				c := track(t, nil)
				n, err := c.within(t, dst.Writer, src.Reader)
				if n != 50_000 || !errors.Is(err, syscall.EAGAIN) || !strings.HasPrefix(err.Error(), "read ") {
					t.Errorf("copied %d, %v", n, err)
				}
				if k := c.moves(); k > 300 {
					t.Errorf("%d system calls", k)
				}
				ztest.Equal(t, "received", dst.Finish(), content[:50_000])
			})
			t.Run("destination/"+filepath.Join(string(kind), string(other)), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, other, content), ztest.NewDest(t, kind, ztest.Blocking(), ztest.StallAfter(0))
				must(t, ztest.SetNonblock(dst.Writer, true))
				c := track(t, nil)
				n, err := c.within(t, dst.Writer, src.Reader)
				if n == 0 || !errors.Is(err, syscall.EAGAIN) || !strings.HasPrefix(err.Error(), "write ") {
					t.Errorf("copied %d, %v", n, err)
				}
				if k := c.moves(); k > 2000 {
					t.Errorf("%d system calls", k)
				}
				ztest.Equal(t, "received", dst.Finish(), content[:n])
				checkRest(t, src, n, err)
			})
		}
	}
}
