package zcexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The bytes of a pipeline reach its end, and pass this process at the ends alone.
func TestPipeline(t *testing.T) {
	t.Parallel()
	const n = 2<<20 + 11
	for length := 1; length <= 4; length++ {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			t.Parallel()
			var p zcexec.Pipeline
			for range length {
				p = append(p, run("cat"))
			}
			a, b := ztest.TCPPair(t, ztest.TCP4)
			in, out := zcexec.Stdin(p[0], a), zcexec.Stdout(p[length-1], a)
			arrived := readAll(b)
			done := feed(b, 0, n)
			go func() { <-done; b.CloseWrite() }()
			must(t, p.Start())
			must(t, ended(t, p))
			a.CloseWrite()
			if stream.Check(t, arrived.all(t), 0); arrived.got.Len() != n || in.Consumed() != n || out.Written() != n {
				t.Errorf("%d bytes read, %d written, %d arrived, want %d", in.Consumed(), out.Written(), arrived.got.Len(), n)
			}
			for i := range length - 1 {
				if _, ok := p[i].Stdout.(*os.File); !ok {
					t.Errorf("command %d writes to a %T", i, p[i].Stdout)
				}
				if _, ok := p[i+1].Stdin.(*os.File); !ok {
					t.Errorf("command %d reads from a %T", i+1, p[i+1].Stdin)
				}
			}
		})
	}
}

// Whatever fails in a pipeline is in the error, under its number.
func TestPipelineErrors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		why  string
		do   []string
		want []int // exit codes; 0 is none, -1 a signal
	}{
		{"nothing", []string{"write 10", "cat", "cat"}, nil},
		{"the first", []string{"write 10 exit 3", "cat"}, []int{3, 0}},
		{"one in the middle", []string{"write 10", "cat exit 4", "cat"}, []int{0, 4, 0}},
		{"the last", []string{"write 10", "cat exit 5"}, []int{0, 5}},
		{"all", []string{"exit 1", "exit 2", "exit 3"}, []int{1, 2, 3}},
		{"the reader wants no more", []string{"write 10000000", "take 10"}, nil},
		{"and has failed", []string{"write 10000000", "take 10 exit 1"}, []int{0, 1}},
		{"the reader of the reader wants no more", []string{"write 10000000", "cat", "take 10"}, nil},
		{"who does not mind may fail", []string{"deaf write 10000000 exit 7", "take 10"}, []int{7, 0}},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			var p zcexec.Pipeline
			for _, do := range row.do {
				p = append(p, run("%s", do))
			}
			must(t, p.Start())
			err := ended(t, p)
			var e *zcexec.PipelineError
			if errors.As(err, &e) != (row.want != nil) {
				t.Fatalf("Wait returned %v", err)
			}
			first := 0
			for i, code := range row.want {
				if first == 0 {
					first = code
				}
				if code == 0 && e.Errs[i] != nil || code != 0 && exitCode(e.Errs[i]) != code {
					t.Errorf("command %d: %v, want %d", i, e.Errs[i], code)
				}
			}
			if row.want != nil && exitCode(err) != first {
				t.Errorf("errors.As finds %d, want %d", exitCode(err), first)
			}
		})
	}
}

// An output that fails is the last command's error, and the signal in front of it is not.
func TestPipelineDestination(t *testing.T) {
	t.Parallel()
	a, b := ztest.TCPPair(t, ztest.TCP4)
	p := zcexec.Pipeline{run("write 100000000"), run("cat")}
	zcexec.Stdout(p[1], a)
	must(t, p.Start())
	b.SetLinger(0)
	b.Close()
	err := ended(t, p)
	var e *zcexec.PipelineError
	if !errors.As(err, &e) || e.Errs[0] != nil || e.Errs[1] == nil {
		t.Errorf("Wait returned %v", err)
	}
	if s, ok := p[0].ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGPIPE {
		t.Errorf("the first command has ended with %v", p[0].ProcessState)
	}
}

