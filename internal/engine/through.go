package engine

import (
	"net"
	"sync"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A body of net/http is a Reader between us and its connection: it knows where the body ends
// and where a chunk does. It is read into a marker, memory that is known by its address. A
// connection that is asked to read into a marker may splice into the private pipe instead, and
// notes which part of the marker those bytes stand for. What the Read returns is then, in this
// order: bytes in the marker, bytes in the pipe, bytes in the marker.

// markerSize is the most that one Read is asked for: the largest pipe (kpipe.Sizes).
const markerSize = 1 << 20

const (
	// leastSpliced is below what a Read is a plain one, see shortDrain of the root package.
	leastSpliced = 16 << 10
	// plainRead is what is asked for where little is ready: io.Copy's buffer, since a Read of a
	// chunked body keeps what it has until it has as much as it was asked for, or the chunk ends.
	plainRead = 32 << 10
	// nextChunk is the most that is asked for between two chunks, where the next one is taken to be
	// large since the last one was. If it is not, a Read may wait that has so much.
	nextChunk = 64 << 10
	// readAhead is what the framing of chunks may take of that.
	readAhead = 4096
)

// A Marker is memory of which a slice is known wherever it turns up, as long as its capacity is
// not cut.
type Marker struct {
	mem     []byte
	mapping []byte // nil if mem is of the Go heap
	last    *byte  // of mem; never changes
	m       *Mover // whose it is: for the goroutine of its Read alone
}

// holds reports whether p is the marker's, up to its end. Any goroutine may ask.
func (k *Marker) holds(p []byte) bool { return cap(p) > 0 && &p[:cap(p)][cap(p)-1] == k.last }

// A Marked is a connection of package zcnet.
type Marked interface {
	// Mark has Reads into the marker be Reads of [Marker.Read]. The last one marked counts.
	Mark(*Marker)
	// Unmark ends that, if the marker is still that one.
	Unmark(*Marker)
	// Under returns the connection under it.
	Under() net.Conn
}

// Read is a Read of the marked connection, of which the Mover's source is the one under it. It
// is only asked where handled is true.
func (k *Marker) Read(p []byte) (n int, handled bool, err error) {
	if !k.holds(p) {
		return 0, false, nil
	}
	if k.m.inPipe > 0 && !k.m.isReady() {
		// It will wait, and not with a pipe in its hands.
		at := k.m.thru.at
		_, err := k.m.ReadPipe(k.mem[at : at+k.m.inPipe])
		return 0, err != nil, err
	}
	if !k.m.thru.splices || len(p) < leastSpliced {
		return 0, false, nil
	}
	m := k.m
	// One segment a Read: the next one waits perhaps, and the pipe is not empty.
	m.thru.splices = false
	n, handled, err = m.Drain(len(p))
	switch {
	case !handled || n == 0 && err == nil:
		m.thru.refused = m.err
		return 0, false, nil
	case err != nil:
		return 0, true, err
	case m.inPipe == 0: // a plain read had to tell
		n = copy(p, m.mem)
		m.mem = nil
		return n, true, nil
	}
	m.thru.at = len(k.mem) - cap(p)
	return n, true, nil
}

// isReady reports whether there is something to be read from the source, as far as can be told.
func (m *Mover) isReady() bool {
	ready := sys.Readable
	m.Src.Raw.Control(func(fd uintptr) {
		if now, err := m.Calls.Poll(int(fd)); err == nil {
			ready = now
		}
	})
	return ready&sys.Readable != 0
}

// through is how a Mover reads what is not its source itself.
type through struct {
	marker  *Marker
	conn    Marked
	splices bool  // the connection may splice
	spliced bool  // the last Read was
	at      int   // what is in the pipe stands for the marker from here on
	refused error // why it did not
}

// ReadThrough has read fill the private pipe, or memory, with at most most bytes of what comes from
// conn, the connection over the source. n bytes are residue then: [Mover.Mem], what is in
// the pipe, and [Mover.Tail]. Whatever n is, err is what read has returned. refused says why
// nothing was spliced that could have been, with NoPipe or the kernel's answer.
//
// With chunked, one call of read may read from conn several times, and does not return before it
// has what it was asked for, or a chunk ends and nothing of the next one has been read: then it is asked for
// no more than is there, fits into the pipe, and is in the current chunk, of which left bytes are to come. Between
// two chunks left is 0.
func (m *Mover) ReadThrough(conn Marked, read func([]byte) (int, error), chunked bool, left uint64, most int) (n int, refused, err error) {
	t := &m.thru
	if t.marker == nil {
		t.marker, t.conn = newMarker(m), conn
		conn.Mark(t.marker)
	}
	p := t.marker.mem
	p = p[:min(most, len(p))]
	m.mem, m.NoPipe, m.err = nil, false, nil
	t.splices, t.at, t.refused = true, 0, nil
	if chunked {
		ready := 0
		m.Src.Raw.Control(func(fd uintptr) { ready, _ = m.Calls.Buffered(int(fd)) })
		if left > 0 {
			ready = int(min(uint64(max(ready, 0)), left))
		} else if ready = min(ready-readAhead, nextChunk); !t.spliced {
			ready = 0
		}
		if ready < leastSpliced {
			t.splices, ready = false, plainRead
		}
		p = p[:min(len(p), ready, kpipe.Sizes[m.Class])]
	}
	n, err = read(p)
	if t.spliced = m.inPipe > 0; !t.spliced {
		m.Hold(p[:n:len(p)]) // panics, as io.Copy, where n > len(p) (H39)
		return n, t.refused, err
	}
	end := t.at + m.inPipe
	m.Hold(p[:min(t.at, n):len(p)])
	m.trim(end - max(n, t.at))
	if n > end {
		m.tail = p[end:n:len(p)]
	}
	return n, t.refused, err
}

// trim takes the last n bytes off what is in the pipe: nobody gets them. As with MaxBytesReader,
// which asks for one more than it returns.
func (m *Mover) trim(n int) {
	if n <= 0 {
		return
	}
	m.excess = n
	if m.inPipe -= n; m.inPipe == 0 {
		m.putPipe()
	}
}

// Tail makes what follows the pipe's bytes Mem, once those have been moved and Mem is empty.
func (m *Mover) Tail() []byte {
	if len(m.tail) > 0 {
		m.mem, m.tail = m.tail, nil
	}
	return m.mem
}

// endThrough gives the marker back.
func (m *Mover) endThrough() {
	t := &m.thru
	if t.marker == nil {
		return
	}
	t.conn.Unmark(t.marker)
	t.marker.free()
	*t = through{}
}

// markers are those that nobody uses. They are addresses and no memory.
var markers struct {
	mu   sync.Mutex
	free []*Marker
}

const maxMarkers = 64

func newMarker(m *Mover) *Marker {
	markers.mu.Lock()
	defer markers.mu.Unlock()
	if last := len(markers.free) - 1; last >= 0 {
		k := markers.free[last]
		markers.free = markers.free[:last]
		k.m = m
		return k
	}
	p, mapping, err := m.Calls.Map(markerSize, false)
	if err != nil {
		p, mapping = make([]byte, plainRead), nil
	}
	return &Marker{mem: p, mapping: mapping, last: &p[len(p)-1], m: m}
}

// free gives k back, without what plain reads have written to it.
func (k *Marker) free() {
	k.m = nil
	if k.mapping == nil {
		return
	}
	kernel := (*sys.Calls)(nil)
	markers.mu.Lock()
	keep := len(markers.free) < maxMarkers && kernel.Drop(k.mapping) == nil
	if keep {
		markers.free = append(markers.free, k)
	}
	markers.mu.Unlock()
	if !keep {
		sys.Unmap(k.mapping)
	}
}
