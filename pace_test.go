package zerocopy_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
)

// play plays events to p, one a letter:
//
//	F f  a read that filled its buffer, or did not
//	D d  a drain of as much as pays, or of a byte less
//	H    a drain that filled more than half of its pipe
//	n    no pipe was to be had
func play(p *zerocopy.StreamPace, events string) {
	const max = 1 << 20
	for _, e := range events {
		switch e {
		case 'F', 'f':
			p.Read(e == 'F')
		case 'D':
			p.Drained(zerocopy.ShortDrain, max, false)
		case 'd':
			p.Drained(zerocopy.ShortDrain-1, max, false)
		case 'H':
			p.Drained(max, max, true)
		case 'n':
			p.NoPipe()
		default:
			panic(e)
		}
	}
}

// TestPace: the transitions, on the constants as they are.
func TestPace(t *testing.T) {
	t.Parallel()
	if zerocopy.BulkReads != 3 || zerocopy.ShortDrains != 4 || zerocopy.FilledDrains != 2 || zerocopy.ShortDrain != 16<<10 {
		t.Fatal("the rows are of other constants")
	}
	for _, tt := range []struct {
		events, why string
		bulk        bool
		class       int
	}{
		{"", "a stream starts by read and write", false, 0},
		{"FF", "64 KiB are a message", false, 0},
		{"FFF", "more is bulk, with the smallest pipe", true, 0},
		{"FFfFF", "in a row: a read that is not full ends it", false, 0},
		{"FFfFFF", "and another row begins", true, 0},
		{"fFFF", "the start may be slow", true, 0},
		{"ffffffff", "small messages for ever", false, 0},
		{"FFFD", "a drain that pays", true, 0},
		{"FFFddd", "a few short drains are the tails of bursts", true, 0},
		{"FFFdddd", "more are messages", false, 0},
		{"FFFdddDddd", "in a row: one that pays ends it", true, 0},
		{"FFFdddHddd", "also one that fills the pipe", true, 0},
		{"FFFdddDdddd", "and another row begins", false, 0},
		{"FFFddddF", "back at the start nothing is left of before", false, 0},
		{"FFFddddFF", "but it may begin anew", false, 0},
		{"FFFddddFFF", "and be bulk again", true, 0},
		{"FFFH", "once more than half full may be chance", true, 0},
		{"FFFHH", "twice in a row is the next size", true, 1},
		{"FFFHDH", "in a row: a drain of less ends it", true, 0},
		{"FFFHHH", "each size has to be filled twice", true, 1},
		{"FFFHHHH", "the largest", true, 2},
		{"FFFHHHHHHHHHH", "there is none beyond", true, 2},
		{"FFFHHDDDDDDDD", "a size is kept as long as the stream is bulk", true, 1},
		{"FFFHHHHddd", "also in the tails of bursts", true, 2},
		{"FFFHHHHdddd", "an interactive stream forgets it", false, 0},
		{"FFFHHHHddddFFF", "and begins with the smallest", true, 0},
		{"FFFn", "a stream that gets no pipe is bulk all the same", true, 0},
		{"FFFHHn", "and keeps its size", true, 1},
	} {
		var p zerocopy.StreamPace
		play(&p, tt.events)
		if p.Bulk() != tt.bulk || p.Class() != tt.class {
			t.Errorf("%s: after %q bulk %v, class %d; want %v, %d", tt.why, tt.events, p.Bulk(), p.Class(), tt.bulk, tt.class)
		}
	}
}

// TestPaceShortOfALimit: a drain that was asked for less than what pays, and has moved
// all of it, is not a short one.
func TestPaceShortOfALimit(t *testing.T) {
	t.Parallel()
	var p zerocopy.StreamPace
	play(&p, "FFF")
	for range 10 {
		p.Drained(4096, 4096, false)
	}
	if !p.Bulk() {
		t.Error("chunks of 4096 bytes, all of them whole, made it interactive")
	}
	for range zerocopy.ShortDrains {
		p.Drained(4095, 4096, false)
	}
	if p.Bulk() {
		t.Error("chunks that were not whole did not")
	}
}

// TestPaceWaits: after each refusal so many turns go without a pipe, no more and no
// fewer, and then one is asked for.
func TestPaceWaits(t *testing.T) {
	t.Parallel()
	var p zerocopy.StreamPace
	if p.Waits() {
		t.Error("waits from the start")
	}
	play(&p, "FFF")
	for range 3 {
		p.NoPipe()
		for i := range zerocopy.PipeTurns {
			if !p.Waits() {
				t.Errorf("asks again after %d turns", i)
			}
		}
		if p.Waits() {
			t.Errorf("still waits after %d turns", zerocopy.PipeTurns)
		}
	}
}

// TestPaceInvariants plays events in no order: the class is a class, only a stream
// that is bulk has one, and a stream changes its state on the event that may change it.
func TestPaceInvariants(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 0))
	var p zerocopy.StreamPace
	var log strings.Builder
	for range 100_000 {
		before := p
		events := "Ffn"
		if p.Bulk() {
			events = "DdHn" // a stream that is bulk is not read, but for want of a pipe
		}
		e := events[rnd.IntN(len(events))]
		log.WriteByte(e)
		play(&p, string(e))
		began, ended := p.Bulk() && !before.Bulk(), before.Bulk() && !p.Bulk()
		if p.Class() < 0 || p.Class() > kpipe.Largest || !p.Bulk() && p.Class() != 0 || began && e != 'F' || ended && e != 'd' ||
			p.Class() > before.Class()+1 || p.Class() < before.Class() && !ended {
			s := log.String()
			t.Fatalf("seed %d: after %q", seed, s[max(0, len(s)-50):])
		}
	}
}
