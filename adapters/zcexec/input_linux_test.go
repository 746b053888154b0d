package zcexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/zctest"
)

// feed writes n bytes of the stream from off on to w, until it cannot.
func feed(w io.Writer, off, n int64) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for n > 0 {
			k := min(n, int64(len(buf)))
			stream.Fill(buf[:k], off)
			if _, err := w.Write(buf[:k]); err != nil {
				return
			}
			off, n = off+k, n-k
		}
	}()
	return done
}

// A connection is spliced into a child's pipe.
func TestStdin(t *testing.T) {
	t.Parallel()
	const n = 5<<20 + 3
	for _, kind := range []ztest.Kind{ztest.TCP4, ztest.Unix} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			t.Parallel()
			a, b := ztest.Pair(t, kind)
			cmd := run("check")
			var said bytes.Buffer
			cmd.Stdout = &said
			in := zcexec.Stdin(cmd, a)
			var r *zerocopy.Report
			in.Copier, r = reported()
			done := feed(b, 0, n)
			go func() { <-done; b.(interface{ CloseWrite() error }).CloseWrite() }()
			must(t, cmd.Start())
			must(t, ended(t, cmd))
			if want := fmt.Sprint(n, " <nil>"); said.String() != want {
				t.Errorf("the child has read %s, want %s", said.String(), want)
			}
			if in.Consumed() != n || in.Unread() != nil {
				t.Errorf("%d bytes read, %d left", in.Consumed(), len(in.Unread()))
			}
			zctest.Check(t, *r, zerocopy.Splice)
			if r.Bytes(zerocopy.Splice) < n/2 {
				t.Errorf("hardly anything was spliced: %v", r)
			}
		})
	}
}

// What is no connection is read as by os/exec.
func TestStdinOther(t *testing.T) {
	t.Parallel()
	for _, src := range []io.Reader{
		bytes.NewReader(stream.Bytes(300000)), stream.Reader(300000), strings.NewReader(string(stream.Bytes(300000))),
	} {
		cmd := run("check")
		in := zcexec.Stdin(cmd, src)
		if out, err := cmd.Output(); err != nil || string(out) != "300000 <nil>" || in.Consumed() != 300000 {
			t.Errorf("%T: %q, %v, %d bytes read", src, out, err, in.Consumed())
		}
		cmd = run("take 10") // EPIPE is no error
		in = zcexec.Stdin(cmd, bytes.NewReader(stream.Bytes(300000)))
		if err := cmd.Run(); err != nil || in.Consumed() != 10 {
			t.Errorf("%T: %v, %d bytes read", src, err, in.Consumed())
		}
	}
	cmd := run("check")
	if zcexec.Stdin(cmd, nil); cmd.Stdin != nil {
		t.Errorf("nil is made a %T", cmd.Stdin)
	}
}

// What a child has not read is handed back, exactly, whatever was on its way. The
// connection is not waited for, and is as it was.
func TestUnread(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why     string
		do      string
		sent    int64 // before the child ends; then the peer is silent
		take    int64
		limited bool
	}{
		{"nothing was sent", "exit 0", 0, 0, false},
		{"nothing is read", "exit 0", 100, 0, false},
		{"a part of a little", "take 10", 100, 10, false},
		{"it fits into the pipe", "take 1000", 50000, 1000, false},
		{"all is read", "take 50000", 50000, 50000, false},
		{"more than a pipe", "take 1000", 200000, 1000, false},
		{"far into the bulk", "take 3000000", 9 << 20, 3000000, false},
		{"a limit", "take 3000000", 9 << 20, 3000000, true},
		{"a limit, and silence", "take 10", 100, 10, true},
		{"it closes its input and lives on", "take 10 close0 wait", 200000, 10, false},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			a, b := ztest.TCPPair(t, ztest.TCP4)
			cmd := run("%s", row.do)
			release := hold(t, cmd)
			var src io.Reader = a
			limit := &io.LimitedReader{R: a, N: 1 << 30}
			if row.limited {
				src = limit
			}
			in := zcexec.Stdin(cmd, src)
			copied := make(chan struct{})
			in.Copier = &zerocopy.Copier{Report: func(zerocopy.Report) { close(copied) }}
			done := feed(b, 0, row.sent)
			must(t, cmd.Start())
			ztest.Within(t, ztest.Patience, "the end of the copy", func() { <-copied })
			release()
			must(t, ended(t, cmd))
			if in.Consumed() != row.take {
				t.Errorf("%d bytes read, want %d", in.Consumed(), row.take)
			}
			if row.limited && 1<<30-limit.N < row.take {
				t.Errorf("N is %d", limit.N)
			}
			// The stream goes on where the child has stopped.
			go func() { <-done; b.Write([]byte("end")); b.CloseWrite() }()
			rest, err := io.ReadAll(a)
			rest = append(in.Unread(), rest...)
			if err != nil || int64(len(rest)) != row.sent-row.take+3 {
				t.Fatalf("%d bytes left, want %d: %v", len(rest), row.sent-row.take+3, err)
			}
			stream.Check(t, rest[:len(rest)-3], row.take)
		})
	}
}

