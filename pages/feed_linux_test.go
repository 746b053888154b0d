package pages_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// A feed puts a pattern into a Writer.
type feed struct {
	t   testing.TB
	w   *pages.Writer
	p   ztest.Pattern
	off int64 // so many bytes were taken by the Writer
	// other is how many of them went to the destination by another way.
	other int64
	rnd   *rand.Rand
	// timeouts is how many deadlines may pass. extend is called after each.
	timeouts int
	extend   func()
	noWait   bool // random does not call Wait, which the reader would have to end
}

// open makes a feed of a Writer to w, whose pages are overwritten when they come back.
func open(t testing.TB, calls *sys.Calls, w io.Writer, o *pages.Options, seed uint64) *feed {
	t.Helper()
	pw, err := pages.NewWriterWith(calls, w, o)
	must(t, err)
	t.Cleanup(func() { pw.Close() })
	pw.Poison()
	return &feed{t: t, w: pw, p: ztest.Pattern(seed), rnd: rand.New(rand.NewPCG(seed, 1))}
}

// again calls f until no deadline has passed.
func (f *feed) again(what string, do func() error) {
	f.t.Helper()
	for {
		err := do()
		if err == nil {
			return
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) || f.extend == nil {
			f.t.Fatalf("%s after %d bytes: %v", what, f.off, err)
		}
		f.timeouts++
		f.extend()
	}
}

// next returns the next buffer.
func (f *feed) next() (buf []byte) {
	f.t.Helper()
	f.again("Next", func() (err error) {
		buf, err = f.w.Next()
		return err
	})
	return buf
}

// commit sends n bytes, as many as a buffer has at the most, and returns the slice that
// must not be touched any more.
func (f *feed) commit(n int) []byte {
	f.t.Helper()
	buf := f.next()
	n = min(n, len(buf))
	f.p.Fill(buf[:n], f.off)
	err := f.w.Commit(n)
	f.off += int64(n)
	if err != nil {
		if f.extend == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			f.t.Fatalf("Commit of %d after %d bytes: %v", n, f.off, err)
		}
		f.timeouts++
		f.extend()
	}
	return buf
}

// flush sends what is collected.
func (f *feed) flush() {
	f.t.Helper()
	f.again("Flush", f.w.Flush)
}

// whole sends n bytes in whole buffers.
func (f *feed) whole(n int64) {
	f.t.Helper()
	for end := f.off + n; f.off < end; {
		f.commit(int(min(end-f.off, 1<<30)))
	}
}

// random sends n bytes by all methods, in pieces of any size.
func (f *feed) random(n int64) {
	f.t.Helper()
	size := f.w.Size()
	for end := f.off + n; f.off < end; {
		left := int(min(end-f.off, 1<<30))
		most := min([]int{size, size, 3 * size, 100, 5000, 20_000}[f.rnd.IntN(6)], left)
		k := 1 + f.rnd.IntN(most)
		switch f.rnd.IntN(10) {
		case 0:
			b := make([]byte, k)
			f.p.Fill(b, f.off)
			f.write(b)
		case 1:
			f.again("Flush", f.w.Flush)
		case 2:
			f.readFrom(k)
		case 3:
			if f.rnd.IntN(8) == 0 && !f.noWait {
				f.again("Wait", f.w.Wait)
			}
		case 4:
			f.commit(0)
		default:
			f.commit(k)
		}
		if s := f.w.Stats(); s.Bytes != s.Lent+s.Copied || s.Bytes+int64(f.w.Buffered())+f.other != f.off {
			f.t.Fatalf("%d bytes were put in, %d are collected: %+v", f.off, f.w.Buffered(), s)
		}
	}
	f.flush()
}

func (f *feed) write(b []byte) {
	f.t.Helper()
	f.again("Write", func() error {
		n, err := f.w.Write(b)
		f.off += int64(n)
		b = b[n:]
		return err
	})
}

func (f *feed) readFrom(n int) {
	f.t.Helper()
	r := &window{f.p, f.off, f.off + int64(n)}
	f.again("ReadFrom", func() error {
		m, err := f.w.ReadFrom(r)
		f.off += m
		return err
	})
}

// A window is a Reader of a part of a pattern.
type window struct {
	p        ztest.Pattern
	off, end int64
}

func (r *window) Read(b []byte) (int, error) {
	if r.off == r.end {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), r.end-r.off)]
	r.p.Fill(b, r.off)
	r.off += int64(len(b))
	return len(b), nil
}

