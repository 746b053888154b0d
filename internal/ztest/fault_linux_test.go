package ztest

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSourceReset(t *testing.T) {
	t.Parallel()
	for k, want := range map[Kind]error{
		Pipe: io.EOF, FIFO: io.EOF, PTY: syscall.EIO, TCP4: syscall.ECONNRESET, TCP6: syscall.ECONNRESET,
		MPTCP: syscall.ECONNRESET, Unix: syscall.ECONNRESET, SockFile: syscall.ECONNRESET,
	} {
		s := NewSource(t, k, Pattern(1).Bytes(1000), NoEOF())
		if _, err := readUpTo(s.Reader, 1000); err != nil {
			t.Errorf("%s: %v", k, err)
		}
		s.Reset()
		Within(t, Patience, string(k), func() {
			if n, err := s.Reader.Read(make([]byte, 1)); n > 0 || !errors.Is(err, want) {
				t.Errorf("%s: %d, %v after Reset, want %v", k, n, err, want)
			}
		})
	}
}

func TestDestReset(t *testing.T) {
	t.Parallel()
	for _, k := range []Kind{Pipe, FIFO, PTY, TCP4, TCP6, MPTCP, Unix, SockFile} {
		d := NewDest(t, k)
		if _, err := d.Writer.Write(make([]byte, 1000)); err != nil {
			t.Fatalf("%s: %v", k, err)
		}
		d.AwaitReceived(1000)
		d.Reset()
		Within(t, Patience, string(k), func() {
			var err error
			for err == nil { // what is on its way may still be taken
				_, err = d.Writer.Write(make([]byte, 1000))
			}
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: %v", k, err)
			}
		})
	}
}

func TestStall(t *testing.T) {
	t.Parallel()
	for _, k := range []Kind{Pipe, FIFO, PTY, TCP4, TCP6, MPTCP, Unix, SockFile} {
		for _, other := range []bool{false, true} {
			opts := []Option{Buffers(8192)}
			if other {
				opts = append(opts, OtherEnd())
			}
			d := NewDest(t, k, opts...)
			b := Pattern(5).Bytes(16 << 20)
			if k == PTY {
				b = b[:1<<20]
			}
			write(t, d, b[:100])
			d.AwaitReceived(100)
			d.Stall()
			wrote := make(chan error, 1)
			go func() {
				_, err := d.Writer.Write(b[100:])
				wrote <- err
			}()
			if k != PTY { // which may say EAGAIN to write and writable to poll
				d.AwaitFull()
			}
			if n := d.Received(); n != 100 {
				t.Errorf("%s: %d bytes read while stalled", k, n)
			}
			d.Stall() // again: no harm
			d.Resume()
			if err := <-wrote; err != nil {
				t.Errorf("%s: %v", k, err)
			}
			Equal(t, string(k), d.Finish(), b)
			d.Close() // 16 MiB each
		}
	}
}

func TestStallAfter(t *testing.T) {
	t.Parallel()
	for _, k := range []Kind{Pipe, TCP4, Unix, PTY} {
		d := NewDest(t, k, StallAfter(1500), Pieces(1000))
		write(t, d, Pattern(5).Bytes(3000))
		d.AwaitReceived(1500)
		if n := d.Received(); n != 1500 {
			t.Errorf("%s: read %d, want 1500", k, n)
		}
		Pattern(5).Check(t, d.Finish(), 0)
	}
}

func TestInto(t *testing.T) {
	t.Parallel()
	c := Pattern(2).Checker()
	d := NewDest(t, TCP4, Into(c))
	write(t, d, Pattern(2).Bytes(100_000))
	if got := d.Finish(); len(got) != 0 || c.N() != 100_000 || d.Err() != nil {
		t.Errorf("kept %d, checked %d, %v", len(got), c.N(), d.Err())
	}
	d = NewDest(t, TCP4, Into(Pattern(2).Checker()))
	write(t, d, Pattern(3).Bytes(100))
	if d.Finish(); d.Err() == nil {
		t.Error("wrong bytes passed")
	}
}

func TestSlowPeers(t *testing.T) {
	t.Parallel()
	start := time.Now()
	s := NewSource(t, Pipe, Pattern(1).Bytes(10), Pieces(2), Slow(time.Millisecond))
	Equal(t, "source", readAll(t, s), s.Content)
	d := NewDest(t, Pipe, Pieces(2), Slow(time.Millisecond))
	write(t, d, s.Content)
	Equal(t, "destination", d.Finish(), s.Content)
	if took := time.Since(start); took < 10*time.Millisecond {
		t.Errorf("slow peers took %v", took)
	}
}

// Urgent data is there for the tests of hazard H01.
func TestFeedUrgent(t *testing.T) {
	t.Parallel()
	s := NewSource(t, TCP4, nil, Manual())
	s.Feed([]byte("ab"))
	if err := s.FeedUrgent([]byte("X")); err != nil {
		t.Fatal(err)
	}
	s.Feed([]byte("cd"))
	s.End()
	if got := string(readAll(t, s)); got != "abcd" {
		t.Errorf("got %q", got)
	}
}

// A reader that a signal has sent to sleep at the mark is woken.
func TestFeedUrgentRouses(t *testing.T) {
	t.Parallel()
	s := NewSource(t, TCP4, nil, Manual())
	if err := s.FeedUrgent([]byte("X")); err != nil {
		t.Fatal(err)
	}
	s.Feed([]byte("behind the mark"))
	Eventually(t, Patience, "arrival", func() bool {
		n, err := Arrived(s.Reader)
		return err != nil || n >= 16
	})
	raw, err := s.Reader.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	Within(t, Patience, "a wait although there is something to be read", func() {
		asked := 0
		if err := raw.Read(func(uintptr) bool { asked++; return asked > 1 }); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseEndsEveryPeer(t *testing.T) {
	CheckLeaks(t)
	for _, k := range SourceKinds {
		NewSource(t, k, Pattern(1).Bytes(8<<20), Barrier(), Pieces(1<<20)).Close()
		d := NewDest(t, k)
		d.Stall()
		d.Close()
		if d.Received() != 0 {
			t.Errorf("%s: received %d", k, d.Received())
		}
	}
}

func TestLeakOfDescriptorIsFound(t *testing.T) {
	before := snapshot()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s := leaked(before, time.Millisecond)
	if strings.Count(s, "descriptor ") != 2 || strings.Count(s, "-> pipe:[") != 2 {
		t.Errorf("not found in %q", s)
	}
	r.Close()
	w.Close()
	if s := leaked(before, settle); s != "" {
		t.Errorf("found what has gone: %s", s)
	}
}
