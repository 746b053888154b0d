package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A peer is the process at one end of what a contender relays: the source, which
// dials the contender, or the sink, which the contender dials.
//
//	listen    the sink accepts and, as Mode says, reads, discards, or echoes
//	accepted  waits until Streams connections are there
//	collect   waits until Streams connections have ended; what each brought
//	count     how much has come until now, and when that is
//	hold      the sink reads nothing more, on the connection from Addr or on all,
//	          until release or close
//	dial      the source opens Streams connections to Addr
//	send      writes for a time or so many bytes on all of them, then ends them
//	          and waits for the end from the other side; with Keep it leaves them
//	idle      opens Streams more, has Bytes echoed on all of them at the same time,
//	          and leaves them
//	trips     one message after the other on the one connection
//	take      reads descriptor 4 until its end
//	close     drops everything
type peer struct {
	host  string // address to listen on
	conns []*net.TCPConn
	idle  []*net.TCPConn
	sink  *sink
}

// A sink is what came of one listen.
type sink struct {
	ln   net.Listener
	mu   sync.Mutex
	open []*net.TCPConn // all that were accepted
	over []ended

	began time.Time
	got   atomic.Int64 // bytes of all connections
	held  atomic.Value // string: an address, heldAll, or none
}

// heldAll is held where no connection is read.
const heldAll = "all"

func (s *sink) holds(from string) bool {
	held := s.held.Load()
	return held == from || held == heldAll
}

// ended is what a connection of the sink has brought.
type ended struct {
	bytes int64
	sum   string
	err   error
}

// What the sink does with what arrives.
const (
	sinkRead    = "read"    // into user memory
	sinkDiscard = "discard" // dropped in the kernel
	sinkEcho    = "echo"    // sent back, message by message
	sinkHash    = "hash"
)

// chunk is how much the source writes and the sink reads at once: small enough for
// a second-level cache, large enough that their calls do not count.
const chunk = 256 << 10

func (p *peer) do(q request) response {
	switch q.Op {
	case "listen":
		return p.listen(q)
	case "accepted":
		return p.sink.await(q, func(s *sink) bool { return len(s.open) >= q.Streams })
	case "collect":
		return p.sink.collect(q)
	case "count":
		return response{Bytes: p.sink.got.Load(), Elapsed: time.Since(p.sink.began)}
	case "hold":
		p.sink.held.Store(cmp.Or(q.Addr, heldAll))
		return response{}
	case "release":
		p.sink.held.Store("")
		return response{}
	case "dial":
		began := time.Now()
		conns, err := dialAll(q.Addr, q.Streams)
		p.conns = append(p.conns, conns...)
		return outcome(response{Elapsed: time.Since(began)}, err)
	case "send":
		return p.send(q)
	case "idle":
		return p.leave(q)
	case "trips":
		return p.trips(q)
	case "take":
		return take(q)
	case "close":
		return p.close()
	}
	return response{Err: "unknown"}
}

func outcome(a response, err error) response {
	if err != nil {
		return failed(err)
	}
	return a
}

// dialAll opens n connections, some at a time.
func dialAll(addr string, n int) ([]*net.TCPConn, error) {
	conns := make([]*net.TCPConn, n)
	errs := make([]error, n)
	var all sync.WaitGroup
	some := make(chan struct{}, 32)
	for i := range n {
		some <- struct{}{}
		all.Go(func() {
			defer func() { <-some }()
			var c net.Conn
			if c, errs[i] = net.DialTimeout("tcp", addr, patience); errs[i] == nil {
				conns[i] = c.(*net.TCPConn)
			}
		})
	}
	all.Wait()
	conns = slices.DeleteFunc(conns, func(c *net.TCPConn) bool { return c == nil })
	return conns, errors.Join(errs...)
}

func (p *peer) listen(q request) response {
	ln, err := net.Listen("tcp", net.JoinHostPort(p.host, "0"))
	if err != nil {
		return failed(err)
	}
	p.sink = &sink{ln: ln, began: time.Now()}
	go p.sink.accept(q)
	return response{Addr: ln.Addr().String()}
}

func (s *sink) accept(q request) {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		conn := c.(*net.TCPConn)
		s.mu.Lock()
		s.open = append(s.open, conn)
		size := pieceFor(len(s.open))
		s.mu.Unlock()
		go func() {
			e := s.drain(conn, q, size)
			conn.Close()
			s.mu.Lock()
			s.over = append(s.over, e)
			s.mu.Unlock()
		}()
	}
}

// pieceFor is how much is written or read at once where there are n connections:
// a thousand of them shall not each have a large buffer.
func pieceFor(n int) int {
	if n > 64 {
		return chunk / 4
	}
	return chunk
}

// drain takes what conn brings until it ends.
func (s *sink) drain(conn *net.TCPConn, q request, size int) (e ended) {
	take := conn.Read
	var h hash.Hash
	switch q.Mode {
	case sinkHash:
		h = sha256.New()
	case sinkDiscard:
		take = func(buf []byte) (int, error) { return discard(conn, buf) }
	case sinkEcho:
		size = q.Size
		take = func(buf []byte) (int, error) {
			n, err := io.ReadFull(conn, buf)
			if err == nil {
				_, err = conn.Write(buf)
			}
			if err == io.ErrUnexpectedEOF && n > 0 {
				err = fmt.Errorf("a message of %d bytes, want %d", n, len(buf))
			}
			return n, err
		}
	}
	buf, from := make([]byte, size), conn.RemoteAddr().String()
	for {
		for s.holds(from) {
			time.Sleep(time.Millisecond)
		}
		n, err := take(buf)
		if h != nil {
			h.Write(buf[:n])
		}
		e.bytes += int64(n)
		s.got.Add(int64(n))
		if err == io.EOF {
			break
		} else if err != nil {
			e.err = err
			break
		}
	}
	if h != nil {
		e.sum = hex.EncodeToString(h.Sum(nil))
	}
	return e
}

// discard is a read that drops the bytes in the kernel (tcp(7), MSG_TRUNC).
func discard(conn *net.TCPConn, buf []byte) (n int, err error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	er := rc.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), buf, syscall.MSG_TRUNC)
		return err != syscall.EAGAIN
	})
	switch {
	case er != nil:
		return 0, er
	case err == syscall.EINTR:
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// await waits for a state of the sink.
func (s *sink) await(q request, reached func(*sink) bool) response {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		s.mu.Lock()
		ok, came, over := reached(s), len(s.open), len(s.over)
		s.mu.Unlock()
		if ok {
			return response{}
		}
		if time.Since(began) > q.For+patience/2 {
			return response{Err: fmt.Sprintf("%d connections have come and %d have ended, want %d", came, over, q.Streams)}
		}
	}
}

func (s *sink) collect(q request) (a response) {
	if a = s.await(q, func(s *sink) bool { return len(s.over) >= q.Streams }); a.Err != "" {
		return a
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.over {
		if e.err != nil {
			return failed(e.err)
		}
		a.Streams = append(a.Streams, e.bytes)
		a.Bytes += e.bytes
		a.Sum = e.sum
		a.Sums = append(a.Sums, e.sum)
	}
	return a
}

func (p *peer) close() response {
	all := slices.Concat(p.conns, p.idle)
	if p.sink != nil {
		p.sink.ln.Close()
		p.sink.held.Store("")
		p.sink.mu.Lock()
		all = append(all, p.sink.open...)
		p.sink.mu.Unlock()
	}
	for _, c := range all {
		c.SetLinger(0) // thousands of connections a minute shall leave no ports behind
		c.Close()
	}
	p.conns, p.idle, p.sink = nil, nil, nil
	return response{}
}
