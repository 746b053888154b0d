package zcexec_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A child writes and reads the socket itself, in blocking mode, and the connection is as
// before when it has ended (H35).
func TestPass(t *testing.T) {
	t.Parallel()
	const n = 3 << 20
	for _, kind := range []ztest.Kind{ztest.TCP4, ztest.Unix} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s1, s2 := ztest.Pair(t, kind)
			a, b := s1.(net.Conn), s2.(net.Conn)
			s, err := zcexec.Pass(a)
			must(t, err)
			defer s.Release()
			cmd := run("modes write %d take 5 modes", n)
			cmd.Stdin, cmd.Stdout = s.File(), s.File()
			must(t, cmd.Start())
			if modeOf(t, s1) {
				t.Error("the socket is nonblocking while the child has it")
			}
			const modes = "false false "
			got := make([]byte, len(modes)+n)
			_, err = io.ReadFull(b, got)
			must(t, err)
			if string(got[:len(modes)]) != modes {
				t.Errorf("the child's descriptors are nonblocking: %s", got[:len(modes)])
			}
			stream.Check(t, got[len(modes):], 0)
			_, err = b.Write([]byte("12345more"))
			must(t, err)
			must(t, ended(t, cmd))
			must(t, s.Release())
			must(t, s.Release())
			_, err = io.ReadFull(b, got[:len(modes)])
			must(t, err)

			// What the child has not read is there still, and deadlines end a Read.
			if !modeOf(t, s1) {
				t.Error("the socket is in blocking mode")
			}
			_, err = io.ReadFull(a, got[:4])
			if must(t, err); string(got[:4]) != "more" {
				t.Errorf("%q", got[:4])
			}
			must(t, a.SetReadDeadline(time.Now().Add(soon)))
			ztest.Within(t, ztest.Patience, "a Read with a deadline", func() { _, err = a.Read(got) })
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a Read with a deadline has returned %v", err)
			}
			must(t, a.SetReadDeadline(time.Time{}))
			// A Read that waits is in the poller, not in a system call, and Close ends it.
			reader := ztest.Go(t, "Read", func() { _, err = a.Read(got) })
			reader.AwaitParked()
			a.Close()
			reader.Wait()
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("a Read that was closed has returned %v", err)
			}
		})
	}
}

// Why it is not the default: while a child has the socket, no deadline ends a Read here.
// If that changes, the comment of Pass has to.
func TestPassedBlocks(t *testing.T) {
	t.Parallel()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	s, err := zcexec.Pass(a)
	must(t, err)
	cmd := run("wait")
	release := hold(t, cmd)
	cmd.Stdout = s.File()
	must(t, cmd.Start())
	reader := ztest.Go(t, "Read", func() { a.Read(make([]byte, 1)) })
	reader.AwaitSyscall()
	must(t, a.SetReadDeadline(time.Now().Add(soon)))
	select {
	case <-reader.Done():
		t.Error("a Read has ended by its deadline")
	case <-time.After(long):
	}
	_, err = b.Write([]byte("x"))
	must(t, err)
	reader.Wait()
	release()
	must(t, ended(t, cmd))
	must(t, s.Release())
}

// A Socket that was not used leaves no trace, and a mode that was there before stays.
func TestPassUnused(t *testing.T) {
	t.Parallel()
	for _, nonblocking := range []bool{true, false} {
		a, _ := ztest.TCPPair(t, ztest.TCP4)
		rc, err := a.SyscallConn()
		must(t, err)
		must(t, rc.Control(func(fd uintptr) { must(t, syscall.SetNonblock(int(fd), nonblocking)) }))
		for _, fails := range []bool{false, true} {
			s, err := zcexec.Pass(a)
			must(t, err)
			if cmd := run("cat"); fails {
				cmd.Path, cmd.Stdout = "/nonexistent", s.File()
				if cmd.Start() == nil {
					t.Fatal("it was started")
				}
			}
			must(t, s.Release())
			if modeOf(t, a) != nonblocking {
				t.Errorf("O_NONBLOCK is %v, and was %v", !nonblocking, nonblocking)
			}
		}
	}
}

// Types around a connection are not passed by.
func TestPassRefuses(t *testing.T) {
	t.Parallel()
	a, _ := ztest.TCPPair(t, ztest.TCP4)
	p, q := net.Pipe()
	defer p.Close()
	defer q.Close()
	for _, conn := range []net.Conn{nil, p, struct{ *net.TCPConn }{a}, struct{ net.Conn }{a}, tls.Client(a, &tls.Config{})} {
		if s, err := zcexec.Pass(conn); !errors.Is(err, zcexec.ErrNotSocket) {
			t.Errorf("%T: %v, %v", conn, s, err)
		}
	}
	a.Close()
	if _, err := zcexec.Pass(a); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed connection: %v", err)
	}
}
