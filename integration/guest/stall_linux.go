package guest

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/pages"
)

// stall has a peer that does not read for a while: deadlines end every wait, nothing
// is used again meanwhile, and all of it arrives when the peer goes on. The
// wait of send is in the named method.
func stall(t *T, o pages.Options, in string) {
	client, server := t.SlowPair("vmxnet3")
	s := newStream(t, client, o)
	s.sendUntilStalled(t)
	if s.in != in {
		t.Errorf("it waits in %s, want %s", s.in, in)
	}
	for _, wait := range []struct {
		name string
		f    func() error
	}{
		{"Wait", s.Wait},
		{"send", func() error { return s.send(1 << 40) }},
	} {
		t.Must(client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)))
		if err := within(t, time.Second, wait.name, wait.f); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v, want the deadline's error", wait.name, err)
		}
	}
	if s.Stats().Held == 0 {
		t.Errorf("nothing is held, and the peer has read nothing")
	}
	t.Must(client.SetWriteDeadline(time.Time{}))
	s.mustLend(t)
	s.finish(t, server, new(checker), s.offset+4<<20)
	s.mustLend(t)
	t.Must(s.Close())
}

// partition has the peer's device go down while it reads, and come up again: what is
// lost is sent again.
func partition(t *T) {
	client, server := t.Pair("vmxnet3")
	s := newStream(t, client, large)
	l, err := t.net.far.link.LinkByName("vmxnet3")
	t.Must(err)
	up := func() error { return t.net.far.link.LinkSetUp(l) }
	t.Must(t.net.far.link.LinkSetDown(l))
	t.Cleanup(func() { up() })
	s.sendUntilStalled(t)
	t.Must(up())
	s.finish(t, server, new(checker), s.offset+4<<20)
	s.mustLend(t)
	t.Must(s.Close())
}

// drip has a peer that reads a byte now and then, and later all.
func drip(t *T) {
	client, server := t.SlowPair("vmxnet3")
	s := newStream(t, client, large)
	c := new(checker)
	dripped := make(chan error, 1)
	go func() {
		for range 3 {
			time.Sleep(700 * time.Millisecond)
			if err := receive(server, c, 1); err != nil {
				dripped <- err
				return
			}
		}
		dripped <- nil
	}()
	s.sendUntilStalled(t)
	sent := make(chan error, 1)
	size := s.offset + 4<<20
	go func() { sent <- s.send(size) }()
	t.Must(<-dripped)
	select {
	case err := <-sent:
		t.Fatalf("all was sent while the peer has read three bytes: %v", err)
	default:
	}
	t.Must(receive(server, c, size-c.offset))
	t.Must(<-sent)
	t.Must(s.Wait())
	s.mustLend(t)
	t.Must(s.Close())
}

// reset has the peer end the connection while it has read nothing: all waits end, the
// kernel gives everything back, and Close has nothing to wait for.
func reset(t *T) {
	client, server := t.SlowPair("vmxnet3")
	s := newStream(t, client, large)
	s.sendUntilStalled(t)
	sent := make(chan error, 1)
	go func() { sent <- s.send(1 << 40) }()
	time.Sleep(100 * time.Millisecond)
	t.Must(server.SetLinger(0))
	t.Must(server.Close())
	err := within(t, time.Second, "the end of a send", func() error { return <-sent })
	t.Logf("send: %v", err)
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("send: %v, want ECONNRESET or EPIPE", err)
	}
	if err := within(t, time.Second, "Wait", s.Wait); err == nil {
		t.Errorf("Wait after it: no error")
	}
	err = within(t, 100*time.Millisecond, "Close", s.Close)
	t.Logf("Close: %v; %+v", err, s.Stats())
	if st := s.Stats(); st.Held != 0 || st.Abandoned != 0 {
		t.Errorf("%d bytes held and %d abandoned after the reset, want none", st.Held, st.Abandoned)
	}
}
