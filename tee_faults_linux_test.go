package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What ends a copy to several descriptors from outside: the sink that fails is one,
// and the copy waits for it.

// A stuckScene is a copy of which one sink takes no more.
type stuckScene struct {
	*fanScene
	bad    *ztest.Dest
	others [3]*ztest.Dest
	cancel context.CancelCauseFunc
	*copying
}

// newStuckScene begins a copy to three sinks of that kind and waits until it waits for
// the one at that index.
func newStuckScene(t *testing.T, from, to ztest.Kind, l layout, at int) *stuckScene {
	s := &stuckScene{fanScene: &fanScene{t: t, layout: l, at: at, m: ofIO, c: track(t, nil)}}
	s.src = ztest.NewSource(t, from, ztest.Pattern(63).Bytes(2<<20), ztest.NoEOF())
	for i := range s.w {
		if i == at {
			s.bad = ztest.NewDest(t, to, ztest.StallAfter(40_000), ztest.Buffers(small))
			s.w[i] = s.bad.Writer
			continue
		}
		s.others[i] = ztest.NewDest(t, to)
		s.w[i], s.got[i] = s.others[i].Writer, s.others[i].Finish
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s.cancel = cancel
	t.Cleanup(func() { cancel(nil) })
	dst, src := s.ends()
	if from == ztest.File {
		s.c.Pages = zerocopy.Share
	}
	s.copying = s.c.begin(t, ctx, dst, src)
	s.bad.AwaitReceived(40_000)
	s.bad.AwaitFull()
	s.awaitStuck()
	return s
}

// awaitStuck waits until nothing has happened for a while: before that it may be
// another sink that is waited for. The while is counted in looks, see awaitFullForGood.
func (s *stuckScene) awaitStuck() {
	s.t.Helper()
	last, looks := "", 0
	ztest.Eventually(s.t, ztest.Patience, "a copy that waits for a sink", func() bool {
		now := fmt.Sprint(s.c.count(), s.bad.Received())
		for _, d := range s.others {
			if d != nil {
				now += fmt.Sprint(" ", d.Received())
				// On a busy machine its reader may not have run for long: then it is this
				// sink that is waited for.
				if _, writable, err := ztest.Poll(d.Writer.(syscall.Conn)); err != nil || !writable {
					looks = 0
				}
			}
		}
		if now != last {
			last, looks = now, 0
		}
		looks++
		return looks > 40
	})
	s.copying.AwaitParkedToWrite()
}

// A fanFault ends a copy that waits for a sink.
type fanFault struct {
	name    string
	inflict func(s *stuckScene)
	classes func(s *stuckScene) []error // nil: it goes on, and ends well
	lossy   bool                        // what the sink has accepted has not all arrived
}

var fanFaults = []fanFault{
	{"ready", func(s *stuckScene) { s.bad.Resume(); s.src.End() }, nil, false},
	{"closed", func(s *stuckScene) { s.bad.Writer.Close() },
		func(s *stuckScene) []error { return []error{closedClass(s.bad.Writer)} }, false},
	{"deadline", func(s *stuckScene) { s.bad.Writer.SetWriteDeadline(past) },
		func(s *stuckScene) []error { return []error{os.ErrDeadlineExceeded} }, false},
	{"reset", func(s *stuckScene) { s.bad.Reset() },
		func(s *stuckScene) []error { return []error{syscall.ECONNRESET, syscall.EPIPE} }, true},
	{"context", func(s *stuckScene) { s.cancel(errCause) },
		func(s *stuckScene) []error { return []error{errCause} }, false},
}

// TestFanStuck: each sink in turn takes no more, and something ends the wait for it.
// The copy waits without a spin meanwhile: see awaitStuck.
func TestFanStuck(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	turn := 0 // of the layouts, where not all are taken
	for _, f := range fanFaults {
		for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.File} {
			turn++
			for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.SockFile, ztest.FIFO} {
				if from != ztest.TCP4 && to != ztest.TCP4 {
					continue
				}
				for at := range 3 {
					turn++
					for i, l := range layouts {
						if from != to && i != turn%3 {
							continue
						}
						few.Run(fmt.Sprintf("%s/%s→%s/%d/%s", f.name, from, to, at, l), func(t *testing.T) {
							s := newStuckScene(t, from, to, l, at)
							f.inflict(s)
							s.copying.Wait()
							s.fanScene.n, s.fanScene.err = s.copying.n, s.copying.err
							s.checkFault(f)
						})
					}
				}
			}
		}
	}
}

