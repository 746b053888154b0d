// Package broadcast sends one live stream to many destinations, which come and go
// while it runs. The bytes of a socket are taken into a pipe once, duplicated by
// tee(2) into a private pipe a destination, and spliced out of that: none of them
// passes user memory.
//
// Each destination, a [Sink], has a [Policy] for when it does not keep up: all wait
// for it, it is detached, or it is served from the stream's recording until it has
// caught up. Memory does not grow with the lag.
package broadcast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zerocopy-go/zerocopy"
)

// A Policy says what becomes of a sink that does not keep up with the stream.
type Policy uint8

const (
	// Block has the stream wait for the sink, and with it every other sink, once
	// it lags by MaxLag.
	Block Policy = iota
	// Detach ends the sink with a *[LagError] once it lags by more than MaxLag.
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
	// disk for instance, ends the recording, not the stream.
	Recording *os.File
	// Pages says whether a source that is a file or a pipe may be sent by
	// reference. With anything but [zerocopy.Share] its bytes are read once, and
	// what was read is duplicated: all sinks get the same bytes.
	Pages zerocopy.Pages
	// Report, if not nil, is called once for each sink, when it has ended, on a
	// goroutine of its own.
	Report func(SinkStats)
}

// SinkOptions are the settings of a [Sink]. nil and the zero value are the defaults.
type SinkOptions struct {
	// Name is for statistics and errors.
	Name   string
	Policy Policy
	// MaxLag is how many bytes the sink may lag behind the stream before its Policy
	// applies; 0 is 4 MiB. They are kept in pipes of up to 1 MiB each. A stream that
	// comes in small pieces fills a pipe with less, and where the system grants no
	// more pipes the Policy applies earlier.
	MaxLag int64
	// FromStart has the sink begin at the start of the recording, and not with
	// what comes next. Its Policy applies from when it has caught up.
	FromStart bool
}

// A Broadcast is one stream on its way to its sinks. Its methods may be called by
// any goroutine, Run once.
type Broadcast struct {
	_ struct{}
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
}

// Error says how far the sink got.
func (e *LagError) Error() string {
	return fmt.Sprintf("broadcast: %q was detached at byte %d: %d bytes behind the stream, where %d are allowed", e.Name, e.Position, e.Lag, e.Max)
}

// New returns a Broadcast of src. A *net.TCPConn, *net.UnixConn or *os.File is
// spliced; what else src may be is read.
func New(src io.Reader, o *Options) (*Broadcast, error) { panic("TODO") }

// Run broadcasts until the source has ended and all sinks have got what it gave, and
// returns nil then. If the source fails, the sinks get what came before, and its
// error is Run's and theirs. When ctx is done, the read deadline of the source and the
// write deadlines of the sinks are set to the past, and the error is
// context.Cause(ctx). An error of the recording is returned if there is no other.
//
// While there is no sink the stream flows on, into the recording if there is one.
func (b *Broadcast) Run(ctx context.Context) error { panic("TODO") }

// Add has w join the stream, before or while it runs: at the live edge, with what
// comes next, or at the start of the recording. An error concerns this sink alone:
// EMFILE for instance, since each sink has a pipe of its own.
//
// w is not closed when the sink ends.
func (b *Broadcast) Add(w io.Writer, o *SinkOptions) (*Sink, error) { panic("TODO") }

// Stats returns the counts of this moment.
func (b *Broadcast) Stats() Stats { panic("TODO") }

// Stats are the counts of a [Broadcast].
type Stats struct {
	// Position is how many bytes the source has given.
	Position int64
	// Recording is the recording, as a sink; nil if there is none.
	Recording *SinkStats
	// Sinks are those that have not ended, in the order in which they joined.
	Sinks []SinkStats
}

// SinkStats are the counts of a [Sink].
type SinkStats struct {
	Name   string
	Policy Policy
	State  State
	// From is the position in the stream at which the sink joined, Position that
	// of the next byte that it gets, and Lag what is in between that and the stream's.
	From, Position, Lag int64
	// Live and Recorded are how many bytes it got from the stream and from the
	// recording.
	Live, Recorded int64
	// Demotions is how often it has fallen back to the recording.
	Demotions int
	// Pipes is how many pipes it has now, one of them empty if it keeps up.
	Pipes int
	// Mechanism is how bytes of the stream reach it: zerocopy.Tee, or Buffered, of
	// which Reason and Type say why.
	Mechanism zerocopy.Mechanism
	Reason    zerocopy.Reason
	Type      string
	// Err is why it has ended, nil if it got the stream to its end.
	Err error `json:"-"`
}

// A Sink is a destination of a [Broadcast].
type Sink struct {
	_ struct{}
}

// Done is closed when the sink has ended: nothing is written to its Writer any more.
func (s *Sink) Done() <-chan struct{} { panic("TODO") }

// Wait waits until the sink has ended. The error is nil if it has got the stream to
// its end, a *[LagError] if it was detached, [ErrClosed] after Close, the source's
// if that failed, or that of writing.
func (s *Sink) Wait() error { panic("TODO") }

// Close ends the sink. If something is being written, the Writer's write deadline
// is set to the past and left there; a Writer without deadlines ends the sink when its
// Write returns.
func (s *Sink) Close() error { panic("TODO") }

// Stats returns the counts of this moment.
func (s *Sink) Stats() SinkStats { panic("TODO") }
