package broadcast

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
)

// The stream runs in rounds:
//
//	source ─▶ master pipe ─tee─▶ a sink's pipe ─▶ sink     for each but the last,
//	          master pipe ─────────────────────▶ sink     which takes the pipe itself
//
// (round.go). A sink that has got all before, and is a socket, a pipe or a file, is served
// by the goroutine of Run, as far as it takes bytes without waiting. What is left over, and
// what later rounds bring, stays in pipes of the sink: its backlog, which the sink's own
// goroutine moves (serve.go). So the stream waits for nobody but sinks with the policy
// Block.

// errRan is for a second Run.
var errRan = errors.New("broadcast: Run was called twice")

// A filling is what the goroutine of Run works with.
type filling struct {
	m      *engine.Mover // drains the source; its pipe is the master
	master *kpipe.Pipe   // holds n bytes of the round
	n      int
	spare  *kpipe.Pipe // for the sinks that are ready, one after the other
	chunk  []byte      // the round in user memory, where it cannot be teed
	buf    []byte
	ready  []*Sink // served by this goroutine in this round
	plain  bool    // the next round is read
}

// Run broadcasts until the source has ended and all sinks have got what it gave, and
// returns nil then. If the source fails, the sinks get what came before, and its
// error is Run's and theirs. When ctx is done, the read deadline of the source and the
// write deadlines of the sinks are set to the past, and the error is
// context.Cause(ctx); a source or sink without deadlines has to return from its Read or
// Write first. The deadlines are left where they are. The recording still gets all that the
// source has given. If there is no other error, that of the recording is returned;
// Stats().Recording.Err tells whose it is.
//
// While there is no sink the stream flows on, into the recording if there is one.
func (b *Broadcast) Run(ctx context.Context) error {
	b.mu.Lock()
	ran := b.ran
	b.ran = true
	b.mu.Unlock()
	if ran {
		return errRan
	}
	if b.rec != nil {
		go b.rec.run()
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		b.cancel(context.Cause(ctx))
	})
	err := b.rounds()
	err = b.drained(err)
	if !stop() {
		<-done
	}
	return err
}

// rounds runs until the source has ended or something fails.
func (b *Broadcast) rounds() (err error) {
	f := &b.filling
	f.m = engine.NewMover(b.calls, b.pool)
	f.m.SetSrc(b.end)
	defer func() {
		f.m.Release()
		b.put(f.master, f.n)
		b.put(f.spare, 0)
	}()
	for {
		if err := b.await(); err != nil {
			return err
		}
		err := b.take()
		if f.n > 0 || len(f.chunk) > 0 {
			b.send()
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// drained notes that the source gives no more, and waits until all sinks have ended.
func (b *Broadcast) drained(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finish && b.stopped == nil && ended(err) {
		err = nil
	}
	if b.stopped != nil {
		err = b.stopped
	}
	b.ended, b.err = true, err
	close(b.over)
	b.wakeAll()
	for len(b.sinks) > 0 || b.rec != nil && !b.rec.over || b.telling {
		b.wait()
	}
	if b.null != nil {
		b.null.Close()
		b.null = nil
	}
	switch {
	case b.err != nil:
		return b.err
	case b.stopped != nil:
		return b.stopped
	case b.rec != nil:
		return b.rec.err
	}
	return nil
}

// ended reports whether err is what comes of End, or of closing the source after it.
func ended(err error) bool {
	for _, end := range []error{errEnd, os.ErrDeadlineExceeded, os.ErrClosed, net.ErrClosed, io.ErrClosedPipe} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// cancel ends everything because of cause.
func (b *Broadcast) cancel(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = cause
	b.expireSource()
	for _, s := range b.sinks {
		s.halt(cause)
	}
	b.change.Broadcast()
}

// expireSource ends a wait for the source.
func (b *Broadcast) expireSource() {
	if src, ok := b.src.(interface{ SetReadDeadline(time.Time) error }); ok && !b.ended {
		src.SetReadDeadline(aLongTimeAgo)
	}
}

// aLongTimeAgo is a deadline in the past, as net/http has it.
var aLongTimeAgo = time.Unix(1, 0)

// wait has Run wait for a change.
func (b *Broadcast) wait() {
	b.waiting = true
	b.change.Wait()
	b.waiting = false
}

// changed tells Run, if it waits.
func (b *Broadcast) changed() {
	if b.waiting {
		b.change.Signal()
	}
}

// wakeAll has all sinks look again.
func (b *Broadcast) wakeAll() {
	for _, s := range b.sinks {
		s.wake.Signal()
	}
	if b.rec != nil {
		b.rec.wake.Signal()
	}
}

// await waits until every sink with the policy Block has room for a round.
func (b *Broadcast) await() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch {
		case b.stopped != nil:
			return b.stopped
		case b.finish:
			return errEnd
		}
		room := b.rec == nil || b.rec.hasRoom()
		for _, s := range b.sinks {
			room = room && (s.o.Policy != Block || s.hasRoom())
		}
		if room {
			return nil
		}
		b.wait()
	}
}

// demoted is where a sink goes live again as long as that is not known.
const demoted = math.MaxInt64
