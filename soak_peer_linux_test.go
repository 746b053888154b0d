package zerocopy_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A soakPhase is a part of what client and server have to say to each other. Each
// round has the client send up bytes and the server down bytes.
type soakPhase struct {
	rounds   int
	up, down int64
	answers  bool          // the server waits for up, the client then for down
	pause    time.Duration // before each round
}

// newSoakScript invents a conversation.
func newSoakScript(rnd *rand.Rand) (script []soakPhase, kind string) {
	bulk := func() soakPhase { // 64 KiB to 4 MiB, on one side or on both
		p := soakPhase{rounds: 1, up: 1 << (16 + rnd.IntN(6)), down: 1 << (16 + rnd.IntN(6))}
		p.up += rnd.Int64N(p.up)
		if p.up, p.down = p.up*int64(rnd.IntN(2)), p.down+rnd.Int64N(p.down); rnd.IntN(2) == 0 {
			p.up, p.down = p.down, p.up
		}
		return p
	}
	words := func() soakPhase { // questions and answers of 1 B to 40 KB
		return soakPhase{rounds: 1 + rnd.IntN(60), up: 1 + rnd.Int64N(1+rnd.Int64N(40_000)), down: 1 + rnd.Int64N(1+rnd.Int64N(40_000)), answers: true}
	}
	trickle := func() soakPhase {
		return soakPhase{rounds: 1 + rnd.IntN(40), up: rnd.Int64N(100), down: rnd.Int64N(100), pause: soakPause(rnd, 20*time.Millisecond)}
	}
	idle := func() soakPhase { return soakPhase{rounds: 1, up: rnd.Int64N(3), pause: soakPause(rnd, 3*time.Second)} }
	switch rnd.IntN(6) {
	case 0, 1:
		return []soakPhase{bulk()}, "bulk"
	case 2:
		return []soakPhase{words()}, "words"
	case 3:
		return []soakPhase{trickle()}, "trickle"
	case 4:
		return []soakPhase{idle()}, "idle"
	}
	return []soakPhase{words(), bulk(), trickle(), bulk(), words()}, "of all kinds"
}

// A soakPeer is a client or a server. What it sends is named by its seed, so that the
// other one knows each byte.
type soakPeer struct {
	conn ztest.Stream
	out  ztest.Pattern
	sent atomic.Int64

	resetAt int64 // it vanishes when it has sent so many; -1 is never
	stallAt int64 // it pauses when it has received so many; -1 is never
	reset   atomic.Bool

	mu       sync.Mutex
	changed  sync.Cond // of mu
	received int64
	ended    bool   // nothing more comes
	wrong    string // where what came is not what was sent
}

func newSoakPeer(conn ztest.Stream, seed uint64) *soakPeer {
	p := &soakPeer{conn: conn, out: ztest.Pattern(seed), resetAt: -1, stallAt: -1}
	p.changed.L = &p.mu
	return p
}

var soakBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// listen receives until the end of the stream, or its failure. What comes was sent
// by the peer whose seed is the neighbour of its own.
func (p *soakPeer) listen() {
	in := p.out ^ 1
	b := make([]byte, 8<<10) // held while it waits, so not a large one
	for {
		n, err := p.conn.Read(b)
		p.mu.Lock()
		if s := in.Diff(b[:n], p.received); s != "" && p.wrong == "" {
			p.wrong = s
		}
		p.received += int64(n)
		p.ended = err != nil
		p.changed.Broadcast()
		stall := p.stallAt >= 0 && p.received > p.stallAt
		p.mu.Unlock()
		if err != nil {
			return
		}
		if stall {
			p.stallAt = -1
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// await waits until it has received n bytes, and reports whether it has.
func (p *soakPeer) await(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.received < n && !p.ended {
		p.changed.Wait()
	}
	return p.received >= n
}

// play says its part of the script and ends its direction of the stream. When stop
// is closed it comes to its end early.
func (p *soakPeer) play(script []soakPhase, client bool, stop <-chan struct{}) {
	defer func() {
		if !p.reset.Load() {
			p.conn.(interface{ CloseWrite() error }).CloseWrite()
		}
	}()
	var due int64 // what it has received when the other one has kept to the script
	for _, ph := range script {
		mine, theirs := ph.up, ph.down
		if !client {
			mine, theirs = theirs, mine
		}
		for range ph.rounds {
			if ph.pause > 0 {
				select {
				case <-time.After(ph.pause):
				case <-stop:
				}
			}
			select {
			case <-stop:
				return
			default:
			}
			due += theirs
			switch {
			case ph.answers && client:
				if !p.send(mine, stop) || !p.await(due) {
					return
				}
			case ph.answers:
				if !p.await(due) || !p.send(mine, stop) {
					return
				}
			case !p.send(mine, stop):
				return
			}
		}
	}
}

// send sends the next n bytes of its stream, and reports whether it has.
func (p *soakPeer) send(n int64, stop <-chan struct{}) bool {
	b := soakBuffers.Get().(*[32 << 10]byte)
	defer soakBuffers.Put(b)
	for n > 0 {
		select {
		case <-stop:
			return false
		default:
		}
		sent := p.sent.Load()
		piece := b[:min(n, int64(len(b)))]
		if p.resetAt >= 0 {
			piece = piece[:min(int64(len(piece)), max(p.resetAt-sent, 0))]
		}
		p.out.Fill(piece, sent)
		k, err := p.conn.Write(piece)
		p.sent.Add(int64(k))
		if n -= int64(k); err != nil {
			return false
		}
		if p.resetAt >= 0 && sent+int64(k) >= p.resetAt {
			p.reset.Store(true)
			soakDiscard(p.conn)
			return false
		}
	}
	return true
}
