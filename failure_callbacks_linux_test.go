package zerocopy_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A told is a Reader and Writer that declares itself transparent and fails in one of
// its callbacks, the nth time that is called.
type told struct {
	io.Reader
	io.Writer
	chunk int
	fails string // "Before", "Moved", "Done", "Flush"
	nth   int
	err   error

	calls     map[string]int
	moved     int64
	unwritten int64 // what Done was told
	doneErr   error
}

func (w *told) tell(name string) error {
	if w.calls == nil {
		w.calls = make(map[string]int)
	}
	if w.calls[name]++; name == w.fails && w.calls[name] == w.nth {
		return w.err
	}
	return nil
}

func (w *told) before() error { return w.tell("Before") }
func (w *told) flush() error  { return w.tell("Flush") }
func (w *told) count(n int64) error {
	w.moved += n
	return w.tell("Moved")
}

func (w *told) done(unwritten int64, err error) error {
	w.unwritten, w.doneErr = unwritten, err
	if e := w.tell("Done"); e != nil {
		return e
	}
	return err
}

func (w *told) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: w, Reader: w.Reader, Chunk: w.chunk, Before: w.before, Moved: w.count, Done: w.done}, true
}

func (w *told) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: w, Writer: w.Writer, Chunk: w.chunk, Flush: w.flush, Before: w.before, Moved: w.count, Done: w.done}, true
}

// put puts w into the scene, at the source or at the destination.
func (s *scene) put(w *told, side string) {
	if side == "source" {
		w.Reader, s.from = s.from, w
	} else {
		w.Writer, s.to = s.to, w
	}
}

// TestFailuresOfCallbacks: what a wrapper's callback returns ends the copy as any
// other error does: nothing is lost, all are told once, and the stream can be
// completed. io.EOF is an error like others there, not the end of the source.
func TestFailuresOfCallbacks(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const size, chunk = 300_000, 30_000
	for _, side := range []string{"source", "destination"} {
		for _, fails := range []string{"Before", "Moved", "Done", "Flush"} {
			for _, nth := range []int{1, 3} {
				for _, full := range []bool{false, true} {
					for _, class := range []error{errCause, io.EOF} {
						for _, r := range routes {
							switch {
							case fails == "Flush" && (side == "source" || nth > 1 || full):
								continue // a Writer's, and once
							case fails == "Done" && (nth > 1 || full):
								continue // once, and the copy ends by itself
							case full && (!r.dst.Stream() || fails == "Before" && side == "source"):
								continue // never full, or asked only when nothing is held
							}
							few.Run(fmt.Sprintf("%s/%s/%d/full=%v/%v/%s", side, fails, nth, full, class, r.name), func(t *testing.T) {
								opts := []ztest.Option{ztest.NoEOF()}
								if fails == "Done" {
									opts = nil
								}
								var stall []ztest.Option
								if full {
									stall = []ztest.Option{ztest.StallAfter(5000), ztest.Buffers(small)}
								}
								s := newScene(t, r, true, ztest.Pattern(6).Bytes(size), opts, stall)
								w := &told{chunk: chunk, fails: fails, nth: nth, err: class}
								if full {
									w.chunk, w.nth = 0, 1 // the first thing that is less than was taken
								}
								other := &told{chunk: 1 << 20} // at the other end, told the same
								s.put(w, side)
								s.put(other, map[string]string{"source": "destination", "destination": "source"}[side])
								s.start()
								s.checkTold(w, other, class)
							})
						}
					}
				}
			}
		}
	}
}

// checkTold checks a copy that a callback of w has ended.
func (s *scene) checkTold(w, other *told, class error) {
	s.t.Helper()
	left := s.settled(false)
	if !errors.Is(s.err, class) {
		s.t.Errorf("error %v, want %v", s.err, class)
	}
	for _, to := range []*told{w, other} {
		if to.calls["Done"] != 1 || to.unwritten != int64(len(left)) || to.moved != s.n {
			s.t.Errorf("Done %d times, with %d unwritten; Moved %d; want %d and %d", to.calls["Done"], to.unwritten, to.moved, len(left), s.n)
		}
		if to.calls["Flush"] > 1 {
			s.t.Errorf("Flush %d times", to.calls["Flush"])
		}
	}
	switch {
	case w.fails == "Flush" && (s.n != 0 || len(left) != 0), w.fails == "Before" && w.Reader != nil && w.nth == 1 && (s.n != 0 || len(left) != 0):
		s.t.Errorf("%d bytes written and %d taken before %s", s.n, len(left), w.fails)
	case w.fails == "Done" && s.n != int64(len(s.src.Content)):
		s.t.Errorf("n = %d at the end", s.n)
	case w.fails == "Moved" && w.chunk > 0 && s.n > int64(w.nth*w.chunk):
		s.t.Errorf("n = %d after Moved has failed %d chunks on", s.n, w.nth)
	}
	w.fails = ""
	if s.n < int64(len(s.src.Content)) {
		s.completes(left, true)
	}
}

