// Package broadcast sends one live stream to many destinations, which come and go
// while it runs. The bytes of a socket are taken into a pipe once, duplicated by
// tee(2) into a private pipe a destination, and spliced out of that: none of them
// passes user memory.
//
// Each destination, a [Sink], has a [Policy] for when it does not keep up: all wait
// for it, it is detached, or it is served from the stream's recording until it has
// caught up. Memory does not grow with the lag.
//
// A Broadcast writes to its sinks and does not read from them: a peer that goes away
// while the stream pauses is noticed by whoever reads from its connection, who
// then calls [Sink.Close].
package broadcast

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A Policy says what becomes of a sink that does not keep up with the stream.
type Policy uint8

const (
	// Block has the stream wait for the sink, and with it every other sink, once
	// it lags by MaxLag.
	Block Policy = iota
	// Detach ends the sink with a *[LagError] once it lags by more than MaxLag. If it
	// is being written to then, its write deadline is set to the past and left there.
	Detach
	// Demote serves a sink that lags by more than MaxLag from the recording, at the
	// sink's own position, and from the stream again when it has caught up.
	Demote
)

// String returns "block", "detach" or "demote".
func (p Policy) String() string {
	return [...]string{"block", "detach", "demote", "invalid"}[min(p, 3)]
}

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// A State is where a sink gets its bytes from.
type State uint8

const (
	// Live: from the stream, as it comes.
	Live State = iota
	// Recorded: from the recording.
	Recorded
	// Ended: from nowhere any more. SinkStats.Err says why.
	Ended
)

// String returns "live", "recorded" or "ended".
func (s State) String() string { return [...]string{"live", "recorded", "ended", "invalid"}[min(s, 3)] }

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Options are the settings of a [Broadcast]. nil and the zero value are the defaults.
type Options struct {
	// Recording, if not nil, is a file to which the stream is also written, from
	// the file's position on. It must be a regular file, open for reading and writing
	// without O_APPEND, and nobody else may write to it. An error of writing, a full
	// disk for instance, ends the recording, not the stream: sinks that are served from
	// it get what it holds and end with [ErrNoRecording], those with the policy Demote that
	// fall behind later end as with Detach. The file is not synced.
	Recording *os.File
	// Pages says whether a source that is a file or a pipe may be sent by
	// reference. With anything but [zerocopy.Share] its bytes are read once, and
	// what was read is duplicated: all sinks get the same bytes.
	Pages zerocopy.Pages
	// Report, if not nil, is called for each sink when it has joined, whenever it
	// falls back to the recording or is live again, and when it has ended; for the
	// recording, too, when that has ended. It is called in the order in which things
	// happened, one call at a time, and has returned from the last when Run returns. It
	// holds nobody up but the next report.
	Report func(*Sink, SinkStats)
}

// SinkOptions are the settings of a [Sink]. nil and the zero value are the defaults.
type SinkOptions struct {
	// Name is for statistics and errors.
	Name   string
	Policy Policy
	// MaxLag is how many bytes the sink may lag behind the stream before its Policy
	// applies; 0 is 4 MiB, and the least is the size of a pipe, 64 KiB to 1 MiB. They are
	// kept in pipes. A stream that comes in small pieces fills a pipe with less, and
	// where the system grants no more pipes the Policy applies earlier.
	MaxLag int64
	// FromStart has the sink begin at the start of the recording, and not with
	// what comes next. Its Policy applies from when it has caught up.
	FromStart bool
	// Prefix is written to the sink before the first byte of the stream: a response
	// header, or what a container format has to begin with. It is in no count.
	Prefix []byte
}

// Errors of [Broadcast.Add].
var (
	// ErrNoRecording: Demote and FromStart need Options.Recording, and one that has
	// not failed.
	ErrNoRecording = errors.New("broadcast: there is no recording")
	// ErrEnded: the stream has ended.
	ErrEnded = errors.New("broadcast: the stream has ended")
	// ErrTwice: the same Writer is a sink already.
	ErrTwice = errors.New("broadcast: the writer is a sink of this stream already")
	// ErrSource: the Writer is the source, or the recording.
	ErrSource = errors.New("broadcast: the writer is the source or the recording of this stream")
	// ErrClosed is the error of a sink that Close has ended.
	ErrClosed = errors.New("broadcast: the sink was closed")
)

// A LagError is the error of a sink that was detached.
type LagError struct {
	// Name is that of the sink.
	Name string
	// Position is how far the sink got in the stream: it has all bytes from where
	// it joined up to here.
	Position int64
	// Lag is how far behind it was, Max what it was allowed.
	Lag, Max int64
	// Err is why it could not lag as far as that, EMFILE for instance, or nil.
	Err error
}

// Error says how far the sink got.
func (e *LagError) Error() string {
	text := fmt.Sprintf("broadcast: %q was detached at byte %d: %d bytes behind the stream, where %d are allowed", e.Name, e.Position, e.Lag, e.Max)
	if e.Err != nil {
		text += ", and no pipe was to be had: " + e.Err.Error()
	}
	return text
}

// Unwrap returns Err.
func (e *LagError) Unwrap() error { return e.Err }

// A Broadcast is one stream on its way to its sinks. Its methods may be called by
// any goroutine, Run once.
type Broadcast struct {
	src     io.Reader
	end     engine.End // of src, if that is spliced
	why     zerocopy.Reason
	report  func(*Sink, SinkStats)
	calls   *sys.Calls // nil is the kernel; tests replace it
	pool    *kpipe.Pool
	class   int      // of all pipes
	null    *os.File // where bytes are dropped; nil if there is none
	pages   zerocopy.Pages
	refused atomic.Bool // the kernel does not tee
	file    *os.File    // the recording
	base    int64       // the file's position at which the stream begins
	filling filling     // of the goroutine that runs Run

	mu      sync.Mutex
	change  sync.Cond // what Run waits for: room in a sink, the end of one
	waiting bool      // Run does
	ran     bool
	pos     int64         // how much the source has given
	ended   bool          // it gives no more
	err     error         // why, if not because it is at its end
	stopped error         // the context's cause
	finish  bool          // End was called
	over    chan struct{} // closed when the source has ended
	events  []event
	telling bool  // a goroutine is calling report
	rec     *Sink // the recording
	sinks   []*Sink
}

