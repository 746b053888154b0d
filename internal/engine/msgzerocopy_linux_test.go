package engine

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// fullCopies makes of a kernel that says of each send that it was copied, as it is true on
// loopback, one whose device does not copy.
func fullCopies() *sys.Calls {
	return &sys.Calls{Complete: func(fd int) (sys.Completion, bool, error) {
		c, ok, err := (*sys.Calls)(nil).Completion(fd)
		c.Copied = false
		return c, ok, err
	}}
}

// lender makes a SocketLender of a connection.
func lender(t *testing.T, calls *sys.Calls, conn any) *SocketLender {
	t.Helper()
	end, ok := Inspect(calls, conn, false)
	if !ok || end.Kind != TCP {
		t.Fatalf("%T is a %v", conn, end.Kind)
	}
	l := NewSocketLender(calls, end)
	t.Cleanup(l.Close)
	return l
}

// memory is page memory of n bytes with the beginning of a pattern.
func memory(t *testing.T, p ztest.Pattern, n int) []byte {
	t.Helper()
	mem, mapping, err := (*sys.Calls)(nil).Map(n, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Unmap(mapping) })
	p.Fill(mem, 0)
	return mem
}

// sendAll sends p, lent as far as possible, and returns how many bytes were lent.
func sendAll(t *testing.T, l *SocketLender, p []byte) (lent int) {
	t.Helper()
	for len(p) > 0 {
		n, byLoan, _, err := l.Send(p, true)
		if err != nil {
			t.Fatal(err)
		}
		if byLoan {
			lent += n
		}
		p = p[n:]
	}
	return lent
}

// await waits until everything is given back.
func await(t *testing.T, l *SocketLender) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "all given back", func() {
		if l.held() > 0 {
			if err := l.Await(l.next - 1); err != nil {
				t.Error(err)
			}
		}
	})
	if l.Held() != 0 {
		t.Errorf("%d are held", l.Held())
	}
}

// meminfo is SO_MEMINFO of a connection.
func meminfo(t *testing.T, c syscall.Conn) (most, queued int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { most, queued, _ = (*sys.Calls)(nil).SendMemory(int(fd)) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return most, queued
}

// naive is a sender with MSG_ZEROCOPY that fills the send queue. It returns when it has been
// told to stop.
func naive(t *testing.T, c *net.TCPConn, mem []byte, stop <-chan struct{}) {
	raw, err := c.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	var kernel *sys.Calls
	raw.Control(func(fd uintptr) { err = kernel.SetZerocopy(int(fd)) })
	for err == nil {
		select {
		case <-stop:
			return
		default:
		}
		err = raw.Write(func(fd uintptr) bool {
			for {
				if _, _, err := kernel.Completion(int(fd)); err != nil {
					break
				}
			}
			_, err := kernel.Send(int(fd), mem, true)
			return err != syscall.EAGAIN
		})
	}
}

// TestH14NotPollable: a completion that comes while the send queue is full, and nothing is to
// be read, makes a Read of the connection fail with "not pollable", if the sender is naive. The
// queue of a SocketLender is never so full.
func TestH14NotPollable(t *testing.T) {
	t.Parallel()
	for _, guarded := range []bool{false, true} {
		d := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(0), ztest.Pieces(20_000), ztest.Slow(100*time.Microsecond), ztest.Into(io.Discard))
		conn := d.Writer.(*net.TCPConn)
		mem := memory(t, 1, 64<<10)
		var readErr error
		reader := ztest.Go(t, "a reader of the connection", func() { _, readErr = conn.Read(make([]byte, 1)) })
		reader.AwaitParked()
		stop := make(chan struct{})
		var lent int
		var sender *ztest.Task
		if guarded {
			l := lender(t, fullCopies(), conn)
			sender = ztest.Go(t, "the sender", func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					n, byLoan, _, err := l.Send(mem, true)
					if err != nil {
						if !errors.Is(err, net.ErrClosed) {
							t.Error(err)
						}
						return
					}
					if byLoan {
						lent += n
					}
				}
			})
		} else {
			sender = ztest.Go(t, "the sender", func() { naive(t, conn, mem, stop) })
		}
		sender.AwaitParkedToWrite()
		d.Resume()
		if !guarded {
			reader.Wait()
			if readErr == nil || !strings.Contains(readErr.Error(), "not pollable") {
				t.Errorf("naive: %v", readErr)
			}
		} else {
			// Much more than what has disturbed the reader of the other.
			most, _ := meminfo(t, conn)
			d.AwaitReceived(int64(max(2*most, 8<<20)))
			select {
			case <-reader.Done():
				t.Errorf("guarded: %v", readErr)
			default:
			}
		}
		close(stop)
		conn.Close()
		sender.Wait()
		reader.Wait()
		if guarded && lent == 0 {
			t.Error("nothing was lent")
		}
	}
}

