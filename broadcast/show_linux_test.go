package broadcast_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// An answer decides about the nth call of its name, counted from 1, as
// sys.Calls.Intercept does.
type answer func(c *sys.Call, nth int) (n int, err error, done bool)

// A show is a Broadcast of which the test sees every system call and every report. Its
// stream is a pattern, of which the test feeds as much as it wants.
type show struct {
	t       testing.TB
	b       *broadcast.Broadcast
	pattern ztest.Pattern
	pipes   kpipe.Pool
	src, in ztest.Stream // the source, and the end that feeds it
	srcFD   int
	fed     int64
	task    *ztest.Task
	err     error // of Run, when task is done

	mu      sync.Mutex
	calls   map[string]int
	foreign int // reads of anything but the source
	answer  answer
	reports []report
	ran     bool // Run has returned
	viewers []*viewer
}

type report struct {
	sink *broadcast.Sink
	st   broadcast.SinkStats
}

// A setting alters a show before it begins.
type setting func(s *show, o *broadcast.Options)

// answering puts f between the show and the kernel.
func answering(f answer) setting { return func(s *show, _ *broadcast.Options) { s.answer = f } }

// scarce has the show use pipes of 64 KiB, 16 slots, of which there are n.
func scarce(n int) setting {
	return func(s *show, _ *broadcast.Options) {
		s.pipes.Limits = func() kpipe.Limits { return kpipe.Limits{Budget: int64(n) << 16, MaxSize: 1 << 20} }
	}
}

// recording has the show recorded to a file of the kind, which is returned.
func recording(t testing.TB, k ztest.Kind) (*ztest.Dest, setting) {
	d := ztest.NewDest(t, k)
	return d, recordedTo(d)
}

func recordedTo(d *ztest.Dest) setting {
	return func(_ *show, o *broadcast.Options) { o.Recording = d.Writer.(*os.File) }
}

// newShow returns a show whose source is of the kind. At the end of the test all of its
// pipes have to be back.
func newShow(t testing.TB, k ztest.Kind, settings ...setting) *show {
	t.Helper()
	s := &show{t: t, pattern: 50, calls: make(map[string]int)}
	s.src, s.in = ztest.Pair(t, k)
	s.open(s.src, settings...)
	return s
}

// open makes the Broadcast, of src.
func (s *show) open(src io.Reader, settings ...setting) {
	s.t.Helper()
	s.srcFD = -1
	if c, ok := src.(syscall.Conn); ok {
		onFD(s.t, c, func(fd int) error { s.srcFD = fd; return nil })
	}
	o := &broadcast.Options{Report: s.note}
	for _, f := range settings {
		f(s, o)
	}
	b, err := broadcast.NewWith(src, o, &sys.Calls{Intercept: s.intercept}, &s.pipes)
	must(s.t, err)
	s.b = b
	s.t.Cleanup(func() {
		if st := s.pipes.Stats(); st.Open != st.Idle {
			s.t.Errorf("%d pipes are open and %d of them back", st.Open, st.Idle)
		}
		s.pipes.CloseIdle()
	})
}

func (s *show) intercept(c *sys.Call) (int, error, bool) {
	s.mu.Lock()
	s.calls[c.Name]++
	nth := s.calls[c.Name]
	if c.Name == "read" && c.In != s.srcFD {
		s.foreign++
	}
	s.mu.Unlock()
	if s.answer == nil {
		return 0, nil, false
	}
	return s.answer(c, nth)
}

// note is the Report of the show.
func (s *show) note(sink *broadcast.Sink, st broadcast.SinkStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ran {
		s.t.Errorf("reported after Run has returned: %v", st)
	}
	s.reports = append(s.reports, report{sink, st})
}

// count returns how many calls of the name there were.
func (s *show) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[name]
}

// run starts Run.
func (s *show) run(ctx context.Context) {
	s.task = ztest.Go(s.t, "Run", func() {
		s.err = s.b.Run(ctx)
		s.mu.Lock()
		s.ran = true
		s.mu.Unlock()
	})
}

// feed writes the next total bytes of the pattern in pieces of these sizes in turn.
func (s *show) feed(total int64, sizes ...int) {
	s.t.Helper()
	if err := s.tryFeed(total, sizes...); err != nil {
		s.t.Fatalf("source: %v", err)
	}
}

