package zcexec_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// hold makes the children of cmd that wait do so until release is called, or the test ends.
func hold(t *testing.T, cmd *exec.Cmd) (release func()) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	cmd.ExtraFiles = []*os.File{r}
	t.Cleanup(func() { r.Close(); w.Close() })
	return func() { r.Close(); w.Close() }
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ended waits for a command, or whatever has a Wait.
func ended(t *testing.T, cmd interface{ Wait() error }) (err error) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "Wait", func() { err = cmd.Wait() })
	return err
}

// exitCode returns that of an ExitError, -1 for a signal's, and -2 for any other error.
func exitCode(err error) int {
	var e *exec.ExitError
	if !errors.As(err, &e) {
		return -2
	}
	return e.ExitCode()
}

// soon is how long a WaitDelay is, and long a time in which what hangs would not end.
const (
	soon = 50 * time.Millisecond
	long = 300 * time.Millisecond
)

// A reading is what arrives at an end, until its stream does.
type reading struct {
	got  bytes.Buffer
	err  error
	done chan struct{}
}

func readAll(r io.Reader) *reading {
	a := &reading{done: make(chan struct{})}
	go func() {
		defer close(a.done)
		_, a.err = io.Copy(&a.got, struct{ io.Reader }{r})
	}()
	return a
}

func (a *reading) all(t *testing.T) []byte {
	t.Helper()
	ztest.Within(t, ztest.Patience, "the end of what arrives", func() { <-a.done })
	return a.got.Bytes()
}
