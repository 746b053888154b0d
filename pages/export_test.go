package pages

import (
	"io"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// What tests see of the inside.

// NewWriterWith is NewWriter with calls between the Writer and the kernel.
func NewWriterWith(calls *sys.Calls, w io.Writer, o *Options) (*Writer, error) {
	return newWriter(calls, w, o)
}

// Poison has every page that comes back overwritten at once: whoever still refers to one
// sees it. Memory that is taken later is treated so, too.
func (b *Writer) Poison() { b.ring.poison = true }

// RingSize is how many bytes of page memory b has.
func (b *Writer) RingSize() int { return len(b.ring.mem) }

// SetFreshFaster answers what would be measured: whether fresh huge pages are faster.
func SetFreshFaster(wins bool) {
	measured.fresh.ask(func() (bool, bool) { return wins, true })
	measured.fresh.wins = wins
}

// FreshFaster is what was measured.
func FreshFaster() bool { return freshIsFaster() }

// SetSplice says which way r takes bytes out of a pipe. It reports false if r is not the
// Reader of a pipe.
func (r *Reader) SetSplice(splice bool) bool {
	r.splice = splice
	return r.taker != nil
}

// Splices reports which way r takes bytes out of a pipe.
func (r *Reader) Splices() bool { return r.splice }

// Constants of the package.
const (
	DefaultSize    = defaultSize
	BulkFrom       = bulkFrom
	LendFromPipe   = lendFromPipe
	LendFromSocket = lendFromSocket
)

// LookAfter is after how many bytes Fastest looks at the page faults.
const LookAfter = lookAfter
