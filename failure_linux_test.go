package zerocopy_test

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// errCause is the cause of every context that a test ends.
var errCause = errors.New("the cause")

// A fault is one way in which an end fails.
type fault struct {
	name string
	// side is whose fault it is: "source", "destination", or "" for nobody's.
	side    string
	inflict func(s *scene)
	// classes are what the error may be, none if the copy just ends. Which of
	// two a vanished peer gives is a matter of what the kernel knew when.
	classes func(s *scene) []error
	can     func(r route) bool // the end can fail so; nil: all can
	again   bool               // the destination works again afterwards
	intact  bool               // the source does
	lossy   bool               // accepted bytes may have got lost on the way
}

var past = time.Unix(1, 0)

func streamSource(r route) bool { return r.src.Stream() }

var faults = []fault{
	{name: "source closed", side: "source", again: true,
		inflict: func(s *scene) { s.src.Reader.Close() },
		classes: func(s *scene) []error { return []error{closedClass(s.src.Reader)} }},
	{name: "read deadline", side: "source", again: true, intact: true, can: streamSource,
		inflict: func(s *scene) { s.src.Reader.SetReadDeadline(past) },
		classes: func(s *scene) []error { return []error{os.ErrDeadlineExceeded} }},
	{name: "source reset", side: "source", again: true, can: streamSource,
		inflict: func(s *scene) { s.src.Reset() },
		classes: func(s *scene) []error {
			if s.r.src == ztest.Pipe || s.r.src == ztest.FIFO {
				return nil // they end
			}
			return []error{syscall.ECONNRESET}
		}},
	{name: "source ends", again: true, intact: true,
		inflict: func(s *scene) { s.src.End() },
		classes: func(s *scene) []error { return nil }},
	{name: "destination closed", side: "destination", intact: true,
		inflict: func(s *scene) { s.dst.Writer.Close() },
		classes: func(s *scene) []error { return []error{closedClass(s.dst.Writer)} }},
	{name: "write deadline", side: "destination", again: true, intact: true,
		can:     func(r route) bool { return r.dst.Stream() },
		inflict: func(s *scene) { s.dst.Writer.SetWriteDeadline(past) },
		classes: func(s *scene) []error { return []error{os.ErrDeadlineExceeded} }},
	{name: "destination reset", side: "destination", intact: true, lossy: true,
		can:     func(r route) bool { return r.dst.Stream() },
		inflict: func(s *scene) { s.dst.Reset() },
		classes: func(s *scene) []error { return []error{syscall.EPIPE, syscall.ECONNRESET} }},
	{name: "destination's peer closes", side: "destination", intact: true, lossy: true,
		can:     func(r route) bool { return r.dst.Stream() },
		inflict: func(s *scene) { s.dst.Peer().Close() },
		classes: func(s *scene) []error { return []error{syscall.EPIPE, syscall.ECONNRESET} }},
	{name: "context cancelled", again: true, intact: true,
		inflict: func(s *scene) { s.cancel(errCause) },
		classes: func(s *scene) []error { return []error{errCause} }},
}

// A stage is how far the copy has come when the fault happens. Its run returns a
// scene whose copy has ended, or nil where fault and stage do not meet.
type stage struct {
	name string
	run  func(t *testing.T, r route, f fault, limited bool) *scene
}

var stages = []stage{
	{"before the first byte", beforeTheFirstByte},
	{"while the source is waited for", whileTheSourceWaits},
	{"mid-stream, with residue", midStream},
	{"while the destination is full", whileTheDestinationIsFull},
	{"at the end", atTheEnd},
}

// TestFailures is the error matrix: each way of an end to fail × each stage × each
// way of the bytes, with and without a limit around the source.
func TestFailures(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	var cases atomic.Int64
	t.Cleanup(func() { t.Logf("%d cases", cases.Load()) })
	all := append(routes[:len(routes):len(routes)],
		route{name: "tcp→struct", src: ztest.TCP4, dst: ztest.TCP4, hidden: true},
		route{name: "pipe→struct", src: ztest.Pipe, dst: ztest.Unix, hidden: true},
		route{name: "file→struct", src: ztest.File, dst: ztest.Pipe, hidden: true})
	for _, st := range stages {
		for _, f := range faults {
			for _, r := range all {
				if f.can != nil && !f.can(r) {
					continue
				}
				for _, limited := range []bool{false, true} {
					few.Run(fmt.Sprintf("%s/%s/%s/limited=%v", st.name, f.name, r.name, limited), func(t *testing.T) {
						if s := st.run(t, r, f, limited); s != nil {
							cases.Add(1)
							s.check(f)
							s.src.Close()
							s.dst.Close()
						}
					})
				}
			}
		}
	}
}

// check holds a copy that f has ended to the contracts.
func (s *scene) check(f fault) {
	s.t.Helper()
	left := s.settled(f.lossy)
	classes := f.classes(s)
	if len(classes) == 0 {
		if s.err != nil {
			s.t.Errorf("%v, want an end", s.err)
		}
	} else {
		s.checkClass(f, classes)
	}
	if f.intact && len(classes) > 0 {
		s.completes(left, f.again)
	}
	if f.again && !(f.intact && len(classes) > 0) || !f.again && !f.lossy {
		ztest.Equal(s.t, "received", s.received(), s.src.Content[:s.n])
	}
}

// checkClass demands that the error is of one of the classes and names whose fault
// it is.
func (s *scene) checkClass(f fault, classes []error) {
	s.t.Helper()
	for _, class := range classes {
		if !errors.Is(s.err, class) {
			continue
		}
		switch f.side {
		case "source":
			checkFailed(s.t, s.err, failed{s.src.Reader, "read", class})
		case "destination":
			checkFailed(s.t, s.err, failed{s.dst.Writer, "write", class})
		default:
			checkFailed(s.t, s.err, failed{nil, "", class})
		}
		return
	}
	s.t.Errorf("error %v is none of %v", s.err, classes)
}