// With os/exec itself, a silent connection holds Wait up, with WaitDelay, too. If that
// changes, the package comment has to.
func TestSilentWithExec(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, soon} {
		a, b := ztest.TCPPair(t, ztest.TCP4)
		cmd := run("exit 0")
		cmd.Stdin, cmd.WaitDelay = a, delay
		must(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			t.Errorf("with WaitDelay %v, exec's Wait has returned %v", delay, err)
			continue
		case <-time.After(long):
		}
		b.Close()
		<-done
	}
}

// A process that has the pipe still is waited for, and WaitDelay ends that.
func TestLeftReader(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, soon} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			t.Parallel()
			a, b := ztest.TCPPair(t, ztest.TCP4)
			cmd := run("take 5 leave")
			release := hold(t, cmd)
			in := zcexec.Stdin(cmd, a)
			cmd.WaitDelay = delay
			_, err := b.Write(stream.Bytes(5))
			must(t, err)
			must(t, cmd.Start())
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			if delay == 0 {
				select {
				case err := <-done:
					t.Errorf("Wait has returned %v", err)
				case <-time.After(long):
				}
				release()
			}
			var got error
			ztest.Within(t, ztest.Patience, "Wait", func() { got = <-done })
			if delay == 0 && got != nil || delay != 0 && !errors.Is(got, exec.ErrWaitDelay) {
				t.Errorf("Wait returned %v", got)
			}
			if in.Consumed() != 5 {
				t.Errorf("%d bytes read", in.Consumed())
			}
			// No deadline is left on the connection.
			time.AfterFunc(soon, func() { b.Write([]byte("x")) })
			if _, err := a.Read(make([]byte, 1)); err != nil {
				t.Errorf("the connection is of no use: %v", err)
			}
		})
	}
}

// How a copy into a child's pipe ends, compared with os/exec.
func TestStdinEnds(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why, do string
		upset   func(t *testing.T, cmd *exec.Cmd, a, b *net.TCPConn) // the child waits for input
		code    int
		is      error
	}{
		{"the peer ends", "cat", func(_ *testing.T, _ *exec.Cmd, _, b *net.TCPConn) { b.CloseWrite() }, 0, nil},
		{"the peer ends, the child fails", "cat exit 3", func(_ *testing.T, _ *exec.Cmd, _, b *net.TCPConn) { b.CloseWrite() }, 3, nil},
		{"the peer resets", "cat", func(_ *testing.T, _ *exec.Cmd, _, b *net.TCPConn) { b.SetLinger(0); b.Close() }, -2, syscall.ECONNRESET},
		{"closed here", "cat", func(_ *testing.T, _ *exec.Cmd, a, _ *net.TCPConn) { a.Close() }, -2, net.ErrClosed},
		{"the deadline passes", "cat", func(_ *testing.T, _ *exec.Cmd, a, _ *net.TCPConn) { a.SetReadDeadline(time.Unix(1, 0)) }, -2, context.DeadlineExceeded},
		{"killed", "cat", func(t *testing.T, cmd *exec.Cmd, _, b *net.TCPConn) { must(t, cmd.Process.Kill()); b.Close() }, -1, nil},
	} {
		for _, ours := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ours %v", row.why, ours), func(t *testing.T) {
				t.Parallel()
				a, b := ztest.TCPPair(t, ztest.TCP4)
				cmd := run("%s", row.do)
				if cmd.Stdin = a; ours {
					zcexec.Stdin(cmd, a)
				}
				out, err := cmd.StdoutPipe()
				must(t, err)
				must(t, cmd.Start())
				_, err = b.Write([]byte("x"))
				must(t, err)
				_, err = out.Read(make([]byte, 1))
				must(t, err)
				row.upset(t, cmd, a, b)
				err = ended(t, cmd)
				switch {
				case row.code == 0 && err != nil, row.code > 0 && exitCode(err) != row.code:
					t.Errorf("%v, want %d", err, row.code)
				case row.is == context.DeadlineExceeded:
					var e net.Error
					if !errors.As(err, &e) || !e.Timeout() {
						t.Errorf("%v, want a timeout", err)
					}
				case row.is != nil && !errors.Is(err, row.is):
					t.Errorf("%v, want %v", err, row.is)
				}
			})
		}
	}
}

// A child that ends with its context does not leave Wait with the connection.
func TestStdinCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a, _ := ztest.TCPPair(t, ztest.TCP4)
	cmd := runContext(ctx, "cat")
	zcexec.Stdin(cmd, a)
	must(t, cmd.Start())
	cancel()
	if err := ended(t, cmd); exitCode(err) != -1 {
		t.Error(err)
	}
}
