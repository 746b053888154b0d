package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The first signal ends the stream where it is, and viewers get what they lack.
func TestStop(t *testing.T) {
	t.Parallel()
	r, publisher, recording := publish(t, "-send-buffer", "64K", "-max-lag", "1M", "-grace", "1h")
	all := data(8 << 20)
	quick, slow := r.get("/live"), r.get("/live")
	r.until("two viewers are live", are("live", quick, slow))
	feed(t, publisher, all, quick)
	r.until("one is behind", are("recorded", slow))
	r.signals <- os.Interrupt
	r.Await(t, "the stream ends here")
	receiveEnd(t, quick)
	quick.Close()
	late := r.ask("/live")
	if answer, err := io.ReadAll(late); !bytes.HasPrefix(answer, []byte("HTTP/1.1 503 ")) || err != nil {
		t.Errorf("who comes late is answered %q, %v", answer, err)
	}
	r.until("the page says so", func(st *status) bool { return st.Phase == ending })
	receive(t, slow, all)
	receiveEnd(t, slow)
	slow.Close()
	r.ended(0)
	if got, err := os.ReadFile(recording); err != nil || !bytes.Equal(got, all) {
		t.Errorf("%d bytes were recorded, or others than were sent: %v", len(got), err)
	}
}

// Viewers that do not take the rest are cut off: when their time is over, and by a
// second signal, which the exit status tells.
func TestCutOff(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name    string
		grace   string
		signals int
		status  int
		why     string
	}{
		{"the stream ends", "20ms", 0, 0, "is cut off: the time of -grace is over"},
		{"time is up", "20ms", 1, 0, "is cut off: the time of -grace is over"},
		{"no time given", "0s", 1, 0, "is cut off: the time of -grace is over"},
		{"second signal", "1h", 2, 130, "is cut off: the program was stopped"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			r, publisher, _ := publish(t, "-send-buffer", "64K", "-max-lag", "1M", "-grace", row.grace)
			all := data(8 << 20)
			quick, slow := r.get("/live"), r.get("/live?from=start")
			r.until("two viewers are live", are("live", quick, slow))
			feed(t, publisher, all, quick)
			r.until("one is behind", are("recorded", slow))
			for range row.signals {
				r.signals <- syscall.SIGTERM
			}
			if row.signals == 0 {
				publisher.Close()
			}
			r.Await(t, "http "+slow.LocalAddr().String()+" "+row.why)
			if got, err := io.ReadAll(slow); err == nil || !bytes.HasPrefix(all, got) {
				t.Errorf("the slow viewer received %d bytes, then %v, want a reset", len(got), err)
			}
			quick.Close()
			r.ended(row.status)
		})
	}
}

// The real signals, sent to the real program.
func TestSignals(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no process can be sent these signals here")
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			recording := t.TempDir() + "/recording"
			cmd := exec.Command(os.Args[0], "-source", "-", "-record", recording)
			cmd.Env = append(os.Environ(), asBroadcast+"=1")
			var out ztest.Output
			cmd.Stderr = &out
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			kill := time.AfterFunc(enough, func() { cmd.Process.Kill() })
			defer kill.Stop()
			out.Await(t, "the stream comes from standard input and is recorded to")
			if _, err := io.WriteString(stdin, "some bytes"); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(enough); ; time.Sleep(time.Millisecond) {
				if b, _ := os.ReadFile(recording); string(b) == "some bytes" {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("nothing is recorded:\n%s", &out)
				}
			}
			cmd.Process.Signal(sig)
			if err := cmd.Wait(); err != nil {
				t.Errorf("the program ended with %v, want status 0", err)
			}
			out.Await(t, `the stream ends here(?s:.*)recorded up to byte 10`)
		})
	}
}
