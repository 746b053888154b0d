package zcexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/zctest"
)

// reported returns a Copier and the Report of its last copy.
func reported() (*zerocopy.Copier, *zerocopy.Report) {
	r := new(zerocopy.Report)
	return &zerocopy.Copier{Report: func(got zerocopy.Report) { *r = got }}, r
}

// What a child writes is spliced out of its pipe, and arrives.
func TestStdout(t *testing.T) {
	t.Parallel()
	const n = 3<<20 + 17
	for _, row := range []struct {
		kind  ztest.Kind
		delay time.Duration // with one there is a watch
		route string
	}{
		{ztest.TCP4, 0, "pipe→tcp"},
		{ztest.TCP4, time.Hour, "pipe→tcp"},
		{ztest.TCP6, 0, "pipe→tcp"},
		{ztest.Unix, 0, "pipe→unix"},
		{ztest.Unix, time.Hour, "pipe→unix"},
	} {
		t.Run(fmt.Sprint(row.kind, row.delay), func(t *testing.T) {
			t.Parallel()
			a, b := ztest.Pair(t, row.kind)
			cmd := run("write %d", n)
			cmd.WaitDelay = row.delay
			out := zcexec.Stdout(cmd, a)
			var r *zerocopy.Report
			out.Copier, r = reported()
			arrived := readAll(b)
			must(t, cmd.Start())
			must(t, ended(t, cmd))
			a.Close()
			stream.Check(t, arrived.all(t), 0)
			if out.Written() != n || arrived.got.Len() != n || out.Unwritten() != nil {
				t.Errorf("%d bytes written, %d left, %d arrived, want %d", out.Written(), len(out.Unwritten()), arrived.got.Len(), n)
			}
			zctest.Check(t, *r, zerocopy.Splice)
			if len(r.Steps) != 1 || r.Steps[0].Route != row.route || r.Bytes(zerocopy.Splice) != n {
				t.Errorf("it went another way: %v", r)
			}
		})
	}
}

// The pipe of a bulk stream grows, that of another one does not.
func TestGrows(t *testing.T) {
	t.Parallel()
	small, err := strconv.Atoi(sizeOf(t, "write 1000", false))
	must(t, err)
	if small >= 256<<10 {
		t.Fatalf("the pipe of a short output has %d bytes", small)
	}
	for _, row := range []struct {
		do     string
		copied bool // through user memory
		want   int
	}{
		{"write 8000000", false, 256 << 10},
		{"write 8000000", true, 256 << 10},
		{"singly 2000", false, small}, // on a busy machine lines that pile up would be bulk
	} {
		if got := sizeOf(t, row.do, row.copied); got != strconv.Itoa(row.want) {
			t.Errorf("%s: the pipe has %s bytes, want %d", row.do, got, row.want)
		}
	}
}

// sizeOf returns the capacity of a child's pipe after what it has done.
func sizeOf(t *testing.T, do string, copied bool) string {
	t.Helper()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	cmd := run("%s size", do)
	var dst io.Writer = a
	if copied {
		dst = struct{ io.Writer }{a}
	}
	zcexec.Stdout(cmd, dst)
	var said bytes.Buffer
	cmd.Stderr = &said
	go io.Copy(io.Discard, struct{ io.Reader }{b})
	must(t, cmd.Run())
	lines := strings.Fields(said.String())
	return lines[len(lines)-1]
}

// A mechanism that is off stays off, and the bytes are the same.
func TestStdoutOff(t *testing.T) {
	t.Parallel()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	cmd := run("write 1000000")
	out := zcexec.Stdout(cmd, a)
	var r zerocopy.Report
	out.Copier = &zerocopy.Copier{Disable: zerocopy.AllMechanisms, Report: func(got zerocopy.Report) { r = got }}
	arrived := readAll(b)
	must(t, cmd.Run())
	a.Close()
	if stream.Check(t, arrived.all(t), 0); r.Bytes(zerocopy.Buffered) != 1000000 {
		t.Errorf("%v", r)
	}
}

