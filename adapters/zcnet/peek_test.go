package zcnet_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// fed returns a Conn to which content comes, and then an end.
func fed(t testing.TB, content []byte) zcnet.Conn {
	t.Helper()
	from, c := tcpPair(t)
	done := make(chan struct{})
	go func() { defer close(done); from.Write(content); from.CloseWrite() }()
	t.Cleanup(func() { c.Close(); <-done })
	return zcnet.NewConn(c)
}

// takers are the ways to take all bytes from a Conn.
var takers = []struct {
	name string
	take func(t testing.TB, c zcnet.Conn) ([]byte, error)
}{
	{"Read", func(_ testing.TB, c zcnet.Conn) ([]byte, error) { return io.ReadAll(c) }},
	{"Read of one byte", func(_ testing.TB, c zcnet.Conn) ([]byte, error) {
		p := make([]byte, 1)
		if _, err := io.ReadFull(c, p); err != nil {
			return nil, noEOF(err)
		}
		rest, err := io.ReadAll(c)
		return append(p, rest...), err
	}},
	{"io.Copy to memory", func(_ testing.TB, c zcnet.Conn) ([]byte, error) {
		var b bytes.Buffer
		_, err := io.Copy(&b, c)
		return b.Bytes(), err
	}},
	{"io.Copy to a connection", toConn(func(w net.Conn, c zcnet.Conn) error { _, err := io.Copy(w, c); return err })},
	{"zerocopy.Copy to a Conn", toConn(func(w net.Conn, c zcnet.Conn) error { _, err := zerocopy.Copy(zcnet.NewConn(w), c); return err })},
	{"CopyN in pieces", toConn(func(w net.Conn, c zcnet.Conn) error {
		for {
			n, err := io.CopyN(w, c, 1000)
			if n < 1000 {
				return noEOF(err)
			}
		}
	})},
	{"under a bufio.Reader", toConn(func(w net.Conn, c zcnet.Conn) error {
		b := bufio.NewReader(c)
		b.Peek(1)
		_, err := zerocopy.Copy(w, b)
		return err
	})},
	{"(*os.File).ReadFrom of a limit", func(t testing.TB, c zcnet.Conn) ([]byte, error) {
		f, err := os.Create(filepath.Join(t.TempDir(), "f"))
		must(t, err)
		defer f.Close()
		_, err = f.ReadFrom(io.LimitReader(c, 1<<40))
		must(t, err)
		return os.ReadFile(f.Name())
	}},
}

func noEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// toConn takes by a copy to a connection.
func toConn(copy func(net.Conn, zcnet.Conn) error) func(testing.TB, zcnet.Conn) ([]byte, error) {
	return func(t testing.TB, c zcnet.Conn) ([]byte, error) {
		w, r := tcpPair(t)
		got := make(chan []byte, 1)
		go func() { p, _ := io.ReadAll(r); got <- p }()
		err := copy(w, c)
		w.Close()
		return <-got, err
	}
}

// TestPeek: what was peeked comes first, and once, whoever takes it.
func TestPeek(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(6).Bytes(1<<20 + 5000)
	for _, size := range []int{0, 1, 4095, 16 << 10, 1 << 20} {
		for _, how := range takers {
			t.Run(how.name, func(t *testing.T) {
				t.Parallel()
				c := fed(t, content)
				p, err := c.Peek(size)
				if err != nil || !bytes.Equal(p, content[:size]) || c.Buffered() != size {
					t.Fatal(len(p), err, c.Buffered())
				}
				got, err := how.take(t, c)
				if err != nil || c.Buffered() != 0 {
					t.Error(err, c.Buffered())
				}
				ztest.Equal(t, "taken", got, content)
			})
		}
	}
}

