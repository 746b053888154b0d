package zerocopy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A scripted Writer takes at bytes and then does what its mode says, once.
type scripted struct {
	mode string
	at   int

	got    []byte
	before int // what it had when it did so,
	chunk  int // and what it was given
	fired  bool
	later  bool // it was written to after it
}

func (s *scripted) Write(p []byte) (int, error) {
	s.later = s.fired
	if s.fired || len(s.got)+len(p) <= s.at {
		s.got = append(s.got, p...)
		return len(p), nil
	}
	s.fired, s.before, s.chunk = true, len(s.got), len(p)
	j := s.at - len(s.got)
	switch s.mode {
	case "error":
		s.got = append(s.got, p[:j]...)
		return j, errTest
	case "io.EOF":
		s.got = append(s.got, p[:j]...)
		return j, io.EOF
	case "short":
		s.got = append(s.got, p[:j]...)
		return j, nil
	case "all taken":
		s.got = append(s.got, p...)
		return len(p), errTest
	case "negative":
		return -1, nil
	case "negative error":
		return -1, errTest
	case "too many":
		return len(p) + 1, nil
	case "too many, error":
		return len(p) + 1, errTest
	}
	panic(errTest)
}

var scriptedModes = []string{"error", "io.EOF", "short", "all taken", "negative", "negative error", "too many", "too many, error", "panic"}

// A layout is how three sinks are put around a copy.
type layout string

const (
	multi    layout = "MultiWriter"
	tees     layout = "TeeReaders"   // the inner's, the outer's, and the destination
	teeMulti layout = "Tee to Multi" // a TeeReader's MultiWriter of two, and the destination
)

var layouts = []layout{multi, tees, teeMulti}

// together reports whether the sinks i < j are of one MultiWriter.
func (l layout) together(i, j int) bool { return l == multi || l == teeMulti && j < 2 }

// A fanScene is a copy from one source to three sinks, of which one fails.
type fanScene struct {
	t *testing.T
	layout
	at  int // which sink fails
	m   fanMakers
	src *ztest.Source
	c   *tracked
	w   [3]io.Writer
	got [3]func() []byte

	n   int64
	err error
}

// ends returns what is copied where.
func (s *fanScene) ends() (io.Writer, io.Reader) {
	switch s.layout {
	case multi:
		return s.m.multi(s.w[:]...), s.src.Reader
	case tees:
		return s.w[2], s.m.tee(s.m.tee(s.src.Reader, s.w[0]), s.w[1])
	}
	return s.w[2], s.m.tee(s.src.Reader, s.m.multi(s.w[0], s.w[1]))
}

// tapped reports whether it is the Writer of a TeeReader that fails.
func (s *fanScene) tapped() bool { return s.layout != multi && s.at < 2 }

// newFanScene makes a scene whose sinks that work are a connection and a buffer.
func newFanScene(t *testing.T, from ztest.Kind, content []byte, l layout, at int, m fanMakers, bad io.Writer) *fanScene {
	s := &fanScene{t: t, layout: l, at: at, m: m, c: track(t, nil)}
	s.src = ztest.NewSource(t, from, content, ztest.NoEOF())
	d, b := ztest.NewDest(t, ztest.TCP4), new(bytes.Buffer)
	s.w[at] = bad
	for i, j := 0, at; i < 2; i++ {
		j = (j + 1) % 3
		if (i == 0) == (at%2 == 0) {
			s.w[j], s.got[j] = d.Writer, d.Finish
		} else {
			s.w[j], s.got[j] = struct{ io.Writer }{b}, b.Bytes
		}
	}
	return s
}

