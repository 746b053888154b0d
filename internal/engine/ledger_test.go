package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// The sends that are held are those lent and not given back, up to the oldest, whatever the
// ranges and their order, also across 2³² (H14).
func TestH14Ledger(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 14))
		start := []uint32{0, 1<<32 - 1, 1<<32 - 40, 1<<31 - 5, 12345}[seed%5]
		l := ledger{oldest: start, next: start}
		var held []uint32 // in order, by a model that knows no ranges
		next := start
		for step := range 400 {
			switch n := rnd.IntN(10); {
			case n < 5 || len(held) == 0:
				for range 1 + rnd.IntN(1+int(seed)) {
					if id := l.lend(); id != next {
						t.Fatalf("seed %d, step %d: %d, want %d", seed, step, id, next)
					}
					held = append(held, next)
					next++
				}
			case n < 9: // a run of what is held
				at := rnd.IntN(len(held))
				to := at + 1
				for to < len(held) && held[to] == held[to-1]+1 && rnd.IntN(4) > 0 {
					to++
				}
				c := sys.Completion{First: held[at], Last: held[to-1]}
				if !l.complete(c) {
					t.Fatalf("seed %d, step %d: %+v was not lent; the oldest is %d, the next %d", seed, step, c, l.oldest, l.next)
				}
				held = append(held[:at:at], held[to:]...)
			default: // what was never lent, or has been given back in full
				oldest := next
				if len(held) > 0 {
					oldest = held[0]
				}
				before, back := l, slices.Clone(l.back)
				for _, c := range []sys.Completion{
					{First: next, Last: next}, {First: oldest, Last: next}, {First: oldest - 1, Last: oldest - 1}, {First: oldest - 1, Last: next - 1},
					{First: next + 1<<31, Last: next + 1<<31}, {First: oldest, Last: oldest - 1}, {First: next - 1, Last: next - 2},
				} {
					if l.complete(c) {
						t.Fatalf("seed %d, step %d: %+v of %d to %d", seed, step, c, oldest, next)
					}
				}
				if l.oldest != before.oldest || l.next != before.next || !slices.Equal(l.back, back) {
					t.Fatalf("seed %d, step %d: what was refused has changed the ledger", seed, step)
				}
			}
			oldest := next
			if len(held) > 0 {
				oldest = held[0]
			}
			if l.oldest != oldest || l.next != next || l.held() != int(next-oldest) {
				t.Fatalf("seed %d, step %d: %d to %d, want %d to %d", seed, step, l.oldest, l.next, oldest, next)
			}
			for _, id := range []uint32{oldest - 1, oldest, next - 1, next, next + 1<<31} {
				if want := id-oldest < next-oldest; l.holds(id) != want {
					t.Fatalf("seed %d, step %d: holds(%d) of %d to %d", seed, step, id, oldest, next)
				}
			}
		}
	}
}

// Ranges are inclusive, and one completion may speak of all there is.
func TestH14LedgerRanges(t *testing.T) {
	t.Parallel()
	l := ledger{oldest: 1<<32 - 2, next: 1<<32 - 2}
	for range 5 { // 4294967294, 4294967295, 0, 1, 2
		l.lend()
	}
	for _, tt := range []struct {
		first, last uint32
		ok          bool
		held        int
	}{
		{2, 2, true, 5},                  // the last comes first
		{1<<32 - 1, 0, true, 5},          // across the end of the numbers
		{3, 3, false, 5},                 // not lent yet
		{1<<32 - 3, 1<<32 - 2, false, 5}, // one too early
		{1<<32 - 2, 1<<32 - 2, true, 2},
		{1<<32 - 2, 1<<32 - 2, false, 2}, // is back
		{1, 2, true, 0},                  // one of them again
		{1, 1, false, 0},
	} {
		if ok := l.complete(sys.Completion{First: tt.first, Last: tt.last}); ok != tt.ok || l.held() != tt.held {
			t.Errorf("%d to %d: %v, %d held, want %v, %d", tt.first, tt.last, ok, l.held(), tt.ok, tt.held)
		}
	}
	const many = 10_000
	for range many {
		l.lend()
	}
	if !l.complete(sys.Completion{First: 3, Last: 2 + many}) || l.held() != 0 {
		t.Errorf("%d of %d are held", l.held(), many)
	}
}
