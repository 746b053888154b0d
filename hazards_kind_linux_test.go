package zerocopy_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH05BlockingSocket: SPLICE_F_NONBLOCK keeps no socket from blocking, and the
// blocked splice keeps the pipe's lock. A socket in blocking mode is read.
func TestH05BlockingSocket(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(300_000)
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.SockFile} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
			t.Run(fmt.Sprintf("%s→%s", from, to), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, from, content), ztest.NewDest(t, to)
				if err := ztest.SetNonblock(src.Reader, false); err != nil {
					t.Fatal(err)
				}
				c := track(t, nil)
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
				if step, ok := c.reason(zerocopy.ReasonBlocking); !ok || step.Bytes != n || step.End != zerocopy.SourceEnd || c.count("splice", "pipe2") > 0 {
					t.Errorf("%d splices: %v", c.count("splice"), c.report)
				}
			})
		}
	}
}

// TestH05PipeIsNotLocked: while a copy waits for a blocking socket, whoever reads
// the pipe that it copies to is told that there is nothing, and is not stopped.
func TestH05PipeIsNotLocked(t *testing.T) {
	t.Parallel()
	src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
	r, w := ztest.FilePair(t, ztest.Pipe)
	if err := ztest.SetNonblock(src.Reader, false); err != nil {
		t.Fatal(err)
	}
	c := track(t, nil)
	run := c.begin(t, nil, w, src.Reader)
	defer run.Wait()
	defer src.End()
	run.AwaitSyscall()
	ztest.Within(t, ztest.Patience, "a nonblocking read of the pipe", func() {
		rawFD(t, r, func(fd int) error {
			if n, err := syscall.Read(fd, make([]byte, 1)); err != syscall.EAGAIN {
				t.Errorf("read %d, %v", n, err)
			}
			return nil
		})
	})
}

// TestH05BlockingSetOnTheWay: a child that shares the description clears
// O_NONBLOCK amid the copy. Its bytes keep coming, so every one is copied.
func TestH05BlockingSetOnTheWay(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(2 << 20)
	for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
		t.Run(string(to), func(t *testing.T) {
			t.Parallel()
			src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, to)
			c := track(t, func(call *sys.Call, nth int) (int, error, bool) {
				if call.Name == "splice" && nth == 3 {
					if err := ztest.SetNonblock(src.Reader, false); err != nil {
						t.Error(err)
					}
				}
				return 0, nil, false
			})
			n, err := c.within(t, dst.Writer, src.Reader)
			checkWhole(t, dst, n, err, content)
		})
	}
}

// messageSockets make pairs of connected sockets that keep message boundaries.
var messageSockets = map[string]func(t *testing.T) (a, b io.ReadWriteCloser){
	"unixgram":       func(t *testing.T) (a, b io.ReadWriteCloser) { return messagePair(t, syscall.SOCK_DGRAM, true) },
	"unixpacket":     func(t *testing.T) (a, b io.ReadWriteCloser) { return messagePair(t, syscall.SOCK_SEQPACKET, true) },
	"dgram file":     func(t *testing.T) (a, b io.ReadWriteCloser) { return messagePair(t, syscall.SOCK_DGRAM, false) },
	"seqpacket file": func(t *testing.T) (a, b io.ReadWriteCloser) { return messagePair(t, syscall.SOCK_SEQPACKET, false) },
	"udp":            udpPair,
}

// messagePair returns the ends of a socketpair(2), as connections or as files.
func messagePair(t *testing.T, typ int, conns bool) (a, b io.ReadWriteCloser) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, typ|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]io.ReadWriteCloser
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		ends[i] = f
		if conns {
			if ends[i], err = net.FileConn(f); err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
		t.Cleanup(func() { ends[i].Close() })
	}
	return ends[0], ends[1]
}

// udpPair returns two UDP sockets that are connected to each other.
func udpPair(t *testing.T) (a, b io.ReadWriteCloser) {
	t.Helper()
	two, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	one, err := net.DialUDP("udp4", nil, two.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	rawFD(t, two, func(fd int) error {
		to := &syscall.SockaddrInet4{Port: one.LocalAddr().(*net.UDPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
		return syscall.Connect(fd, to)
	})
	t.Cleanup(func() { one.Close(); two.Close() })
	return one, two
}

// A recorder keeps what is written to it, write by write.
type recorder struct{ writes [][]byte }

func (r *recorder) Write(p []byte) (int, error) {
	r.writes = append(r.writes, slices.Clone(p))
	return len(p), nil
}

// messages receives messages from r until it has n bytes.
func messages(t *testing.T, r io.Reader, n int) (got [][]byte) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "messages", func() {
		buf := make([]byte, 256<<10)
		for have := 0; have < n; {
			k, err := r.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, slices.Clone(buf[:k]))
			have += k
		}
	})
	return got
}

