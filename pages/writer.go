package pages

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// The errors of a Writer that is not used as it has to be. Nothing is lost by them.
var (
	// ErrClosed: the Writer is closed.
	ErrClosed = errors.New("pages: the Writer is closed")
	// ErrInUse: another goroutine is in a method of the Writer, which takes one at a time.
	ErrInUse = errors.New("pages: the Writer is used by two goroutines at a time")
	// ErrNotLent: Commit without a buffer from Next.
	ErrNotLent = errors.New("pages: Commit without a buffer from Next")
	// ErrLent: the buffer that Next returned has to be committed first.
	ErrLent = errors.New("pages: the buffer from Next has not been committed")
)

// A Writer sends what is put into its buffers of page memory to one destination. See the
// package for how, and for when not to use one.
//
// There are two ways of putting something in, that can be mixed: Next and Commit, and those
// of a bufio.Writer, which collect until a buffer is full or Flush is called.
//
// An error that a write meets is returned by everything after it, except for a deadline: then
// what was not sent is kept, and the next call goes on with it.
//
// One goroutine at a time may use a Writer, another gets ErrInUse; Stats may be called at
// any time. The destination's deadlines and its Close end every wait. While anything is lent
// to a TCP connection, others may read from it, but only the Writer may write to it, and
// TCP_NOTSENT_LOWAT must stay as it was when the Writer was made.
type Writer struct {
	w     io.Writer
	calls *sys.Calls
	o     Options
	route route
	// Of a pipe: its capacity when it was last looked at, whether pages are given away, and
	// after how many bytes that begins.
	capacity int
	fresh    bool
	bulk     int64
	lend     bool
	look     int64 // after how many bytes to look at the page faults
	faults   int64 // there were

	ring *ring
	buf  []byte // the run at the ring's head: what Next returned or Write fills
	out  bool   // it is the caller's, by Next
	kept bool   // it was committed, and has to be sent before anything else
	off  int    // of it was sent
	fill int    // is to be sent
	lent bool   // some of it was lent
	err  error

	busy   atomic.Bool
	closed bool
	count  counts
}

// counts are what Stats reports.
type counts struct {
	bytes, lent, held, abandoned, commits atomic.Int64

	mu  sync.Mutex
	by  zerocopy.Mechanism
	why why
}

var (
	_ io.Writer       = (*Writer)(nil)
	_ io.StringWriter = (*Writer)(nil)
	_ io.ByteWriter   = (*Writer)(nil)
	_ io.ReaderFrom   = (*Writer)(nil)
	_ io.Closer       = (*Writer)(nil)
)

// NewWriter returns a Writer to w, of which a *net.TCPConn, a *zerocopy.Pipe, and an *os.File
// that is a pipe, a FIFO or a TCP socket can be lent memory. Any other destination is written
// to plainly, and Stats says why. A nil o is the default. It fails if an option cannot be,
// and where there is no memory. In front of a pipe in blocking mode, as standard output mostly
// is, a call waits as a Write would, and no deadline ends it. A Writer that is not needed any more has to be closed.
func NewWriter(w io.Writer, o *Options) (*Writer, error) { return newWriter(nil, w, o) }

func newWriter(calls *sys.Calls, w io.Writer, o *Options) (*Writer, error) {
	if o == nil {
		o = new(Options)
	}
	complete, err := o.complete()
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, errors.New("pages: the destination is nil")
	}
	b := &Writer{w: w, calls: calls, o: complete, lend: true}
	b.route = choose(calls, w, complete)
	if err := b.arrange(); err != nil {
		b.route.close()
		return nil, err
	}
	if b.ring, err = newRing(calls, b.o.Memory, b.o.Huge, b.o.Check); err != nil {
		b.route.close()
		return nil, fmt.Errorf("pages: no memory for %d bytes: %w", b.o.Memory, err)
	}
	b.ring.fresh = b.fresh
	b.note()
	return b, nil
}

// arrange fills in the options that depend on the route.
func (b *Writer) arrange() error {
	size, memory, from := defaultSize, 0, pageSize
	switch r := b.route.(type) {
	case *toSocket:
		memory, from = defaultMemory, lendFromSocket
	case *toPipe:
		from = lendFromPipe
		capacity, err := r.l.Size()
		if err != nil {
			return err
		}
		size = min(max(size, capacity/4), maxDefaultSize) // so that the reader need not wait for all of it
		b.fresh = r.fresh
		b.capacity = capacity
	}
	if b.o.Size == 0 {
		b.o.Size = size
	}
	if b.o.LendFrom == 0 {
		b.o.LendFrom = from
	}
	if b.o.Memory == 0 {
		b.o.Memory = memory
	}
	b.o.Memory = max(b.o.Memory, b.need())
	if b.fresh && b.o.Lend == Fastest {
		b.lend, b.bulk = false, bulkFrom
		b.o.Huge, b.o.Memory = false, b.o.Size
	}
	b.o.Memory = roundUp(b.o.Memory)
	if b.fresh && b.o.Huge {
		b.o.Memory = roundHuge(b.o.Memory)
	}
	return nil
}

