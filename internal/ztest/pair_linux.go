package ztest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// A Stream is an end of a pair: *os.File, *net.TCPConn or *net.UnixConn.
type Stream interface {
	io.ReadWriteCloser
	syscall.Conn
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Pair returns two connected ends of a Stream kind; what is written to one can
// be read from the other. r is the read end and w the write end where a kind
// has but one direction (Pipe, FIFO). For PTY r is the master and w the slave,
// in raw mode. Both are closed at the end of the test, if not before. The test
// is skipped if the machine does not have the kind.
func Pair(tb testing.TB, k Kind) (r, w Stream) {
	tb.Helper()
	r, w = pair(tb, k, 0)
	tb.Cleanup(func() {
		discard(r)
		discard(w)
	})
	return r, w
}

// TCPPair is Pair for TCP4, TCP6 and MPTCP.
func TCPPair(tb testing.TB, k Kind) (a, b *net.TCPConn) {
	tb.Helper()
	r, w := Pair(tb, k)
	return r.(*net.TCPConn), w.(*net.TCPConn)
}

// UnixPair is Pair for Unix.
func UnixPair(tb testing.TB) (a, b *net.UnixConn) {
	tb.Helper()
	r, w := Pair(tb, Unix)
	return r.(*net.UnixConn), w.(*net.UnixConn)
}

// FilePair is Pair for Pipe, FIFO, PTY and SockFile.
func FilePair(tb testing.TB, k Kind) (r, w *os.File) {
	tb.Helper()
	a, b := Pair(tb, k)
	return a.(*os.File), b.(*os.File)
}

// pair is Pair without the cleanup; mss, if not 0, bounds the segments of TCP.
func pair(tb testing.TB, k Kind, mss int) (r, w Stream) {
	tb.Helper()
	if why := Unavailable(k); why != "" {
		tb.Skipf("no %s here: %s", k, why)
	}
	var err error
	switch k {
	case Pipe:
		r, w, err = asStreams(os.Pipe())
	case FIFO:
		r, w, err = fifo(tb)
	case PTY:
		r, w, err = asStreams(pty())
	case Unix:
		r, w, err = unixConns()
	case TCP4:
		r, w, err = tcp("tcp4", "127.0.0.1:0", false, mss)
	case TCP6:
		r, w, err = tcp("tcp6", "[::1]:0", false, mss)
	case MPTCP:
		r, w, err = tcp("tcp4", "127.0.0.1:0", true, mss)
	case SockFile:
		r, w, err = asStreams(socketFiles())
	default:
		err = fmt.Errorf("has no peer")
	}
	if err != nil {
		tb.Fatalf("%s: %v", k, err)
	}
	return r, w
}

func asStreams(r, w *os.File, err error) (Stream, Stream, error) { return r, w, err }

func fifo(tb testing.TB) (r, w Stream, err error) {
	// By chance and not by process number: numbers come again, and a test that was
	// killed has left its name behind.
	name := filepath.Join(Dir(tb, FIFO), fmt.Sprintf("ztest-%016x.fifo", rand.Uint64()))
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		return nil, nil, &os.PathError{Op: "mkfifo", Path: name, Err: err}
	}
	defer os.Remove(name)
	// Each open waits for the other.
	type opened struct {
		f   *os.File
		err error
	}
	c := make(chan opened, 1)
	go func() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		c <- opened{f, err}
	}()
	rf, err := os.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, nil, err
	}
	wf := <-c
	if wf.err != nil {
		rf.Close()
		return nil, nil, wf.err
	}
	return rf, wf.f, nil
}

// socketPair returns the two descriptors of a pair of unix stream sockets.
func socketPair() (fd [2]int, err error) {
	fd, err = syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	return fd, os.NewSyscallError("socketpair", err)
}

func socketFiles() (a, b *os.File, err error) {
	fd, err := socketPair()
	if err != nil {
		return nil, nil, err
	}
	name := func(i int) string { return "socket:" + strconv.Itoa(fd[i]) }
	return os.NewFile(uintptr(fd[0]), name(0)), os.NewFile(uintptr(fd[1]), name(1)), nil
}

func unixConns() (a, b Stream, err error) {
	fa, fb, err := socketFiles()
	if err != nil {
		return nil, nil, err
	}
	defer fa.Close()
	defer fb.Close()
	ca, err := net.FileConn(fa)
	if err != nil {
		return nil, nil, err
	}
	cb, err := net.FileConn(fb)
	if err != nil {
		ca.Close()
		return nil, nil, err
	}
	return ca.(*net.UnixConn), cb.(*net.UnixConn), nil
}

func tcp(network, addr string, multipath bool, mss int) (a, b Stream, err error) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(multipath)
	l, err := lc.Listen(context.Background(), network, addr)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	var d net.Dialer
	d.SetMultipathTCP(multipath)
	if mss > 0 {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if cerr := c.Control(func(fd uintptr) {
				err = os.NewSyscallError("setsockopt",
					syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, mss))
			}); cerr != nil {
				return cerr
			}
			return err
		}
	}
	dialed, err := d.Dial(network, l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	for {
		accepted, err := l.Accept()
		if err != nil {
			dialed.Close()
			return nil, nil, err
		}
		if accepted.RemoteAddr().String() != dialed.LocalAddr().String() {
			accepted.Close() // a stranger's
			continue
		}
		x, y := dialed.(*net.TCPConn), accepted.(*net.TCPConn)
		for _, c := range []*net.TCPConn{x, y} {
			if got, err := c.MultipathTCP(); err != nil || got != multipath {
				x.Close()
				y.Close()
				return nil, nil, fmt.Errorf("connection with Multipath TCP: %v, want %v (%v)", got, multipath, err)
			}
		}
		return x, y, nil
	}
}

// discard closes an end of which nobody wants to know any more. A TCP connection
// goes without TIME_WAIT: thousands of those make each new one slow.
func discard(s Stream) {
	if c, ok := s.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	s.Close()
}

// closeWrite ends the stream that leaves by s. What can do so in one direction
// only stays open in the other.
func closeWrite(k Kind, s Stream) error {
	switch s := s.(type) {
	case interface{ CloseWrite() error }:
		return s.CloseWrite()
	default:
		if k == SockFile {
			return control(s, func(fd uintptr) error {
				return os.NewSyscallError("shutdown", syscall.Shutdown(int(fd), syscall.SHUT_WR))
			})
		}
		return s.Close()
	}
}
