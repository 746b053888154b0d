package engine

import (
	"errors"
	"math"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// send(2) with MSG_ZEROCOPY lends pages of user memory to a TCP socket. They come back by
// a completion on the socket's error queue, once the peer has acknowledged them (H14).
//
// A completion raises EPOLLERR. Where that is the only condition of the socket, because
// nothing is to be read and its send queue is full, the runtime's poller takes the socket
// for one that it cannot poll, and whoever reads the connection gets "not pollable" (the
// eventErr of runtime/netpoll.go). So as long as anything is lent the send queue is kept
// so short that the socket stays writable: EPOLLOUT is always beside EPOLLERR then. The
// kernel says that a socket is writable up to two thirds of SO_SNDBUF
// (sk_stream_min_wspace); half leaves room for what one send adds in overhead. With
// TCP_NOTSENT_LOWAT it says so according to that, and nothing is lent. A kernel that is short
// of memory for all of TCP may shrink SO_SNDBUF; against that there is no guard.
//
// The kernel enlarges SO_SNDBUF only for a sender that ran out of it. So a Lender that
// waits for completions again and again lets everything come back and fills the queue by
// plain sends, until the kernel does not enlarge it any more. SO_SNDBUF is twice the
// congestion window then (tcp_sndbuf_expand), of which half is enough.

const (
	// leastRoom is how much room of the send queue is worth a send that is not the whole.
	leastRoom = 16 << 10
	// firstPatience is after how many waits for completions the queue is let grow; each
	// time that it did not, four times as many.
	firstPatience, mostPatience = 4, 4096
	// nap is how long to wait for the queue to become shorter when nothing is lent, of
	// which nobody tells; after maxNaps in which it has not, it is filled.
	nap, maxNaps = 250 * time.Microsecond, 20
	// mostCopies is for how many completions with COPIED more than there are twice as many
	// without a device counts as one that copies. Loopback, veth and tun say it of every send.
	// A device that does not may say it of a send whose last segment is short (seen with
	// vmxnet3: skb_zcopy_clear in __pskb_pull_tail), and completions that are joined in the
	// queue have the word of the first.
	mostCopies = 4
	// mostLocked is how often in a row ENOBUFS may come while nothing is lent: the limits are
	// those of a user, and it may be another process that has used them up for now.
	mostLocked = 8
)

// A loan is what is known about MSG_ZEROCOPY on one socket, as long as its owner lives.
type loan struct {
	ledger
	busy   bool  // a SocketLender has it
	copies int   // see mostCopies
	err    error // why nothing can be lent any more
}

// copied takes note of what a completion says of copying, and reports whether it is the device
// that copies.
func (l *loan) copied(c sys.Completion) bool {
	if c.Copied {
		l.copies++
	} else {
		l.copies = max(l.copies-2, 0)
	}
	return l.copies >= mostCopies
}

// loans has the sockets that were lent anything, by SO_COOKIE: the number of a send is
// counted by the socket, and a second SocketLender has to go on where the first ended.
var loans struct {
	sync.Mutex
	m map[uint64]*loan
}

var (
	// ErrCopied: the network device copies what it is lent.
	ErrCopied = errors.New("the network device copies what it is lent")
	// ErrLentElsewhere: somebody else uses MSG_ZEROCOPY on the socket.
	ErrLentElsewhere = errors.New("somebody else uses MSG_ZEROCOPY on this socket")
	// ErrNotSentLowWater: it would not be known when the socket is writable.
	ErrNotSentLowWater = errors.New("TCP_NOTSENT_LOWAT, or the sysctl net.ipv4.tcp_notsent_lowat, is set")
	// ErrLocked: not a single send can be lent.
	ErrLocked = errors.New("RLIMIT_MEMLOCK or net.core.optmem_max allows no loan")
)

// A SocketLender lends user memory to one TCP socket. It is used by one goroutine at a
// time.
type SocketLender struct {
	Calls *sys.Calls
	Dst   End
	// Err is why it does not lend any more: ErrCopied, ErrLentElsewhere, ErrLocked, an errno.
	Err error
	// Completions and NoBuffer count messages of the error queue, and ENOBUFS.
	Completions, NoBuffer atomic.Int64

	*loan
	cookie uint64

	p        []byte
	lend     bool // p is to be lent
	n        int
	lent     bool
	id       uint32
	errno    error
	nap      bool
	naps     int
	queued   int // at the last nap
	waits    int
	patience int
	growing  bool
	size     int // of the send queue when it last ran out of room
	plain    int // bytes since then that were not lent
	fulls    int // how often it has run full at this size
	until    uint32
	locked   int // see mostLocked

	sendFn, awaitFn func(uintptr) bool
	reapFn          func(uintptr)
}

// NewSocketLender returns a SocketLender for dst, a TCP socket that can be polled. Its Err
// is set if nothing can be lent; then it can be used all the same.
func NewSocketLender(calls *sys.Calls, dst End) *SocketLender {
	l := &SocketLender{Calls: calls, Dst: dst, patience: firstPatience}
	l.sendFn, l.awaitFn = l.sendReady, l.awaitReady
	l.reapFn = func(fd uintptr) { l.reap(int(fd)) }
	if err := dst.Raw.Control(func(fd uintptr) { l.Err = l.open(int(fd)) }); err != nil {
		l.Err = err
	}
	if l.loan == nil {
		l.loan = new(loan)
	}
	return l
}

// open finds or makes the loan of the socket.
func (l *SocketLender) open(fd int) error {
	if _, _, err := l.Calls.SendMemory(fd); err != nil {
		return err
	}
	switch mark, err := l.Calls.NotSentLowWater(fd); {
	case err != nil:
		return err
	case mark < math.MaxInt32:
		return ErrNotSentLowWater
	}
	cookie, err := l.Calls.Cookie(fd)
	if err != nil {
		return err
	}
	loans.Lock()
	defer loans.Unlock()
	known := loans.m[cookie]
	switch set, err := l.Calls.Zerocopy(fd); {
	case err != nil:
		return err
	case (known != nil) != set, known != nil && known.busy:
		return ErrLentElsewhere // or the answers could not be told apart, or there would be none
	case known != nil:
		known.busy = true
		l.loan, l.cookie = known, cookie
		return l.loan.err
	}
	if err := l.Calls.SetZerocopy(fd); err != nil {
		return err
	}
	if loans.m == nil {
		loans.m = make(map[uint64]*loan)
	}
	l.loan, l.cookie = &loan{busy: true}, cookie
	loans.m[cookie] = l.loan
	switch conn, ok := l.Dst.Conn.(*net.TCPConn); {
	case ok:
		runtime.AddCleanup(conn, forget, cookie)
	default:
		runtime.AddCleanup(l.Dst.File, forget, cookie)
	}
	return nil
}

func forget(cookie uint64) {
	loans.Lock()
	defer loans.Unlock()
	delete(loans.m, cookie)
}

// Close ends the use of l. What is still lent stays so.
func (l *SocketLender) Close() {
	loans.Lock()
	defer loans.Unlock()
	l.busy = false
}

// Held returns how many sends the kernel may hold, of which it will tell when it gives them
// back: none if somebody else lends to the socket.
func (l *SocketLender) Held() int {
	if l.Err == ErrLentElsewhere {
		return 0
	}
	return l.held()
}

// Holds reports whether the kernel may hold the send with that number.
func (l *SocketLender) Holds(id uint32) bool { return l.holds(id) }

// Send sends as much of p as finds room, and waits until something does: lent, if that is
// wanted and possible, or copied. id is the number of a send that was lent.
func (l *SocketLender) Send(p []byte, lend bool) (n int, lent bool, id uint32, err error) {
	for l.naps, l.queued = 0, 0; ; {
		l.p, l.lend, l.n, l.lent, l.errno, l.nap = p, lend, 0, false, nil, false
		err = l.Dst.Raw.Write(l.sendFn)
		l.p = nil
		switch {
		case l.n > 0:
			return l.n, l.lent, l.id, nil
		case err != nil:
			return 0, false, 0, l.Dst.Fail("write", "sendto", err)
		case l.errno != nil:
			return 0, false, 0, l.Dst.Fail("write", "sendto", l.errno)
		case l.nap:
			time.Sleep(nap)
		}
	}
}

// sendReady makes one attempt. It reports false to wait: for a completion if anything is
// lent, and otherwise for room, of which there was none.
func (l *SocketLender) sendReady(descriptor uintptr) bool {
	fd := int(descriptor)
	l.reap(fd)
	lend, n, held := l.lend && l.Err == nil && !l.growing, len(l.p), l.Held()
	if held > 0 || lend {
		most, queued, err := l.Calls.SendMemory(fd)
		room := most/2 - queued
		switch {
		case err != nil:
			l.errno = err
			return true
		case held > 0 && l.growing:
			return false
		case room >= min(n, leastRoom):
			n = min(n, room)
		case held > 0:
			if l.waits++; l.waits >= l.patience {
				l.waits, l.growing, l.size, l.plain, l.fulls = 0, true, most, 0, 0
			}
			return false
		case queued > 0 && (l.naps < maxNaps || queued < l.queued):
			if l.naps++; queued < l.queued {
				l.naps = 0
			}
			l.queued = queued
			l.nap = true
			return true
		default: // nothing is lent, so that the queue may be filled
			lend = false
		}
	}
	if lend {
		l.n, l.errno = l.Calls.Send(fd, l.p[:n], true)
		switch l.errno {
		case nil:
			l.lent, l.id, l.locked = true, l.ledger.lend(), 0
			return true
		case syscall.EAGAIN:
			l.errno = nil
			return false
		case syscall.ENOBUFS:
			l.NoBuffer.Add(1)
			if held > 0 {
				break
			}
			if l.locked++; l.locked == mostLocked {
				l.Err = ErrLocked
			}
		default:
			if !refusal(l.errno) {
				return true
			}
			l.stop(l.errno) // a protocol on top of TCP, kTLS for instance: a plain send decides
		}
	}
	l.n, l.errno = l.Calls.Send(fd, l.p[:n], false)
	if l.errno == syscall.EAGAIN {
		l.errno = nil
		l.full(fd)
		return false
	}
	if l.plain += max(l.n, 0); l.growing && l.plain > 2*l.size {
		l.grown() // the peer keeps up: it is not the queue that is short
	}
	return true
}

// full looks whether the send queue, which is full, has grown.
func (l *SocketLender) full(fd int) {
	if !l.growing {
		return
	}
	most, _, err := l.Calls.SendMemory(fd)
	if err == nil && most > l.size {
		l.size, l.plain, l.fulls, l.patience = most, 0, 0, firstPatience
		return
	}
	if l.fulls++; l.fulls > 1 { // it grows by the acknowledgement that follows the first
		l.grown()
	}
}

// grown goes back to lending.
func (l *SocketLender) grown() {
	l.growing, l.patience = false, min(4*l.patience, mostPatience)
}

// reap takes the completions that are there.
func (l *SocketLender) reap(fd int) {
	for l.Held() > 0 {
		c, ok, err := l.Calls.Completion(fd)
		if err != nil {
			return
		}
		if !ok {
			continue
		}
		l.Completions.Add(1)
		switch {
		case !l.complete(c):
			l.stop(ErrLentElsewhere)
		case l.copied(c):
			l.stop(ErrCopied)
		}
	}
}

// stop ends lending to the socket.
func (l *SocketLender) stop(err error) {
	l.growing = false
	if l.Err == nil || err == ErrLentElsewhere {
		l.Err = err
	}
	if l.loan.err == nil || err == ErrLentElsewhere {
		l.loan.err = err
	}
}

// Reap takes the completions that are there, without waiting. It fails if the socket is
// closed.
func (l *SocketLender) Reap() error {
	if err := l.Dst.Raw.Control(l.reapFn); err != nil {
		return l.Dst.Fail("write", "recvmsg", err)
	}
	return nil
}

// Await waits until the send with that number, and all before it, are given back.
func (l *SocketLender) Await(id uint32) error {
	l.until = id
	if err := l.Dst.Raw.Write(l.awaitFn); err != nil {
		return l.Dst.Fail("write", "recvmsg", err)
	}
	return nil
}

func (l *SocketLender) awaitReady(fd uintptr) bool {
	l.reap(int(fd))
	return l.Held() == 0 || !l.holds(l.until)
}
