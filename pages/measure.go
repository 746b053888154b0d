package pages

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// What is faster is asked of the kernel itself, since it depends on it: page faults are dear
// on virtual machines, and a kernel may make vmsplice a copy.

// measured are the answers, each asked for once in a process.
var measured struct{ fresh, take measurement }

// A measurement is made once; if it fails, for want of a descriptor for instance, again.
type measurement struct {
	mu         sync.Mutex
	done, wins bool
}

func (m *measurement) ask(measure func() (wins, ok bool)) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.done {
		m.wins, m.done = measure()
	}
	return m.wins
}

// piece is what is moved at a time.
const piece = 64 << 10

// freshIsFaster reports whether fresh huge pages given to a pipe are faster than plain
// writes.
func freshIsFaster() bool {
	return measured.fresh.ask(func() (wins, ok bool) {
		return faster(sys.HugePage, true, vmsplice, plainRead, plainWrite, plainRead)
	})
}

// takeIsFaster reports whether vmsplice takes bytes out of a pipe faster than read.
func takeIsFaster() bool {
	return measured.take.ask(func() (wins, ok bool) {
		return faster(16*piece, false, plainWrite, vmspliceRead, plainWrite, plainRead)
	})
}

// faster reports whether the first way of putting n bytes into a pipe and of taking them out
// again takes less time than the second, by a tenth at least: the median of some rounds each,
// by turns. What does not work is not faster, and
// ok is false if nothing could be measured. The memory that bytes come from is dropped
// after each round of a vmsplice, which has to pay for it.
func faster(n int, huge bool, put1, take1, put2, take2 func(fd int, p []byte) error) (wins, ok bool) {
	const rounds, margin = 3, 1.1
	r, w, err := (*sys.Calls)(nil).Pipe()
	if err != nil {
		return false, false
	}
	defer sys.Close(r)
	defer sys.Close(w)
	if size, err := (*sys.Calls)(nil).SetPipeSize(w, piece); err != nil || size < piece {
		return false, false
	}
	out := make([]byte, piece)
	ways := [2]struct {
		put, take func(fd int, p []byte) error
		mem       []byte
		took      []time.Duration
	}{{put: put1, take: take1}, {put: put2, take: take2}}
	for i := range ways {
		mem, mapping, err := (*sys.Calls)(nil).Map(n, huge && i == 0)
		if err != nil {
			return false, false
		}
		defer sys.Unmap(mapping)
		ways[i].mem = mem
	}
	for range rounds {
		for i := range ways {
			way := &ways[i]
			start := time.Now()
			for at := 0; at < n; at += piece {
				p := way.mem[at : at+piece]
				if i == 1 {
					p = way.mem[:piece] // a plain write has its buffer back at once
				}
				copy(p, out) // the least that a producer does
				if way.put(w, p) != nil || way.take(r, out) != nil {
					return false, true
				}
			}
			if huge && i == 0 && (*sys.Calls)(nil).Drop(way.mem) != nil {
				return false, false
			}
			way.took = append(way.took, time.Since(start))
		}
	}
	for i := range ways {
		slices.Sort(ways[i].took)
	}
	return float64(ways[0].took[rounds/2])*margin < float64(ways[1].took[rounds/2]), true
}

func vmsplice(w int, p []byte) error {
	n, err := (*sys.Calls)(nil).Vmsplice(w, p, false)
	return whole(n, p, err)
}

func plainWrite(w int, p []byte) error {
	n, err := (*sys.Calls)(nil).Write(w, p)
	return whole(n, p, err)
}

func vmspliceRead(r int, p []byte) error {
	n, err := (*sys.Calls)(nil).VmspliceRead(r, p)
	return whole(n, p, err)
}

func plainRead(r int, p []byte) error {
	n, err := (*sys.Calls)(nil).Read(r, p)
	return whole(n, p, err)
}

func whole(n int, p []byte, err error) error {
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}
