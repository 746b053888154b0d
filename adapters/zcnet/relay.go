package zcnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// RelayOptions say how a [Relay] behaves. The zero value, and nil, set no limits.
type RelayOptions struct {
	// IdleTimeout ends the relay with [ErrIdle] once neither side has accepted a byte for
	// so long. A transfer that moves is never cut, however slowly, nor is one that waits
	// for a limiter. If not set, silence has no limit. Where a side does not take what has
	// been sent to it, it may last a quarter longer.
	IdleTimeout time.Duration
	// HalfClosedTimeout is the IdleTimeout from when one side has ended. If not set, that
	// stays what it was, and where there is none a minute if the other side cannot be told,
	// since it has no CloseWrite. What a side's receive buffer has taken counts as accepted, and
	// that the side reads it as silence: nobody else sees it.
	HalfClosedTimeout time.Duration
	// PaceAToB and PaceBToA, if not nil, bound how fast each direction goes, in
	// bytes, as zerocopy.Pace does.
	PaceAToB, PaceBToA zerocopy.Limiter
	// Live, if not nil, has the counts of the relay while it runs. It is for one relay.
	Live *RelayMeters
	// Copier has the settings of both copies, its Report included, which two goroutines
	// call. If nil, zerocopy.Default() counts. Its Meter is not used: see Live.
	Copier *zerocopy.Copier
}

// RelayMeters count the two directions of a relay while it runs. The zero value is ready.
type RelayMeters struct {
	AToB, BToA zerocopy.Meter
}

// A Side is one of the two connections of a relay.
type Side uint8

// The sides. NoSide is neither, or both.
const (
	NoSide Side = iota
	SideA
	SideB
)

// String returns "", "a" or "b".
func (s Side) String() string { return [...]string{"", "a", "b"}[min(s, 2)] }

// MarshalText implements encoding.TextMarshaler. It never fails.
func (s Side) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// An Ending says why a relay has ended.
type Ending uint8

const (
	// EndedByEOF: both sides have sent all they had, and it has been delivered.
	EndedByEOF Ending = iota
	// EndedByError: reading from or writing to a side has failed.
	EndedByError
	// EndedByIdle: a timeout of the RelayOptions has passed.
	EndedByIdle
	// EndedByContext: the context was done.
	EndedByContext
)

// String returns "eof", "error", "idle" or "context".
func (e Ending) String() string { return [...]string{"eof", "error", "idle", "context"}[min(e, 3)] }

// MarshalText implements encoding.TextMarshaler. It never fails.
func (e Ending) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// RelayStats are what a relay did.
type RelayStats struct {
	// AToB and BToA say of each direction how many bytes went, by which mechanism, and
	// why not by the kernel alone. The Err of a direction that the other has ended is the
	// other's; what it had taken and not delivered is in its *zerocopy.PartialError.
	AToB, BToA zerocopy.Report
	// Elapsed is the time from call to return.
	Elapsed time.Duration
	// Ending is why the relay has ended. First is the side that ended first, by sending
	// an end of file or by failing, and NoSide where neither had.
	Ending Ending
	First  Side
}

// String returns the stats on one line, for logs.
func (s RelayStats) String() string {
	text := fmt.Sprintf("a→b %s; b→a %s; in %v, ended by %v", s.AToB.Summary(), s.BToA.Summary(), s.Elapsed.Round(time.Millisecond), s.Ending)
	if s.First != NoSide {
		text += ", first " + s.First.String()
	}
	return text
}

// ErrIdle is the error of a [Relay] that a timeout has ended. It is a timeout as net.Error
// has it, and os.ErrDeadlineExceeded.
var ErrIdle error = idleError{}

type idleError struct{}