// need returns how much memory the Writer cannot do without.
func (b *Writer) need() int {
	switch _, socket := b.route.(*toSocket); {
	case socket:
		return 2 * b.o.Size
	case b.fresh && b.o.Huge:
		return roundHuge(b.o.Size) + sys.HugePage
	case b.capacity > 0 && !b.fresh:
		return b.capacity + 3*b.o.Size
	}
	return b.o.Size
}

// roundHuge returns the least whole number of huge pages that have n bytes.
func roundHuge(n int) int { return (n + sys.HugePage - 1) / sys.HugePage * sys.HugePage }

// roundUp returns the least whole number of pages that have n bytes.
func roundUp(n int) int { return (n + pageSize - 1) / pageSize * pageSize }

// enter begins a method that moves bytes.
func (b *Writer) enter() error {
	if !b.busy.CompareAndSwap(false, true) {
		return ErrInUse
	}
	if b.closed {
		b.busy.Store(false)
		return ErrClosed
	}
	return nil
}

func (b *Writer) leave() { b.busy.Store(false) }

// Next returns a buffer of Size bytes that the kernel does not hold, to be filled and given
// to Commit; its content is undefined. It sends first what Write has collected. It waits
// while the kernel holds all memory.
func (b *Writer) Next() ([]byte, error) {
	if err := b.enter(); err != nil {
		return nil, err
	}
	defer b.leave()
	if b.out {
		return nil, ErrLent
	}
	if err := b.flush(); err != nil {
		return nil, err
	}
	if err := b.buffer(); err != nil {
		return nil, err
	}
	b.out = true
	return b.buf, nil
}

// Commit sends the first n bytes of the buffer that Next returned, and takes the buffer back:
// the caller must not touch it any more. It returns when the destination has accepted all n
// bytes, which is not yet when the kernel has given them back, see Wait. An n that is less
// than 0 or more than the buffer has is an error, and the buffer stays the caller's.
func (b *Writer) Commit(n int) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	switch {
	case !b.out:
		return ErrNotLent
	case n < 0 || n > len(b.buf):
		return fmt.Errorf("pages: Commit of %d bytes of a buffer of %d", n, len(b.buf))
	}
	b.out, b.kept = false, true
	b.fill = n
	b.ring.protect(len(b.buf))
	b.count.commits.Add(1)
	return b.flush()
}

// Flush sends what Write and its like have collected.
func (b *Writer) Flush() error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if b.out {
		return ErrLent
	}
	return b.flush()
}

// Wait sends what was collected, and waits until the kernel has given everything back: until
// a TCP peer has acknowledged it, or the reader of a pipe has read it. For fresh pages and
// what was copied there is nothing to wait for. A peer that has acknowledged bytes has not
// read them yet.
func (b *Writer) Wait() error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	if b.out {
		return ErrLent
	}
	if err := b.flush(); err != nil {
		return err
	}
	for {
		if err := b.reclaim(); err != nil {
			return err
		}
		l, ok := b.ring.oldest()
		if !ok {
			return nil
		}
		switch told, err := b.route.await(l); {
		case err != nil:
			return err
		case !told:
			return b.renew()
		}
	}
}

// Close gives the memory back to the system. It does not flush, and does not close the
// destination: bytes that were collected and not flushed are lost, and an error says so.
//
// It waits for what a TCP connection was lent, for Options.Linger at the most. What is still
// lent then is counted as Abandoned: its pages leave the process, and stay intact for the
// kernel until it is done with them, so that what the peer gets is right. But its
// completions stay on the socket's error queue, where they can make a Read of the connection
// fail with "not pollable": it should be closed soon.
func (b *Writer) Close() error {
	if err := b.enter(); err != nil {
		if err == ErrClosed {
			return nil
		}
		return err
	}
	defer b.leave()
	b.closed = true
	unsent := b.fill - b.off
	if _, socket := b.route.(*toSocket); socket {
		b.linger()
	}
	b.count.abandoned.Add(b.count.held.Swap(0))
	b.note()
	if copied := b.count.bytes.Load() - b.count.lent.Load(); copied > 0 && b.count.why.reason != zerocopy.ReasonNone {
		tally.Reason(reflect.TypeOf(b.w), uint8(b.count.why.reason), uint8(zerocopy.DestinationEnd), copied)
	}
	b.route.close()
	b.ring.close()
	b.buf = nil
	if unsent > 0 && b.err == nil {
		return fmt.Errorf("pages: %d bytes were not flushed before Close", unsent)
	}
	return nil
}

// linger waits for what is lent, in vain where the connection is closed.
func (b *Writer) linger() {
	end := time.Now().Add(b.o.Linger)
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		if err := b.reclaim(); err != nil || b.route.(*toSocket).l.Held() == 0 || !time.Now().Before(end) {
			return
		}
		time.Sleep(pause)
	}
}
