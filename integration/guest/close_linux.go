package guest

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/zerocopy-go/zerocopy/pages"
)

// closeEarly closes the Writer while the peer does not read. What was sent arrives,
// though the memory that it was in is the process's no more.
func closeEarly(t *T) {
	client, server := t.SlowPair("vmxnet3")
	s := newStream(t, client, closing)
	s.sendUntilStalled(t)
	s.closeHolding(t)
	t.Must(client.CloseWrite())
	receiveAll(t, server, s.Stats().Bytes)
}

// closeNext has another Writer go on where one was closed with something lent.
func closeNext(t *T) {
	client, server := t.SlowPair("vmxnet3")
	s := newStream(t, client, closing)
	s.sendUntilStalled(t)
	s.closeHolding(t)
	next := newStream(t, client, large)
	next.offset = s.Stats().Bytes
	next.finish(t, server, new(checker), next.offset+4<<20)
	next.mustLend(t)
	t.Must(next.Close())
}

// closeConn closes the connection under a Writer that waits. The kernel sends on for
// itself, from memory of which nobody can say any more that it is lent.
func closeConn(t *T) {
	client, server := t.SlowPair("vmxnet3")
	s := newStream(t, client, closing)
	s.sendUntilStalled(t)
	sent := make(chan error, 1)
	go func() { sent <- s.send(1 << 40) }()
	time.Sleep(100 * time.Millisecond)
	t.Must(client.Close())
	err := within(t, time.Second, "the end of a send", func() error { return <-sent })
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("send: %v, want %v", err, net.ErrClosed)
	}
	s.closeHolding(t)
	receiveAll(t, server, s.Stats().Bytes)
}

// closing is for Writers that are closed while the kernel holds memory.
var closing = pages.Options{Size: large.Size, Linger: 200 * time.Millisecond}

// closeHolding closes the Writer while the kernel holds memory, and overwrites much of
// what the process can get instead.
func (s *stream) closeHolding(t *T) {
	before := s.Stats()
	err := within(t, time.Second, "Close", s.Close)
	st := s.Stats()
	t.Logf("Close: %v; %d KiB held before, %d KiB abandoned", err, before.Held>>10, st.Abandoned>>10)
	// Held before may be more than what is held: it is what was known.
	if st.Abandoned == 0 || st.Abandoned > before.Held || st.Held != 0 {
		t.Errorf("%d bytes abandoned and %d held, want at most %d and 0", st.Abandoned, st.Held, before.Held)
	}
	for range 8 {
		m, err := pages.NewMemory(4<<20, false)
		t.Must(err)
		defer m.Free()
		spoil(m.Bytes())
	}
}

// receiveAll wants a stream of that many bytes that ends.
func receiveAll(t *T, server *net.TCPConn, size int64) {
	t.Must(receive(server, new(checker), size))
	if n, err := server.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after %d bytes: %d more, %v; want the end", size, n, err)
	}
}