// TestH15Messages: splice would run datagrams and packets into one another. They
// are read and written, with the boundaries of a plain loop. (io.Copy splices into
// an *os.File that is a socket, whatever kind of socket that is.)
func TestH15Messages(t *testing.T) {
	t.Parallel()
	sent := []int{10, 5000, 1, 300, 20_000, 7, 7}
	total := 0
	for _, n := range sent {
		total += n
	}
	const stream = 70_000
	for name, open := range messageSockets {
		for _, tt := range []struct {
			name string
			end  zerocopy.End
			run  func(t *testing.T, copy func(io.Writer, io.Reader) (int64, error)) [][]byte
		}{
			{"source", zerocopy.SourceEnd, func(t *testing.T, copy func(io.Writer, io.Reader) (int64, error)) [][]byte {
				a, b := open(t)
				sendAll(t, a, sent)
				var rec recorder
				if n, err := copy(&rec, io.LimitReader(b, int64(total))); n != int64(total) || err != nil {
					t.Errorf("copied %d of %d, %v", n, total, err)
				}
				return rec.writes
			}},
			{"to messages", zerocopy.SourceEnd, func(t *testing.T, copy func(io.Writer, io.Reader) (int64, error)) [][]byte {
				a, b := open(t)
				c, d := open(t)
				sendAll(t, a, sent)
				if n, err := copy(c, io.LimitReader(b, int64(total))); n != int64(total) || err != nil {
					t.Errorf("copied %d of %d, %v", n, total, err)
				}
				return messages(t, d, total)
			}},
			{"to tcp", zerocopy.SourceEnd, func(t *testing.T, copy func(io.Writer, io.Reader) (int64, error)) [][]byte {
				a, b := open(t)
				sendAll(t, a, sent)
				dst := ztest.NewDest(t, ztest.TCP4)
				if n, err := copy(dst.Writer, io.LimitReader(b, int64(total))); n != int64(total) || err != nil {
					t.Errorf("copied %d of %d, %v", n, total, err)
				}
				return [][]byte{dst.Finish()}
			}},
			{"from tcp", zerocopy.DestinationEnd, func(t *testing.T, copy func(io.Writer, io.Reader) (int64, error)) [][]byte {
				c, d := open(t)
				src := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(stream))
				awaitAll(t, src, 50_000) // as many as a receive buffer surely takes
				if n, err := copy(c, src.Reader); n != stream || err != nil {
					t.Errorf("copied %d of %d, %v", n, stream, err)
				}
				return messages(t, d, stream)[:1]
			}},
			{"from file", zerocopy.DestinationEnd, func(t *testing.T, copy func(io.Writer, io.Reader) (int64, error)) [][]byte {
				c, d := open(t)
				src := ztest.NewSource(t, ztest.File, ztest.Pattern(1).Bytes(stream))
				if n, err := copy(c, src.Reader); n != stream || err != nil {
					t.Errorf("copied %d of %d, %v", n, stream, err)
				}
				return messages(t, d, stream)
			}},
		} {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				want := tt.run(t, plainly)
				c := track(t, nil)
				got := tt.run(t, func(dst io.Writer, src io.Reader) (int64, error) { return c.within(t, dst, src) })
				if diff := cmp.Diff(sizes(want), sizes(got)); diff != "" {
					t.Errorf("boundaries (-plain +Copy):\n%s", diff)
				}
				ztest.Equal(t, "contents", slices.Concat(got...), slices.Concat(want...))
				if k := c.count("splice", "sendfile", "copy_file_range", "pipe2"); k > 0 {
					t.Errorf("%d calls that keep no boundaries: %v", k, c.report)
				}
				if step, ok := c.reason(zerocopy.ReasonMessages); name != "udp" && tt.name != "source" && (!ok || step.End != tt.end) {
					t.Errorf("the reason is not that of messages: %v", c.report)
				}
			})
		}
	}
}

func sendAll(t *testing.T, w io.Writer, sizes []int) {
	t.Helper()
	for i, n := range sizes {
		if _, err := w.Write(ztest.Pattern(i).Bytes(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func sizes(b [][]byte) (n []int) {
	for _, p := range b {
		n = append(n, len(p))
	}
	return n
}

// TestH15RightsAreNotLeaked: descriptors passed along a unix stream are dropped by
// splice as by read. The bytes are all there, and nothing stays open.
func TestH15RightsAreNotLeaked(t *testing.T) {
	t.Parallel()
	for _, disable := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe} {
			t.Run(fmt.Sprintf("%s/%v", to, disable), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, ztest.Unix, nil, ztest.Manual()), ztest.NewDest(t, to)
				r, w := ztest.FilePair(t, ztest.Pipe)
				content := ztest.Pattern(5).Bytes(9000)
				src.Feed(content[:3000])
				rawFD(t, w, func(fd int) error {
					rights := syscall.UnixRights(fd)
					rawFD(t, src.Peer(), func(peer int) error {
						return syscall.Sendmsg(peer, content[3000:6000], rights, nil, 0)
					})
					return nil
				})
				w.Close()
				src.Feed(content[6000:])
				src.End()
				c := track(t, nil)
				c.Disable = disable
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
				if by := mechanisms(c.report); disable == 0 && by != "splice" {
					t.Errorf("went by %s: %v", by, c.report)
				}
				ztest.Within(t, ztest.Patience, "the end of a pipe whose write end was passed", func() {
					if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
						t.Errorf("read %d, %v", n, err)
					}
				})
			})
		}
	}
}
