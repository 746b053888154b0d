package zerocopy

import (
	"sync/atomic"
	"time"
)

// A Meter counts what copies have moved while they run: it is given to them as
// [Copier.Meter], and read at any time by anybody. The zero value is ready. It must not be
// copied. Several copies may share one.
type Meter struct {
	bytes   [mechanisms]atomic.Int64
	moved   atomic.Int64         // when, by clock
	current atomic.Pointer[step] // its bytes and calls are not kept
}

// began is what the times in Meters count from: monotonic, and one word each.
var began = time.Now()

// add counts n bytes that went as s says.
func (m *Meter) add(s step, n int64) {
	if c := m.current.Load(); c == nil || c.mechanism != s.mechanism || c.route != s.route || c.why != s.why {
		kept := s // on the heap only here
		m.current.Store(&kept)
	}
	m.bytes[s.mechanism].Add(n)
	if n > 0 {
		m.moved.Store(int64(time.Since(began)))
	}
}

// Bytes returns how many bytes have been accepted by destinations. A method to which a copy
// was [Delegated] and that calls Copy itself, of a default with the same Meter, counts twice.
func (m *Meter) Bytes() (n int64) {
	for i := range m.bytes {
		n += m.bytes[i].Load()
	}
	return n
}

// By returns how many of them went by mechanism k.
func (m *Meter) By(k Mechanism) int64 {
	if k >= mechanisms {
		return 0
	}
	return m.bytes[k].Load()
}

// Moved returns when the last byte was accepted, and the zero Time before the first. What
// is [Delegated] counts when the method that does it returns.
func (m *Meter) Moved() time.Time {
	at := m.moved.Load()
	if at == 0 {
		return time.Time{}
	}
	return began.Add(time.Duration(at))
}

// Step returns how the latest bytes went, and for bytes that passed user memory why.
// Its Bytes are the Meter's, and its Calls are not counted.
func (m *Meter) Step() Step {
	c := m.current.Load()
	if c == nil {
		return Step{}
	}
	s := public([]step{*c})[0]
	s.Bytes = m.Bytes()
	return s
}
