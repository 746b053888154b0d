package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
)

// A phase is how far the stream is.
type phase string

const (
	waiting phase = "waiting" // for the source
	live    phase = "live"
	ending  phase = "ending" // the viewers get the rest
	ended   phase = "ended"
)

// A station is the program: one stream, its recording, its viewers.
type station struct {
	opt options
	scr *screen

	begun chan struct{} // closed when the stream is there: stream is set
	over  chan struct{} // closed when nobody may join any more
	cut   chan struct{} // closed when viewers are cut off

	stream *broadcast.Broadcast
	start  time.Time // of the stream, or of the program as long as it waits

	open sync.WaitGroup // viewers and listeners

	mu      sync.Mutex
	phase   phase
	from    string // what the source is, in words
	cutWhy  string // why viewers are cut off
	viewers []*viewer
	lastID  int
	meter   meter
}

func newStation(opt options, scr *screen) *station {
	return &station{
		opt: opt, scr: scr, phase: waiting, from: opt.origin(), start: time.Now(),
		begun: make(chan struct{}), over: make(chan struct{}), cut: make(chan struct{}),
	}
}

// run is the station's life. It returns the exit status.
func (s *station) run(signals <-chan os.Signal) (status int, err error) {
	rec, err := openRecording(s.opt.record)
	if err != nil {
		return failed, err
	}
	if rec != nil {
		defer rec.Close()
	}
	closeAll, err := s.listen()
	if err != nil {
		return failed, err
	}
	ticking := s.tick()
	defer func() {
		s.end()
		closeAll()
		s.open.Wait()
		ticking()
	}()

	src, err := s.await(signals)
	if src == nil {
		return exit(err), err
	}
	if err = emptyRecording(rec, src); err == nil {
		err = s.begin(src, rec)
	}
	if err != nil {
		src.close()
		return failed, err
	}
	second, err := s.broadcast(signals, src)
	s.summary()
	if second {
		return killed, err
	}
	return exit(err), err
}

func exit(err error) int {
	if err != nil {
		return failed
	}
	return 0
}

// await opens the source; there is none, and no error, if a signal comes first.
func (s *station) await(signals <-chan os.Signal) (*source, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type answer struct {
		src *source
		err error
	}
	opened := make(chan answer, 1)
	go func() {
		src, err := openSource(ctx, s.opt, s.scr)
		opened <- answer{src, err}
	}()
	select {
	case a := <-opened:
		return a.src, a.err
	case sig := <-signals:
		s.scr.printf("%v before there was a stream", sig)
		cancel()
		if a := <-opened; a.src != nil {
			a.src.close()
		}
		return nil, nil
	}
}

// begin makes the stream of src and lets those in who wait for it.
func (s *station) begin(src *source, rec *os.File) error {
	o := broadcast.Options{Recording: rec, Report: s.report}
	if s.opt.share {
		o.Pages = zerocopy.Share
	}
	stream, err := broadcast.New(src.r, &o)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.stream, s.phase, s.from, s.start = stream, live, src.name, time.Now()
	s.mu.Unlock()
	close(s.begun)
	text := "the stream comes from " + src.name
	if rec != nil {
		text += " and is recorded to " + rec.Name()
	}
	s.scr.printf("%s", text)
	return nil
}

// broadcast runs the stream to its end. killed says that there was a second signal.
// The context of Run is never done: that would cut off the recording, too.
func (s *station) broadcast(signals <-chan os.Signal, src *source) (killed bool, err error) {
	ran := make(chan error, 1)
	go func() { ran <- s.stream.Run(context.Background()) }()

	var late, hung <-chan time.Time // when the time of -grace, and all patience, is over
	stopped, sourceEnded := false, s.stream.Ended()
	for running := true; running; {
		select {
		case err = <-ran:
			running = false
		case <-sourceEnded:
			sourceEnded = nil
			s.end()
			late = time.After(s.opt.grace)
		case <-late:
			s.cutOff("the time of -grace is over")
		case <-hung:
			return true, errHung
		case sig := <-signals:
			s.end()
			if stopped {
				s.scr.printf("%v again: viewers are cut off", sig)
				killed = true
				s.cutOff("the program was stopped")
				signals, hung = nil, time.After(patience)
				break
			}
			stopped = true
			s.scr.printf("%v: the stream ends here, viewers get what they lack", sig)
			wait := src.stop()
			time.AfterFunc(wait, s.stream.End)
			late = time.After(wait + s.opt.grace)
		}
	}
	s.end()
	if closed := src.close(); err == nil {
		err = closed
	}
	st := s.stream.Stats()
	if r := st.Recording; r != nil && r.Err != nil && r.Position < st.Position {
		err = fmt.Errorf("the recording ends at byte %d of %d: %w", r.Position, st.Position, r.Err)
	}
	return killed, err
}

// errHung is for a read or a write that no deadline ends.
var errHung = errors.New("the source, or the disk with the recording, does not answer")

// cutOff ends all viewers that are still there.
func (s *station) cutOff(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cutWhy == "" {
		s.cutWhy = why
		close(s.cut)
	}
	for _, v := range s.viewers {
		if v.sink != nil {
			v.sink.Close()
		}
	}
}

// end lets nobody in any more.
func (s *station) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase == waiting || s.phase == live {
		s.phase = ending
		close(s.over)
	}
}

// summary says what has become of the stream.
func (s *station) summary() {
	st := s.stream.Stats()
	text := fmt.Sprintf("%s in %v", size(st.Position), time.Since(s.start).Round(time.Second/10))
	if st.Recording != nil {
		text += fmt.Sprintf(", recorded up to byte %d", st.Recording.Position)
	}
	s.scr.printf("the stream has ended: %s", text)
}
