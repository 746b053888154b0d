package broadcast

import "github.com/zerocopy-go/zerocopy"

// Stats are the counts of a [Broadcast].
type Stats struct {
	// Position is how many bytes the source has given.
	Position int64
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
	// Pipes is how many pipes it has now, one of them empty if it keeps up.
	Pipes int
	// Mechanism is how bytes of the stream reach it: zerocopy.Tee, or Buffered, of
	// which Reason and Type say why.
	Mechanism zerocopy.Mechanism
	Reason    zerocopy.Reason `json:",omitempty"`
	Type      string          `json:",omitempty"`
	// Err is why it has ended, nil if it got the stream to its end.
	Err error `json:"-"`
}
