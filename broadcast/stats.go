package broadcast

import (
	"fmt"
	"strings"

	"github.com/zerocopy-go/zerocopy"
)

// Stats are the counts of a [Broadcast].
type Stats struct {
	// Position is how many bytes the source has given.
	Position int64
	// Ended says that it gives no more.
	Ended bool
	// Mechanism is how they are taken: zerocopy.Splice, or Buffered, of which Reason
	// and Type say why.
	Mechanism zerocopy.Mechanism
	Reason    zerocopy.Reason `json:",omitempty"`
	Type      string          `json:",omitempty"`
	// Recording is the recording, as a sink; nil if there is none.
	Recording *SinkStats `json:",omitempty"`
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
	// Pipes is how many pipes it has now; with Block one at least, else none if it
	// keeps up.
	Pipes int
	// Mechanism is how bytes of the stream reach it: zerocopy.Tee, or Buffered, of
	// which Reason and Type say why.
	Mechanism zerocopy.Mechanism
	Reason    zerocopy.Reason `json:",omitempty"`
	Type      string          `json:",omitempty"`
	// Err is why it has ended, nil if it got the stream to its end.
	Err error `json:"-"`
}

// String returns the counts on one line, for logs.
func (s SinkStats) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %v at byte %d, %d behind", s.Name, s.State, s.Position, s.Lag)
	if s.Demotions > 0 {
		fmt.Fprintf(&b, ", %d by the stream and %d by the recording, to which it fell back %d times", s.Live, s.Recorded, s.Demotions)
	}
	fmt.Fprintf(&b, ", by %s", s.Why())
	if s.Err != nil {
		fmt.Fprintf(&b, ": %v", s.Err)
	}
	return b.String()
}

// Why returns how bytes of the stream reach the sink in words, such as "tee" or
// "buffered: destination *gzip.Writer is not a descriptor".
func (s SinkStats) Why() string {
	step := zerocopy.Step{Mechanism: s.Mechanism, Reason: s.Reason, Type: s.Type}
	if s.Reason != zerocopy.ReasonNone {
		step.End = zerocopy.DestinationEnd
	}
	return step.String()
}