// checkFault holds the copy to its outcome.
func (s *stuckScene) checkFault(f fanFault) {
	s.t.Helper()
	n, err := s.fanScene.n, s.fanScene.err
	if f.classes == nil {
		if err != nil || n != int64(len(s.src.Content)) {
			s.t.Errorf("%d, %v", n, err)
		}
		s.others[s.at] = s.bad
		for i, d := range s.others {
			ztest.Equal(s.t, fmt.Sprintf("sink %d", i), d.Finish(), s.src.Content)
		}
		s.checkTeed(n)
		return
	}
	classes := f.classes(s)
	class := classes[0]
	for _, c := range classes[1:] {
		if errors.Is(err, c) {
			class = c
		}
	}
	if f.name == "context" {
		checkFailed(s.t, err, failed{nil, "", class})
	} else {
		checkFailed(s.t, err, failed{s.bad.Writer, "write", class})
	}
	if !f.lossy && f.name != "closed" {
		s.bad.Writer.SetWriteDeadline(time.Time{})
		got := s.bad.Finish()
		if f.name == "context" && int64(len(got)) >= n { // ends what follows, too
			got = got[:n]
		}
		ztest.Equal(s.t, "the sink that was waited for", got, s.src.Content[:n])
	}
	s.sums(n, err)
	s.checkTeed(n)
}

// sums checks that the others have got what the count says, and that with what is
// handed back nothing is missing. What a sink before the one that failed has got is
// all of the chunk: the same as what was taken of a stream.
func (s *stuckScene) sums(n int64, err error) {
	s.t.Helper()
	left := unwritten(s.t, n, err)
	content, taken := s.src.Content, n+int64(len(left))
	ztest.Equal(s.t, "Unwritten", left, content[n:taken])
	for i, d := range s.others {
		if d == nil {
			continue
		}
		d.Writer.SetWriteDeadline(time.Time{})
		got := d.Finish()
		switch k := int64(len(got)); {
		case !bytes.HasPrefix(content, got):
			s.t.Errorf("sink %d: %s", i, ztest.Diff(got, content[:k]))
		case i < s.at && s.src.Kind != ztest.File && k != taken:
			s.t.Errorf("sink %d, before the one that failed, got %d bytes, taken are %d", i, k, taken)
		case i < s.at && k < n, i > s.at && k > n, i > s.at && !s.together(s.at, i) && k != n:
			s.t.Errorf("sink %d of the one that failed being %d got %d bytes, n = %d", i, s.at, k, n)
		}
	}
	if at := s.src.Pos(); s.src.Kind == ztest.File && at != n {
		s.t.Errorf("the file stands at %d, %d were written", at, n)
	}
	s.src.Reader.SetReadDeadline(time.Time{})
	ztest.Equal(s.t, "the rest", s.src.Rest(), content[taken:])
	if p := s.c.pipes.Stats(); p.Open != p.Idle {
		s.t.Errorf("a pipe is still borrowed: %+v", p)
	}
}

// TestFanDead: a sink that takes nothing from the start. The first is asked before a
// byte is taken; for the others io's types have read.
func TestFanDead(t *testing.T) {
	t.Parallel()
	full := func(t *testing.T) *os.File {
		f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T) ztest.Stream
		class error
	}{
		{"closed conn", func(t *testing.T) ztest.Stream {
			d := ztest.NewDest(t, ztest.TCP4)
			d.Writer.Close()
			return d.Writer
		}, nil},
		{"closed file", func(t *testing.T) ztest.Stream {
			d := ztest.NewDest(t, ztest.File)
			d.Writer.Close()
			return d.Writer
		}, os.ErrClosed},
		{"deadline", func(t *testing.T) ztest.Stream {
			d := ztest.NewDest(t, ztest.Unix)
			d.Writer.SetWriteDeadline(past)
			return d.Writer
		}, os.ErrDeadlineExceeded},
		{"read-only file", func(t *testing.T) ztest.Stream {
			f, err := os.Open(newFile(t, ztest.File).Name())
			must(t, err)
			t.Cleanup(func() { f.Close() })
			return f
		}, syscall.EBADF},
		{"/dev/full", func(t *testing.T) ztest.Stream { return full(t) }, syscall.ENOSPC},
	} {
		for _, from := range []ztest.Kind{ztest.TCP4, ztest.File} {
			for at := range 3 {
				for _, l := range layouts {
					t.Run(fmt.Sprintf("%s/%s/%d/%s", tt.name, from, at, l), func(t *testing.T) {
						t.Parallel()
						bad := tt.make(t)
						s := newFanScene(t, from, ztest.Pattern(64).Bytes(100_000), l, at, ofOur, bad)
						dst, src := s.ends()
						s.n, s.err = s.c.within(t, dst, src)
						class := tt.class
						if class == nil {
							class = closedClass(bad)
						}
						checkFailed(t, s.err, failed{bad, "write", class})
						chunk := len(unwritten(t, s.n, s.err))
						if from == ztest.File && at > 0 {
							chunk = len(s.got[0]()) // although the file is moved back
						}
						s.check(0, 0, chunk)
						if at == 0 && tt.name != "/dev/full" && chunk != 0 {
							t.Errorf("%d bytes were taken for nobody", chunk)
						}
					})
				}
			}
		}
	}
}

