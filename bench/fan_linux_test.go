package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fanSession returns a session with the limit of fans, if that is to be had here.
func fanSession(t *testing.T) *session {
	t.Helper()
	s, err := newSession(t.Context(), options{rounds: 1, seconds: 0.05, disk: t.TempDir()}, func(name string) bool { return name == byFanLimit })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

// Every sink of every contender gets the bytes that were sent.
func TestFan(t *testing.T) {
	t.Parallel()
	s := fanSession(t)
	var variants []string
	for _, v := range fanVariants {
		variants = append(variants, v.name)
	}
	if why := s.missing[byFanLimit]; why == "" {
		variants = append(variants, byFanLimit)
	} else if why != "no C compiler" {
		t.Error(why)
	}
	for _, c := range []spec{
		{Mode: modeFan, Sinks: 3},
		{Mode: modeFanFile, Sinks: 1, Dir: dirDisk},
	} {
		c.Kind = kindFan
		all := c.Sinks
		if c.Mode == modeFanFile {
			all++
		}
		for _, variant := range variants {
			x, err := s.run(t.Context(), job{spec: c, contender: contender{Variant: variant}, verify: true})
			if err != nil || x.Sinks != all || x.Bytes != int64(all)*verifyBytes {
				t.Errorf("%s, %s: %d bytes at %d sinks, %v; want all at %d", c.Mode, variant, x.Bytes, x.Sinks, err, all)
			}
		}
	}
}

// What is compared goes by the kernel's pipes where it should, and not where it
// should not.
func TestFanPipes(t *testing.T) {
	t.Parallel()
	s := fanSession(t)
	for variant, want := range map[string]bool{byMulti: false, byLoop256: false, byOurMulti: true, byBroadcast: true} {
		var x sample
		var err error
		// The look comes at some time, by which a busy machine has perhaps not let
		// the contender do anything.
		for range 20 {
			x, err = s.run(t.Context(), job{spec: spec{Kind: kindFan, Mode: modeFan, Sinks: 2, Scale: 5}, contender: contender{Variant: variant}})
			if err != nil {
				t.Fatalf("%s: %v", variant, err)
			}
			if !want || x.PipeMem > 2*ownPipes {
				break
			}
		}
		// A process of Go has a pipe or two of its own.
		if x.PipeMem > 2*ownPipes != want {
			t.Errorf("%s: pipes of %d bytes; want more than its process has: %v", variant, x.PipeMem, want)
		}
	}
}

// ownPipes is what the pipe of a process that does nothing has room for.
const ownPipes = 64 << 10

// One that stops is left behind, and what it got is a part of the stream, or all of
// it from the recording once it goes on.
func TestFanStopped(t *testing.T) {
	t.Parallel()
	s := fanSession(t)
	for _, c := range []spec{
		{Policy: policyDetach},
		{Policy: policyDemote, Dir: dirDisk},
	} {
		c.Kind, c.Mode, c.Sinks = kindFan, modeFan, 3
		x, err := s.run(t.Context(), job{spec: c, contender: contender{Variant: byBroadcast, Stopped: 1}, verify: true})
		if err != nil {
			t.Errorf("%s: %v", c.Policy, err)
			continue
		}
		// With the recording, as a file.
		if want := map[string]int{policyDetach: 2, policyDemote: 4}[c.Policy]; x.Sinks != want {
			t.Errorf("%s: %d sinks have all, want %d", c.Policy, x.Sinks, want)
		}
		if x.Behind == nil || *x.Behind != 1 {
			t.Errorf("%s: left behind: %v, want 1", c.Policy, optional(x.Behind))
		}
	}
	// In a round that is timed it never goes on.
	for who, want := range map[contender]int{
		{Variant: byBroadcast, Stopped: 1}: 2, {Variant: byBroadcast}: 3, {Variant: byBroadcast, Fewer: 1}: 2,
	} {
		x, err := s.run(t.Context(), job{spec: spec{Kind: kindFan, Mode: modeFan, Sinks: 3, Policy: policyDetach}, contender: who})
		if err != nil || x.Sinks != want {
			t.Errorf("%+v: %d sinks, %v; want %d", who, x.Sinks, err, want)
		}
	}
}

// Other bytes than were sent, or fewer, are a failure.
func TestDelivered(t *testing.T) {
	t.Parallel()
	s := fanSession(t)
	for _, row := range []struct {
		reason string
		sent   response
		want   string
	}{
		{"all is there", response{Bytes: 4, Sum: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}, ""},
		{"other bytes", response{Bytes: 4, Sum: "another"}, "0 sinks of 1"},
		{"fewer bytes", response{Bytes: 5, Sum: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}, "0 sinks of 1"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("test"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.sink.call(t.Context(), request{Op: "listen"}); err != nil {
			t.Fatal(err)
		}
		var x sample
		err := s.delivered(t.Context(), job{verify: true}, request{Mode: modeFanFile, Path: path}, row.sent, &x)
		switch {
		case row.want == "" && (err != nil || x.Sinks != 1 || x.Bytes != 4):
			t.Errorf("%s: %d bytes at %d sinks, %v", row.reason, x.Bytes, x.Sinks, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %s", row.reason, err, row.want)
		}
	}
}

// A pipe counts once, with the room that it has.
func TestPipeRoom(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c, err := startRole(rolePeer, r, w)
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	if _, err := c.call(t.Context(), request{Op: "listen"}); err != nil { // it has started
		t.Fatal(err)
	}
	with := pipeRoom(c.cmd.Process.Pid)
	r.Close()
	w.Close()
	d, err := startRole(rolePeer)
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	if _, err := d.call(t.Context(), request{Op: "listen"}); err != nil {
		t.Fatal(err)
	}
	if more := with - pipeRoom(d.cmd.Process.Pid); more != ownPipes {
		t.Errorf("a pipe has room for %d bytes, want %d", more, ownPipes)
	}
	if n := pipeRoom(-1); n != 0 {
		t.Errorf("%d bytes in the pipes of no process", n)
	}
}

func TestWatchMemory(t *testing.T) {
	t.Parallel()
	for span := 300 * time.Millisecond; span < patience; span *= 2 { // a busy machine takes its time
		read := watchMemory(os.Getpid())
		time.Sleep(span)
		var x sample
		read(&x)
		if x.RSS == 0 {
			t.Fatal("this process has no memory")
		}
		if x.Growth != nil {
			return
		}
	}
	t.Error("there are no two looks")
}