// New returns a Broadcast of src. A *net.TCPConn or *net.UnixConn is spliced, and a
// file or pipe with [zerocopy.Share]; what else src may be is read.
func New(src io.Reader, o *Options) (*Broadcast, error) {
	if isNil(src) {
		return nil, errors.New("broadcast: there is no source")
	}
	if o == nil {
		o = &Options{}
	}
	b := &Broadcast{src: src, report: o.Report, pool: &kpipe.Shared, over: make(chan struct{})}
	b.change.L = &b.mu
	b.pages = o.Pages
	b.class = b.pool.ClassFor(roomFor)
	b.end, b.why = inspectSource(src, o.Pages)
	if o.Recording != nil {
		if err := b.record(o.Recording); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// roomFor is how many sinks the budget for pipes shall have room for, which decides how
// large their pipes are: 1 MiB for a privileged process, 256 KiB else.
const roomFor = 96

// record makes file the recording.
func (b *Broadcast) record(file *os.File) error {
	if err := recordable(file); err != nil {
		return err
	}
	base, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	s, err := b.newSink(file, &SinkOptions{Name: "recording", MaxLag: recordingLag})
	if err != nil {
		return err
	}
	if same(file, b.src) || engine.Same(&s.m.Dst, &b.end) {
		s.release()
		return ErrSource
	}
	b.file, b.base, b.rec = file, base, s
	return nil
}

// recordingLag is how far the file may be behind before the stream waits for it: what a
// disk of 100 MB/s takes in the time of a slow flush, 80 ms.
const recordingLag = 8 << 20

// Add has w join the stream, before or while it runs: at the live edge, with what
// comes next, or at the start of the recording. An error concerns this sink alone:
// EMFILE for instance, where no pipe is to be had at the moment.
//
// w is not closed when the sink ends. A sink that has joined a Broadcast that is never
// run has to be closed.
func (b *Broadcast) Add(w io.Writer, o *SinkOptions) (*Sink, error) {
	if isNil(w) {
		return nil, errors.New("broadcast: there is no writer")
	}
	if o == nil {
		o = &SinkOptions{}
	}
	if o.Policy > Demote || o.MaxLag < 0 {
		return nil, fmt.Errorf("broadcast: policy %v with a MaxLag of %d", o.Policy, o.MaxLag)
	}
	s, err := b.newSink(w, o)
	if err != nil {
		return nil, err
	}
	if err := b.join(s, o); err != nil {
		s.release()
		return nil, err
	}
	go s.run()
	return s, nil
}

// join makes s a sink of the stream from now on.
func (b *Broadcast) join(s *Sink, o *SinkOptions) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || b.stopped != nil {
		return ErrEnded
	}
	if o.Policy == Demote || o.FromStart {
		switch {
		case b.rec == nil:
			return ErrNoRecording
		case b.rec.over:
			return b.noRecording()
		}
	}
	if same(s.w, b.src) || engine.Same(&s.m.Dst, &b.end) || b.rec != nil && b.rec.is(s) {
		return ErrSource
	}
	for _, other := range b.sinks {
		if !other.over && other.is(s) {
			return ErrTwice
		}
	}
	s.from = b.pos
	if o.FromStart {
		s.from, s.until = 0, demoted
	}
	s.pos.Store(s.from)
	b.sinks = append(b.sinks, s)
	b.tell(s)
	return nil
}

// noRecording is the error of a sink that needs what the recording does not have.
func (b *Broadcast) noRecording() error {
	if b.rec.err == nil {
		return ErrNoRecording
	}
	return fmt.Errorf("%w: it ended at byte %d: %w", ErrNoRecording, b.rec.pos.Load(), b.rec.err)
}

// Ended is closed when the source has ended, or failed. The sinks may still be on their
// way to its end.
func (b *Broadcast) Ended() <-chan struct{} { return b.over }

// End ends the stream as if the source had come to its end: the sinks get what it has
// given so far, and Run returns. The source's read deadline is set to the past and
// left there; of a source without deadlines one Read is still waited for.
func (b *Broadcast) End() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish = true
	b.expireSource()
	b.change.Broadcast()
}

// offReason says why bytes pass user memory that need not, if they do.
func (b *Broadcast) offReason() zerocopy.Reason {
	switch {
	case b.refused.Load():
		return zerocopy.ReasonRefused
	case switchedOff():
		return zerocopy.ReasonDisabled
	}
	return zerocopy.ReasonNone
}

// Stats returns the counts of this moment.
func (b *Broadcast) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	st := Stats{Position: b.pos, Ended: b.ended, Mechanism: zerocopy.Splice, Sinks: make([]SinkStats, len(b.sinks))}
	if st.Reason = b.why; st.Reason == zerocopy.ReasonNone {
		st.Reason = b.offReason()
	}
	if st.Reason != zerocopy.ReasonNone {
		st.Mechanism, st.Type = zerocopy.Buffered, fmt.Sprintf("%T", b.src)
	}
	for i, s := range b.sinks {
		st.Sinks[i] = s.stats()
	}
	if b.rec != nil {
		rec := b.rec.stats()
		st.Recording = &rec
	}
	return st
}
