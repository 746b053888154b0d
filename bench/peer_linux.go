package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A peer is the process at one end of what a contender relays: the source, which
// dials the contender, or the sink, which the contender dials.
//
//	listen    the sink accepts and, as Mode says, reads, discards, or echoes
//	accepted  waits until Streams connections are there
//	collect   waits until Streams connections have ended; what each brought
//	dial      the source opens Streams connections to Addr
//	send      writes for a time or so many bytes on all of them, then ends them
//	          and waits for the end from the other side
//	idle      opens Streams more, has Bytes echoed on all of them at the same time,
//	          and leaves them
//	trips     one message after the other on the one connection
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
	case "dial":
		conns, err := dialAll(q.Addr, q.Streams)
		p.conns = append(p.conns, conns...)
		return outcome(response{}, err)
	case "send":
		return p.send(q)
	case "idle":
		return p.leave(q)
	case "trips":
		return p.trips(q)
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
	p.sink = &sink{ln: ln}
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
	buf := make([]byte, size)
	for {
		n, err := take(buf)
		if h != nil {
			h.Write(buf[:n])
		}
		e.bytes += int64(n)
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
	}
	return a
}

// block is what the source writes over and over.
var block = sync.OnceValue(func() []byte {
	p := make([]byte, chunk)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
})

func (p *peer) send(q request) response {
	conns := p.conns
	p.conns = nil
	var a response
	var h hash.Hash
	if q.Hash {
		h = sha256.New()
	}
	a.Streams = make([]int64, len(conns))
	errs := make([]error, len(conns))
	data := block()[:pieceFor(len(conns))]
	var all sync.WaitGroup
	began := time.Now()
	for i, c := range conns {
		all.Go(func() {
			defer c.Close()
			c.SetDeadline(began.Add(q.For + patience))
			each := q.Bytes / int64(len(conns))
			for (q.Bytes == 0 || a.Streams[i] < each) && (q.For == 0 || time.Since(began) < q.For) {
				piece := data
				if q.Bytes > 0 {
					piece = data[:min(int64(len(data)), each-a.Streams[i])]
				}
				if h != nil {
					piece = slices.Clone(piece)
					rand.NewChaCha8([32]byte{byte(a.Streams[i] >> 16), 2}).Read(piece)
					h.Write(piece)
				}
				n, err := c.Write(piece)
				a.Streams[i] += int64(n)
				if err != nil {
					errs[i] = err
					return
				}
			}
			c.CloseWrite()
			if _, err := io.Copy(io.Discard, c); err != nil {
				errs[i] = err
			}
		})
	}
	all.Wait()
	a.Elapsed = time.Since(began)
	for _, n := range a.Streams {
		a.Bytes += n
	}
	if h != nil {
		a.Sum = hex.EncodeToString(h.Sum(nil))
	}
	return outcome(a, errors.Join(errs...))
}

// leave opens connections, has something echoed on them, and leaves them idle.
func (p *peer) leave(q request) response {
	conns, err := dialAll(q.Addr, q.Streams)
	p.idle = append(p.idle, conns...)
	if err != nil || q.Bytes == 0 {
		return outcome(response{}, err)
	}
	errs := make([]error, len(conns))
	var all sync.WaitGroup
	for i, c := range conns {
		all.Go(func() {
			c.SetDeadline(time.Now().Add(patience))
			data := block()
			for left := q.Bytes; left > 0 && errs[i] == nil; {
				var n int
				n, errs[i] = c.Write(data[:min(left, int64(len(data)))])
				left -= int64(n)
			}
			if errs[i] == nil {
				_, errs[i] = io.CopyN(io.Discard, c, q.Bytes)
			}
		})
	}
	all.Wait()
	return outcome(response{}, errors.Join(errs...))
}

// trips sends a message of Size bytes and waits for one of Reply bytes, again and
// again, for the time given, and times each.
func (p *peer) trips(q request) response {
	if len(p.conns) != 1 {
		return response{Err: "not one connection"}
	}
	c := p.conns[0]
	out, in := make([]byte, q.Size), make([]byte, q.Reply)
	copy(out, block())
	took := make([]time.Duration, 0, 1<<16)
	began := time.Now()
	c.SetDeadline(began.Add(q.For + patience))
	for last := began; last.Sub(began) < q.For; {
		if _, err := c.Write(out); err != nil {
			return failed(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			return failed(err)
		}
		now := time.Now()
		took = append(took, now.Sub(last))
		last = now
	}
	a := response{Ops: int64(len(took)), Elapsed: time.Since(began)}
	a.Bytes = a.Ops * int64(q.Size+q.Reply)
	slices.Sort(took)
	at := func(q float64) time.Duration { return took[int(q*float64(len(took)-1))] }
	a.P50, a.P99, a.P999 = at(0.5), at(0.99), at(0.999)
	return a
}

func (p *peer) close() response {
	all := slices.Concat(p.conns, p.idle)
	if p.sink != nil {
		p.sink.ln.Close()
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
