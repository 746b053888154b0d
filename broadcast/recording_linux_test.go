package broadcast_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// limited returns a file on a filesystem that has no more than size bytes.
func limited(t *testing.T, size int) *os.File {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(ztest.MountTmpfs(t, size), "recording"), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func recordedIn(f *os.File) setting {
	return func(_ *show, o *broadcast.Options) { o.Recording = f }
}

// TestDiskFull: the disk under the recording is full after a MiB. Those who see the stream
// live see all of it; those who are served from the recording get what it has; and who
// needs it from then on is told why there is none.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	const room = 1 << 20
	f := limited(t, room)
	s := newShow(t, ztest.TCP4, recordedIn(f))
	demote := &broadcast.SinkOptions{Policy: broadcast.Demote}
	few := ztest.Buffers(16 << 10)
	a, b := s.view(ztest.TCP4, nil), s.view(ztest.Unix, demote)
	behind := s.view(ztest.TCP4, &broadcast.SinkOptions{Policy: broadcast.Demote, MaxLag: 1, Name: "behind"}, ztest.StallAfter(0), few)
	both := func() {
		a.await(s.fed)
		b.await(s.fed)
	}
	s.run(t.Context())
	for s.fed < room*3/4 {
		s.feed(10_000)
		both()
	}
	early := s.view(ztest.TCP4, &broadcast.SinkOptions{FromStart: true, MaxLag: 1, Prefix: []byte("prefix"), Name: "early"},
		ztest.StallAfter(0), few)
	for s.fed < 3*room {
		s.feed(100_000)
		both()
	}
	// On a slow disk the recording is behind the others.
	ztest.Eventually(t, ztest.Patience, "the end of the recording", func() bool { return s.b.Stats().Recording.State == broadcast.Ended })
	rec := s.b.Stats().Recording
	if rec.State != broadcast.Ended || !errors.Is(rec.Err, syscall.ENOSPC) || rec.Position != room {
		t.Errorf("recording: %v", rec)
	}
	for _, o := range []*broadcast.SinkOptions{demote, {FromStart: true}} {
		if _, err := s.b.Add(ztest.NewDest(t, ztest.TCP4).Writer, o); !errors.Is(err, broadcast.ErrNoRecording) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("joined: %v", err)
		}
	}
	late := s.view(ztest.TCP4, nil)
	// One that would have been demoted is detached.
	b.Stall()
	for s.fed < 12*room {
		s.feed(100_000)
		a.await(s.fed)
	}
	b.detached(4 << 20)
	for _, v := range []*viewer{behind, early, b} {
		v.Resume()
	}
	b.check()
	s.end()
	if s.err != rec.Err {
		t.Errorf("Run: %v, want %v", s.err, rec.Err)
	}
	a.whole()
	late.whole()
	if st := early.check(); !errors.Is(st.Err, broadcast.ErrNoRecording) || !errors.Is(st.Err, syscall.ENOSPC) || st.Position != room {
		t.Errorf("early: %v", st)
	}
	if st := behind.check(); st.Err == nil || st.Position < room && errors.Is(st.Err, broadcast.ErrNoRecording) {
		t.Errorf("behind: %v", st)
	}
	got, err := os.ReadFile(f.Name())
	must(t, err)
	if s.pattern.Check(t, got, 0); len(got) != room {
		t.Errorf("the recording has %d bytes", len(got))
	}
}

// TestRecordingAlone: a stream that is only recorded, to a file that is behind its start.
func TestRecordingAlone(t *testing.T) {
	t.Parallel()
	before := ztest.Pattern(3).Bytes(5000)
	for _, k := range []ztest.Kind{ztest.File, ztest.Tmpfs} {
		file := ztest.NewDest(t, k, ztest.Existing(before))
		s := newShow(t, ztest.TCP4, recordedTo(file))
		s.run(t.Context())
		s.feed(5<<20, 100_000, 1)
		s.finish()
		got := file.Finish()
		if s.pattern.Check(t, got, 0); int64(len(got)) != s.fed || file.Pos() != s.fed+int64(len(before)) {
			t.Errorf("%d bytes, the file stands at %d", len(got), file.Pos())
		}
		st := s.b.Stats().Recording
		if st.State != broadcast.Ended || st.Err != nil || st.Position != s.fed || st.Live != s.fed || st.Pipes != 0 || st.Why() != "tee" {
			t.Errorf("%+v", st)
		}
		s.requireKernel()
		s.mu.Lock()
		if len(s.reports) != 1 || s.reports[0].st.State != broadcast.Ended {
			t.Errorf("reported: %v", s.reports)
		}
		s.mu.Unlock()
	}
}

// TestRecordingIsCut: somebody truncates the file, which nobody may. Who is served from it
// gets an error and no invented bytes; the others go on.
func TestRecordingIsCut(t *testing.T) {
	t.Parallel()
	file := ztest.NewDest(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, recordedTo(file))
	a := s.view(ztest.TCP4, nil)
	s.run(t.Context())
	s.feed(3 << 20)
	a.await(s.fed)
	v := s.view(ztest.TCP4, &broadcast.SinkOptions{FromStart: true, Name: "early"}, ztest.StallAfter(0), ztest.Buffers(16<<10))
	ztest.Eventually(t, ztest.Patience, "the recording", func() bool { return s.b.Stats().Recording.Position == s.fed })
	v.AwaitFull()
	must(t, os.Truncate(file.Name(), 0))
	v.Resume()
	st := v.check()
	if st.Err == nil || st.Position == s.fed {
		t.Errorf("%v", st)
	}
	s.end()
	a.whole()
}

// TestFileSizeLimit: RLIMIT_FSIZE ends the recording, H18.
func TestH18FileSizeLimit(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	const limit = 1<<20 + 777
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}))
	file := ztest.NewDest(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, recordedTo(file))
	a := s.view(ztest.TCP4, nil)
	s.run(t.Context())
	s.feed(3<<20, 100_000)
	s.end()
	a.whole()
	if rec := s.b.Stats().Recording; !errors.Is(s.err, syscall.EFBIG) || rec.Err != s.err || rec.Position != limit {
		t.Errorf("Run: %v, recording: %v", s.err, rec)
	}
	got := file.Finish()
	if s.pattern.Check(t, got, 0); len(got) != limit {
		t.Errorf("%d bytes", len(got))
	}
}
