// Package kpipe keeps the private pipes through which bytes are spliced.
//
// A pipe is borrowed empty by [Pool.Get] and given back by [Pool.Put] or, when
// bytes are left in it, closed by [Pool.Discard]: what one copy left behind never
// reaches another.
package kpipe

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

const (
	// wantSize is asked for with F_SETPIPE_SZ: the default of
	// /proc/sys/fs/pipe-max-size, so that it needs no privilege, and what the
	// standard library takes (maxSpliceSize in internal/poll).
	wantSize = 1 << 20
	// minSize is the least a pipe must have to be worth splicing through. An
	// unprivileged user whose share of pipe memory is used up gets pipes of two
	// pages (pipe(7), pipe-user-pages-soft), through which splicing costs twice
	// as much as reading and writing (H10).
	minSize = 64 << 10
	// maxIdle is how many empty pipes are kept. A pipe is borrowed only while
	// bytes are in it, so as many are in use as copies move at the same moment.
	maxIdle = 16
)

// A Pipe is a pipe of this process alone: both ends nonblocking, close-on-exec.
type Pipe struct {
	R, W int // the ends
	Size int // in bytes, as F_GETPIPE_SZ has it
}

// A Pool is a set of empty pipes. The zero value is ready, and safe for
// concurrent use.
type Pool struct {
	mu   sync.Mutex
	idle []*Pipe

	open, created, discarded atomic.Int64
}

// Shared is the pool of the process.
var Shared Pool

// Get borrows an empty pipe. It fails with the errno of pipe2(2), or with EPERM
// where the user's share of pipe memory is used up.
func (p *Pool) Get(calls *sys.Calls) (*Pipe, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		pipe := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return pipe, nil
	}
	p.mu.Unlock()

	r, w, err := calls.Pipe()
	if err != nil {
		return nil, err
	}
	size, err := calls.SetPipeSize(w, wantSize)
	if err != nil {
		size, err = calls.PipeSize(w)
	}
	if err == nil && size < minSize {
		err = syscall.EPERM
	}
	if err != nil {
		sys.Close(r)
		sys.Close(w)
		return nil, err
	}
	p.open.Add(1)
	p.created.Add(1)
	return &Pipe{R: r, W: w, Size: size}, nil
}

// Put gives an empty pipe back.
func (p *Pool) Put(pipe *Pipe) {
	p.mu.Lock()
	if len(p.idle) < maxIdle {
		p.idle = append(p.idle, pipe)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	p.close(pipe)
}

// Discard closes a pipe that has bytes in it.
func (p *Pool) Discard(pipe *Pipe) {
	p.discarded.Add(1)
	p.close(pipe)
}

func (p *Pool) close(pipe *Pipe) {
	sys.Close(pipe.R)
	sys.Close(pipe.W)
	p.open.Add(-1)
}

// CloseIdle closes the pipes that nobody has borrowed.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, pipe := range idle {
		p.close(pipe)
	}
}

// Stats counts the pipes of a pool.
type Stats struct {
	Open      int64 // open now, borrowed or idle
	Idle      int64 // open and empty, waiting to be borrowed
	Created   int64 // made since the start of the process
	Discarded int64 // closed because bytes were left in them
}

// Stats returns the counts of this moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	idle := int64(len(p.idle))
	p.mu.Unlock()
	return Stats{Open: p.open.Load(), Idle: idle, Created: p.created.Load(), Discarded: p.discarded.Load()}
}
