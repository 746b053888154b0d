// Package kpipe keeps the private pipes through which bytes are spliced.
//
// A pipe is borrowed empty by [Pool.Get] and given back by [Pool.Put] or, when
// bytes are left in it, closed by [Pool.Discard]: what one copy left behind never
// reaches another. All pipes together stay inside a budget (see budget.go), and
// those that nobody has borrowed for a while are closed.
package kpipe

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// Sizes are the classes of pipes, in bytes. The least is the least that a pipe must
// have to be worth splicing through: an unprivileged user whose share of pipe memory
// is used up gets pipes of two pages (pipe(7), pipe-user-pages-soft), through which
// splicing costs twice as much as reading and writing (H10). The largest is the
// default of /proc/sys/fs/pipe-max-size, so that it needs no privilege.
var Sizes = [...]int{64 << 10, 256 << 10, 1 << 20}

const (
	classes = len(Sizes)
	// Largest is the class for a stream that fills whatever it gets.
	Largest = classes - 1
)

const (
	// maxIdle is how many empty pipes are kept. A pipe is borrowed only while bytes
	// are in it, so as many are in use as copies move at the same moment. It bounds
	// the descriptors that are held for nothing, to twice as many.
	maxIdle = 64
	// trimAfter is how often idle pipes are looked at: one that nobody needed since
	// the last look is closed. Making and closing one costs 7 µs (BenchmarkGet), so a
	// pipe that is used once in that time is not worth its descriptors.
	trimAfter = 5 * time.Second
	// retryAfter is how long a size that the kernel has refused is not asked for.
	retryAfter = time.Second
)

// ErrBudget says that no pipe fits into the budget of the process any more.
var ErrBudget = errors.New("the budget for pipes is used up")

// A Pipe is a pipe of this process alone: both ends nonblocking, close-on-exec.
type Pipe struct {
	R, W  int // the ends
	Size  int // in bytes, as F_GETPIPE_SZ has it
	class int
}

// Class returns the class that the pipe was made for, see [Sizes].
func (pipe *Pipe) Class() int { return pipe.class }

// A Pool is a set of empty pipes. The zero value is ready, and safe for
// concurrent use.
type Pool struct {
	// Limits, if not nil, is where the budget comes from, instead of the system.
	Limits func() Limits

	mu     sync.Mutex
	budget int64            // 0: not read yet
	max    int              // the largest class that pipe-max-size allows
	bytes  int64            // of all open pipes
	open   int64            // how many
	idle   [classes][]*Pipe // the last is borrowed next
	unused [classes]int     // the least number of idle pipes since the last trim
	timer  *time.Timer      // runs while there are idle pipes
	// The kernel has refused pipes of more than this class, until then.
	ceiling int
	until   time.Time

	created, discarded, refused int64
}

// Shared is the pool of the process.
var Shared Pool

// Get borrows an empty pipe of a class, or of a smaller one where no such pipe is
// idle and none can be made. It fails with the errno of pipe2(2), with EPERM where
// the user's share of pipe memory is used up, and with ErrBudget where ours is.
func (p *Pool) Get(calls *sys.Calls, class int) (*Pipe, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	class = min(class, p.allowed())
	for {
		if pipe := p.take(class); pipe != nil {
			return pipe, nil
		}
		if class == 0 || p.fits(class) {
			break
		}
		class--
	}
	err := ErrBudget
	if p.fits(class) {
		var pipe *Pipe
		if pipe, err = p.add(calls, class); err == nil {
			return pipe, nil
		}
	}
	if pipe := p.takeAny(); pipe != nil {
		return pipe, nil
	}
	p.refused++
	return nil, err
}

// allowed returns the largest class that there is a point in asking for.
func (p *Pool) allowed() int {
	if p.budget == 0 {
		limits := p.Limits
		if limits == nil {
			limits = system
		}
		l := limits()
		p.budget = max(l.Budget, 1)
		for p.max = Largest; p.max > 0 && Sizes[p.max] > l.MaxSize; {
			p.max--
		}
	}
	if !p.until.IsZero() {
		if time.Now().Before(p.until) {
			return min(p.max, p.ceiling)
		}
		p.until = time.Time{}
	}
	return p.max
}

// fits reports whether a new pipe of a class stays inside the budget. The larger
// ones may use a part of it only, so that many streams get a small pipe each and
// not a few a large one: 2/4 for 1 MiB, 3/4 for 256 KiB.
func (p *Pool) fits(class int) bool {
	return p.bytes+int64(Sizes[class]) <= p.budget*int64(4-class)/4
}

// take borrows an idle pipe of a class.
func (p *Pool) take(class int) *Pipe {
	n := len(p.idle[class]) - 1
	if n < 0 {
		return nil
	}
	pipe := p.idle[class][n]
	p.idle[class][n] = nil
	p.idle[class] = p.idle[class][:n]
	p.unused[class] = min(p.unused[class], n)
	return pipe
}

