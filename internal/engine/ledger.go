package engine

import "github.com/zerocopy-go/zerocopy/internal/sys"

// A ledger says which of the sends with MSG_ZEROCOPY to one socket the kernel still
// holds. The kernel numbers them modulo 2³², and gives them back in ranges, in any order
// (H14, Documentation/networking/msg_zerocopy.rst).
type ledger struct {
	oldest uint32 // the oldest send that is held, next if there is none
	next   uint32 // the number of the next send
	back   []bool // by number modulo its length, a power of two: given back before the oldest
}

// lend enters a send, and returns its number.
func (l *ledger) lend() (id uint32) {
	if n := len(l.back); l.held() == n {
		back := make([]bool, max(2*n, 64))
		for id := l.oldest; id != l.next; id++ {
			back[int(id)&(len(back)-1)] = l.back[int(id)&(n-1)]
		}
		l.back = back
	}
	id = l.next
	*l.at(id) = false
	l.next++
	return id
}

// held returns how many sends there are from the oldest that is held on.
func (l *ledger) held() int { return int(l.next - l.oldest) }

// holds reports whether the kernel may hold a send, or one before it.
func (l *ledger) holds(id uint32) bool { return id-l.oldest < l.next-l.oldest }

func (l *ledger) at(id uint32) *bool { return &l.back[int(id)&(len(l.back)-1)] }

// complete strikes the sends out that c speaks of. It reports false if they were not all
// lent: somebody else lends to the socket.
func (l *ledger) complete(c sys.Completion) bool {
	n, held := c.Last-c.First, l.next-l.oldest
	if from := c.First - l.oldest; from >= held || n >= held-from {
		return false
	}
	for id := c.First; ; id++ {
		*l.at(id) = true
		if id == c.Last {
			break
		}
	}
	for l.oldest != l.next && *l.at(l.oldest) {
		l.oldest++
	}
	return true
}