// TestFanDiskFull: a file that takes a part of a chunk and then says ENOSPC.
func TestFanDiskFull(t *testing.T) {
	t.Parallel()
	const room = 192 << 10
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe} {
		for at := range 3 {
			for _, l := range layouts {
				t.Run(fmt.Sprintf("%s/%d/%s", from, at, l), func(t *testing.T) {
					t.Parallel()
					f, err := os.Create(filepath.Join(ztest.MountTmpfs(t, room), "file"))
					must(t, err)
					t.Cleanup(func() { f.Close() })
					s := newFanScene(t, from, ztest.Pattern(65).Bytes(600_000), l, at, ofIO, f)
					dst, src := s.ends()
					s.n, s.err = s.c.within(t, dst, src)
					checkFailed(t, s.err, failed{f, "write", syscall.ENOSPC})
					got, err := os.ReadFile(f.Name())
					must(t, err)
					if s.n != room {
						t.Errorf("n = %d, there is room for %d", s.n, room)
					}
					ztest.Equal(t, "the file", got, s.src.Content[:room])
					before := 0 // what the sinks behind it have got
					if at < 2 && l.together(at, at+1) {
						before = len(s.got[at+1]())
					}
					s.check(room, before, room+len(unwritten(t, s.n, s.err))-before)
					if s.c.report.Bytes(zerocopy.Tee) == 0 && from != ztest.Pipe {
						t.Errorf("nothing was duplicated: %v", s.c.report)
					}
				})
			}
		}
	}
}

// TestFanSourceFails: the source's error, named as such; every sink has the same.
func TestFanSourceFails(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix} {
		for _, l := range layouts {
			for name, tt := range map[string]struct {
				inflict func(*ztest.Source)
				class   error
			}{
				"reset":    {(*ztest.Source).Reset, syscall.ECONNRESET},
				"deadline": {func(s *ztest.Source) { s.Reader.SetReadDeadline(past) }, os.ErrDeadlineExceeded},
				"closed":   {func(s *ztest.Source) { s.Reader.Close() }, nil},
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", from, name, l), func(t *testing.T) {
					t.Parallel()
					content := ztest.Pattern(66).Bytes(150_000)
					third := ztest.NewDest(t, ztest.Unix)
					s := newFanScene(t, from, content, l, 2, ofOur, third.Writer)
					s.got[2] = third.Finish
					dst, src := s.ends()
					r := s.c.begin(t, nil, dst, src)
					third.AwaitReceived(int64(len(content)))
					r.AwaitParked()
					if p := s.c.pipes.Stats(); p.Open != p.Idle {
						t.Errorf("it waits for its source with a pipe: %+v", p)
					}
					tt.inflict(s.src)
					r.Wait()
					class := tt.class
					if class == nil {
						class = closedClass(s.src.Reader)
					}
					checkFailed(t, r.err, failed{s.src.Reader, "read", class})
					if r.n != int64(len(content)) {
						t.Errorf("n = %d", r.n)
					}
					for i, got := range s.got {
						ztest.Equal(t, fmt.Sprintf("sink %d", i), got(), content)
					}
					s.checkTeed(r.n)
				})
			}
		}
	}
}