// Where one command cannot be started, none is left, and the others are waited for.
func TestPipelineStart(t *testing.T) {
	t.Parallel()
	for bad := range 3 {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			t.Parallel()
			a, b := ztest.TCPPair(t, ztest.TCP4)
			p := zcexec.Pipeline{run("cat"), run("wait"), run("wait")} // that end if they are killed
			hold(t, p[1])
			hold(t, p[2])
			p[bad].Path = "/nonexistent"
			zcexec.Stdin(p[0], a)
			zcexec.Stdout(p[2], a)
			_, err := b.Write([]byte("x"))
			must(t, err)
			ztest.Within(t, ztest.Patience, "Start", func() { err = p.Start() })
			var e *zcexec.PipelineError
			if !errors.As(err, &e) || !errors.Is(e.Errs[bad], os.ErrNotExist) || len(e.Unwrap()) != 1 {
				t.Fatalf("Start returned %v", err)
			}
			if !strings.HasPrefix(err.Error(), fmt.Sprintf("command %d (", bad+1)) {
				t.Errorf("the text is %q", err)
			}
			for i, c := range p {
				if (c.ProcessState != nil) != (i > bad) {
					t.Errorf("command %d: %v", i, c.ProcessState)
				}
			}
			// Nobody has taken anything.
			if _, err := a.Read(make([]byte, 1)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A start that fails closes what it has opened itself, and leaves nothing to finalizers.
func TestPipelineStartLeaks(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for bad := range 3 {
		t.Run(fmt.Sprint(bad), func(t *testing.T) {
			ztest.CheckLeaks(t)
			p := zcexec.Pipeline{run("cat"), run("cat"), run("cat")}
			p[bad].Path = "/nonexistent"
			if err := p.Start(); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("Start returned %v", err)
			}
		})
	}
}

// What is wrong with a pipeline is found before anything is started.
func TestPipelineCheck(t *testing.T) {
	t.Parallel()
	twice, reads, writes := run("cat"), run("cat"), run("cat")
	reads.Stdin, writes.Stdout = new(bytes.Buffer), new(bytes.Buffer)
	for _, row := range []struct {
		why  string
		p    zcexec.Pipeline
		want string
	}{
		{"empty", nil, "without commands"},
		{"nil", zcexec.Pipeline{run("cat"), nil}, "command 2 (nil): "},
		{"twice", zcexec.Pipeline{twice, twice}, "twice"},
		{"Stdin is set", zcexec.Pipeline{run("cat"), reads}, "Stdin already set"},
		{"Stdout is set", zcexec.Pipeline{writes, run("cat")}, "Stdout already set"},
		{"not found", zcexec.Pipeline{run("cat"), exec.Command("no-such-program")}, "command 2 (no-such-program): exec: "},
	} {
		if err := row.p.Start(); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: Start returned %v", row.why, err)
		}
		for _, c := range row.p {
			if c != nil && c.Process != nil {
				t.Errorf("%s: a command was started", row.why)
			}
		}
	}
	if err := (zcexec.Pipeline{}).Wait(); err == nil {
		t.Error("an empty one can be waited for")
	}
	if err := (zcexec.Pipeline{run("cat"), run("cat")}).Wait(); err == nil {
		t.Error("one that was not started can be waited for")
	}
}

// A context ends all commands that were made with it.
func TestPipelineCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	a, b := ztest.TCPPair(t, ztest.TCP4)
	p := zcexec.Pipeline{runContext(ctx, "cat"), runContext(ctx, "cat"), runContext(ctx, "cat")}
	zcexec.Stdin(p[0], a)
	zcexec.Stdout(p[2], a)
	must(t, p.Start())
	_, err := b.Write([]byte("x"))
	must(t, err)
	_, err = b.Read(make([]byte, 1))
	must(t, err)
	cancel()
	err = ended(t, p)
	var e *zcexec.PipelineError
	if !errors.As(err, &e) || len(e.Unwrap()) == 0 || exitCode(err) != -1 {
		t.Errorf("Wait returned %v", err)
	}
}
