package zerocopy

import "github.com/zerocopy-go/zerocopy/internal/kpipe"

// How a stream from a socket starts, and when it is spliced: a short message costs
// no more than a read and a write, and only what has proved to be bulk is worth a
// pipe (contract 9).

const (
	// bulkReads is how many full buffers (32 KiB each, io.Copy's) in a row make a
	// stream bulk, waits between them or not. A chunk of up to 32 KiB costs 0 to 5 %
	// more by splice than by read and write, one of 64 KiB 8 % less and one of 256 KiB
	// 35 % less (go test -run '^$' -bench Chunk -count 5 ., 2026-11-22), so three is the
	// first number of buffers that no message of a size at which it does not matter has.
	bulkReads = 3
	// shortDrain is below what a splice moves at no loss: half of the 32 KiB up to which
	// read and write are cheaper (see bulkReads), so that a stream of chunks about that
	// size does not go back and forth. shortDrains is how many in a row make a stream
	// interactive again: one is the tail of a burst, and four of them by splice instead
	// cost 2 µs in all by the same measurement.
	shortDrain  = 16 << 10
	shortDrains = 4
	// filledDrains is how many times in a row a stream has to fill more than half of
	// its pipe to get one of the next size: once may be a burst, and the budget is for
	// those that need it. A stream reaches 1 MiB after 640 KiB.
	filledDrains = 2
	// pipeTurns is how many buffers are read and written before a pipe is asked for
	// again where none was to be had. A refusal costs 4 µs (go test -run '^$' -bench Get
	// ./internal/kpipe, 2026-11-22), reading and writing 16 buffers some 240.
	pipeTurns = 16
)

// A pace is how fast a stream has proved to be. The zero value is one that has not.
type pace struct {
	bulk   bool
	run    int // in a row: full reads, or short drains of one that is bulk
	filled int // in a row: drains that filled more than half the pipe
	class  int // of the pipe it gets
	wait   int // turns to go until a pipe is asked for again
}

// read notes a read into a buffer that was filled by it, or not.
func (p *pace) read(full bool) {
	switch {
	case !full:
		p.run = 0
	case p.run+1 < bulkReads:
		p.run++
	default:
		*p = pace{bulk: true}
	}
}

// drained notes that a splice asked for max bytes has moved n, and whether they took
// more than half of the pipe.
func (p *pace) drained(n, max int, filled bool) {
	if !filled {
		p.filled = 0
	} else if p.filled++; p.filled == filledDrains {
		p.filled, p.class = 0, min(p.class+1, kpipe.Largest)
	}
	if n >= min(max, shortDrain) {
		p.run = 0
	} else if p.run++; p.run == shortDrains {
		*p = pace{}
	}
}

// noPipe notes that there was no pipe to be had.
func (p *pace) noPipe() { p.wait = pipeTurns }

// waits reports whether this turn goes without a pipe, since there was none.
func (p *pace) waits() bool {
	if p.wait > 0 {
		p.wait--
		return true
	}
	return false
}
