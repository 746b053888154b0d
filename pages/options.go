package pages

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Lending says how a [Writer] may lend its buffers to a pipe. To a TCP connection they are
// lent by MSG_ZEROCOPY unless it is Never.
type Lending uint8

const (
	// Fastest needs no promise: plain writes at first and, once 4 MiB were sent, fresh
	// huge pages if this kernel is faster with them, as measured when the first such
	// Writer is made (some milliseconds, once in a process).
	Fastest Lending = iota
	// FreshPages gives each page away once and for all: it leaves the process, so that
	// nobody can change it, and the next buffer is fresh memory. The kernel has to clear
	// it, at a page fault for each page: with ordinary pages that costs three times as
	// much as a plain write, with huge ones (Options.Huge) half. A huge page leaves the
	// process when all of it was given away; until then it is the caller who must not
	// touch what he has committed.
	FreshPages
	// ReaderCopies is the caller's promise that whoever reads the pipe copies: it calls
	// read(2), and does not splice or tee what it finds to somewhere else, where pages
	// would live on, and the process that reads the pipe is the last one. Then a page is
	// used again when as many bytes have gone into the pipe behind it as are still there
	// (FIONREAD), which the memory, at least the pipe's capacity and three buffers, makes
	// true without a wait. That is safe whoever else writes to the pipe; but then Wait has to
	// wait until the pipe has no more in it than went in behind.
	ReaderCopies
	// Never writes plainly, also to a TCP connection.
	Never
)

var lendingNames = [...]string{"fastest", "fresh-pages", "reader-copies", "never"}

// String returns the name, as [Lending.UnmarshalText] takes it.
func (l Lending) String() string {
	if int(l) < len(lendingNames) {
		return lendingNames[l]
	}
	return fmt.Sprintf("Lending(%d)", uint8(l))
}

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (l Lending) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]: a flag of a command can be a Lending.
func (l *Lending) UnmarshalText(text []byte) error {
	for i, name := range lendingNames {
		if name == string(text) {
			*l = Lending(i)
			return nil
		}
	}
	return fmt.Errorf("pages: unknown lending %q (known: fastest, fresh-pages, reader-copies, never)", text)
}

// Options configure a Writer. The zero value is the default.
type Options struct {
	// Size is how many bytes a buffer has, rounded up to whole pages; 0 is 64 KiB, and a
	// quarter of the capacity of a pipe that is larger than 256 KiB, up to 1 MiB.
	Size int
	// Lend says how buffers may be lent to a pipe.
	Lend Lending
	// Memory is how much page memory there is, in bytes; less than what a pipe takes, or
	// two buffers to a TCP connection, is rounded up to that. 0 is that for a pipe and 4
	// MiB for a TCP connection, all of which is used in turn once bytes are lent. Fastest has
	// its own measure, two huge pages.
	Memory int
	// LendFrom is the least number of bytes in a commit that are lent; 0 is 10 KiB to a
	// TCP connection and 16 KiB to a pipe. See docs/performance.md, "Lent pages".
	LendFrom int
	// Huge asks for huge pages (MADV_HUGEPAGE, see madvise(2)).
	Huge bool
	// Check write-protects every buffer from its Commit to the Next that returns it: a
	// write too early, by a slice kept from before, faults at the culprit. For tests: it
	// costs two system calls a buffer, and Close keeps the addresses reserved.
	Check bool
	// Linger is for how long Close waits for what is lent; 0 is a second, and less than 0
	// not at all.
	Linger time.Duration
}

const (
	defaultSize    = 64 << 10
	maxDefaultSize = 1 << 20
	defaultMemory  = 4 << 20
	defaultLinger  = time.Second
	// maxSize keeps sums of sizes within an int of 32 bits.
	maxSize = 1 << 28
	// lendFromPipe is where a loan to a pipe begins to pay: pieces of 4 KiB gain nothing
	// (docs/performance.md, "Lent pages").
	lendFromPipe = 16 << 10
	// bulkFrom is how much Fastest writes plainly first. After each lookAfter it looks whether
	// it got huge pages, and if not it writes plainly for lookAgain.
	bulkFrom  = 4 << 20
	lookAfter = 64 << 20
	lookAgain = 1 << 30
	// lendFromSocket is where a loan to a socket begins to pay on devices that do not
	// copy, according to Documentation/networking/msg_zerocopy.rst.
	lendFromSocket = 10 << 10
)

var pageSize = os.Getpagesize()

// complete fills in what is 0, and says what cannot be.
func (o Options) complete() (Options, error) {
	switch {
	case o.Size < 0 || o.Size > maxSize:
		return o, fmt.Errorf("pages: a Size of %d bytes: it has to be between 1 and %d", o.Size, maxSize)
	case o.Memory < 0 || o.Memory > 4*maxSize:
		return o, fmt.Errorf("pages: a Memory of %d bytes: it has to be between 1 and %d", o.Memory, 4*maxSize)
	case o.LendFrom < 0:
		return o, errors.New("pages: LendFrom is less than 0")
	case int(o.Lend) >= len(lendingNames):
		return o, fmt.Errorf("pages: unknown lending %d", o.Lend)
	}
	o.Size = roundUp(o.Size)
	if o.Linger == 0 {
		o.Linger = defaultLinger
	}
	return o, nil
}
