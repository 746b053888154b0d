package zerocopy

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// Stats are the counts of this process since its start.
type Stats struct {
	// Copies is how many copies have ended, Active how many are under way.
	Copies, Active int64
	// Relays is how many of package zcnet's relays are running. Each has two copies
	// under way, or one once a side has ended.
	Relays int64
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

// MechanismStats are the bytes that went by one mechanism; they are counted
// while a copy runs.
type MechanismStats struct {
	Mechanism Mechanism
	Bytes     int64
	Calls     int64 // system calls, see Step.Calls
}

// ReasonStats are the copies and bytes that went Buffered or Delegated for one
// reason.
type ReasonStats struct {
	Reason Reason
	End    End
	Type   string
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
	began, ended atomic.Int64 // copies
	memory       atomic.Int64 // copies that fromMemory made, which are in neither

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
// counts that change meanwhile may be a few bytes apart.
func ReadStats() Stats {
	s := Stats{Copies: counters.ended.Load(), Relays: tally.Relays.Load(), Pipes: PipeStats(kpipe.Shared.Stats())}
	s.Active = max(counters.began.Load()-s.Copies, 0)
	s.Copies += counters.memory.Load()
	for m := range mechanisms {
		if n := tally.Bytes[m].Load(); n > 0 {
			s.Mechanisms = append(s.Mechanisms, MechanismStats{m, n, tally.Calls[m].Load()})
		}
	}
	if m := counters.reasons.Load(); m != nil {
		for k, r := range *m {
			row := ReasonStats{Reason: k.reason, End: k.end, Copies: r.copies.Load(), Bytes: r.bytes.Load()}
			if k.typ != nil {
				row.Type = k.typ.String()
			}
			s.Reasons = append(s.Reasons, row)
		}
	}
	slices.SortFunc(s.Reasons, func(a, b ReasonStats) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Type, b.Type))
	})
	return s
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