func (idleError) Error() string        { return "zcnet: no byte has moved within the idle timeout" }
func (idleError) Timeout() bool        { return true }
func (idleError) Temporary() bool      { return true }
func (idleError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// ErrNoCloseWrite is the error of a [Relay] in the place of [ErrIdle] where one side has ended,
// the other could not be told, and has said nothing more.
var ErrNoCloseWrite error = noCloseWriteError{}

type noCloseWriteError struct{ idleError }

func (noCloseWriteError) Error() string {
	return "zcnet: one side has ended, and the other, which has no CloseWrite to be told by, has said nothing more"
}

// Relay moves bytes between a and b in both directions, until both are at their end, one
// fails, ctx is done or a timeout has passed. It returns what happened, and nil if both
// sides have ended and everything was delivered. The error is that of the side that
// failed first, [ErrIdle], or context.Cause(ctx).
//
// The end of what one side sends is passed on to the other by CloseWrite, and the other
// direction goes on. A connection without that method cannot be told: the other direction goes
// on to its own end, or until it is silent for the HalfClosedTimeout. Close both when Relay
// returns, with [Reset] if it has failed, lest the peers take what they have for the whole.
//
// Meanwhile the deadlines of both connections are Relay's: it clears them when it begins, and
// where it was cut short they are left in the past. A connection whose SetDeadline fails, as
// one through SSH, is closed in order to end what waits for it. Nobody else may read a or b,
// or write to them.
//
// Either may be closed by anyone at any time, which ends the relay. That of two Conns around
// a *net.TCPConn or *net.UnixConn it does at any moment; of others it may end only when what
// the relay has taken from the closed one has been accepted. If a and b are the same
// connection, the relay is an echo, and a to b its only direction.
//
// A callback of the options that panics ends the relay, which panics with the same value.
//
// The relay uses the caller's goroutine and one more. While nothing moves it holds no
// pipe and no buffer. A nil ctx is never done.
func Relay(ctx context.Context, a, b net.Conn, o *RelayOptions) (stats RelayStats, err error) {
	notNil(a, "Relay of a nil connection")
	notNil(b, "Relay of a nil connection")
	r := newRelay(a, b, o)
	r.run(ctx)
	r.stats(&stats)
	return stats, r.err
}

//go:noinline
func newRelay(a, b net.Conn, o *RelayOptions) *relay {
	if o == nil {
		o = &RelayOptions{}
	}
	meters := o.Live
	if meters == nil {
		meters = new(RelayMeters)
	}
	r := &relay{options: o, meters: meters, began: time.Now()}
	r.there = direction{relay: r, dst: b, src: a, from: SideA, to: SideB, meter: &meters.AToB, pace: o.PaceAToB, other: &r.back}
	r.back = direction{relay: r, dst: a, src: b, from: SideB, to: SideA, meter: &meters.BToA, pace: o.PaceBToA, other: &r.there}
	return r
}

// run is the relay. Its frames and those above it stay small: a goroutine that waits in a
// copy fits in 4 KiB of stack.
func (r *relay) run(ctx context.Context) {
	if ctx == nil {
		ctx = context.Background()
	}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	defer r.cancel(nil)
	if r.ctx.Err() == nil {
		r.there.src.SetDeadline(time.Time{})
		r.back.src.SetDeadline(time.Time{})
	}
	defer r.watchUndying()()
	tally.Relays.Add(1)
	defer tally.Relays.Add(-1)
	r.watchIdle()
	defer r.endIdle()

	var wait sync.WaitGroup
	defer wait.Wait() // if there.run ends the goroutine
	if same(r.there.src, r.back.src) {
		r.there.watcher.stopped = true // nobody would stop it
	} else {
		wait.Go(r.back.run)
	}
	r.there.run()
	wait.Wait()
	r.endIdle() // it may be about to fail
	if r.ending == EndedByIdle && r.there.report.Err == nil && r.back.report.Err == nil {
		r.ending, r.err = EndedByEOF, nil // the timeout has passed too late to cut anything
	}
	for _, v := range []any{r.there.panicked, r.back.panicked} {
		if v != nil {
			panic(v)
		}
	}
}

// watchUndying ends the waits of a relay that is cancelled also where no deadline ends them: it
// closes such a connection. It touches none any more once stop has returned.
func (r *relay) watchUndying() (stop func()) {
	done := make(chan struct{})
	cancelled := context.AfterFunc(r.ctx, func() {
		defer close(done)
		for _, c := range []net.Conn{r.there.src, r.back.src} {
			if c.SetDeadline(aLongTimeAgo) != nil {
				c.Close()
			}
		}
	})
	return func() {
		if !cancelled() {
			<-done
		}
	}
}

//go:noinline
func (r *relay) stats(s *RelayStats) {
	s.AToB, s.BToA, s.Elapsed, s.Ending, s.First = r.there.report, r.back.report, time.Since(r.began), r.ending, r.first
}

// same reports whether a and b are one connection, or Conns around one.
func same(a, b net.Conn) bool {
	a, b = Inner(a), Inner(b)
	return reflect.ValueOf(a).Comparable() && a == b
}

// A relay is one under way.
type relay struct {
	options *RelayOptions
	ctx     context.Context
	cancel  context.CancelCauseFunc
	meters  *RelayMeters
	began   time.Time
	idle    idle

	there, back direction

	mu     sync.Mutex
	first  Side
	ending Ending
	err    error // the first
}

// ended notes that side has ended.
func (r *relay) ended(side Side) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == NoSide {
		r.first = side
	}
}

