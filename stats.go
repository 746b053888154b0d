package zerocopy

import (
	"cmp"
	"errors"
	"maps"
	"math/bits"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// Stats are the counts of this process since its start. As JSON, for expvar and the
// like, mechanisms, reasons and ends are their names, and the lists are never null.
//
// Copies are those of [Copy] and its siblings, of a [Copier], and of what is made of
// them, such as [Reader], [Writer] and [Pipe]. Packages pages and broadcast make no
// copies; their bytes and system calls are counted.
type Stats struct {
	// Copies is how many copies have ended, Active how many are under way.
	Copies, Active int64
	// Failed is how many of Copies ended with an error. That of a CopyN whose source
	// is too short, io.EOF, is not one.
	Failed int64
	// HandedBack is how many bytes were taken from a stream and not accepted by the
	// destination, and so are in a PartialError. They are lost if nobody looks there.
	HandedBack int64
	// Relays is how many of package zcnet's relays are running. Each has two copies
	// under way, or one once a side has ended.
	Relays int64
	// Disabled has the mechanisms that are off at present, see the function Disabled.
	Disabled []Mechanism
	// Mechanisms has a row for each mechanism that moved a byte.
	Mechanisms []MechanismStats
	// Reasons has a row for each reason and type that kept bytes from the kernel,
	// most bytes first. A copy is counted here when it ends. Copies from a
	// bytes.Reader, bytes.Buffer or strings.Reader that have no Report are not:
	// their bytes never were anywhere but in user memory.
	Reasons []ReasonStats
	// Pipes counts the private pipes.
	Pipes PipeStats
}

// MechanismStats are what went by one mechanism.
type MechanismStats struct {
	Mechanism Mechanism
	// Copies is how many of the copies that have ended took it, be it for a part of
	// their bytes: a copy that took two is counted at both.
	Copies int64
	// Bytes is how many bytes went by it, counted while a copy runs.
	Bytes int64
	// Calls is how many system calls, counted while a copy runs. See Step.Calls: those
	// made by the Read and Write of types that are not known are not among them.
	Calls int64
}

// ReasonStats are the copies and bytes that went Buffered or Delegated for one
// reason. Of a copy with several reasons each has its bytes.
type ReasonStats struct {
	Reason Reason
	// End and Type name what stood in the way, as in Step. There are at most 1,024
	// rows with a Type, whatever types a program makes.
	End    End    `json:",omitempty"`
	Type   string `json:",omitempty"`
	Copies int64
	Bytes  int64
}

// PipeStats counts the private pipes of the process.
type PipeStats struct {
	Open      int64 // open now: borrowed or idle
	Idle      int64 // open and empty, waiting to be borrowed
	Bytes     int64 // the sizes of the open ones added up
	Budget    int64 // the most that Bytes may be, of what pipe(7) allows; 0 before the first
	Created   int64 // made so far
	Discarded int64 // closed because a copy ended with bytes in them
	Refused   int64 // how often none was to be had, and bytes were read and written
}

var counters struct {
	began, ended atomic.Int64             // copies
	memory       atomic.Int64             // copies that fromMemory made, which are in neither
	took         [mechanisms]atomic.Int64 // copies that have ended, by what they took; without memory
	failed       atomic.Int64             // copies that returned an error, with those of fromMemory
	handedBack   atomic.Int64             // bytes

	mu      sync.Mutex                                 // held to replace reasons
	reasons atomic.Pointer[map[reasonKey]*reasonCount] // never changed, only replaced
}

type reasonKey struct {
	typ    reflect.Type
	reason Reason
	end    End
}

type reasonCount struct{ copies, bytes atomic.Int64 }

// maxReasons bounds the memory that types take: a program has few types that it
// copies between, unless it makes them by reflection.
const maxReasons = 1024

// A lastReason is the row that a transfer counted in last. The next copy it serves
// is likely to be of the same kind, and finding the row is a third of the cost of
// a copy that moves nothing.
type lastReason struct {
	key   reasonKey
	count *reasonCount
}

// add adds one copy's bytes to those of its reason.
func (l *lastReason) add(w why, bytes int64) {
	if k := (reasonKey{w.typ, w.reason, w.end}); l.count == nil || l.key != k {
		l.key, l.count = k, findReason(k)
		if l.count == nil {
			l.count = newReason(k)
		}
	}
	l.count.copies.Add(1)
	if bytes != 0 {
		l.count.bytes.Add(bytes)
	}
}

// count counts a copy that ends, with what it took, why, and its error.
func (t *transfer) count(err error) {
	var took MechanismSet
	for i := range t.steps {
		s := &t.steps[i]
		took |= 1 << s.mechanism
		if s.why.reason != ReasonNone {
			t.last.add(s.why, s.bytes)
		}
	}
	for rest := took; rest != 0; rest &= rest - 1 {
		counters.took[bits.TrailingZeros16(uint16(rest))].Add(1)
	}
	if err == nil {
		return
	}
	counters.failed.Add(1)
	// A foreign method that calls Copy returns an error that is counted already.
	var partial *PartialError
	if !took.Has(Delegated) && errors.As(err, &partial) {
		counters.handedBack.Add(int64(len(partial.Unwritten)))
	}
}

func init() {
	tally.Reason = func(typ reflect.Type, reason, end uint8, n int64) {
		new(lastReason).add(why{reason: Reason(reason), end: End(end), typ: typ}, n)
	}
}

func findReason(k reasonKey) *reasonCount {
	if m := counters.reasons.Load(); m != nil {
		return (*m)[k]
	}
	return nil
}

func newReason(k reasonKey) *reasonCount {
	counters.mu.Lock()
	defer counters.mu.Unlock()
	old := map[reasonKey]*reasonCount{}
	if m := counters.reasons.Load(); m != nil {
		old = *m
	}
	if len(old) >= maxReasons {
		k.typ = nil
	}
	if r := old[k]; r != nil {
		return r
	}
	r := new(reasonCount)
	m := maps.Clone(old)
	m[k] = r
	counters.reasons.Store(&m)
	return r
}

// ReadStats returns the counts of this moment. It is safe for concurrent use;
// counts that change meanwhile may be a few bytes apart. No count but Active, Relays,
// Pipes.Open, Pipes.Idle and Pipes.Bytes ever goes back. It is made for being called every
// few seconds: it allocates and sorts the rows.
func ReadStats() Stats {
	memory := counters.memory.Load()
	s := Stats{
		Copies: counters.ended.Load(), Failed: counters.failed.Load(), HandedBack: counters.handedBack.Load(),
		Relays: tally.Relays.Load(), Pipes: PipeStats(kpipe.Shared.Stats()),
		Disabled: []Mechanism{}, Mechanisms: []MechanismStats{}, Reasons: []ReasonStats{},
	}
	s.Active = max(counters.began.Load()-s.Copies, 0)
	s.Copies += memory
	off := Disabled()
	for m := range mechanisms {
		if off.Has(m) {
			s.Disabled = append(s.Disabled, m)
		}
		if n := tally.Bytes[m].Load(); n > 0 {
			row := MechanismStats{m, counters.took[m].Load(), n, tally.Calls[m].Load()}
			if m == Delegated {
				row.Copies += memory
			}
			s.Mechanisms = append(s.Mechanisms, row)
		}
	}
	s.Reasons = appendReasons(s.Reasons)
	return s
}

// appendReasons appends the rows of the reasons. Types of one name, as packages of one
// name have, share a row.
func appendReasons(rows []ReasonStats) []ReasonStats {
	m := counters.reasons.Load()
	if m == nil {
		return rows
	}
	at := make(map[ReasonStats]int, len(*m)) // by a row without its counts
	for k, r := range *m {
		row := ReasonStats{Reason: k.reason, End: k.end}
		if k.typ != nil {
			row.Type = k.typ.String()
		}
		i, ok := at[row]
		if !ok {
			i = len(rows)
			at[row] = i
			rows = append(rows, row)
		}
		rows[i].Copies += r.copies.Load()
		rows[i].Bytes += r.bytes.Load()
	}
	slices.SortFunc(rows, func(a, b ReasonStats) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.End, b.End), cmp.Compare(a.Type, b.Type))
	})
	return rows
}

// Bytes returns how many bytes went by mechanism m.
func (s Stats) Bytes(m Mechanism) int64 {
	for _, row := range s.Mechanisms {
		if row.Mechanism == m {
			return row.Bytes
		}
	}
	return 0
}