func (s *show) tryFeed(total int64, sizes ...int) error {
	if len(sizes) == 0 {
		sizes = []int{64 << 10}
	}
	buf := make([]byte, 0, 1<<20)
	for i := 0; total > 0; i++ {
		p := buf[:min(int64(sizes[i%len(sizes)]), total)]
		s.pattern.Fill(p, s.fed)
		n, err := s.in.Write(p)
		s.fed += int64(n)
		total -= int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitAll waits until all viewers, which have been there from the start, have all that
// was fed.
func (s *show) awaitAll() {
	s.t.Helper()
	for _, v := range s.viewers {
		v.await(s.fed)
	}
}

// awaitTaken waits until all that was fed is in the stream.
func (s *show) awaitTaken() {
	s.t.Helper()
	ztest.Eventually(s.t, ztest.Patience, "the stream to take what was fed", func() bool { return s.b.Stats().Position == s.fed })
}

// end ends the source, and waits for Run.
func (s *show) end() {
	s.t.Helper()
	if c, ok := s.in.(interface{ CloseWrite() error }); ok {
		must(s.t, c.CloseWrite())
	} else {
		must(s.t, s.in.Close())
	}
	s.wait()
}

// wait waits for Run, and checks the reports.
func (s *show) wait() {
	s.t.Helper()
	s.task.Wait()
	st := s.b.Stats()
	if !st.Ended || len(st.Sinks) > 0 {
		s.t.Errorf("after Run: ended: %v, with the sinks %v", st.Ended, st.Sinks)
	}
	s.checkReports()
}

// finish ends the source and demands that Run succeeds and that every viewer has got
// exactly the bytes from where it joined to the end.
func (s *show) finish() {
	s.t.Helper()
	s.end()
	if s.err != nil {
		s.t.Errorf("Run: %v", s.err)
	}
	if pos := s.b.Stats().Position; pos != s.fed {
		s.t.Errorf("the stream has %d bytes, %d were fed", pos, s.fed)
	}
	for _, v := range s.viewers {
		v.whole()
	}
}

// requireKernel demands that no byte of the stream was read or written.
func (s *show) requireKernel() {
	s.t.Helper()
	st := s.b.Stats()
	if st.Mechanism != zerocopy.Splice || st.Reason != zerocopy.ReasonNone {
		s.t.Errorf("the source is taken by %v: %v", st.Mechanism, st.Reason)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls["write"]+s.foreign > 0 || s.calls["splice"] == 0 {
		s.t.Errorf("not by the kernel alone: %v, %d reads of pipes", s.calls, s.foreign)
	}
}

// checkReports demands of each sink that it was reported when it had joined and when it
// had ended, and in between only in an order in which things can happen.
func (s *show) checkReports() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	of := make(map[*broadcast.Sink][]broadcast.SinkStats)
	for _, r := range s.reports {
		of[r.sink] = append(of[r.sink], r.st)
	}
	for _, v := range s.viewers {
		sts := of[v.sink]
		if len(sts) < 2 {
			s.t.Errorf("%s: reported %d times: %v", v.name, len(sts), sts)
			continue
		}
		for i, st := range sts {
			before := sts[max(i-1, 0)]
			switch last := i == len(sts)-1; {
			case (st.State == broadcast.Ended) != last:
				s.t.Errorf("%s: report %d of %d: %v", v.name, i+1, len(sts), st)
			case st.Position < before.Position || st.Live < before.Live || st.Recorded < before.Recorded || st.Demotions < before.Demotions:
				s.t.Errorf("%s: reported %v after %v", v.name, st, before)
			case i > 0 && !last && st.State == broadcast.Live && before.State != broadcast.Recorded:
				s.t.Errorf("%s: reported %v after %v", v.name, st, before)
			}
		}
	}
}

// states returns the states in which the sink was reported.
func (s *show) states(v *viewer) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []broadcast.State
	for _, r := range s.reports {
		if r.sink == v.sink {
			list = append(list, r.st.State)
		}
	}
	return fmt.Sprint(list)
}

// onFD runs f on the descriptor of c.
func onFD(t testing.TB, c syscall.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	must(t, err)
	var ferr error
	must(t, raw.Control(func(fd uintptr) { ferr = f(int(fd)) }))
	must(t, ferr)
}