// fail ends the relay with err, unless it has failed before.
func (r *relay) fail(why Ending, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.ending, r.err = why, err
		r.cancel(err)
	}
}

// A direction is one of the two copies. The goroutine of the one that ends first stays to
// watch its source, which nobody waits for any more.
type direction struct {
	*relay
	other    *direction
	dst, src net.Conn
	from, to Side
	meter    *zerocopy.Meter
	pace     zerocopy.Limiter
	report   zerocopy.Report
	watcher  watcher
	panicked any // what a callback has panicked with
}

// run is one direction from beginning to end. A callback that panics ends the relay, and
// its panic that of the caller's goroutine.
func (d *direction) run() {
	returned := false
	defer func() {
		if !returned {
			d.panicked = recover() // nil if it has ended the goroutine
			d.other.watcher.stop(d.other.src)
			d.fail(EndedByError, errCallback)
		}
	}()
	d.relayBytes()
	returned = true
}

var errCallback = errors.New("zcnet: a callback of the relay has not returned")

// relayBytes copies until the end of the source, and passes it on.
func (d *direction) relayBytes() {
	err := d.copy()
	// There is nobody left to tell. And once the end is passed on, both directions of the
	// watched connection have ended, which looks like a reset.
	d.other.watcher.stop(d.other.src)
	if err == nil {
		d.ended(d.from)
		err = d.passEnd()
		d.report.Err = err
	}
	switch cause := context.Cause(d.ctx); {
	case err == nil:
		d.halfClosed()
		if err := d.watcher.watch(d.src); err != nil {
			d.fail(EndedByError, err)
		}
	case cause == nil:
		switch d.report.Failed {
		case zerocopy.SourceEnd:
			d.ended(d.from)
		case zerocopy.DestinationEnd:
			d.ended(d.to)
		}
		d.fail(EndedByError, err)
	default:
		d.fail(EndedByContext, cause) // unless it was this relay that cancelled
	}
}

// copy copies, and has the report.
func (d *direction) copy() error {
	from := d.options.Copier
	if from == nil {
		from = zerocopy.Default()
	}
	c := from.Clone()
	// A method that copies by itself does not say that bytes have moved.
	c.Disable |= zerocopy.Mechanisms(zerocopy.Delegated)
	c.Meter = d.meter
	c.Report = func(report zerocopy.Report) {
		d.report = report
		if from.Report != nil {
			from.Report(report)
		}
	}
	var src io.Reader = d.src
	if d.pace != nil {
		src = zerocopy.Pace(src, pausing{d.pace, &d.idle})
	}
	_, err := c.Copy(d.ctx, d.dst, src)
	return err
}

// passEnd passes the end of the source on to the destination.
func (d *direction) passEnd() error {
	w, ok := d.dst.(writeCloser)
	if !ok {
		d.untold()
		return nil
	}
	err := w.CloseWrite()
	if errors.Is(err, syscall.ENOTCONN) { // what shutdown(2) says after a reset
		err = &net.OpError{Op: "write", Net: d.dst.RemoteAddr().Network(), Source: d.dst.LocalAddr(), Addr: d.dst.RemoteAddr(),
			Err: os.NewSyscallError("shutdown", syscall.ECONNRESET)}
	}
	if err != nil {
		d.report.Failed = zerocopy.DestinationEnd
	}
	return err
}
