package broadcast

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A Sink is a destination of a [Broadcast]. Its methods may be called by any goroutine.
//
// What it is to get is, in this order: the recording from its position up to until, then
// its backlog. Together they reach to the stream's position as long as it is live.
type Sink struct {
	b      *Broadcast
	w      io.Writer
	o      SinkOptions
	maxLag int64
	most   int // pipes
	done   chan struct{}

	// Of whoever has made it busy, Run or its own goroutine:
	m      *engine.Mover
	copier *zerocopy.Copier // out of the recording
	buf    []byte

	pos                atomic.Int64
	streamed, recorded atomic.Int64

	// Guarded by the Broadcast's mutex:
	wake      sync.Cond // its goroutine waits for it
	busy      bool      // bytes are being moved to it
	ready     bool      // by Run, in this round
	slow      time.Time // a file that Run has written to has made it wait
	prefix    []byte    // still to be written
	until     int64
	behind    bool // it is to be told when it has come to until
	backlog   []segment
	spare     *kpipe.Pipe
	pipes     int // all that it has
	why       zerocopy.Reason
	from      int64
	demotions int
	stop      error // why it shall end
	over      bool  // it has ended, with err
	err       error
}

// defaultLag is what a viewer may lag by default: the receive buffer of a TCP connection
// grows to 6 MiB (tcp_rmem), so 4 MiB on top of that is some seconds of any video.
const defaultLag = 4 << 20

// newSink returns a sink that has not joined. One that the stream waits for has a pipe of its
// own as long as it lives, so that it always comes to an end of its waiting; whoever else
// lags gets pipes then, and its policy applies where there are none.
func (b *Broadcast) newSink(w io.Writer, o *SinkOptions) (*Sink, error) {
	s := &Sink{b: b, w: w, o: *o, done: make(chan struct{})}
	s.wake.L = &b.mu
	if s.o.Name == "" {
		s.o.Name = nameOf(w)
	}
	size := int64(kpipe.Sizes[b.class])
	if s.maxLag = o.MaxLag; s.maxLag == 0 {
		s.maxLag = defaultLag
	}
	s.maxLag = max(s.maxLag, size)
	s.most = int(s.maxLag/size) + 2 // one on its way out, one that is not full
	s.prefix = o.Prefix
	s.m = engine.NewMover(b.calls, b.pool)
	s.m.Dst, s.why = inspectSink(w)
	if sys.Supported {
		p, err := s.newPipe()
		if err != nil {
			s.release()
			return nil, fmt.Errorf("broadcast: %q cannot join, no pipe is to be had: %w", s.o.Name, err)
		}
		s.giveBack(p)
	}
	return s, nil
}

// nameOf returns the address or path of w, or its type.
func nameOf(w io.Writer) string {
	switch w := w.(type) {
	case interface{ RemoteAddr() net.Addr }:
		if a := w.RemoteAddr(); a != nil && a.String() != "" {
			return a.String()
		}
	case interface{ Name() string }:
		return w.Name()
	}
	return fmt.Sprintf("%T", w)
}

// release gives back what s has borrowed.
func (s *Sink) release() {
	for _, seg := range s.backlog {
		s.b.put(seg.pipe, seg.n)
	}
	s.b.put(s.spare, 0)
	s.backlog, s.spare, s.pipes = nil, nil, 0
	s.m.Release()
	s.m = nil
}

// is reports whether s and other write to the same.
func (s *Sink) is(other *Sink) bool {
	return same(s.w, other.w) || s.m != nil && engine.Same(&s.m.Dst, &other.m.Dst)
}

// live reports whether s gets what comes from the stream.
func (s *Sink) live() bool { return s.until != demoted && s.stop == nil && !s.over }

// idle reports whether s is live, has got all and takes bytes without making
// its caller wait.
func (s *Sink) idle() bool {
	return !s.busy && len(s.backlog) == 0 && len(s.prefix) == 0 && s.pos.Load() >= s.until &&
		s.why == zerocopy.ReasonNone && s.takes() && !s.b.off()
}

// slowFile is how long it may take to write a round to a file: a MiB takes 0.3 ms into the
// page cache, and what takes more waits for the disk. Then the file's own goroutine
// writes for fileRest, with MaxLag between it and the stream. Handing each round over costs
// 1.7 times the CPU (go -C bench run . -congestion reno -cases '^fan-file$', 2026-11-22).
const (
	slowFile = 3 * time.Millisecond
	fileRest = time.Second
)

// takes reports whether s is of a kind that takes bytes at once, or says that it does not. A
// file does as a rule; so it is where the stream would wait for it in any case.
func (s *Sink) takes() bool {
	switch kind := s.m.Dst.Kind; {
	case kind.Socket(), kind == engine.Pipe:
		return true
	case kind == engine.File && s.o.Policy == Block:
		return s.slow.IsZero() || time.Since(s.slow) > fileRest
	}
	return false
}

