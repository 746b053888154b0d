package pages

import (
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A ring is page memory that is handed out in order, a run of pages at a time, lent, and
// used again in the same order once it was given back.
//
// Positions are counted in pages from the beginning and never wrap; a run does not pass the
// end of the memory. From tail to head pages are lent, or skipped in front of the end.
type ring struct {
	calls   *sys.Calls
	mem     []byte
	mapping []byte // what mem is in
	page    int
	unit    uint64 // in pages: what drop takes out of the process at a time
	head    uint64
	tail    uint64
	loans   []loan // the oldest first
	first   int    // of loans
	fresh   bool   // runs are given away and not lent, see give
	check   bool   // what is not handed out is write-protected
	poison  bool   // for tests: pages that come back are overwritten
}

// A loan is a number of pages up to end. How it is known that they are back depends on who
// holds them: id is the number of a send, after how many bytes had been lent when it was.
type loan struct {
	end   uint64
	id    uint32
	after int64
	n     int
}

// newRing maps n bytes, a multiple of the page size.
func newRing(calls *sys.Calls, n int, huge, check bool) (*ring, error) {
	r := &ring{calls: calls, page: pageSize, unit: 1, check: check}
	if huge {
		r.unit = uint64(sys.HugePage / pageSize)
	}
	var err error
	if r.mem, r.mapping, err = calls.Map(n, huge); err != nil {
		return nil, err
	}
	if check {
		if err = calls.Protect(r.mem, true); err != nil {
			sys.Unmap(r.mapping)
			return nil, err
		}
	}
	return r, nil
}

// pages returns how many pages n bytes take.
func (r *ring) pages(n int) uint64 { return uint64((n + r.page - 1) / r.page) }

// take hands out n bytes at head, or nil if that many are not free.
func (r *ring) take(n int) ([]byte, error) {
	size, want := uint64(len(r.mem)/r.page), r.pages(n)
	head := r.head
	if at := head % size; at+want > size {
		head += size - at
	}
	switch {
	case r.fresh: // what is skipped goes with what was given
		r.head = head
		if err := r.drop(); err != nil {
			return nil, err
		}
	case r.head == r.tail: // nothing is lent
		r.tail = head
	}
	if head+want-r.tail > size {
		return nil, nil
	}
	r.head = head
	at := int(head%size) * r.page
	p := r.mem[at : at+n : at+n]
	if r.check {
		if err := r.calls.Protect(r.mem[at:at+int(want)*r.page], false); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// lend notes that the kernel holds the first n bytes at head, whole pages and the last one
// only if they are all there will be of the run.
func (r *ring) lend(n int, l loan) {
	if r.first > 0 && len(r.loans) == cap(r.loans) {
		r.loans = r.loans[:copy(r.loans, r.loans[r.first:])]
		r.first = 0
	}
	l.end = r.head + uint64(n/r.page)
	r.loans = append(r.loans, l)
}

// pass ends the run at head, of which the first n bytes were lent at least in part.
func (r *ring) pass(n int) {
	head := r.head + r.pages(n)
	if r.first == len(r.loans) {
		r.free(head)
	} else {
		r.loans[len(r.loans)-1].end = head
	}
	r.head = head
}

// give ends the run at head, of which the first n bytes were given to the kernel for good:
// the process must not have those pages any more, and finds fresh ones in their place. A huge
// page goes when all of it was given, since it would have to be split.
func (r *ring) give(n int) error {
	r.head += r.pages(n)
	return r.drop()
}

// drop takes the units that were given out of the process.
func (r *ring) drop() error {
	for size := uint64(len(r.mem) / r.page); r.tail+r.unit <= r.head; {
		at := r.tail % size
		most := min((r.head-r.tail)/r.unit*r.unit, size-at)
		p := r.mem[int(at)*r.page:][:int(most)*r.page]
		if err := r.calls.Drop(p); err != nil {
			return err
		}
		r.tail += most
	}
	return nil
}

// protect write-protects the first n bytes at head, if that is asked for.
func (r *ring) protect(n int) {
	if !r.check || n == 0 {
		return
	}
	at := int(r.head%uint64(len(r.mem)/r.page)) * r.page
	r.calls.Protect(r.mem[at:at+int(r.pages(n))*r.page], true)
}

// reclaim takes the loans back that were given back, and returns how many bytes they had.
func (r *ring) reclaim(from route) (n int64) {
	for r.first < len(r.loans) && from.isBack(&r.loans[r.first]) {
		r.free(r.loans[r.first].end)
		n += int64(r.loans[r.first].n)
		r.first++
	}
	if r.first == len(r.loans) {
		r.loans, r.first = r.loans[:0], 0
	}
	return n
}

// oldest returns the loan that comes back first.
func (r *ring) oldest() (l *loan, ok bool) {
	if r.first == len(r.loans) {
		return nil, false
	}
	return &r.loans[r.first], true
}

// free moves tail up.
func (r *ring) free(tail uint64) {
	if r.poison {
		size := uint64(len(r.mem) / r.page)
		for at := r.tail; at != tail; at++ {
			p := r.mem[int(at%size)*r.page:][:r.page]
			r.calls.Protect(p, false)
			for i := range p {
				p[i] = poison
			}
			if r.check {
				r.calls.Protect(p, true)
			}
		}
	}
	r.tail = tail
}

// poison is what pages are overwritten with when they come back, in tests.
const poison = 0xdb

// close gives the memory back to the system. Pages that the kernel holds stay as they are
// until it is done with them: a mapping is one reference to a page and a loan another. With
// check the addresses are never used again, so that a late write faults.
func (r *ring) close() {
	if r.check {
		r.calls.Drop(r.mem)
		r.calls.Protect(r.mem, true)
		return
	}
	sys.Unmap(r.mapping)
}