// TestH14Growing: SO_SNDBUF grows, as it does for a plain sender, though the queue is kept
// short; then nearly everything is lent. Nothing hangs meanwhile.
func TestH14Growing(t *testing.T) {
	t.Parallel()
	grown := func(send func(conn *net.TCPConn, mem []byte)) (before, after int) {
		d := ztest.NewDest(t, ztest.TCP4, ztest.MSS(1448), ztest.Into(io.Discard))
		conn := d.Writer.(*net.TCPConn)
		before, _ = meminfo(t, conn)
		send(conn, memory(t, 2, 4<<20))
		after, _ = meminfo(t, conn)
		d.Finish()
		return before, after
	}
	var l *SocketLender
	var share float64
	before, after := grown(func(conn *net.TCPConn, mem []byte) {
		l = lender(t, fullCopies(), conn)
		for range 16 {
			share = float64(sendAll(t, l, mem)) / float64(len(mem))
		}
		await(t, l)
	})
	_, plain := grown(func(conn *net.TCPConn, mem []byte) {
		for range 16 {
			if _, err := conn.Write(mem); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("SO_SNDBUF %d → %d, of a plain sender %d; of the last 4 MiB %.0f %% were lent", before, after, plain, 100*share)
	if before > 1<<20 {
		t.Errorf("SO_SNDBUF is %d from the start", before)
	}
	if after < 2*before {
		t.Errorf("SO_SNDBUF has grown from %d to %d only; that of a plain sender is %d", before, after, plain)
	}
	if l.Err != nil {
		t.Error(l.Err)
	}
}

// TestH14Wrap: the numbers of a socket that has sent 2³² times begin again at 0.
func TestH14Wrap(t *testing.T) {
	t.Parallel()
	const start = 1<<32 - 50
	calls := fullCopies()
	loopback := calls.Complete
	calls.Complete = func(fd int) (sys.Completion, bool, error) {
		c, ok, err := loopback(fd)
		c.First += start
		c.Last += start
		return c, ok, err
	}
	d := ztest.NewDest(t, ztest.TCP4)
	l := lender(t, calls, d.Writer)
	l.oldest, l.next = start, start
	p := memory(t, 3, 1<<20)
	lent, last := 0, uint32(0)
	for at := 0; at < len(p); {
		n, byLoan, id, err := l.Send(p[at:at+min(4096, len(p)-at)], true)
		if err != nil {
			t.Fatal(err)
		}
		if at += n; byLoan {
			lent, last = lent+1, id
		}
	}
	await(t, l)
	if lent < 60 || last > 1<<31 || l.Err != nil || l.Holds(last) {
		t.Errorf("%d sends up to number %d: %v", lent, last, l.Err)
	}
	ztest.Equal(t, "content", d.Finish(), p)
}

// TestH14OtherMessages: what else is on the error queue does not count.
func TestH14OtherMessages(t *testing.T) {
	t.Parallel()
	calls := fullCopies()
	loopback, n := calls.Complete, 0
	calls.Complete = func(fd int) (sys.Completion, bool, error) {
		if n++; n%2 == 0 {
			return sys.Completion{First: 77, Last: 77, Copied: true}, false, nil
		}
		return loopback(fd)
	}
	d := ztest.NewDest(t, ztest.TCP4)
	l := lender(t, calls, d.Writer)
	p := memory(t, 4, 1<<20)
	if lent := sendAll(t, l, p); lent < len(p)/4 {
		t.Errorf("%d bytes were lent", lent)
	}
	await(t, l)
	if l.Err != nil || l.Completions.Load() == 0 {
		t.Errorf("%d completions, %v", l.Completions.Load(), l.Err)
	}
	ztest.Equal(t, "content", d.Finish(), p)
}