// What is no connection gets the same bytes.
func TestStdoutOther(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	cmd := run("write 100000")
	out := zcexec.Stdout(cmd, &b)
	must(t, cmd.Run())
	if stream.Check(t, b.Bytes(), 0); out.Written() != 100000 || b.Len() != 100000 {
		t.Errorf("%d bytes written, %d arrived", out.Written(), b.Len())
	}

	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer f.Close()
	cmd = run("write 100000")
	if zcexec.Stdout(cmd, f); cmd.Stdout != f {
		t.Errorf("the child is not given the file but a %T", cmd.Stdout)
	}
	must(t, cmd.Run())
	got, err := os.ReadFile(f.Name())
	must(t, err)
	stream.Check(t, got, 0)

	if zcexec.Stdout(cmd, nil); cmd.Stdout != nil {
		t.Errorf("nil is made a %T", cmd.Stdout)
	}
}

// uncomparable is a Writer that == panics on.
type uncomparable struct {
	_ []int
	io.Writer
}

// Both outputs to the same destination are one stream, in its order.
func TestBoth(t *testing.T) {
	t.Parallel()
	const n = 2000
	var want strings.Builder
	for i := range n {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	for _, row := range []struct {
		why string
		set func(cmd *exec.Cmd, dst io.Writer) *zcexec.Output
	}{
		{"Stdout, then Stderr", func(cmd *exec.Cmd, dst io.Writer) *zcexec.Output {
			zcexec.Stdout(cmd, dst)
			return zcexec.Stderr(cmd, dst)
		}},
		{"Stderr, then Stdout", func(cmd *exec.Cmd, dst io.Writer) *zcexec.Output {
			zcexec.Stderr(cmd, dst)
			return zcexec.Stdout(cmd, dst)
		}},
		{"the field as an application has it", func(cmd *exec.Cmd, dst io.Writer) *zcexec.Output {
			out := zcexec.Stdout(cmd, dst)
			cmd.Stderr = cmd.Stdout
			return out
		}},
		{"cmd.Stderr is the destination itself", func(cmd *exec.Cmd, dst io.Writer) *zcexec.Output {
			cmd.Stderr = dst
			return zcexec.Stdout(cmd, dst)
		}},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			a, b := ztest.TCPPair(t, ztest.TCP4)
			cmd := run("turns %d", n)
			out := row.set(cmd, a)
			var reports int
			out.Copier = &zerocopy.Copier{Report: func(zerocopy.Report) { reports++ }}
			arrived := readAll(b)
			must(t, cmd.Start())
			must(t, ended(t, cmd))
			a.Close()
			if got := string(arrived.all(t)); got != want.String() {
				t.Errorf("%d bytes, or in another order than the %d", len(got), want.Len())
			}
			if reports != 1 {
				t.Errorf("%d copies, want 1", reports)
			}
		})
	}

	// Two destinations are two streams, also where they cannot be compared.
	var o, e bytes.Buffer
	cmd := run("turns 3")
	zcexec.Stdout(cmd, uncomparable{Writer: &o})
	zcexec.Stderr(cmd, uncomparable{Writer: &e})
	must(t, cmd.Run())
	if o.String() != "out 0\nout 1\nout 2\n" || e.String() != "err 0\nerr 1\nerr 2\n" {
		t.Errorf("%q and %q", o.String(), e.String())
	}
}

