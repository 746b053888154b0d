package zerocopy_test

import (
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// small are buffers that fill up soon.
const small = 32 << 10

// beforeTheFirstByte: the fault is there when the copy begins.
func beforeTheFirstByte(t *testing.T, r route, f fault, limited bool) *scene {
	s := newScene(t, r, limited, ztest.Pattern(1).Bytes(300_000), []ztest.Option{ztest.NoEOF()}, nil)
	s.src.AwaitQueued(1)
	f.inflict(s)
	s.start()
	s.Wait()
	known := !r.hidden || f.side != "destination"
	if known && f.side != "" && !f.lossy && f.name != "source reset" || f.name == "context cancelled" {
		if s.n != 0 {
			t.Errorf("%d bytes were written", s.n)
		}
		if left := unwritten(t, s.n, s.err); len(left) > 0 {
			t.Errorf("%d bytes were taken from the source", len(left))
		}
	}
	return s
}

// whileTheSourceWaits: the copy has moved something and waits for more. A fault of
// the destination shows only when more comes.
func whileTheSourceWaits(t *testing.T, r route, f fault, limited bool) *scene {
	if !r.src.Stream() {
		return nil // is never waited for
	}
	s := newScene(t, r, limited, nil, []ztest.Option{ztest.Manual()}, nil)
	s.src.Feed(ztest.Pattern(2).Bytes(20_000))
	s.start()
	awaitAt(t, s.dst, 20_000)
	s.AwaitParked()
	f.inflict(s)
	if f.side == "destination" {
		for i := 20_000; !ended(s.Done()); i += 1000 {
			b := make([]byte, 1000)
			ztest.Pattern(2).Fill(b, int64(i))
			s.src.Feed(b)
			ztest.Eventually(t, ztest.Patience, "taken", func() bool {
				queued, err := ztest.Queued(s.src.Reader)
				return ended(s.Done()) || queued == 0 || err != nil
			})
		}
	}
	s.Wait()
	if f.side != "destination" && s.n != 20_000 {
		t.Errorf("n = %d", s.n)
	}
	return s
}

// midStream: bytes have been taken from the source and not been written yet.
func midStream(t *testing.T, r route, f fault, limited bool) *scene {
	const size, at = 300_000, 90_000
	s := newScene(t, r, limited, ztest.Pattern(3).Bytes(size), []ztest.Option{ztest.NoEOF()}, nil)
	s.hookAt(at, func() { f.inflict(s) })
	s.start()
	s.Wait()
	if s.hook.call != nil {
		t.Errorf("ended after %d bytes, with %v", s.n, s.err)
	}
	if s.n < at || s.n > at+2*hookChunk && f.side == "destination" && !f.lossy {
		t.Errorf("n = %d, failed at %d", s.n, at)
	}
	return s
}

// whileTheDestinationIsFull: the copy waits for the destination, with residue. A
// fault of the source shows when the destination goes on.
func whileTheDestinationIsFull(t *testing.T, r route, f fault, limited bool) *scene {
	if !r.dst.Stream() {
		return nil // is never waited for
	}
	s := newScene(t, r, limited, ztest.Pattern(4).Bytes(1<<20),
		[]ztest.Option{ztest.NoEOF(), ztest.Buffers(small)}, []ztest.Option{ztest.StallAfter(5000), ztest.Buffers(small)})
	s.start()
	s.dst.AwaitReceived(5000)
	s.dst.AwaitFull()
	s.AwaitParked()
	f.inflict(s)
	if f.side == "source" || f.name == "source ends" || r.hidden && f.name == "context cancelled" {
		s.dst.Resume() // nothing else would end the wait
	}
	s.Wait()
	if s.n == 1<<20 && f.name != "source ends" {
		t.Errorf("all %d bytes were written", s.n)
	}
	return s
}

// atTheEnd: the peer has sent all and ended the stream; the last bytes are on their
// way.
func atTheEnd(t *testing.T, r route, f fault, limited bool) *scene {
	const size = 150_000
	switch {
	case f.name == "source reset" || f.name == "source ends":
		return nil // it has ended
	case f.lossy && !(r.dst == ztest.Pipe && f.name == "destination's peer closes"):
		return nil // nobody is told of what is lost behind the last write
	case f.name == "source closed" && r.section:
		return nil // the end is known without a read
	}
	s := newScene(t, r, limited, ztest.Pattern(5).Bytes(size), nil, nil)
	s.hookAt(size-hookChunk, func() { f.inflict(s) })
	s.start()
	s.Wait()
	if s.hook.call != nil {
		t.Errorf("ended after %d bytes, with %v", s.n, s.err)
	}
	if s.n < size-2*hookChunk {
		t.Errorf("n = %d", s.n)
	}
	return s
}

// ended reports whether done is closed.
func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