// finish ends the stream and looks at what has arrived: the whole pattern, nothing lost and
// nothing twice.
func (f *feed) finish(d *ztest.Dest, checker *receiver) pages.Stats {
	f.t.Helper()
	f.flush()
	s := f.w.Stats()
	if s.Bytes+f.other != f.off || s.Lent+s.Copied != s.Bytes {
		f.t.Errorf("%d bytes were put in: %+v", f.off, s)
	}
	got := d.Finish()
	if err := d.Err(); err != nil {
		f.t.Errorf("the receiver: %v", err)
	}
	if checker == nil {
		f.p.Check(f.t, got, 0)
		if int64(len(got)) != f.off {
			f.t.Errorf("%d bytes have arrived of %d", len(got), f.off)
		}
		return s
	}
	if checker.err != nil {
		f.t.Errorf("what has arrived: %v", checker.err)
	} else if checker.N() != f.off {
		f.t.Errorf("%d bytes have arrived of %d", checker.N(), f.off)
	}
	return s
}

// A receiver compares what arrives with a pattern. It takes everything, so that the sender
// comes to its end.
type receiver struct {
	*ztest.Checker
	err error
}

func receive(seed uint64) *receiver { return &receiver{Checker: ztest.Pattern(seed).Checker()} }

func (r *receiver) Write(p []byte) (int, error) {
	if r.err == nil {
		_, r.err = r.Checker.Write(p)
	}
	return len(p), nil
}

// given fails the test unless everything has been given back.
func (f *feed) given() {
	f.t.Helper()
	f.again("Wait", f.w.Wait)
	if s := f.w.Stats(); s.Held != 0 {
		f.t.Errorf("after Wait: %+v", s)
	}
}

// lent fails the test unless at least that part of all bytes was lent by that mechanism.
func lent(t testing.TB, s pages.Stats, m zerocopy.Mechanism, part float64) {
	t.Helper()
	if s.Mechanism != m || float64(s.Lent) < part*float64(s.Bytes) || s.Lent == 0 {
		t.Errorf("want %v of %.0f %%: %v", m, 100*part, s)
	}
}

// A device stands for the network device of a connection, and does not copy: it takes the
// completions off the error queue of the socket, where they say that the loopback device
// has copied, and hands them out without that word.
type device struct {
	conn syscall.Conn
	mu   sync.Mutex
	hold bool
	late time.Duration // how long a completion may be held back
	rnd  *rand.Rand    // mixes their order, if it is set
	ids  []uint32      // taken off the queue, and not handed out
	err  []sys.Completion
}

// calls are those of a Writer to the device.
func (d *device) calls() *sys.Calls { return &sys.Calls{Complete: d.complete} }

func (d *device) complete(fd int) (sys.Completion, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.err) > 0 {
		c := d.err[0]
		d.err = d.err[1:]
		return c, true, nil
	}
	for {
		c, ok, err := (*sys.Calls)(nil).Completion(fd)
		if err != nil {
			break
		}
		for id := c.First; ok; id++ {
			d.ids = append(d.ids, id)
			if id == c.Last {
				break
			}
		}
	}
	if d.hold || len(d.ids) == 0 {
		return sys.Completion{}, false, syscall.EAGAIN
	}
	if d.rnd == nil {
		id := d.ids[0]
		d.ids = d.ids[1:]
		return sys.Completion{First: id, Last: id}, true, nil
	}
	if d.late > 0 && d.rnd.IntN(4) == 0 {
		d.hold = true
		time.AfterFunc(d.late, d.release)
		return sys.Completion{}, false, syscall.EAGAIN
	}
	at := d.rnd.IntN(len(d.ids))
	c := sys.Completion{First: d.ids[at], Last: d.ids[at]}
	d.ids = append(d.ids[:at], d.ids[at+1:]...)
	for d.rnd.IntN(3) > 0 { // with those that follow
		for at = 0; at < len(d.ids) && d.ids[at] != c.Last+1; at++ {
		}
		if at == len(d.ids) {
			break
		}
		c.Last++
		d.ids = append(d.ids[:at], d.ids[at+1:]...)
	}
	return c, true, nil
}

// say puts a completion in front of all others.
func (d *device) say(c sys.Completion) {
	d.mu.Lock()
	d.err = append(d.err, c)
	d.mu.Unlock()
	d.poke()
}

// stop has all completions held back.
func (d *device) stop() {
	d.mu.Lock()
	d.hold = true
	d.mu.Unlock()
}

// release hands out what was held back.
func (d *device) release() {
	d.mu.Lock()
	d.hold = false
	d.mu.Unlock()
	d.poke()
}

// poke wakes whoever waits for the socket, as a message on the error queue does: setting
// SO_SNDBUF to what it is tells all waiters that there is room.
func (d *device) poke() {
	raw, err := d.conn.SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) {
		if n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF); err == nil {
			syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, n/2)
		}
	})
}
