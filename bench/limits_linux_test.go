package main

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// isRelay reports whether a limit is one of a copy to one sink.
func isRelay(name string) bool { return name == byLimit || name == byUring || name == bySockmap }

// limitsFor returns a session with the limits that relay, and those that run here.
func limitsFor(t *testing.T) (s *session, run []string) {
	t.Helper()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05}, func(name string) bool {
		return isRelay(name)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	for _, l := range limits {
		if !isRelay(l.variant) {
			continue
		}
		switch why := s.missing[l.variant]; {
		case why == "":
			run = append(run, l.variant)
		case why == "no C compiler", strings.HasPrefix(why, "cannot run: ") && l.variant != byLimit:
			t.Logf("%s: %s", l.variant, why)
		default:
			t.Errorf("%s: %s", l.variant, why)
		}
	}
	return s, run
}

// The bytes that arrive are those that were sent, and so are those of an answer.
func TestLimits(t *testing.T) {
	t.Parallel()
	s, run := limitsFor(t)
	for _, variant := range run {
		c := contender{Name: variant, Variant: variant}
		if x, err := s.run(t.Context(), job{spec: spec{Mode: modeBare}, contender: c, verify: true}); err != nil || x.Bytes != verifyBytes {
			t.Errorf("%s: %d bytes, %v", variant, x.Bytes, err)
		}
		if x, err := s.run(t.Context(), job{spec: spec{Mode: modeBare, Kind: kindTrips, Size: 4096}, contender: c}); err != nil || x.Ops == 0 {
			t.Errorf("%s: %d round trips, %v", variant, x.Ops, err)
		}
	}
}

// What is counted of a limit is what its process has used, with the threads that
// io_uring adds to it. The first bytes are there before the connection is accepted,
// and arrive too.
func TestLimitUsage(t *testing.T) {
	t.Parallel()
	s, run := limitsFor(t)
	for _, variant := range run {
		counted, whole := useOf(t, s, variant)
		t.Logf("%s: %.3f s of %.3f s", variant, counted, whole)
		if counted < 0.8*whole-2*tick {
			t.Errorf("%s: %.3f s of CPU are counted, the process had %.3f s", variant, counted, whole)
		}
	}
}

// useOf has a limit relay half a GiB; what usageOf says of it then, and what the kernel
// says of the process as a whole.
func useOf(t *testing.T, s *session, variant string) (counted, whole float64) {
	t.Helper()
	sink, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	r, err := s.startContender(t.Context(), s.host, contender{Variant: variant}, request{Target: sink.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.stop()
	sent := make(chan error, 1)
	go func() {
		c, err := net.Dial("tcp", r.addr)
		for n := 0; err == nil && n < 512<<20; n += chunk {
			_, err = c.Write(block())
		}
		if err == nil {
			err = c.Close()
		}
		sent <- err
	}()
	c, err := sink.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, chunk))
	if err := errors.Join(err, <-sent); err != nil || n != 512<<20 {
		t.Fatalf("%s: %d bytes, %v", variant, n, err)
	}
	u, err := usageOf(r.pid())
	if err == nil {
		whole, err = ticksOf(r.pid())
	}
	if err != nil {
		t.Fatal(err)
	}
	return u.cpu, whole
}

// What a kernel refuses is a row with the reason, and no failure.
func TestLimitRefused(t *testing.T) {
	t.Parallel()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.01}, func(string) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for path, want := range map[string]string{
		"/nonexistent": "cannot run: fork/exec /nonexistent: no such file or directory",
		"false":        "cannot run: exit status 1",
	} {
		if err := probe(t.Context(), path); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
	s.missing[bySockmap] = "cannot run: for a reason"
	_, err = s.run(t.Context(), job{spec: spec{Mode: modeBare}, contender: contender{Variant: bySockmap}})
	var why skip
	if !errors.As(err, &why) || string(why) != s.missing[bySockmap] {
		t.Errorf("%v, want it to be skipped", err)
	}
}
