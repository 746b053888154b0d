package ztest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Dest is the destination of a copy with the control of what is behind it.
// The copy is given Writer; everything else belongs to the test. Methods may be
// called from several goroutines; those that fail the test (Finish and the
// Await ones) only from the test's own.
type Dest struct {
	Kind   Kind
	Writer Stream // *os.File, *net.TCPConn or *net.UnixConn
	// Discards is true if what is written cannot be read back (Null, Zero,
	// Proc): Finish returns nil.
	Discards bool

	tb     testing.TB
	cfg    config
	far    Stream // nil without a peer
	name   string // of a file that can be read back
	remove func()
	marked bool // the stream ends with endMark, not with a close
	done   chan struct{}
	quit   chan struct{}
	once   sync.Once

	mu       sync.Mutex
	changed  sync.Cond // of mu
	stalled  bool
	parked   bool // the peer waits at its gate
	stopped  bool // the peer must go
	allowed  int64
	received int64
	got      bytes.Buffer
	err      error
}

// NewDest makes a destination of the kind. The peer of a stream starts to read
// at once. The destination is closed at the end of the test, if not before.
func NewDest(tb testing.TB, k Kind, opts ...Option) *Dest {
	tb.Helper()
	d := &Dest{
		Kind: k, tb: tb, cfg: configure(opts),
		done: make(chan struct{}), quit: make(chan struct{}),
	}
	d.changed.L = &d.mu
	d.allowed = d.cfg.stallAfter
	if k.Stream() {
		d.open()
		go d.collect()
	} else {
		d.openFile()
		close(d.done)
	}
	tb.Cleanup(d.Close)
	return d
}

func (d *Dest) openFile() {
	d.tb.Helper()
	switch d.Kind {
	case Proc:
		d.Discards = true
		d.Writer = openDevice(d.tb, procDest, os.O_WRONLY)
	case Zero:
		d.Discards = true
		d.Writer = openDevice(d.tb, "/dev/zero", os.O_RDWR)
	case Null:
		d.Discards = true
		d.Writer = openDevice(d.tb, "/dev/null", os.O_RDWR)
	default:
		f, remove := newFile(d.tb, d.Kind, d.cfg.existing)
		if d.Kind != Append {
			if _, err := f.Seek(int64(len(d.cfg.existing)), io.SeekStart); err != nil {
				d.tb.Fatal(err)
			}
		}
		d.Writer, d.remove, d.name = f, remove, f.Name()
	}
}

func (d *Dest) open() {
	d.tb.Helper()
	far, near := pair(d.tb, d.Kind, d.cfg.segment())
	if d.Kind == PTY && d.cfg.otherEnd {
		near, far = far, near
		d.marked = true
		if d.cfg.into != nil {
			d.tb.Fatalf("%s: Into with OtherEnd", d.Kind)
		}
	}
	setBuffers(d.tb, d.Kind, near, far, d.cfg.buffers)
	d.Writer, d.far = d.cfg.makeNear(d.tb, d.Kind, near), far
}

// Finish ends the stream at the copy's end (by shutdown(2) for sockets, by
// closing it for pipes and terminals; files stay open), lets a stalled peer go
// on and returns all that has arrived, for a file what it holds beyond
// Existing. It fails the test if the peer does not see the end.
func (d *Dest) Finish() []byte {
	d.tb.Helper()
	if d.Discards {
		return nil
	}
	if d.name != "" {
		b, err := os.ReadFile(d.name)
		if err != nil {
			d.tb.Fatal(err)
		}
		if !bytes.HasPrefix(b, d.cfg.existing) {
			d.tb.Fatalf("%s: what the file held before the copy has changed: %s", d.Kind,
				Diff(b[:min(len(b), len(d.cfg.existing))], d.cfg.existing))
		}
		return b[len(d.cfg.existing):]
	}
	d.Resume()
	Within(d.tb, Patience, string(d.Kind)+": end of the stream at the peer", func() {
		d.Writer.SetDeadline(time.Time{})
		if d.marked {
			d.Writer.Write(endMark)
		} else {
			closeWrite(d.Kind, d.Writer) // an end that is closed has done so
		}
		<-d.done
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.got.Bytes()
}

// Pos is the file offset of Writer, -1 if it has none.
func (d *Dest) Pos() int64 { return position(d.Writer) }

// Name is the name of a destination file, "" for the other kinds.
func (d *Dest) Name() string { return d.name }

// Peer is the other end, nil for kinds that have none. Its input is the peer's,
// unless stalled; the test may write to it.
func (d *Dest) Peer() Stream { return d.far }

// Received is the number of bytes that the peer has read.
func (d *Dest) Received() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.received
}

// AwaitReceived waits until the peer has read at least n bytes.
func (d *Dest) AwaitReceived(n int64) {
	d.tb.Helper()
	Eventually(d.tb, Patience, "bytes received by the peer", func() bool { return d.Received() >= n })
}

// AwaitFull waits until a write to Writer would block: with a stalled peer, all
// buffers on the way are full. For streams only, and not for PTY, whose room is
// freed by a worker: it may say EAGAIN to write and writable to poll.
func (d *Dest) AwaitFull() {
	d.tb.Helper()
	Eventually(d.tb, Patience, "a full destination", func() bool {
		_, writable, err := Poll(d.Writer)
		return err == nil && !writable
	})
}

// Err waits for the peer to stop and returns what stopped it: nil after the end
// of the stream.
func (d *Dest) Err() error {
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// Stall makes the peer stop reading. When it returns, the peer reads no more.
func (d *Dest) Stall() {
	if d.far == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = true
	d.far.SetReadDeadline(time.Unix(1, 0)) // out of a read that waits
	for !d.parked && !d.ended() {
		d.changed.Wait()
	}
}

// Resume lets a peer that is stalled, by Stall or StallAfter, read on.
func (d *Dest) Resume() {
	if d.far == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stalled = false
	d.allowed = -1
	d.far.SetReadDeadline(time.Time{})
	d.changed.Broadcast()
}

// Reset makes the peer vanish: an RST for TCP, ECONNRESET for unix sockets
// (EPIPE for what is written after it), EPIPE for pipes, EIO for terminals.
func (d *Dest) Reset() {
	if d.Kind == Unix || d.Kind == SockFile {
		d.Stall() // or it would read what has to be unread
	}
	d.stop(func() { reset(d.Kind, d.Writer, d.far) })
}

func (d *Dest) stop(closeFar func()) {
	d.once.Do(func() {
		d.mu.Lock()
		d.stopped = true
		d.changed.Broadcast()
		d.mu.Unlock()
		close(d.quit)
		if d.far != nil {
			closeFar()
		}
	})
}

// Close throws both ends away without waiting for what is on its way, ends the
// peer and removes the file. What Finish returned stays valid. It may be called
// more than once.
func (d *Dest) Close() {
	d.stop(func() { discard(d.far) })
	discard(d.Writer)
	<-d.done
	if d.remove != nil {
		d.remove()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = bytes.Buffer{} // cleanups hold d until the end of a long test
}

// readEnd reports whether err is the end of the stream as the peer sees it.
func (d *Dest) readEnd(err error) bool {
	return err == io.EOF || d.Kind == PTY && errors.Is(err, syscall.EIO)
}
