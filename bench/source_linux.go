package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"
)

// block is what the source writes over and over.
var block = sync.OnceValue(func() []byte {
	p := make([]byte, chunk)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
})

func (p *peer) send(q request) response {
	conns := p.conns
	if !q.Keep {
		p.conns = nil
	}
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
			if q.Keep {
				c.SetDeadline(began.Add(q.For)) // the other side may have stopped to read
			} else {
				defer c.Close()
				c.SetDeadline(began.Add(q.For + patience))
			}
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
				if q.Keep && errors.Is(err, os.ErrDeadlineExceeded) {
					return
				} else if err != nil {
					errs[i] = err
					return
				}
			}
			if q.Keep {
				return
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
