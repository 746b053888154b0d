package broadcast_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// streams are the kinds of sinks that can be slow.
var streams = []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.FIFO, ztest.SockFile}

// TestDetach: a sink that stands still is detached, and its peer has got exactly the
// bytes up to the position in the error.
func TestDetach(t *testing.T) {
	t.Parallel()
	for _, k := range streams {
		for _, maxLag := range []int64{0, 256 << 10, 3 << 20} {
			t.Run(fmt.Sprint(k, maxLag), func(t *testing.T) {
				t.Parallel()
				s := newShow(t, ztest.TCP4)
				a := s.view(ztest.TCP4, nil)
				o := &broadcast.SinkOptions{Policy: broadcast.Detach, MaxLag: maxLag, Name: "late"}
				late := s.view(k, o, ztest.StallAfter(123_456), ztest.Buffers(16<<10))
				s.run(t.Context())
				bounds := s.bounds(max(maxLag, 4<<20))
				for range 70 {
					s.feed(100_000)
					a.await(s.fed)
				}
				most := max(maxLag, s.b.PipeSize())
				if maxLag == 0 {
					most = 4 << 20
				}
				late.detached(most)
				late.check()
				late.requireTee()
				if n := len(s.b.Stats().Sinks); n != 1 {
					t.Errorf("%d sinks", n)
				}
				s.end()
				bounds.Wait()
				a.whole()
				s.requireKernel()
			})
		}
	}
}

// TestDemote: a sink falls back to the recording and goes live again, several times. Its
// lag takes no memory, and no byte of it passes user memory.
func TestDemote(t *testing.T) {
	t.Parallel()
	for _, k := range streams {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			rec, recorded := recording(t, ztest.File)
			s := newShow(t, ztest.TCP4, recorded)
			var mu sync.Mutex
			by, small := make(map[zerocopy.Mechanism]int64), int64(0)
			a := s.view(ztest.TCP4, nil)
			late := s.view(k, &broadcast.SinkOptions{Policy: broadcast.Demote, MaxLag: 1 << 20}, ztest.Buffers(16<<10))
			late.sink.OnRecorded(func(r zerocopy.Report) {
				mu.Lock()
				defer mu.Unlock()
				for _, step := range r.Steps {
					if step.Reason == zerocopy.ReasonSmall { // the last of what it lagged
						small += step.Bytes
						continue
					}
					by[step.Mechanism] += step.Bytes
				}
			})
			s.run(t.Context())
			bounds := s.bounds(4 << 20)
			const rounds = 3
			for range rounds {
				s.feed(1000)
				late.await(s.fed)
				late.awaitState(broadcast.Live)
				late.Stall()
				for range 40 {
					s.feed(100_000)
					a.await(s.fed)
				}
				late.awaitState(broadcast.Recorded)
				if st := late.sink.Stats(); st.Pipes > 1 || st.Lag < 1<<20 {
					t.Errorf("%+v", st)
				}
				late.Resume()
				late.await(s.fed)
				late.awaitState(broadcast.Live)
			}
			s.finish()
			bounds.Wait()
			st := late.sink.Stats()
			if st.Demotions < rounds || st.Recorded < rounds<<20 || st.Live == 0 {
				t.Errorf("%+v", st)
			}
			if got, want := s.states(late), "[live recorded live recorded live recorded live ended]"; st.Demotions == rounds && got != want {
				t.Errorf("reported %v, want %v", got, want)
			}
			s.pattern.Check(t, rec.Finish(), 0)
			s.requireKernel()
			want := zerocopy.Sendfile
			if k == ztest.Pipe || k == ztest.FIFO || k == ztest.SockFile {
				want = zerocopy.Buffered // file pages are not lent to these
			}
			if by[want]+small != st.Recorded {
				t.Errorf("%d bytes from the recording: %v and %d in small pieces", st.Recorded, by, small)
			}
		})
	}
}

