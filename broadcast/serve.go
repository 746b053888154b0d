package broadcast

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/tally"
)

// The goroutine of a sink: it moves what Run has left to it.

// errEnd is the end of the stream.
var errEnd = errors.New("end of the stream")

// run serves s until it ends.
func (s *Sink) run() {
	err := s.loop()
	b := s.b
	b.mu.Lock()
	var lag *LagError
	switch {
	case s.stop != nil:
		err = s.stop // what comes of the deadline that ended the wait
	case err == errEnd && s == b.rec:
		err = nil // the source's error is not its own
	case err == errEnd:
		err = b.err
	}
	if errors.As(err, &lag) {
		lag.Position = s.pos.Load()
	}
	s.err, s.over = err, true
	s.release()
	if s == b.rec {
		b.wakeAll()
	}
	if i := slices.Index(b.sinks, s); i >= 0 {
		b.sinks = slices.Delete(b.sinks, i, i+1)
	}
	close(s.done)
	b.tell(s)
	b.changed()
	b.mu.Unlock()
}

// loop moves bytes to s as they come. It returns errEnd when s has got them all.
func (s *Sink) loop() error {
	for {
		seg, recorded, err := s.next()
		switch {
		case err != nil:
		case recorded > 0:
			err = s.fromRecording(recorded)
		default:
			err = s.fromStream(seg)
		}
		if err != nil {
			return err
		}
	}
}

// next waits for something to do: a segment, or as many bytes of the recording.
func (s *Sink) next() (seg segment, recorded int64, err error) {
	b := s.b
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		pos := s.pos.Load()
		if s.behind && pos >= s.until {
			s.behind = false
			b.tell(s)
		}
		switch {
		case s.busy: // Run is at it
		case s.stop != nil:
			return seg, 0, s.stop
		case len(s.prefix) > 0:
			s.busy = true
			return seg, 0, nil
		case pos < s.until:
			if s.until == demoted && !b.rec.over && b.pos-pos <= s.maxLag/2 {
				s.until = b.pos // what comes from now on goes into the backlog
				s.behind = true
			}
			has := b.rec.pos.Load()
			if recorded = min(has, s.until) - pos; recorded > 0 {
				s.busy = true
				return seg, recorded, nil
			}
			switch {
			case pos >= s.until: // nothing was missing
				continue
			case b.rec.over && b.ended && pos == b.pos:
				return seg, 0, errEnd
			case b.rec.over:
				return seg, 0, b.noRecording()
			}
		case len(s.backlog) > 0:
			s.busy = true
			seg = s.backlog[0]
			s.backlog[0] = segment{}
			s.backlog = s.backlog[1:]
			return seg, 0, nil
		case b.ended && pos == b.pos:
			return seg, 0, errEnd
		}
		s.wake.Wait()
	}
}

// recordingPiece is how much is sent from the recording before the counts are
// brought up to date, 0.25 s of a viewer that takes 1 MB/s.
const recordingPiece = 256 << 10

// fromRecording sends s at most n bytes of the recording, from its position on.
func (s *Sink) fromRecording(n int64) error {
	b := s.b
	pos := s.pos.Load()
	n = min(n, recordingPiece)
	if off := zerocopy.Disabled(); s.copier == nil || s.copier.Disable != off {
		s.copier = &zerocopy.Copier{Pages: b.pages, Disable: off}
	}
	sent, err := s.copier.Copy(context.Background(), s.w, io.NewSectionReader(b.file, b.base+pos, n))
	if err == nil && sent < n { // somebody has cut the file
		err = io.ErrUnexpectedEOF
	}
	s.recorded.Add(sent)
	s.pos.Add(sent)
	b.mu.Lock()
	s.busy = false
	b.mu.Unlock()
	return err
}

// begin writes the prefix.
func (s *Sink) begin() error {
	n, err := s.w.Write(s.prefix)
	if err == nil && n != len(s.prefix) {
		err = io.ErrShortWrite
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.prefix, s.busy = nil, false
	return err
}

// fromStream moves a segment to s.
func (s *Sink) fromStream(seg segment) error {
	b := s.b
	left, err := seg, error(nil)
	if len(s.prefix) > 0 {
		return s.begin()
	}
	if s.spliced() {
		left, err = s.pump(seg)
	}
	if err == nil && left.n > 0 {
		left, err = s.write(left)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s.busy = false
	if left.n > 0 {
		b.put(left.pipe, left.n)
		s.pipes--
	} else {
		s.giveBack(left.pipe)
	}
	b.changed()
	return err
}

// spliced reports whether bytes are spliced to s.
func (s *Sink) spliced() bool { return s.why == zerocopy.ReasonNone && !switchedOff() }

// moved notes that s has accepted n bytes of the stream.
func (s *Sink) moved(n int) {
	s.streamed.Add(int64(n))
	s.pos.Add(int64(n))
	if s == s.b.rec {
		s.b.mu.Lock()
		for _, other := range s.b.sinks {
			if other.pos.Load() < other.until {
				other.wake.Signal()
			}
		}
		s.b.mu.Unlock()
	}
}

// push moves as much of a segment to s as that takes without a wait.
func (s *Sink) push(seg segment) (left segment, err error) {
	return s.splice(seg, s.m.TryPump)
}

// pump moves a segment to s. Bytes that are left without an error have to be written.
func (s *Sink) pump(seg segment) (left segment, err error) {
	return s.splice(seg, func() (int, bool, error) { return s.m.Pump(s.m.InPipe()) })
}

// splice moves a segment to s by pump, as long as that moves something.
func (s *Sink) splice(seg segment, pump func() (int, bool, error)) (left segment, err error) {
	m := s.m
	m.Load(seg.pipe, seg.n)
	for m.InPipe() > 0 {
		n, handled, perr := pump()
		if n > 0 {
			s.moved(n)
			tally.Add(uint8(zerocopy.Tee), int64(n))
		}
		if !handled {
			s.refused()
			break
		}
		if err = perr; err != nil || n == 0 {
			break
		}
	}
	left.pipe, left.n = m.Unload()
	return left, err
}

// refused notes that the kernel does not splice to s.
func (s *Sink) refused() {
	s.b.mu.Lock()
	s.why = zerocopy.ReasonRefused
	s.b.mu.Unlock()
}

// write moves a segment to s by its own Write.
func (s *Sink) write(seg segment) (left segment, err error) {
	if s.buf == nil && seg.p == nil {
		s.buf = make([]byte, readSize)
	}
	for seg.n > 0 {
		p := seg.p
		if p == nil {
			n, err := s.b.calls.Read(seg.pipe.R, s.buf[:min(seg.n, readSize)])
			if err != nil || n == 0 {
				return seg, errors.Join(io.ErrUnexpectedEOF, err)
			}
			p = s.buf[:n]
		}
		n := len(p)
		seg.n -= n
		k, err := s.w.Write(p)
		if k < 0 || k > n {
			k = 0
		}
		s.moved(k)
		tally.Add(uint8(zerocopy.Buffered), int64(k))
		if err == nil && k < n {
			err = io.ErrShortWrite
		}
		if err != nil {
			return seg, err
		}
	}
	return seg, nil
}
