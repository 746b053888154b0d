package ztest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A Source is the source of a copy with the control of what is behind it. The
// copy is given Reader; everything else belongs to the test. Methods may be
// called from several goroutines; those that fail the test (Rest, End, Feed and
// the Await ones) only from the test's own.
type Source struct {
	Kind   Kind
	Reader Stream // *os.File, *net.TCPConn or *net.UnixConn

	// Content is what Reader delivers if it is read to its end: the content
	// asked for, but for Proc what the kernel says, for Null nothing, for Zero
	// as many zeros.
	Content []byte
	// Endless is true if Reader does not end after Content: the copy must be
	// limited to len(Content).
	Endless bool
	// EndErr is what Reader reports at the end instead of io.EOF, nil if it
	// is io.EOF. (A terminal says EIO.)
	EndErr error

	tb      testing.TB
	cfg     config
	far     Stream // nil without a peer
	remove  func() // the name of a file
	sent    atomic.Int64
	reset   atomic.Bool
	end     chan struct{} // closed: the stream may end
	quit    chan struct{} // closed: the peer must stop
	done    chan struct{} // closed: the peer has stopped
	endOnce sync.Once
	once    sync.Once
	roused  sync.Once
	err     error // of the peer, before done is closed
}

// NewSource makes a source of the kind with that content, which must not change
// as long as the source is in use. The peer of a stream starts to write at
// once and ends the stream after the content. The source is closed at the end
// of the test, if not before.
func NewSource(tb testing.TB, k Kind, content []byte, opts ...Option) *Source {
	tb.Helper()
	s := &Source{
		Kind: k, Content: content, tb: tb, cfg: configure(opts),
		end: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	if k.Stream() {
		s.open()
		if s.cfg.manual {
			close(s.done)
		} else {
			go s.feed()
		}
	} else {
		s.openFile()
		close(s.done)
	}
	tb.Cleanup(func() {
		s.Close()
		// A testing.T keeps the functions given to Cleanup after they ran, and is itself
		// kept by its parent: with all tests of a package that would be all contents.
		s.Content = nil
	})
	return s
}

func (s *Source) openFile() {
	s.tb.Helper()
	switch s.Kind {
	case Proc:
		name := s.cfg.path
		if name == "" {
			name = procSource
		}
		b, err := os.ReadFile(name)
		if err != nil {
			s.tb.Fatal(err)
		}
		s.Content = b
		s.Reader = openDevice(s.tb, name, os.O_RDONLY)
	case Zero:
		s.Content = make([]byte, len(s.Content))
		s.Endless = true
		s.Reader = openDevice(s.tb, "/dev/zero", os.O_RDWR)
	case Null:
		s.Content = nil
		s.Reader = openDevice(s.tb, "/dev/null", os.O_RDWR)
	default:
		s.Reader, s.remove = newFile(s.tb, s.Kind, s.Content)
	}
}

func (s *Source) open() {
	s.tb.Helper()
	near, far := pair(s.tb, s.Kind, s.cfg.segment())
	if s.Kind == PTY {
		if s.cfg.otherEnd {
			near, far = far, near
			s.Endless = true
		} else {
			s.EndErr = syscall.EIO
		}
	}
	setBuffers(s.tb, s.Kind, far, near, s.cfg.buffers)
	s.Reader, s.far = s.cfg.makeNear(s.tb, s.Kind, near), far
}

// Sent is the number of bytes that the peer has handed to the kernel.
func (s *Source) Sent() int64 { return s.sent.Load() }

// Peer is the other end, nil for kinds that have none. The test may read from
// it, and with Manual do everything.
func (s *Source) Peer() Stream { return s.far }

// AwaitQueued waits until at least n bytes are ready to be read from Reader.
func (s *Source) AwaitQueued(n int) {
	s.tb.Helper()
	Eventually(s.tb, Patience, "bytes queued at the source", func() bool {
		k, err := Queued(s.Reader)
		return err != nil || k >= n
	})
}

// AwaitTaken waits until all that the peer has written has been read from
// Reader, or Reader is closed.
func (s *Source) AwaitTaken() {
	s.tb.Helper()
	Eventually(s.tb, Patience, "source read", s.taken)
}

// Pos is the file offset of Reader, -1 if it has none.
func (s *Source) Pos() int64 { return position(s.Reader) }

// Rest lets the stream end, reads with plain calls what the copy has left in
// Reader and returns it; for Zero, which has no rest, nil. It moves Pos. After a
// Reset it returns what came before the error.
func (s *Source) Rest() []byte {
	s.tb.Helper()
	if s.Kind == Zero {
		return nil
	}
	s.Reader.SetDeadline(time.Time{})
	var b bytes.Buffer
	Within(s.tb, Patience, string(s.Kind)+": read of the rest", func() {
		s.End()
		if err := s.readRest(&b); err != nil && !s.reset.Load() {
			s.tb.Fatalf("%s: rest: %v", s.Kind, err)
		}
	})
	return b.Bytes()
}

func (s *Source) readRest(b *bytes.Buffer) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := read(s.Kind, s.Reader, buf)
		b.Write(buf[:n])
		if s.Endless && bytes.HasSuffix(b.Bytes(), endMark) {
			b.Truncate(b.Len() - len(endMark))
			return nil
		}
		switch {
		case err == io.EOF, s.EndErr != nil && errors.Is(err, s.EndErr):
			return nil
		case err != nil:
			return err
		}
	}
}

// Reset makes the peer vanish: an RST for TCP (what was sent before is still
// delivered), ECONNRESET for unix sockets, the end of the stream for pipes and
// terminals.
func (s *Source) Reset() {
	s.reset.Store(true)
	s.stop(func() { reset(s.Kind, s.Reader, s.far) })
}

// Err waits for the peer to stop and returns what stopped it: nil after a
// whole stream. It is the peer's view: EPIPE or ECONNRESET if the copy's end
// was closed early.
func (s *Source) Err() error {
	<-s.done
	return s.err
}

func (s *Source) stop(closeFar func()) {
	s.once.Do(func() {
		close(s.quit)
		if s.far != nil {
			closeFar()
		}
	})
}

// Close throws both ends away without waiting for what is on its way, ends the
// peer and removes the file. It may be called more than once.
func (s *Source) Close() {
	s.stop(func() { discard(s.far) })
	discard(s.Reader)
	<-s.done
	if s.remove != nil {
		s.remove()
	}
}
