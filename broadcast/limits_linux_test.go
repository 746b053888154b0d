package broadcast_test

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestDescriptorsUsedUp: whoever joins when the process has no descriptor left is told so.
// The others, of whom one stands still, go on.
func TestDescriptorsUsedUp(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	_, recorded := recording(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, recorded)
	for _, policy := range everyPolicy {
		s.view(ztest.TCP4, &broadcast.SinkOptions{Policy: policy})
	}
	late := s.view(ztest.TCP4, &broadcast.SinkOptions{Policy: broadcast.Demote}, ztest.StallAfter(0), ztest.Buffers(16<<10))
	others := s.viewers[:3]
	s.run(t.Context())
	s.feed(10_000)
	for _, v := range others {
		v.await(s.fed)
	}
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	free, err := os.Open(os.DevNull)
	must(t, err)
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(free.Fd()), Max: was.Max}))
	free.Close()
	for err == nil {
		_, err = s.b.Add(new(bytes.Buffer), &broadcast.SinkOptions{Name: "a buffer"})
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Errorf("joined: %v", err)
	}
	for range 100 {
		s.feed(100_000)
		for _, v := range others {
			v.await(s.fed)
		}
	}
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	if _, err := s.b.Add(new(bytes.Buffer), nil); err != nil {
		t.Errorf("with descriptors again: %v", err)
	}
	late.Resume()
	s.finish()
	for _, v := range others {
		v.requireTee()
		if st := v.sink.Stats(); st.Live != s.fed {
			t.Errorf("%v", st)
		}
	}
}

// TestKeepingUpHoldsNoPipe: many sinks that keep up have a few pipes together.
func TestKeepingUpHoldsNoPipe(t *testing.T) {
	t.Parallel()
	_, recorded := recording(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, scarce(8), recorded)
	const many = 150
	for i := range many {
		s.view(ztest.Unix, &broadcast.SinkOptions{Policy: []broadcast.Policy{broadcast.Detach, broadcast.Demote}[i%2]})
	}
	s.run(t.Context())
	for range 20 {
		s.feed(8000)
		s.awaitAll()
		ztest.Eventually(t, ztest.Patience, "the recording, which may be slow", func() bool {
			rec := s.b.Stats().Recording
			return rec.Position == s.fed && rec.Pipes <= 1
		})
	}
	for _, st := range s.b.Stats().Sinks {
		if st.Pipes != 0 {
			t.Errorf("%+v", st)
		}
	}
	if st := s.pipes.Stats(); st.Created > 4 { // the master, that for the ready, and the recording's
		t.Errorf("%+v", st)
	}
	s.finish()
	s.requireKernel()
}

// TestUnprivileged: a user whose share of pipe memory is bounded, as it is by default. The
// pipes are smaller then, and those who stand still cannot use up more than what is
// there; with none left nobody joins, and with some again they do.
func TestUnprivileged(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	if os.Getuid() != 0 {
		ztest.Missing(t, "becoming another user needs root")
	}
	file := ztest.NewDest(t, ztest.Tmpfs)
	id := 1<<20 + os.Getpid() // nobody else, so that the share is the test's own
	must(t, errors.Join(syscall.Setgroups(nil), syscall.Setgid(id), syscall.Setuid(id)))
	// The change of user has made /proc/self root's, where descriptors are counted.
	const prSetDumpable = 4
	if _, _, e := syscall.Syscall(syscall.SYS_PRCTL, prSetDumpable, 1, 0); e != 0 {
		t.Fatal(e)
	}
	s := newShow(t, ztest.TCP4, recordedTo(file))
	if size := s.b.PipeSize(); size != 256<<10 {
		t.Errorf("pipes of %d", size)
	}
	o := &broadcast.SinkOptions{Policy: broadcast.Demote}
	var healthy, still []*viewer
	for range 8 {
		healthy = append(healthy, s.view(ztest.TCP4, o))
		still = append(still, s.view(ztest.TCP4, o, ztest.StallAfter(0), ztest.Buffers(16<<10)))
	}
	all := func() {
		t.Helper()
		for _, v := range healthy {
			v.await(s.fed)
		}
	}
	s.run(t.Context())
	for s.fed < 3<<20 {
		s.feed(100_000)
		all()
	}
	// Now another process of the user takes all.
	var ends []*os.File
	for {
		r, w, err := os.Pipe()
		must(t, err)
		ends = append(ends, r, w)
		if size, err := ztest.SetPipeSize(w, 64<<10); err != nil || size < 64<<10 {
			break
		}
		if len(ends) > 5000 {
			t.Fatal("pipe memory without end")
		}
	}
	s.pipes.CloseIdle()
	// Where those who stand still have come to hold all that the pool may have, it does not
	// even ask the kernel.
	if _, err := s.b.Add(new(bytes.Buffer), nil); !errors.Is(err, syscall.EPERM) && !errors.Is(err, kpipe.ErrBudget) {
		t.Errorf("joined: %v", err)
	}
	for s.fed < 9<<20 {
		s.feed(100_000)
		all()
	}
	for _, f := range ends {
		f.Close()
	}
	ztest.Eventually(t, ztest.Patience, "room for one more", func() bool {
		_, err := s.b.Add(new(bytes.Buffer), nil)
		return err == nil
	})
	for _, v := range still {
		v.Resume()
	}
	s.finish()
	for _, v := range healthy {
		v.requireTee()
		if st := v.sink.Stats(); st.Live != s.fed || st.Demotions > 0 {
			t.Errorf("%v", st)
		}
	}
}