// takeAny borrows an idle pipe, the largest first.
func (p *Pool) takeAny() *Pipe {
	for class := Largest; class >= 0; class-- {
		if pipe := p.take(class); pipe != nil {
			return pipe
		}
	}
	return nil
}

// add opens a new pipe of a class, or of the largest below that the kernel grants.
// The lock is not held while the kernel makes it; its size is accounted for before.
func (p *Pool) add(calls *sys.Calls, class int) (*Pipe, error) {
	reserved := int64(Sizes[class])
	p.bytes += reserved
	p.mu.Unlock()
	pipe, err := open(calls, class)
	p.mu.Lock()
	p.bytes -= reserved
	switch {
	case err == syscall.EPERM: // of any size; a want of descriptors says nothing of sizes
		p.ceiling, p.until = 0, time.Now().Add(retryAfter)
	case err == nil && pipe.class < class:
		p.ceiling, p.until = pipe.class, time.Now().Add(retryAfter)
	}
	if err != nil {
		return nil, err
	}
	p.open++
	p.created++
	p.bytes += int64(pipe.Size)
	return pipe, nil
}

// open asks the kernel for a pipe of a class, then for smaller ones, and takes what
// it was born with if that is enough.
func open(calls *sys.Calls, class int) (*Pipe, error) {
	r, w, err := calls.Pipe()
	if err != nil {
		return nil, err
	}
	size, err := calls.SetPipeSize(w, Sizes[class])
	for err != nil && class > 0 {
		class--
		size, err = calls.SetPipeSize(w, Sizes[class])
	}
	if err != nil {
		size, err = calls.PipeSize(w)
	}
	if err == nil && size < Sizes[0] {
		err = syscall.EPERM
	}
	if err != nil {
		sys.Close(r)
		sys.Close(w)
		return nil, err
	}
	return &Pipe{R: r, W: w, Size: size, class: class}, nil
}

// Put gives an empty pipe back.
func (p *Pool) Put(pipe *Pipe) {
	p.mu.Lock()
	if p.idleCount() < maxIdle {
		p.idle[pipe.class] = append(p.idle[pipe.class], pipe)
		if p.timer == nil {
			p.timer = time.AfterFunc(trimAfter, p.trim)
			p.forget()
		}
		p.mu.Unlock()
		return
	}
	p.drop(pipe)
	p.mu.Unlock()
	pipe.close()
}

// Discard closes a pipe that has bytes in it.
func (p *Pool) Discard(pipe *Pipe) {
	p.mu.Lock()
	p.discarded++
	p.drop(pipe)
	p.mu.Unlock()
	pipe.close()
}

// drop takes a pipe that is about to be closed out of the accounts.
func (p *Pool) drop(pipe *Pipe) {
	p.open--
	p.bytes -= int64(pipe.Size)
}

func (pipe *Pipe) close() {
	sys.Close(pipe.R)
	sys.Close(pipe.W)
}

// trim closes the pipes that nobody needed since it last ran. It runs by a timer,
// on no goroutine while it waits, and as long as there are idle pipes.
func (p *Pool) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return
	}
	for class := range p.idle {
		for range p.unused[class] {
			pipe := p.take(class)
			p.drop(pipe)
			pipe.close()
		}
	}
	if p.forget(); p.idleCount() > 0 {
		p.timer.Reset(trimAfter)
	} else {
		p.timer = nil
	}
}

// forget starts a new time over which it is seen how many pipes are not needed.
func (p *Pool) forget() {
	for class := range p.idle {
		p.unused[class] = len(p.idle[class])
	}
}

func (p *Pool) idleCount() (n int) {
	for class := range p.idle {
		n += len(p.idle[class])
	}
	return n
}

// CloseIdle closes the pipes that nobody has borrowed.
func (p *Pool) CloseIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pipe := p.takeAny(); pipe != nil; pipe = p.takeAny() {
		p.drop(pipe)
		pipe.close()
	}
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// Stats counts the pipes of a pool.
type Stats struct {
	Open      int64 // open now, borrowed or idle
	Idle      int64 // open and empty, waiting to be borrowed
	Bytes     int64 // the sizes of the open ones added up
	Budget    int64 // the most that Bytes may be; 0 as long as no pipe was asked for
	Created   int64 // made since the start of the process
	Discarded int64 // closed because bytes were left in them
	Refused   int64 // times that none was to be had
}

// Stats returns the counts of this moment.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Open: p.open, Idle: int64(p.idleCount()), Bytes: p.bytes, Budget: p.budget,
		Created: p.created, Discarded: p.discarded, Refused: p.refused,
	}
}

// ClassFor returns the largest class of which n pipes at a time are granted.
func (p *Pool) ClassFor(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	class := p.allowed()
	for class > 0 && int64(Sizes[class])*int64(n) > p.budget*int64(4-class)/4 {
		class--
	}
	return class
}
