package zerocopy_test

import (
	"net"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH33SlowBesideIdle: copies that wait make no system call, hold no pipe and no
// buffer, and a peer that sends byte by byte costs a bounded number of calls a byte.
// After Close nothing is left.
func TestH33SlowBesideIdle(t *testing.T) {
	if !ztest.Isolated(t) { // counts descriptors, goroutines and pipes
		return
	}
	const (
		idlers  = 1000
		bytes   = 100
		perByte = 16 // splice twice, poll, a failed splice, and as many by chance
	)
	c := track(t, nil)
	ztest.CheckLeaks(t, c.pipes.CloseIdle)
	null := ztest.NewDest(t, ztest.Null)
	sources := make([]ztest.Stream, idlers)
	peers := make([]ztest.Stream, idlers)
	copies := make([]*copying, idlers)
	tasks := make([]*ztest.Task, idlers)
	kinds := []ztest.Kind{ztest.Unix, ztest.SockFile, ztest.Pipe, ztest.TCP4}
	for i := range idlers {
		sources[i], peers[i] = ztest.Pair(t, kinds[i%len(kinds)])
		copies[i] = c.begin(t, nil, null.Writer, sources[i])
		tasks[i] = copies[i].Task
	}
	ztest.Eventually(t, ztest.Patience, "all have asked once", func() bool { return c.count("splice") >= idlers && c.count("poll") >= idlers })
	ztest.AwaitAllParked(t, "idle copies", tasks) // or their last calls would count below

	for _, p := range []struct{ src, dst ztest.Kind }{
		{ztest.TCP4, ztest.TCP4}, {ztest.Pipe, ztest.TCP4}, {ztest.Unix, ztest.Pipe}, {ztest.SockFile, ztest.File},
	} {
		src, dst := ztest.NewSource(t, p.src, nil, ztest.Manual()), ztest.NewDest(t, p.dst)
		before := c.count()
		slow := c.begin(t, nil, dst.Writer, src.Reader)
		for i := range bytes {
			src.Feed([]byte{byte(i)})
			awaitAt(t, dst, int64(i+1))
		}
		slow.AwaitParked()
		if calls := c.count() - before; calls > bytes*perByte {
			t.Errorf("%s→%s: %d system calls for %d bytes beside %d idle copies", p.src, p.dst, calls, bytes, idlers)
		}
		if s := c.pipes.Stats(); s.Open != s.Idle {
			t.Errorf("%s→%s: pipes are held by copies that wait: %+v", p.src, p.dst, s)
		}
		src.Reader.Close()
		slow.Wait()
		checkFailed(t, slow.err, failed{src.Reader, "read", closedClass(src.Reader)})
		ztest.Equal(t, "the slow one", dst.Finish(), src.Content)
		dst.Close()
		src.Close()
	}

	for i := range idlers {
		sources[i].Close()
	}
	for i, idle := range copies {
		idle.Wait()
		if idle.n != 0 {
			t.Error(idle.n)
		}
		checkFailed(t, idle.err, failed{sources[i], "read", closedClass(sources[i])})
		peers[i].Close()
	}
	null.Close()
	if s := c.pipes.Stats(); s.Created > 64 {
		t.Errorf("%d idle copies made pipes: %+v", idlers, s)
	}
}

// closedClass is how end says that it is closed.
func closedClass(end ztest.Stream) error {
	if _, ok := end.(net.Conn); ok {
		return net.ErrClosed
	}
	return os.ErrClosed
}
