package guest

import (
	"errors"
	"os"
	"strings"
	"time"
)

// A completion in the error queue makes the connection report EPOLLERR. If it is
// neither readable nor writable then, that is all that it reports, and the runtime's
// poller takes this for a descriptor that cannot be polled for reading
// (runtime/netpoll.go, eventErr): a Read that waits, or the next one, fails.
// While the peer reads slowly, every completion finds the connection so.

// naiveRead shows that a sender that has no regard for it has a Read fail.
func naiveRead(t *T) {
	client, server := t.Pair("vmxnet3")
	s, err := newNaive(client)
	t.Must(err)
	read := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	end := time.Now().Add(5 * time.Second)
	go func() {
		for buf := make([]byte, 32<<10); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			server.Read(buf)
		}
	}()
	t.Must(client.SetWriteDeadline(end))
	sent, contents := 0, make([]byte, 64<<10)
	for start := time.Now(); ; {
		n, err := s.Write(contents)
		sent += n
		select {
		case err := <-read:
			if err == nil || !strings.Contains(err.Error(), "not pollable") {
				t.Errorf("Read: %v, want an error that says not pollable", err)
			}
			t.Logf("Read failed after %v and %d KiB sent: %v", time.Since(start).Round(time.Millisecond), sent>>10, err)
			return
		default:
		}
		if err != nil {
			t.Fatalf("no Read has failed: the runtime treats EPOLLERR otherwise by now? Write of %d KiB: %v", sent>>10, err)
		}
	}
}

// pagesRead is naiveRead with a Writer of package pages: no Read fails.
func pagesRead(t *T, device string) {
	client, server := t.Pair(device)
	s := newStream(t, client, large)
	read := make(chan error, 1)
	go func() {
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	end := time.Now().Add(time.Second)
	c := new(checker)
	slow := make(chan error, 1)
	go func() {
		for buf := make([]byte, 32<<10); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			n, err := server.Read(buf)
			if err == nil {
				_, err = c.Write(buf[:n])
			}
			if err != nil {
				slow <- err
				return
			}
		}
		slow <- nil
	}()
	t.Must(client.SetWriteDeadline(end))
	if err := s.send(1 << 40); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("sending to a slow peer: %v", err)
	}
	t.Must(client.SetWriteDeadline(time.Time{}))
	t.Must(<-slow)
	t.Logf("%s to a slow peer: %v", device, s.Stats())
	if device != "virtio" {
		s.mustLend(t)
	}
	s.finish(t, server, c, s.offset)
	select {
	case err := <-read:
		t.Fatalf("Read of the sending connection: %v, want it to wait", err)
	default:
	}
	_, err := server.Write([]byte{1})
	t.Must(err)
	t.Must(<-read)
}