// check holds the scene to its outcome. The sink that fails had before bytes when it
// was given chunk bytes, of which the copy counts so many that it has n.
func (s *fanScene) check(n int64, before, chunk int) {
	s.t.Helper()
	content := s.src.Content
	if s.n != n {
		s.t.Errorf("n = %d, want %d", s.n, n)
	}
	left := unwritten(s.t, s.n, s.err)
	taken := before + chunk
	if s.src.Kind == ztest.File {
		taken = int(n) // it is moved back
		if at := s.src.Pos(); at != n {
			s.t.Errorf("the file stands at %d, %d were written", at, n)
		}
	}
	ztest.Equal(s.t, "Unwritten", left, content[n:taken])
	for i, got := range s.got {
		want := int(n)
		switch {
		case i == s.at:
			continue
		case i < s.at:
			want = before + chunk
		case s.together(s.at, i):
			want = before
		}
		ztest.Equal(s.t, fmt.Sprintf("sink %d of the one that fails being %d", i, s.at), got(), content[:want])
	}
	ztest.Equal(s.t, "the rest", s.src.Rest(), content[taken:])
	if p := s.c.pipes.Stats(); p.Open != p.Idle {
		s.t.Errorf("a pipe is still borrowed: %+v", p)
	}
}

// checkTeed demands that a stream was duplicated where the failure left any of it.
func (s *fanScene) checkTeed(want int64) {
	s.t.Helper()
	if teed := s.c.report.Bytes(zerocopy.Tee); s.src.Kind.Conn() && teed != want {
		s.t.Errorf("%d of %d bytes were duplicated: %v", teed, want, s.c.report)
	}
}

// TestFanFailures: a Writer that fails ends the copy as it does with io's types, at
// whatever position and byte; the count is exact, and nothing is lost.
func TestFanFailures(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const size = 300_000
	content := ztest.Pattern(62).Bytes(size)
	kinds := []ztest.Kind{ztest.TCP4, ztest.File, ztest.Unix, ztest.Pipe}
	if raceEnabled {
		kinds = kinds[:2] // each is 15 times as dear
	}
	for _, mode := range scriptedModes {
		for _, from := range kinds {
			for at := range 3 {
				for _, l := range layouts {
					for name, m := range map[string]fanMakers{"io": ofIO, "ours": ofOur} {
						for _, after := range []int{0, 1000, 32 << 10, 100_001} {
							few.Run(fmt.Sprintf("%s/%s/%d/%s/%s/%d", mode, from, at, l, name, after), func(t *testing.T) {
								bad := &scripted{mode: mode, at: after}
								s := newFanScene(t, from, content, l, at, m, bad)
								s.failing(bad)
							})
						}
					}
				}
			}
		}
	}
}

// failing copies and checks what bad makes of it.
func (s *fanScene) failing(bad *scripted) {
	s.t.Helper()
	dst, src := s.ends()
	if bad.mode == "panic" {
		s.panics(bad)
		return
	}
	if bad.mode != "error" {
		s.src.End() // the stream may well come to its end
	}
	s.n, s.err = s.c.within(s.t, dst, src)
	if !bad.fired {
		s.t.Fatalf("has not come to %q: %d, %v", bad.mode, s.n, s.err)
	}
	want := map[string]error{
		"error": errTest, "all taken": errTest, "negative error": errTest, "too many, error": errTest,
		"io.EOF": io.EOF, // which io.Copy takes for the end of a TeeReader, and loses what it has read
		"short":  io.ErrShortWrite, "negative": io.ErrShortWrite, "too many": io.ErrShortWrite,
	}[bad.mode]
	if s.tapped() && s.layout == tees && want == io.ErrShortWrite {
		// A TeeReader does not look at the count.
		if s.err != nil || s.n != int64(len(s.src.Content)) {
			s.t.Errorf("%d, %v", s.n, s.err)
		}
		for i, got := range s.got {
			if i != s.at {
				ztest.Equal(s.t, fmt.Sprintf("sink %d", i), got(), s.src.Content)
			}
		}
		s.checkTeed(s.n)
		return
	}
	if s.layout != multi && s.at == 2 && (bad.mode == "negative" || bad.mode == "too many") {
		if s.err == nil || unwrapped(s.err).Error() != "invalid write result" {
			s.t.Errorf("error %v, want io.Copy's for a count that cannot be", s.err)
		}
	} else if unwrapped(s.err) != want {
		s.t.Errorf("error %v, want %v", s.err, want)
	}
	if bad.later {
		s.t.Error("written to after its failure")
	}
	s.check(int64(len(bad.got)), bad.before, bad.chunk)
	s.checkTeed(s.n)
}

// unwrapped returns the error in a PartialError.
func unwrapped(err error) error {
	var partial *zerocopy.PartialError
	if errors.As(err, &partial) {
		return partial.Err
	}
	return err
}

