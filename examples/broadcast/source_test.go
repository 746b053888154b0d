package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// shell skips tests of commands and FIFOs where there are none.
func shell(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil || runtime.GOOS == "windows" {
		ztest.Missing(t, "no shell and no signals here")
	}
}

// record runs the program without viewers to its end and returns what it has
// recorded and printed.
func record(t *testing.T, status int, flags ...string) (recorded []byte, printed string) {
	t.Helper()
	name := t.TempDir() + "/recording"
	var out ztest.Output
	if got := run(append([]string{"-record", name}, flags...), nil, &out); got != status {
		t.Errorf("exit status %d, want %d, after\n%s", got, status, &out)
	}
	recorded, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return recorded, out.String()
}

// fileOf returns a file with the data.
func fileOf(t *testing.T, b []byte) string {
	t.Helper()
	name := t.TempDir() + "/source"
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFile(t *testing.T) {
	t.Parallel()
	want := data(3<<20 + 1)
	for _, flags := range [][]string{nil, {"-share"}} {
		got, printed := record(t, 0, append(flags, "-source", fileOf(t, want))...)
		if !bytes.Equal(got, want) {
			t.Errorf("%v: %d bytes of %d were recorded, or others:\n%s", flags, len(got), len(want), printed)
		}
	}
}

// An address to connect to, instead of one to wait on.
func TestDial(t *testing.T) {
	t.Parallel()
	want := data(2 << 20)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if conn, err := ln.Accept(); err == nil {
			conn.Write(want)
			conn.Close()
		}
	}()
	got, printed := record(t, 0, "-source", "tcp://"+ln.Addr().String())
	<-served
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d were recorded, or others:\n%s", len(got), len(want), printed)
	}
	// The client's end of a connection: nobody listens at its address, and as long as
	// it is open nobody else is given it.
	taken := dial(t, ln.Addr().String())
	defer ln.Close()
	if _, printed := record(t, 1, "-source", "tcp://"+taken.LocalAddr().String()); !strings.Contains(printed, "refused") {
		t.Errorf("no word of what is wrong in\n%s", printed)
	}
}

// A publisher that breaks off is an error, and the recording has what came before.
func TestBrokenPublisher(t *testing.T) {
	t.Parallel()
	r, publisher, recording := publish(t)
	viewer := r.get("/live")
	r.until("it is live", are("live", viewer))
	want := data(1 << 20)
	feed(t, publisher, want, viewer)
	publisher.SetLinger(0)
	publisher.Close()
	if rest, err := io.ReadAll(viewer); !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		t.Errorf("the viewer received %d more bytes, then %v, want a reset", len(rest), err)
	}
	r.ended(1)
	r.Await(t, `broadcast: .*reset`)
	if got, err := os.ReadFile(recording); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d were recorded, or others: %v", len(got), len(want), err)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	shell(t)
	want := data(2 << 20)
	name := fileOf(t, want)
	if got, printed := record(t, 0, "-exec", "cat "+name+"; echo done >&2"); !bytes.Equal(got, want) || !strings.Contains(printed, "done\n") {
		t.Errorf("%d bytes of %d were recorded, or others:\n%s", len(got), len(want), printed)
	}
	got, printed := record(t, 1, "-exec", "cat "+name+"; exit 3")
	if !bytes.Equal(got, want) || !strings.Contains(printed, "broadcast: the command of -exec: exit status 3\n") {
		t.Errorf("%d bytes of %d were recorded, or others:\n%s", len(got), len(want), printed)
	}
}

// A command is asked to end when the stream is stopped, and what it says last is
// part of the stream. One that does not end is killed, with what it has started.
func TestCommandIsStopped(t *testing.T) {
	t.Parallel()
	shell(t)
	for _, row := range []struct{ why, command, last string }{
		{"it ends by itself", `trap 'echo last; exit 1' TERM; echo first; while :; do sleep 0.01; done`, "last\n"},
		{"it ignores the signal", `trap '' TERM; echo first; while :; do sleep 0.01; done`, ""},
		{"it has a child", `echo first; sleep 1000 | sleep 1000`, ""},
	} {
		t.Run(row.why, func(t *testing.T) {
			t.Parallel()
			r := start(t, "-exec", row.command)
			viewer := r.get("/live")
			r.Await(t, "joins at byte")
			st := r.until("the command has begun", func(st *status) bool { return st.Position == 6 })
			r.signals <- syscall.SIGTERM
			got, err := io.ReadAll(viewer)
			want := "first\n"[st.of(viewer).From:] + row.last
			if err != nil || string(got) != want {
				t.Errorf("received %q, %v, want %q", got, err, want)
			}
			viewer.Close()
			r.ended(0)
		})
	}
}

func TestFIFO(t *testing.T) {
	t.Parallel()
	shell(t)
	name := t.TempDir() + "/fifo"
	if out, err := exec.Command("mkfifo", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := data(1 << 20)
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := os.WriteFile(name, want, 0); err != nil {
			t.Error(err)
		}
	})
	got, printed := record(t, 0, "-source", name)
	writer.Wait()
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d were recorded, or others:\n%s", len(got), len(want), printed)
	}
}

// While there is no source a signal ends the program, and a recording that is there
// is kept.
func TestNoSource(t *testing.T) {
	t.Parallel()
	shell(t)
	fifo := t.TempDir() + "/fifo"
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, source := range []string{"listen:127.0.0.1:0", fifo} {
		name := fileOf(t, []byte("what was recorded before"))
		r := start(t, "-source", source, "-record", name)
		viewer := r.ask("/live")
		r.Await(t, "waits for the stream")
		r.signals <- os.Interrupt
		answer, err := io.ReadAll(viewer)
		if !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") || err != nil {
			t.Errorf("%s: the viewer is answered %q, %v", source, answer, err)
		}
		r.ended(0)
		if b, err := os.ReadFile(name); string(b) != "what was recorded before" || err != nil {
			t.Errorf("%s: the recording is %q, %v", source, b, err)
		}
	}
}

// What cannot be recorded to is said before anything is lost.
func TestNoRecording(t *testing.T) {
	t.Parallel()
	name := fileOf(t, []byte("all there is"))
	for _, row := range []struct{ why, source, record, want string }{
		{"it would be emptied before it is read", name, name, "it is the source"},
		{"a directory", name, t.TempDir(), "is a directory"},
		{"a device", name, os.DevNull, "not a regular file"},
		{"nobody made the directory", name, t.TempDir() + "/no/file", "no such file"},
	} {
		var out ztest.Output
		if status := run([]string{"-source", row.source, "-record", row.record}, nil, &out); status != 1 || !strings.Contains(out.String(), row.want) {
			t.Errorf("%s: exit status %d, want 1, and %q in %q", row.why, status, row.want, &out)
		}
	}
	if b, _ := os.ReadFile(name); string(b) != "all there is" {
		t.Errorf("the source is %q now", b)
	}
}