// hasRoom reports whether s can take a round: a sink that nobody waits for always can.
func (s *Sink) hasRoom() bool {
	if !s.live() {
		return true
	}
	if s.b.pos-s.pos.Load() >= s.maxLag {
		return false
	}
	if s.spare == nil && sys.Supported {
		s.spare, _ = s.newPipe()
	}
	return s.spare != nil || !sys.Supported
}

var errFull = errors.New("the sink has all the pipes that it may have")

// pipe returns an empty pipe for the backlog.
func (s *Sink) pipe() (*kpipe.Pipe, error) {
	p := s.spare
	switch {
	case p != nil:
		s.spare = nil
		return p, nil
	case s.ready && s.b.filling.spare != nil:
		p, s.b.filling.spare = s.b.filling.spare, nil
		s.pipes++
		return p, nil
	}
	return s.newPipe()
}

// surrender takes from s, which is to get nothing more from the stream, the pipe in its
// backlog.
func (s *Sink) surrender() *kpipe.Pipe {
	seg := s.backlog[0]
	s.backlog = s.backlog[:0]
	s.pipes--
	if s.b.discard(seg.pipe, seg.n) != nil {
		s.b.put(seg.pipe, seg.n)
		return nil
	}
	return seg.pipe
}

// newPipe borrows a pipe for s.
func (s *Sink) newPipe() (*kpipe.Pipe, error) {
	if s.pipes >= s.most {
		return nil, errFull
	}
	p, err := s.b.newPipe()
	if err == nil {
		s.pipes++
	}
	return p, err
}

// giveBack takes back an empty pipe. A sink that the stream waits for keeps one.
func (s *Sink) giveBack(p *kpipe.Pipe) {
	switch {
	case !sys.Supported:
	case p == nil: // it is lost
		s.pipes--
	case s.spare == nil && s.o.Policy == Block:
		s.spare = p
	case s.ready && s.b.filling.spare == nil:
		s.b.filling.spare = p
		s.pipes--
	default:
		s.b.put(p, 0)
		s.pipes--
	}
}

// demote has s served from the recording, from its position on.
func (s *Sink) demote() {
	for _, seg := range s.backlog {
		if seg.pipe != nil {
			s.b.put(seg.pipe, seg.n)
			s.pipes--
		}
	}
	s.backlog = s.backlog[:0]
	s.until, s.behind = demoted, false
	s.demotions++
	s.b.tell(s)
}

// missed applies the policy to s, which lags too far behind or, because of err, could
// not be given the round.
func (s *Sink) missed(err error) {
	switch {
	case s.o.Policy == Demote && !s.b.rec.over:
		s.demote()
	case s.o.Policy == Block:
		s.halt(err)
	default:
		s.halt(&LagError{Name: s.o.Name, Lag: s.b.pos - s.pos.Load(), Max: s.maxLag, Err: err})
	}
}

// fail has s end with err.
func (s *Sink) fail(err error) {
	if s.stop == nil {
		s.stop = err
	}
}

// halt has s end with err, and what is being written to it, too.
func (s *Sink) halt(err error) {
	if s.over || s.stop != nil {
		return
	}
	s.stop = err
	s.b.changed()
	if s.busy {
		if w, ok := s.w.(interface{ SetWriteDeadline(time.Time) error }); ok {
			w.SetWriteDeadline(aLongTimeAgo)
		}
	}
	s.wake.Signal()
}

// Done is closed when the sink has ended: nothing is written to its Writer any more.
func (s *Sink) Done() <-chan struct{} { return s.done }

// Wait waits until the sink has ended. The error is nil if it has got the stream to
// its end, a *[LagError] if it was detached, [ErrClosed] after Close, the source's
// if that failed, or that of writing.
func (s *Sink) Wait() error {
	<-s.done
	return s.err
}

// Close ends the sink. If something is being written, the Writer's write deadline
// is set to the past and left there; a Writer without deadlines ends the sink when its
// Write returns. Close does not wait for that.
func (s *Sink) Close() error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.halt(ErrClosed)
	return nil
}

// Stats returns the counts of this moment.
func (s *Sink) Stats() SinkStats {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	return s.stats()
}

func (s *Sink) stats() SinkStats {
	st := SinkStats{
		Name: s.o.Name, Policy: s.o.Policy, From: s.from, Position: s.pos.Load(),
		Live: s.streamed.Load(), Recorded: s.recorded.Load(), Demotions: s.demotions, Pipes: s.pipes,
		Mechanism: zerocopy.Tee, Reason: s.why, Err: s.err,
	}
	st.Lag = s.b.pos - st.Position
	if st.Reason == zerocopy.ReasonNone {
		st.Reason = s.b.offReason()
	}
	if st.Reason != zerocopy.ReasonNone {
		st.Mechanism, st.Type = zerocopy.Buffered, fmt.Sprintf("%T", s.w)
	}
	switch {
	case s.over:
		st.State = Ended
	case st.Position < s.until:
		st.State = Recorded
	}
	return st
}
