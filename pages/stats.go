package pages

import (
	"fmt"

	"github.com/zerocopy-go/zerocopy"
)

// Stats are the counts of one Writer.
type Stats struct {
	// Bytes is how many bytes the destination has accepted, of which Lent went by
	// reference and Copied by a plain write.
	Bytes, Lent, Copied int64
	// Held is how many bytes the kernel holds, as far as it has been asked.
	Held int64
	// Abandoned is how many bytes the kernel held, as far as it had been asked, when their memory was left to it, by Close
	// for instance. It frees them when it is done with them.
	Abandoned int64
	// Commits is how often Commit was called.
	Commits int64
	// Completions is how many messages a TCP socket has sent about what it gives back, and
	// NoBuffer how often it could not be lent something, for ENOBUFS, that was copied.
	Completions, NoBuffer int64
	// Mechanism is what a whole buffer is sent by now: Vmsplice, MsgZerocopy, or Buffered,
	// of which Reason says why. Err is the kernel's answer if that is ReasonRefused, and Type
	// the destination's type.
	Mechanism zerocopy.Mechanism
	Reason    zerocopy.Reason `json:",omitempty"`
	Err       error           `json:"-"`
	Type      string
}

// Stats returns the counts of this moment. It may be called by any goroutine at any time,
// also after Close.
func (b *Writer) Stats() Stats {
	c := &b.count
	s := Stats{
		Lent: c.lent.Load(), Held: c.held.Load(), Abandoned: c.abandoned.Load(), Commits: c.commits.Load(),
		Type: typeName(b.w),
	}
	s.Bytes = c.bytes.Load()
	s.Copied = s.Bytes - s.Lent
	if r, ok := b.route.(*toSocket); ok {
		s.Completions, s.NoBuffer = r.l.Completions.Load(), r.l.NoBuffer.Load()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Mechanism, s.Reason, s.Err = c.by, c.why.reason, c.why.err
	if s.Mechanism != zerocopy.Buffered && zerocopy.Disabled().Has(s.Mechanism) {
		s.Mechanism, s.Reason = zerocopy.Buffered, zerocopy.ReasonDisabled
	}
	return s
}

// String says how much went how, and what a whole buffer is sent by now.
func (s Stats) String() string {
	step := zerocopy.Step{Mechanism: s.Mechanism, Reason: s.Reason, Type: s.Type, Err: s.Err}
	if s.Reason != zerocopy.ReasonNone {
		step.End = zerocopy.DestinationEnd
	}
	return fmt.Sprintf("%d bytes: %d lent, %d copied; %v", s.Bytes, s.Lent, s.Copied, step)
}