// TestFailureThatDoneReplaces: Done may replace the error, by none too; it cannot
// hide that bytes are left over. The wrappers are asked from the inner to the outer.
func TestFailureThatDoneReplaces(t *testing.T) {
	t.Parallel()
	hidden := errors.New("replaced")
	for _, tt := range []struct {
		name    string
		replace func(error) error
		full    bool // there is residue
		want    func(err error) bool
	}{
		{"an error by another", func(error) error { return hidden }, false, func(err error) bool { return err == hidden }},
		{"an error by none", func(error) error { return nil }, false, func(err error) bool { return err == nil }},
		{"an error with residue by another", func(error) error { return hidden }, true, func(err error) bool { return errors.Is(err, hidden) }},
		{"an error with residue by none", func(error) error { return nil }, true, func(err error) bool { return errors.Is(err, errCause) }},
		{"wrapped", func(err error) error { return fmt.Errorf("body: %w", err) }, true, func(err error) bool { return errors.Is(err, errCause) }},
	} {
		for _, side := range []string{"source", "destination"} {
			t.Run(tt.name+"/"+side, func(t *testing.T) {
				t.Parallel()
				r := routes[9]
				s := newScene(t, r, true, ztest.Pattern(7).Bytes(1<<20), []ztest.Option{ztest.NoEOF(), ztest.Buffers(small)},
					[]ztest.Option{ztest.StallAfter(5000), ztest.Buffers(small)})
				w := &replacing{told: told{}, replace: tt.replace}
				if side == "source" {
					w.Reader, s.from = s.from, w
				} else {
					w.Writer, s.to = s.to, w
				}
				if !tt.full {
					s.src.Reader.SetReadDeadline(past)
					s.start()
				} else {
					s.start()
					s.dst.AwaitReceived(5000)
					s.awaitFullForGood()
					s.cancel(errCause)
				}
				left := s.settled(false)
				if (len(left) > 0) != tt.full || !tt.want(s.err) {
					t.Errorf("%d bytes left over, %v", len(left), s.err)
				}
				s.completes(left, true)
			})
		}
	}
}

// A replacing replaces errors, but no end.
type replacing struct {
	told
	replace func(error) error
}

func (w *replacing) done(_ int64, err error) error {
	if err == nil {
		return nil
	}
	return w.replace(err)
}

func (w *replacing) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: w, Reader: w.Reader, Done: w.done}, true
}

func (w *replacing) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: w, Writer: w.Writer, Done: w.done}, true
}

// TestFailureByPanic: a callback that panics with bytes in the pipe leaves nothing
// behind: what the pipe holds never reaches another copy, and the buffer of the
// caller's pool is given back.
func TestFailureByPanic(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		s := newScene(t, r, false, ztest.Pattern(10).Bytes(300_000), nil, nil)
		buffers := &pooledBuffer{buf: make([]byte, 10_000)}
		s.c.BufferPool = buffers
		s.hookAt(hookChunk, func() { panic(errCause) })
		func() {
			defer func() {
				if v := recover(); v != errCause {
					t.Errorf("%s: recovered %v", r.name, v)
				}
			}()
			s.c.Copy(s.ctx, s.to, s.from)
		}()
		if p := s.c.pipes.Stats(); p.Open != p.Idle || buffers.out != 0 {
			t.Errorf("%s: %+v, %d buffers", r.name, p, buffers.out)
		}
		src, dst := ztest.NewSource(t, r.src, ztest.Pattern(11).Bytes(100_000)), ztest.NewDest(t, r.dst)
		n, err := s.c.within(t, dst.Writer, r.reader(src))
		checkWhole(t, dst, n, err, src.Content)
	}
}