// How a command ends is what os/exec says of it, in each case the one after the other.
func TestStdoutEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why, do string
		delay   time.Duration
		upset   func(t *testing.T, cmd *exec.Cmd, a, b *net.TCPConn) // after 1 MB has arrived
		code    int                                                  // of the ExitError, or -2
		is      error
	}{
		{why: "a failure", do: "write 1500000 exit 3", code: 3},
		{why: "killed in the middle", do: "write 1500000 wait", code: -1,
			upset: func(t *testing.T, cmd *exec.Cmd, _, _ *net.TCPConn) { must(t, cmd.Process.Kill()) }},
		{why: "the peer resets", do: "write 100000000", code: -1, // SIGPIPE
			upset: func(t *testing.T, _ *exec.Cmd, _, b *net.TCPConn) { b.SetLinger(0); b.Close() }},
		{why: "the peer resets, and the child does not mind", do: "deaf write 100000000", code: -2, is: errReset,
			upset: func(t *testing.T, _ *exec.Cmd, _, b *net.TCPConn) { b.SetLinger(0); b.Close() }},
		{why: "closed here, and the child does not mind", do: "deaf write 100000000", code: -2, is: net.ErrClosed,
			upset: func(t *testing.T, _ *exec.Cmd, a, _ *net.TCPConn) { a.Close() }},
		{why: "the deadline passes, and the child does not mind", do: "deaf write 100000000", code: -2, is: os.ErrDeadlineExceeded,
			upset: func(t *testing.T, _ *exec.Cmd, a, _ *net.TCPConn) { a.SetWriteDeadline(time.Unix(1, 0)) }},
		{why: "a process is left that has the pipe", do: "write 1500000 leave", code: -2, delay: soon, is: exec.ErrWaitDelay},
	} {
		for _, ours := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ours %v", row.why, ours), func(t *testing.T) {
				t.Parallel()
				a, b := ztest.TCPPair(t, ztest.TCP4)
				cmd := run("%s", row.do)
				cmd.WaitDelay = row.delay
				hold(t, cmd)
				var out *zcexec.Output
				if cmd.Stdout = a; ours {
					out = zcexec.Stdout(cmd, a)
				}
				must(t, cmd.Start())
				got := make([]byte, 1<<20)
				_, err := io.ReadFull(b, got)
				must(t, err)
				stream.Check(t, got, 0)
				if row.upset != nil {
					row.upset(t, cmd, a, b)
				}
				go io.Copy(io.Discard, struct{ io.Reader }{b})
				err = ended(t, cmd)
				is := row.is == nil || errors.Is(err, row.is)
				if row.is == errReset {
					is = errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
				}
				if exitCode(err) != row.code || !is {
					t.Errorf("%v, want exit code %d and %v", err, row.code, row.is)
				}
				if ours && out.Written() < 1<<20 {
					t.Errorf("%d bytes written, and %d have arrived", out.Written(), 1<<20)
				}
			})
		}
	}
}

var errReset = errors.New("a reset connection")

// A child that closes its output early is waited for, and so is its stream.
func TestCloses(t *testing.T) {
	t.Parallel()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	cmd := run("write 1000000 close1 wait exit 4")
	release := hold(t, cmd)
	copied := make(chan struct{})
	zcexec.Stdout(cmd, a).Copier = &zerocopy.Copier{Report: func(zerocopy.Report) { close(copied) }}
	arrived := readAll(b)
	must(t, cmd.Start())
	ztest.Within(t, ztest.Patience, "the end of the copy", func() { <-copied })
	a.CloseWrite()
	stream.Check(t, arrived.all(t), 0)
	if arrived.got.Len() != 1000000 {
		t.Errorf("%d bytes", arrived.got.Len())
	}
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the child is not there any more: %v", err)
	}
	release()
	if err := ended(t, cmd); exitCode(err) != 4 {
		t.Error(err)
	}
}

// A peer that reads nothing does not hold Wait up beyond WaitDelay, as it does with
// os/exec, and the connection is of use afterwards.
func TestStalledPeer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a, b := ztest.TCPPair(t, ztest.TCP4)
	cmd := runContext(ctx, "write 100000000")
	cmd.WaitDelay = soon
	out := zcexec.Stdout(cmd, a)
	must(t, cmd.Start())
	ztest.Eventually(t, ztest.Patience, "a full socket", func() bool {
		_, writable, err := ztest.Poll(a)
		return err == nil && !writable
	})
	cancel()
	err := ended(t, cmd)
	if exitCode(err) != -1 {
		t.Errorf("Wait returned %v", err)
	}
	arrived := readAll(b)
	if _, err := a.Write([]byte("end")); err != nil {
		t.Errorf("the connection is of no use: %v", err)
	}
	a.Close()
	got := arrived.all(t)
	if int64(len(got)) != out.Written()+3 || string(got[len(got)-3:]) != "end" {
		t.Errorf("%d bytes arrived, and %d were written", len(got), out.Written())
	}
	stream.Check(t, got[:len(got)-3], 0)
}

// A context that has ended is an error of Start, and of nothing else.
func TestCancelledBefore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	cmd := runContext(ctx, "write 1")
	zcexec.Stdout(cmd, a)
	zcexec.Stdin(cmd, a)
	if err := cmd.Start(); err != context.Canceled {
		t.Error(err)
	}
	if err := (zcexec.Pipeline{run("cat"), runContext(ctx, "cat")}).Run(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	_, err := a.Write([]byte("x"))
	must(t, err)
	_, err = b.Read(make([]byte, 1))
	must(t, err)
}