// TestPeekEnds: what Peek says where it does not get as much as it was asked for.
func TestPeekEnds(t *testing.T) {
	t.Parallel()
	t.Run("negative", func(t *testing.T) {
		t.Parallel()
		if p, err := fed(t, nil).Peek(-1); p != nil || err != bufio.ErrNegativeCount {
			t.Error(p, err)
		}
	})
	t.Run("past the end", func(t *testing.T) {
		t.Parallel()
		c := fed(t, []byte("hello"))
		for range 2 {
			if p, err := c.Peek(6); string(p) != "hello" || err != io.EOF {
				t.Errorf("%q, %v", p, err)
			}
		}
		if p, err := io.ReadAll(c); string(p) != "hello" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
	})
	t.Run("a deadline, and again", func(t *testing.T) {
		t.Parallel()
		from, to := tcpPair(t)
		c := zcnet.NewConn(to)
		from.Write([]byte("ab"))
		first, err := c.Peek(2)
		must(t, err)
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		if p, err := c.Peek(4); string(p) != "ab" || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q, %v", p, err)
		}
		must(t, c.SetReadDeadline(time.Time{}))
		from.Write([]byte("cd"))
		if p, err := c.Peek(4); string(p) != "abcd" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
		if p, err := c.Peek(3); string(p) != "abc" || err != nil || string(append(p, 'x')) != "abcx" || string(first) != "ab" {
			t.Errorf("%q, %v, %q", p, err, first)
		}
		if p, _ := c.Peek(4); string(p) != "abcd" {
			t.Errorf("an append to what Peek has returned has changed it: %q", p)
		}
	})
	t.Run("nothing beyond", func(t *testing.T) {
		t.Parallel()
		from, to := tcpPair(t)
		c := zcnet.NewConn(to)
		from.Write([]byte("ab"))
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		c.Peek(1000) // gets room for as many
		must(t, c.SetReadDeadline(time.Time{}))
		from.Write([]byte("cdef"))
		if p, err := c.Peek(3); string(p) != "abc" || err != nil || c.Buffered() != 3 {
			t.Errorf("%q, %v, %d buffered", p, err, c.Buffered())
		}
	})
	t.Run("closed meanwhile", func(t *testing.T) {
		t.Parallel()
		_, to := tcpPair(t)
		c := zcnet.NewConn(to)
		task := ztest.Go(t, "Peek", func() {
			if p, err := c.Peek(4); len(p) != 0 || !errors.Is(err, net.ErrClosed) {
				t.Errorf("%q, %v", p, err)
			}
		})
		task.AwaitParked()
		c.Close()
		task.Wait()
	})
	t.Run("no progress", func(t *testing.T) {
		t.Parallel()
		c := zcnet.NewConn(&odd{read: func([]byte) (int, error) { return 0, nil }})
		if _, err := c.Peek(1); err != io.ErrNoProgress {
			t.Error(err)
		}
	})
	t.Run("a byte at a time", func(t *testing.T) {
		t.Parallel()
		c := zcnet.NewConn(&odd{read: iotest.OneByteReader(strings.NewReader("hello")).Read})
		if p, err := c.Peek(5); string(p) != "hello" || err != nil {
			t.Errorf("%q, %v", p, err)
		}
	})
	t.Run("H39", func(t *testing.T) {
		t.Parallel()
		first := true
		c := zcnet.NewConn(&odd{read: func(p []byte) (int, error) {
			if first {
				first = false
				return 100, os.ErrDeadlineExceeded
			}
			return len(p) + 1, nil
		}})
		c.Peek(1000) // there is room for more than the next one asks for
		defer func() {
			if recover() == nil {
				t.Error("more bytes than were asked for were taken for true")
			}
		}()
		c.Peek(101)
	})
}

// An odd connection has a Read to order.
type odd struct {
	net.Conn
	read func([]byte) (int, error)
}

func (o *odd) Read(p []byte) (int, error) { return o.read(p) }

// TestUnread: Unread and Discard, and what Buffered says of them.
func TestUnread(t *testing.T) {
	t.Parallel()
	c := fed(t, []byte("three"))
	mine := []byte("one")
	c.Unread([]byte("two"))
	c.Unread(mine)
	mine[0] = 'X' // it has a copy
	c.Unread(nil)
	if c.Buffered() != 6 {
		t.Error(c.Buffered())
	}
	if n := c.Discard(-1); n != 0 {
		t.Error(n)
	}
	if n := c.Discard(1); n != 1 {
		t.Error(n)
	}
	if p, err := c.Peek(7); string(p) != "netwoth" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	if p, err := io.ReadAll(io.LimitReader(c, 3)); string(p) != "net" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
	if n := c.Discard(100); n != 4 || c.Buffered() != 0 {
		t.Error(n, c.Buffered())
	}
	if p, err := io.ReadAll(c); string(p) != "ree" || err != nil {
		t.Errorf("%q, %v", p, err)
	}
}

// TestPeekClosed: a closed Conn reads nothing, whatever was peeked.
func TestPeekClosed(t *testing.T) {
	t.Parallel()
	c := fed(t, []byte("hello"))
	_, err := c.Peek(5)
	must(t, err)
	c.Close()
	if n, err := c.Read(make([]byte, 5)); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Error(n, err)
	}
	if n, err := io.Copy(io.Discard, c); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Error(n, err)
	}
}

// A full destination accepts so many bytes.
type full struct{ room int }

var errFull = errors.New("full")

func (f *full) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	f.room -= n
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

// TestPeekFailure: where the destination fails within the peeked bytes, those that it has
// not accepted stay, and nothing is lost or comes twice.
func TestPeekFailure(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(7).Bytes(10_000)
	for _, room := range []int{0, 1, 4095, 4096} {
		c := fed(t, content)
		_, err := c.Peek(4096)
		must(t, err)
		n, err := zerocopy.Copy(&full{room}, c)
		if n != int64(room) || !errors.Is(err, errFull) && room < 4096 {
			t.Error(n, err)
		}
		var left *zerocopy.PartialError
		var rest []byte
		if errors.As(err, &left) {
			rest = left.Unwritten
		}
		more, err := io.ReadAll(c)
		must(t, err)
		ztest.Equal(t, "left", append(rest, more...), content[room:])
	}
}

// TestPeekRaw: the descriptor is not to be read as long as there are peeked bytes, and
// then again.
func TestPeekRaw(t *testing.T) {
	t.Parallel()
	c := fed(t, []byte("hello"))
	_, err := c.Peek(2)
	must(t, err)
	raw, err := c.(syscall.Conn).SyscallConn()
	must(t, err)
	called := false
	f := func(uintptr) bool { called = true; return true }
	var op *net.OpError
	if err := raw.Read(f); called || !errors.As(err, &op) {
		t.Error(called, err)
	}
	must(t, raw.Control(func(uintptr) {}))
	must(t, raw.Write(func(uintptr) bool { return true }))
	c.Discard(2)
	if err := raw.Read(f); !called || err != nil {
		t.Error(called, err)
	}
}