// TestFromStart: who joins late, from the start of the recording, gets the whole stream,
// and its policy applies from when it has caught up. The recording begins where the file
// stood.
func TestFromStart(t *testing.T) {
	t.Parallel()
	before := ztest.Pattern(1).Bytes(12_345)
	for _, policy := range everyPolicy {
		for _, k := range append([]ztest.Kind{ztest.File, ztest.Append}, streams...) {
			t.Run(fmt.Sprintf("%v/%s", policy, k), func(t *testing.T) {
				t.Parallel()
				file := ztest.NewDest(t, ztest.Tmpfs, ztest.Existing(before))
				s := newShow(t, ztest.Unix, recordedTo(file))
				a := s.view(ztest.TCP4, nil)
				s.run(t.Context())
				s.feed(9<<20, 100_000, 1)
				a.await(s.fed)
				o := &broadcast.SinkOptions{Policy: policy, FromStart: true}
				early := s.view(k, o, ztest.StallAfter(70_000), ztest.Buffers(16<<10))
				if st := early.sink.Stats(); st.From != 0 || !k.Regular() && st.State != broadcast.Recorded {
					t.Errorf("%+v", st)
				}
				if k.Stream() {
					s.feed(5<<20, 30_000) // it lags more than ever a live one may
					a.await(s.fed)
				}
				early.Resume()
				early.await(s.fed)
				early.awaitState(broadcast.Live)
				for range 30 {
					s.feed(10_000, 999)
					early.await(s.fed)
				}
				s.finish()
				st := early.sink.Stats()
				if st.Recorded < 9<<20 || st.Live == 0 || st.Demotions > 0 {
					t.Errorf("%+v", st)
				}
				if got := s.states(early); got != "[recorded live ended]" {
					t.Errorf("reported %v", got)
				}
				if got := file.Finish(); int64(len(got)) != s.fed || s.pattern.Diff(got, 0) != "" {
					t.Errorf("the recording has %d bytes: %s", len(got), s.pattern.Diff(got, 0))
				}
			})
		}
	}
}

// TestFromStartAtOnce: before there is anything, from the start is the same as live.
func TestFromStartAtOnce(t *testing.T) {
	t.Parallel()
	_, recorded := recording(t, ztest.File)
	s := newShow(t, ztest.TCP4, recorded)
	v := s.view(ztest.TCP4, &broadcast.SinkOptions{FromStart: true})
	v.awaitState(broadcast.Live)
	s.run(t.Context())
	s.feed(3 << 20)
	s.finish()
	if st := v.sink.Stats(); st.Live != s.fed {
		t.Errorf("%+v", st)
	}
	if got := s.states(v); got != "[recorded live ended]" {
		t.Errorf("reported %v", got)
	}
}

// TestJoinAtTheEnd: a sink that joins at the moment at which the stream ends gets all
// that it is to get, or is told that it comes too late.
func TestJoinAtTheEnd(t *testing.T) {
	t.Parallel()
	late, joined := 0, 0
	for range 100 {
		_, recorded := recording(t, ztest.Tmpfs)
		s := newShow(t, ztest.Unix, recorded)
		s.run(t.Context())
		s.feed(100_000)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for i := range 4 {
			o := &broadcast.SinkOptions{Policy: everyPolicy[i%3], FromStart: i%2 == 0, Prefix: []byte("prefix")}
			v := s.viewer(o)
			v.Dest = ztest.NewDest(t, ztest.Unix, ztest.Into(v.got))
			wg.Go(func() {
				err := s.join(v, v.Writer, o)
				mu.Lock()
				defer mu.Unlock()
				switch err {
				case nil:
					joined++
				case broadcast.ErrEnded:
					late++
				default:
					t.Error(err)
				}
			})
		}
		s.in.Close()
		s.task.Wait()
		wg.Wait()
		for _, v := range s.viewers {
			v.whole()
		}
		s.checkReports()
		if _, err := s.b.Add(ztest.NewDest(t, ztest.Unix).Writer, nil); err != broadcast.ErrEnded {
			t.Errorf("after the end: %v", err)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d joined, %d were late", joined, late)
}

// TestKinds: sinks that are not spliced to, beside one that is, and the reasons.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		k      ztest.Kind
		opts   []ztest.Option
		reason zerocopy.Reason
	}{
		{ztest.Append, nil, zerocopy.ReasonAppend},
		{ztest.PTY, nil, zerocopy.ReasonDevice},
		{ztest.Zero, nil, zerocopy.ReasonDevice},
		{ztest.Proc, nil, 0}, // a regular file, whose writes the kernel takes by write alone
		{ztest.Null, nil, 0},
		{ztest.Pipe, []ztest.Option{ztest.Blocking()}, zerocopy.ReasonBlocking},
		{ztest.SockFile, []ztest.Option{ztest.Blocking()}, zerocopy.ReasonBlocking},
	} {
		t.Run(fmt.Sprintf("%s/%v", tt.k, tt.reason), func(t *testing.T) {
			t.Parallel()
			s := newShow(t, ztest.TCP4)
			a := s.view(ztest.TCP4, nil)
			v := s.view(tt.k, nil, tt.opts...)
			s.run(t.Context())
			s.feed(3<<20, 100_000, 1448, 1)
			s.finish()
			a.requireTee()
			st := v.sink.Stats()
			want := tt.reason
			if tt.k == ztest.Proc {
				want = zerocopy.ReasonRefused
			}
			if st.Reason != want || (st.Mechanism == zerocopy.Tee) != (want == 0) || (st.Type == "*os.File") != (want != 0) {
				t.Errorf("%+v, want %v", st, want)
			}
			if s.count("write") > 0 || s.count("tee") == 0 {
				t.Errorf("the stream itself is not duplicated by the kernel: %v", s.calls)
			}
		})
	}
}
