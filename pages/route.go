package pages

import (
	"errors"
	"io"
	"reflect"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A route is how buffers get to one destination.
type route interface {
	// send sends as much of p as finds room, and waits until something does: lent if that
	// is wanted and possible.
	send(p []byte, lend bool) (n int, l loan, lent bool, err error)
	// look asks what has been given back by now, which isBack tells of one loan then.
	look() error
	isBack(l *loan) bool
	// await waits until that loan is given back. It reports false where nobody would tell.
	await(l *loan) (bool, error)
	// lends is what sends are lent by; Buffered if that is not so, with the reason.
	lends() (zerocopy.Mechanism, why)
	close()
}

// A why says why something is copied.
type why struct {
	reason zerocopy.Reason
	err    error
}

// plain is the route of a destination that nothing is lent to: its own Write.
type plain struct {
	w   io.Writer
	why why
}

func (r *plain) send(p []byte, _ bool) (int, loan, bool, error) {
	n, err := write(r.w, p)
	return n, loan{}, false, err
}

func (r *plain) look() error { return nil }

func (r *plain) isBack(*loan) bool { return true }

func (r *plain) await(*loan) (bool, error) { return true, nil }

func (r *plain) lends() (zerocopy.Mechanism, why) { return zerocopy.Buffered, r.why }

func (r *plain) close() {}

// write is w.Write with a count that can be relied on.
func write(w io.Writer, p []byte) (int, error) {
	n, err := w.Write(p)
	switch {
	case n < 0 || n > len(p):
		return 0, errors.New("pages: the destination's Write returned an invalid count")
	case err == nil && n < len(p):
		err = io.ErrShortWrite
	}
	return n, err
}

// toSocket is the route to a TCP connection: MSG_ZEROCOPY, see internal/engine.
type toSocket struct {
	w io.Writer
	l *engine.SocketLender
}

func (r *toSocket) send(p []byte, lend bool) (int, loan, bool, error) {
	if r.l.Held() == 0 && (!lend || r.l.Err != nil) {
		n, err := write(r.w, p)
		return n, loan{}, false, err
	}
	n, lent, id, err := r.l.Send(p, lend)
	if r.l.Dst.File != nil && isBrokenPipe(err) { // it may be standard output (H06)
		n, err = write(r.w, p)
		return n, loan{}, false, err
	}
	return n, loan{id: id}, lent, err
}

func (r *toSocket) look() error {
	if r.l.Held() == 0 {
		return nil
	}
	return r.l.Reap()
}

func (r *toSocket) isBack(l *loan) bool { return !r.l.Holds(l.id) }

func (r *toSocket) await(l *loan) (bool, error) {
	if err := r.l.Await(l.id); err != nil {
		return true, err
	}
	return r.isBack(l), nil
}

func (r *toSocket) lends() (zerocopy.Mechanism, why) {
	switch err := r.l.Err; {
	case err == nil:
		return zerocopy.MsgZerocopy, why{}
	case errors.Is(err, engine.ErrCopied):
		return zerocopy.Buffered, why{zerocopy.ReasonCopied, nil}
	case errors.Is(err, engine.ErrLentElsewhere):
		return zerocopy.Buffered, why{zerocopy.ReasonLentElsewhere, nil}
	case errors.Is(err, engine.ErrLocked):
		return zerocopy.Buffered, why{zerocopy.ReasonLocked, nil}
	default:
		return zerocopy.Buffered, why{zerocopy.ReasonRefused, err}
	}
}

func (r *toSocket) close() { r.l.Close() }

// toPipe is the route to a pipe: vmsplice. With fresh set a buffer is never used again, so
// that there are no loans to be given back.
type toPipe struct {
	w     io.Writer
	l     *engine.PipeLender
	fresh bool
	went  int64 // bytes, lent or not
	there int64 // of them still in the pipe at most
	err   error // why the kernel does not lend any more
}

func (r *toPipe) send(p []byte, lend bool) (n int, l loan, lent bool, err error) {
	if lend && r.err == nil {
		n, handled, err := r.l.Vmsplice(p)
		if handled {
			r.went += int64(n)
			return n, loan{after: r.went}, n > 0, err
		}
		if !isBrokenPipe(err) {
			r.err = err
		}
	}
	n, err = write(r.w, p)
	r.went += int64(n)
	return n, loan{}, false, err
}

func (r *toPipe) look() error {
	n, err := r.l.Buffered()
	if err == nil {
		r.there = int64(n)
	}
	return err
}

// isBack: what is in the pipe are the last bytes that went into it.
func (r *toPipe) isBack(l *loan) bool { return r.went-l.after >= r.there }

// await asks again and again: nobody tells a writer what is read from a pipe, unless it is
// full.
func (r *toPipe) await(l *loan) (bool, error) {
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		if err := r.look(); err != nil || r.isBack(l) {
			return true, err
		}
		time.Sleep(pause)
	}
}

func (r *toPipe) lends() (zerocopy.Mechanism, why) {
	if r.err != nil {
		return zerocopy.Buffered, why{zerocopy.ReasonRefused, r.err}
	}
	return zerocopy.Vmsplice, why{}
}

func (r *toPipe) close() {}

// choose finds the route to w.
func choose(calls *sys.Calls, w io.Writer, o Options) route {
	var end engine.End
	var reason zerocopy.Reason
	switch {
	case !sys.Supported:
		reason = zerocopy.ReasonPlatform
	case o.Lend == Never:
		reason = zerocopy.ReasonDisabled
	default:
		var v any = w
		if _, in := engine.PipeFiles(w); in != nil {
			v = in
		}
		var ok bool
		if end, ok = engine.Inspect(calls, v, false); !ok {
			reason = zerocopy.ReasonNotDescriptor
			break
		}
		end.Ask(calls)
		reason = obstacle(&end, o)
	}
	switch {
	case reason != zerocopy.ReasonNone:
		return &plain{w, why{reason, nil}}
	case end.Kind == engine.TCP:
		return &toSocket{w, engine.NewSocketLender(calls, end)}
	default:
		return &toPipe{w: w, l: engine.NewPipeLender(calls, end), fresh: o.Lend != ReaderCopies}
	}
}

// obstacle says what keeps memory from being lent to end.
func obstacle(end *engine.End, o Options) zerocopy.Reason {
	switch {
	case end.File != nil && end.Flags&sys.AccessMode == sys.ReadOnly:
		return zerocopy.ReasonAccess
	case end.Kind == engine.Message:
		return zerocopy.ReasonMessages
	case end.Kind == engine.TCP && !end.Pollable():
		return zerocopy.ReasonBlocking
	case end.Kind != engine.TCP && end.Kind != engine.Pipe:
		return zerocopy.ReasonNoLoan
	case end.Kind == engine.Pipe && o.Lend == Fastest && !freshIsFaster():
		return zerocopy.ReasonMeasured
	}
	return zerocopy.ReasonNone
}

func isBrokenPipe(err error) bool { return errors.Is(err, syscall.EPIPE) }

// typeName returns the name of v's type.
func typeName(v any) string {
	if t := reflect.TypeOf(v); t != nil {
		return t.String()
	}
	return "<nil>"
}