// panics copies and demands that the panic of bad comes through, with nothing held.
func (s *fanScene) panics(bad *scripted) {
	s.t.Helper()
	dst, src := s.ends()
	var what any
	func() {
		defer func() { what = recover() }()
		s.c.Copy(s.t.Context(), dst, src)
	}()
	if what != errTest {
		s.t.Errorf("panic %v", what)
	}
	for i, got := range s.got {
		switch {
		case i < s.at:
			ztest.Equal(s.t, "a sink before it", got(), s.src.Content[:bad.before+bad.chunk])
		case i > s.at:
			ztest.Equal(s.t, "a sink behind it", got(), s.src.Content[:bad.before])
		}
	}
	if p := s.c.pipes.Stats(); p.Open != p.Idle {
		s.t.Errorf("a pipe is still borrowed: %+v", p)
	}
}

// TestFanFailuresOfIO is the reference of TestFanFailures: what io.Copy does with io's
// types where a chunk is a buffer.
func TestFanFailuresOfIO(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(62).Bytes(60_000)
	for _, mode := range scriptedModes[:len(scriptedModes)-1] {
		for at := range 3 {
			for _, l := range layouts {
				if at < 2 && (l != multi && mode == "too many, error" || l == teeMulti && mode == "too many") {
					continue // io.Copy panics, or writes what it has not read
				}
				run := func(m fanMakers, copy func(io.Writer, io.Reader) (int64, error)) string {
					bad := &scripted{mode: mode, at: 40_000}
					s := newFanScene(t, ztest.File, content, l, at, m, bad)
					s.src.End()
					dst, src := s.ends()
					n, err := copy(dst, src)
					if mode == "io.EOF" && s.tapped() && err == nil {
						err = io.EOF // on purpose: see above
					}
					all := fmt.Sprint(n, " ", unwrapped(err))
					for i, got := range s.got {
						if i != at {
							all += " " + ztest.Sum(got())
						}
					}
					return all
				}
				want := run(ofIO, io.Copy)
				for name, m := range map[string]fanMakers{"io's": ofIO, "ours": ofOur} {
					if got := run(m, zerocopy.Copy); got != want {
						t.Errorf("%s, sink %d, %s, %s: %s, with io.Copy %s", mode, at, l, name, got, want)
					}
				}
			}
		}
	}
}

// TestFanMethods: Write, WriteString and Read of our types, without a Copy, are those
// of io's.
func TestFanMethods(t *testing.T) {
	t.Parallel()
	text := string(ztest.Pattern(63).Bytes(5000))
	calls := map[string]func(m fanMakers, w ...io.Writer) (int, error){
		"Write":       func(m fanMakers, w ...io.Writer) (int, error) { return m.multi(w...).Write([]byte(text)) },
		"WriteString": func(m fanMakers, w ...io.Writer) (int, error) { return io.WriteString(m.multi(w...), text) },
		"Read": func(m fanMakers, w ...io.Writer) (int, error) {
			return m.tee(strings.NewReader(text), m.multi(w...)).Read(make([]byte, 5000))
		},
		"Read of one": func(m fanMakers, w ...io.Writer) (int, error) {
			return m.tee(strings.NewReader(text), w[1]).Read(make([]byte, 5000))
		},
		"Read to the end": func(m fanMakers, w ...io.Writer) (int, error) {
			return m.tee(strings.NewReader(""), w[1]).Read(make([]byte, 5000))
		},
	}
	for name, call := range calls {
		for _, mode := range scriptedModes {
			for _, at := range []int{0, 3000, 5000} {
				run := func(m fanMakers) (all string) {
					before, after := new(bytes.Buffer), new(strings.Builder)
					bad := &scripted{mode: mode, at: at}
					defer func() {
						if what := recover(); what != nil {
							all = fmt.Sprint("panic ", what)
						}
						all += fmt.Sprint(" ", before.Len(), len(bad.got), after.Len())
					}()
					n, err := call(m, before, bad, after)
					return fmt.Sprint(n, " ", err)
				}
				if got, want := run(ofOur), run(ofIO); got != want {
					t.Errorf("%s, %s after %d: %s, io's %s", name, mode, at, got, want)
				}
			}
		}
	}
}
