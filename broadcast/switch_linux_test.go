package broadcast_test

import (
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// moves returns how many calls there were by which the kernel moves bytes, those of the
// copies from the recording included.
func (s *show) moves() int {
	st := zerocopy.ReadStats()
	recorded := st.Bytes(zerocopy.Sendfile) + st.Bytes(zerocopy.Splice) + st.Bytes(zerocopy.CopyFileRange)
	return s.count("splice") + s.count("tee") + int(recorded)
}

// cast adds a viewer of each way: live, one that lags, one that falls back to the
// recording, and when there is something recorded, one from the start.
func (s *show) cast() (late []*viewer) {
	s.t.Helper()
	few := ztest.Buffers(16 << 10)
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
		s.view(k, nil)
	}
	return []*viewer{
		s.view(ztest.TCP4, &broadcast.SinkOptions{MaxLag: 8 << 20}, ztest.StallAfter(1000), few),
		s.view(ztest.Unix, &broadcast.SinkOptions{Policy: broadcast.Demote, MaxLag: 1}, ztest.StallAfter(1000), few),
	}
}

// perform feeds a stream to the cast, with late joiners, and ends it.
func (s *show) perform(late []*viewer) {
	s.t.Helper()
	for range 30 {
		s.feed(100_000, 60_000, 1448, 1)
		s.viewers[0].await(s.fed)
	}
	s.view(ztest.TCP4, &broadcast.SinkOptions{FromStart: true})
	for _, v := range late {
		v.Resume()
	}
	s.feed(100_000)
	s.finish()
	if st := late[1].sink.Stats(); st.Demotions == 0 || st.Recorded == 0 {
		s.t.Errorf("never served from the recording: %v", st)
	}
}

// TestSwitchedOff: with the mechanisms off, from the start, the kernel moves no byte, and
// the counts say why.
func TestSwitchedOff(t *testing.T) {
	if !ztest.Isolated(t) { // the default is the process's
		return
	}
	for _, off := range []zerocopy.MechanismSet{zerocopy.Mechanisms(zerocopy.Tee), zerocopy.Mechanisms(zerocopy.Splice), zerocopy.AllMechanisms} {
		zerocopy.SetDefault(&zerocopy.Copier{Disable: off})
		offFromTheStart(t, off)
	}
	zerocopy.SetDefault(nil)
}

// TestEnvironmentOff is TestSwitchedOff by the environment.
func TestEnvironmentOff(t *testing.T) {
	if !ztest.Isolated(t, "ZEROCOPY=off") {
		return
	}
	offFromTheStart(t, zerocopy.AllMechanisms)
}

func offFromTheStart(t *testing.T, off zerocopy.MechanismSet) {
	t.Helper()
	_, recorded := recording(t, ztest.File)
	s := newShow(t, ztest.TCP4, recorded)
	late := s.cast()
	before := s.moves()
	s.run(t.Context())
	s.perform(late)
	if n := s.count("tee"); n > 0 {
		t.Errorf("%v is off: %d tees", off, n)
	}
	if n := s.count("splice"); n > 0 && off.Has(zerocopy.Splice) {
		t.Errorf("%v is off: %d splices", off, n)
	}
	if n := s.moves() - before; n > 0 && off == zerocopy.AllMechanisms {
		t.Errorf("%v is off: %d moves", off, n)
	}
	st := s.b.Stats()
	if st.Mechanism != zerocopy.Buffered || st.Reason != zerocopy.ReasonDisabled || st.Recording.Reason != zerocopy.ReasonDisabled {
		t.Errorf("%+v", st)
	}
	for _, v := range s.viewers {
		if st := v.sink.Stats(); st.Mechanism != zerocopy.Buffered || st.Reason != zerocopy.ReasonDisabled {
			t.Errorf("%+v", st)
		}
	}
}

// TestSwitchInTheMiddle: a stream under way obeys from its next round, in both
// directions, whatever is on its way then.
func TestSwitchInTheMiddle(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	for _, off := range []zerocopy.MechanismSet{zerocopy.Mechanisms(zerocopy.Tee), zerocopy.Mechanisms(zerocopy.Splice), zerocopy.AllMechanisms} {
		_, recorded := recording(t, ztest.File)
		s := newShow(t, ztest.TCP4, recorded)
		late := s.cast()
		a := s.viewers[0]
		s.run(t.Context())
		for range 3 {
			s.feed(300_000, 60_000, 1448, 1)
			a.await(s.fed)
			a.requireTee()
			zerocopy.SetDefault(&zerocopy.Copier{Disable: off})
			s.feed(1) // where Run waits inside the old way already, this goes by it
			a.await(s.fed)
			before := s.count("tee")
			s.feed(300_000, 60_000, 1448, 1)
			a.await(s.fed)
			if n := s.count("tee") - before; n > 0 {
				t.Errorf("%v is off: %d tees", off, n)
			}
			if st := a.sink.Stats(); st.Reason != zerocopy.ReasonDisabled {
				t.Errorf("%+v", st)
			}
			zerocopy.SetDefault(nil)
			s.feed(1)
			a.await(s.fed)
			before = s.count("tee")
			s.feed(100_000)
			a.await(s.fed)
			if s.count("tee") == before {
				t.Error("on again: no tee")
			}
		}
		s.perform(late)
	}
}
