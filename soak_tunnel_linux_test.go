package zerocopy_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A soakTunnel is a client and a server with a proxy between them, which has the
// connections front and back and copies each to the other.
type soakTunnel struct {
	*soak
	name           string
	rnd            *rand.Rand // before the goroutines begin
	client, server *soakPeer
	front, back    ztest.Stream
	up, down       *soakRelay
	broken         atomic.Bool // the proxy has closed a connection itself
	done           chan struct{}
}

// tunnel is the life of one tunnel. What becomes of it depends on the seed and its
// number alone, as far as the kernel lets it.
func (s *soak) tunnel(number uint64) {
	rnd := rand.New(rand.NewPCG(s.seed, number))
	tu := &soakTunnel{soak: s, rnd: rnd, done: make(chan struct{})}
	a, front, err := s.pair(rnd)
	if err != nil {
		s.fail("%v", err)
		time.Sleep(time.Second)
		return
	}
	back, b, err := s.pair(rnd)
	if err != nil {
		a.Close()
		front.Close()
		s.fail("%v", err)
		time.Sleep(time.Second)
		return
	}
	tu.front, tu.back = front, back
	script, kind := newSoakScript(rnd)
	tu.client, tu.server = newSoakPeer(a, number*2), newSoakPeer(b, number*2+1)
	tu.up = tu.relay(back, front, tu.client, tu.server)
	tu.down = tu.relay(front, back, tu.server, tu.client)
	trouble := tu.trouble(script)
	tu.name = fmt.Sprintf("tunnel %d (%s, %T, %T, %s, up %s, down %s)", number, kind, front, back, trouble.name, tu.up.name, tu.down.name)

	var peers, relays sync.WaitGroup
	peers.Go(tu.client.listen)
	peers.Go(tu.server.listen)
	peers.Go(func() { tu.client.play(script, true, s.stop) })
	peers.Go(func() { tu.server.play(script, false, s.stop) })
	relays.Go(tu.up.run)
	relays.Go(tu.down.run)
	if trouble.make != nil {
		peers.Go(trouble.make)
	}
	relays.Wait()
	close(tu.done)
	peers.Wait()
	tu.up.settle()
	tu.down.settle()
	for _, c := range []ztest.Stream{a, front, back, b} {
		soakDiscard(c)
	}
	s.ended.Add(1)
}

// pair makes two connected ends, of TCP more often than not.
func (s *soak) pair(rnd *rand.Rand) (a, b ztest.Stream, err error) {
	if rnd.IntN(3) > 0 {
		return s.listen[rnd.IntN(len(s.listen))].pair()
	}
	fd, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	var conns [2]net.Conn
	for i := range fd {
		f := os.NewFile(uintptr(fd[i]), "socket")
		c, e := net.FileConn(f)
		f.Close()
		conns[i], err = c, errors.Join(err, e)
	}
	if err != nil {
		return nil, nil, err
	}
	return conns[0].(*net.UnixConn), conns[1].(*net.UnixConn), nil
}

// A soakListener makes pairs of TCP connections. One for all of them would run out
// of ports with so many that have just been closed.
type soakListener struct {
	net.Listener
	mu sync.Mutex
}

func newSoakListener() (*soakListener, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	return &soakListener{Listener: l}, err
}

func (l *soakListener) pair() (a, b ztest.Stream, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	dialed, err := net.Dial("tcp4", l.Addr().String())
	for try := 0; errors.Is(err, syscall.EADDRNOTAVAIL) && try < 100; try++ {
		time.Sleep(100 * time.Millisecond)
		dialed, err = net.Dial("tcp4", l.Addr().String())
	}
	if err != nil {
		return nil, nil, err
	}
	for {
		accepted, err := l.Accept()
		if err != nil {
			dialed.Close()
			return nil, nil, err
		}
		if accepted.RemoteAddr().String() == dialed.LocalAddr().String() {
			return dialed.(*net.TCPConn), accepted.(*net.TCPConn), nil
		}
		accepted.Close() // a stranger's
	}
}

// soakDiscard closes c without a farewell, so that it leaves nothing in the kernel.
func soakDiscard(c ztest.Stream) {
	if c, ok := c.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	c.Close()
}

// soakDescriptors raises the limit of descriptors as far as it goes and returns it.
func soakDescriptors(t *testing.T) int {
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	}
	return int(min(uint64(limit.Cur), 1<<20))
}

// A soakTrouble is what goes wrong in a tunnel; make, if not nil, runs beside it.
type soakTrouble struct {
	name string
	make func()
}

// trouble decides what goes wrong: nothing in every second tunnel.
func (tu *soakTunnel) trouble(script []soakPhase) soakTrouble {
	rnd := tu.rnd
	var up, down int64
	for _, p := range script {
		up, down = up+p.up*int64(p.rounds), down+p.down*int64(p.rounds)
	}
	switch rnd.IntN(14) {
	case 0:
		tu.client.resetAt = rnd.Int64N(up + 1)
		return soakTrouble{name: "the client vanishes"}
	case 1:
		tu.server.resetAt = rnd.Int64N(down + 1)
		return soakTrouble{name: "the server vanishes"}
	case 2, 3:
		tu.client.stallAt, tu.server.stallAt = rnd.Int64N(down+1), rnd.Int64N(up+1)
		tu.stalls.Add(2)
		return soakTrouble{name: "stalls"}
	case 4, 5:
		times, pause := 1+rnd.IntN(30), soakPause(rnd, 20*time.Millisecond)
		tu.up.resumes, tu.down.resumes = rnd.IntN(40), rnd.IntN(40)
		return soakTrouble{"deadlines", func() { tu.deadlines(times, pause) }}
	case 6:
		which, pause := rnd.IntN(2), soakPause(rnd, 100*time.Millisecond)
		return soakTrouble{"the proxy closes", func() {
			if tu.sleep(pause) {
				tu.broken.Store(true)
				tu.closes.Add(1)
				[]ztest.Stream{tu.front, tu.back}[which].Close()
			}
		}}
	case 7:
		pause := soakPause(rnd, 100*time.Millisecond)
		return soakTrouble{"cancelled", func() {
			if tu.sleep(pause) {
				tu.up.cancel(errSoakCancelled)
				tu.down.cancel(errSoakCancelled)
				tu.cancels.Add(1)
			}
		}}
	}
	return soakTrouble{name: "no trouble"}
}

var errSoakCancelled = errors.New("the tunnel is cancelled")

// soakPause is a time of up to most, more often a short one.
func soakPause(rnd *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(rnd.Int64N(int64(most)) + 1))
}

// sleep waits, at most until the copies have ended, which it reports as false.
func (tu *soakTunnel) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-tu.done:
		return false
	}
}

// deadlines has a deadline of the proxy's pass, now of one wait and now of another.
func (tu *soakTunnel) deadlines(times int, pause time.Duration) {
	past := time.Unix(1, 0)
	for i := range times {
		if !tu.sleep(pause) {
			return
		}
		switch i % 4 {
		case 0:
			tu.front.SetReadDeadline(past)
		case 1:
			tu.back.SetWriteDeadline(past)
		case 2:
			tu.back.SetReadDeadline(past)
		case 3:
			tu.front.SetWriteDeadline(past)
		}
	}
}
