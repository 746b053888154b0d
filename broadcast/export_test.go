package broadcast

import (
	"io"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// What tests see of the inside.

// NewWith is New with calls between the Broadcast and the kernel, and with pipes of
// its own, all of which are made by these calls.
func NewWith(src io.Reader, o *Options, calls *sys.Calls, pool *kpipe.Pool) (*Broadcast, error) {
	if o == nil {
		o = &Options{}
	}
	bare := *o
	bare.Recording = nil
	b, err := New(src, &bare)
	if err != nil {
		return nil, err
	}
	b.calls, b.pool = calls, pool
	b.class = pool.ClassFor(roomFor)
	if o.Recording != nil {
		if err := b.record(o.Recording); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// PipeSize is the size of all pipes of b.
func (b *Broadcast) PipeSize() int64 { return int64(kpipe.Sizes[b.class]) }

// Waits reports whether Run waits for a sink with the policy Block, which has no room.
func (b *Broadcast) Waits() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sinks {
		if b.waiting && !b.ended && s.o.Policy == Block && !s.hasRoom() {
			return true
		}
	}
	return false
}

// OnRecorded has f called with the report of every copy from the recording to s. It is
// called while s is live.
func (s *Sink) OnRecorded(f func(zerocopy.Report)) {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.copier = &zerocopy.Copier{Pages: s.b.pages, Disable: zerocopy.Disabled(), Report: f}
}
