package zerocopy_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Raw calls and low-water marks are off by default; here they are on, and what makes
// them dangerous happens.

// TestH35RawCalls: O_NONBLOCK is cleared under a copy that makes raw calls, the peer
// stalls, and collections are forced. The raw call then sleeps with a processor in its
// hands; it must be interrupted by the runtime's own signals, and the copy go on by
// calls that the scheduler knows of, with no byte lost.
func TestH35RawCalls(t *testing.T) {
	if !ztest.Isolated(t) { // stops the world
		return
	}
	content := ztest.Pattern(35).Bytes(4 << 20)
	for _, kind := range []ztest.Kind{ztest.TCP4, ztest.Unix} {
		for _, end := range []string{"source", "destination"} {
			src := ztest.NewSource(t, kind, nil, ztest.Manual())
			dst := ztest.NewDest(t, kind, ztest.Buffers(64<<10))
			var cleared atomic.Bool
			c := track(t, func(call *sys.Call, nth int) (int, error, bool) {
				if cleared.Load() {
					return pollSaysReady(call, nth)
				}
				return 0, nil, false
			})
			c.RawCalls = true
			r := c.begin(t, nil, dst.Writer, src.Reader)
			sent := ztest.Go(t, "send", func() { src.Feed(content[:1<<20]) })
			awaitAt(t, dst, 1<<20)
			sent.Wait()
			r.AwaitParked()

			changed := src.Reader
			if end == "destination" {
				changed = dst.Writer
				dst.Stall()
			}
			if err := ztest.SetNonblock(changed, false); err != nil {
				t.Fatal(err)
			}
			before := c.count("raw splice")
			cleared.Store(true)
			rest := ztest.Go(t, "send the rest", func() {
				if end == "destination" {
					src.Feed(content[1<<20:])
				} else {
					src.Feed(content[1<<20 : 1<<20+5]) // wakes the copy, whose next call sleeps
				}
			})
			gap := longestGap(func() {
				for range 10 {
					runtime.GC()
					time.Sleep(30 * time.Millisecond)
				}
			})
			if gap > 5*time.Second { // as long as the peer stalls, without the interruption
				t.Errorf("%s, %s: a ticker of 10 ms stood still for %v", kind, end, gap)
			}
			if end == "destination" {
				dst.Resume()
				rest.Wait()
			} else {
				rest.Wait()
				src.Feed(content[1<<20+5:])
			}
			src.End()
			r.Wait()
			checkWhole(t, dst, r.n, r.err, content)
			if c.count("raw splice") == before {
				t.Errorf("%s, %s: no raw call on the blocking description: %v", kind, end, c.report)
			}
			// SPLICE_F_NONBLOCK is enough for a unix socket as the source (H05).
			if _, ok := c.reason(zerocopy.ReasonBlocking); !ok && !(kind == ztest.Unix && end == "source") {
				t.Errorf("%s, %s: never seen to be blocking: %v", kind, end, c.report)
			}
		}
	}
}

// longestGap returns the longest time between two ticks of 10 ms while f runs.
func longestGap(f func()) (longest time.Duration) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		last := time.Now()
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				longest = max(longest, time.Since(last))
				last = time.Now()
			}
		}
	}()
	f()
	close(stop)
	<-done
	return longest
}

// sockopt returns an option of a socket.
func sockopt(t testing.TB, end ztest.Stream, get func(fd int) (int, error)) (n int) {
	t.Helper()
	rawFD(t, end.(syscall.Conn), func(fd int) (err error) {
		n, err = get(fd)
		return err
	})
	return n
}

// timeouts returns SO_RCVTIMEO of src and SO_SNDTIMEO of dst, in seconds.
func timeouts(t testing.TB, dst, src ztest.Stream) [2]int {
	t.Helper()
	var kernel *sys.Calls
	return [2]int{
		sockopt(t, src, func(fd int) (int, error) { return kernel.Timeout(fd, sys.ReceiveTimeout) }),
		sockopt(t, dst, func(fd int) (int, error) { return kernel.Timeout(fd, sys.SendTimeout) }),
	}
}

// TestRawCallsLeaveNothing: the timeouts that bound raw calls are there while they are
// made and gone after the copy, however it ends; a timeout that was there stays.
func TestRawCallsLeaveNothing(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(1 << 20)
	for _, tt := range []struct {
		name   string
		had    int
		during [2]int
		moved  func() error
	}{
		{"a whole copy", 0, [2]int{24 * 3600, 24 * 3600}, func() error { return nil }},
		{"one that fails", 0, [2]int{24 * 3600, 24 * 3600}, func() error { return errSpent }},
		{"one that panics", 0, [2]int{24 * 3600, 24 * 3600}, func() error { panic(errSpent) }},
		{"its own timeouts", 77, [2]int{77, 77}, func() error { return nil }},
	} {
		src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		var kernel *sys.Calls
		if tt.had > 0 {
			rawFD(t, src.Reader, func(fd int) error { return kernel.SetTimeout(fd, sys.ReceiveTimeout, tt.had) })
			rawFD(t, dst.Writer, func(fd int) error { return kernel.SetTimeout(fd, sys.SendTimeout, tt.had) })
		}
		var during [2]int
		c := track(t, nil)
		c.RawCalls = true
		func() {
			defer func() {
				if p := recover(); p != nil && p != any(errSpent) {
					panic(p)
				}
			}()
			c.Copy(context.Background(), dst.Writer, &closer{conn(src), func(int64) error {
				during = timeouts(t, dst.Writer, src.Reader)
				return tt.moved()
			}})
		}()
		if c.count("raw splice") == 0 {
			t.Errorf("%s: no raw call", tt.name)
		}
		if during != tt.during {
			t.Errorf("%s: %v while it runs, want %v", tt.name, during, tt.during)
		}
		if after := timeouts(t, dst.Writer, src.Reader); after != [2]int{tt.had, tt.had} {
			t.Errorf("%s: %v afterwards", tt.name, after)
		}
	}
}

// TestRawCallsShareNoTimeout: of two copies to one socket the second makes no raw
// calls, since the first ends and takes the timeout with it that bounds them.
func TestRawCallsShareNoTimeout(t *testing.T) {
	t.Parallel()
	const day = 24 * 3600
	src, dst := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(1<<20)), ztest.NewDest(t, ztest.TCP4)
	var kernel *sys.Calls
	rawFD(t, dst.Writer, func(fd int) error { return kernel.SetTimeout(fd, sys.SendTimeout, day) }) // the first
	var to int
	rawFD(t, dst.Writer, func(fd int) error { to = fd; return nil })
	var unbound atomic.Int64
	c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
		if call.Name == "raw splice" && call.Out == to {
			unbound.Add(1)
		}
		return 0, nil, false
	})
	c.RawCalls = true
	n, err := c.within(t, dst.Writer, src.Reader)
	checkWhole(t, dst, n, err, src.Content)
	if left := timeouts(t, dst.Writer, src.Reader); left != [2]int{0, day} {
		t.Errorf("timeouts %v: that of the other copy is not ours to use or to end", left)
	}
	if k := unbound.Load(); k > 0 || c.count("raw splice") == 0 {
		t.Errorf("%d raw calls that nothing bounds, of %d", k, c.count("raw splice"))
	}
}

// TestRawCallsLeaveEachPart: so it is with each of several sources.
func TestRawCallsLeaveEachPart(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(1 << 20)
	a, b := ztest.NewSource(t, ztest.TCP4, content), ztest.NewSource(t, ztest.TCP4, content)
	dst := ztest.NewDest(t, ztest.TCP4)
	c := track(t, nil)
	c.RawCalls, c.LowWater = true, true
	n, err := c.within(t, dst.Writer, io.MultiReader(a.Reader, b.Reader))
	checkWhole(t, dst, n, err, append(content[:len(content):len(content)], content...))
	for name, src := range map[string]*ztest.Source{"first": a, "second": b} {
		mark, _ := lowWater(t, src.Reader)
		if left := timeouts(t, dst.Writer, src.Reader); left != [2]int{} || mark != 1 {
			t.Errorf("the %s source: timeouts %v, mark %d", name, left, mark)
		}
	}
}

// lowWater returns SO_RCVLOWAT and SO_RCVBUF.
func lowWater(t testing.TB, end ztest.Stream) (mark, buffer int) {
	t.Helper()
	var kernel *sys.Calls
	return sockopt(t, end, kernel.ReceiveLowWater), sockopt(t, end, kernel.ReceiveBuffer)
}

// TestH19LowWater: behind a low-water mark a short message still comes through, the
// mark does not enlarge the receive buffer, and is 1 after the copy, however it ends.
func TestH19LowWater(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"end", "deadline", "close of the destination", "panic"} {
		src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
		// The buffer does not grow by itself, so that what the mark does is seen.
		rawFD(t, src.Reader, func(fd int) error {
			return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 128<<10)
		})
		_, before := lowWater(t, src.Reader)
		var marks atomic.Int64 // set above 1
		var highest atomic.Int64
		c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
			if call.Name == "SO_RCVLOWAT" && call.N > 1 {
				marks.Add(1)
				highest.Store(max(highest.Load(), int64(call.N)))
			}
			return 0, nil, false
		})
		c.LowWater = true
		panics := atomic.Bool{}
		from := &closer{conn(src), func(int64) error {
			if panics.Load() {
				panic(errSpent)
			}
			return nil
		}}
		r := new(copying)
		r.Task = ztest.Go(t, "Copy", func() {
			defer func() {
				if p := recover(); p != nil && p != any(errSpent) {
					panic(p)
				}
			}()
			r.n, r.err = c.Copy(context.Background(), dst.Writer, from)
		})
		for i := range 5 { // each arrives although it is less than the mark
			src.Feed(make([]byte, 10))
			awaitAt(t, dst, int64(10*(i+1)))
		}
		r.AwaitParked()
		if marks.Load() == 0 || highest.Load() < 4096 {
			t.Errorf("%s: %d marks, at most %d", how, marks.Load(), highest.Load())
		}
		if _, during := lowWater(t, src.Reader); during != before {
			t.Errorf("%s: SO_RCVBUF grew from %d to %d", how, before, during)
		}
		switch how {
		case "end":
			src.End()
		case "deadline":
			src.Reader.SetReadDeadline(time.Now())
		case "panic":
			panics.Store(true)
			src.Feed([]byte("the last"))
		default:
			dst.Writer.Close()
			src.Feed([]byte("wakes it"))
		}
		r.Wait()
		if mark, _ := lowWater(t, src.Reader); mark != 1 {
			t.Errorf("%s: the mark is %d afterwards", how, mark)
		}
	}
}

// TestLowWaterIsLeftAlone: a mark that somebody else has set is not touched.
func TestLowWaterIsLeftAlone(t *testing.T) {
	t.Parallel()
	src, dst := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(1<<20)), ztest.NewDest(t, ztest.TCP4)
	var kernel *sys.Calls
	rawFD(t, src.Reader, func(fd int) error { return kernel.SetReceiveLowWater(fd, 100) })
	c := track(t, nil)
	c.LowWater = true
	n, err := c.within(t, dst.Writer, src.Reader)
	checkWhole(t, dst, n, err, src.Content)
	if mark, _ := lowWater(t, src.Reader); mark != 100 || c.count("SO_RCVLOWAT") > 0 {
		t.Errorf("the mark is %d; %v", mark, c.calls)
	}
}

// TestLowWaterEndsWithBulk: a stream that turns interactive waits for single bytes.
func TestLowWaterEndsWithBulk(t *testing.T) {
	t.Parallel()
	src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
	var splices atomic.Bool
	splices.Store(true)
	c := track(t, nil)
	c.Force(func(int64) bool { return splices.Load() })
	c.LowWater = true
	r := c.begin(t, nil, dst.Writer, src.Reader)
	src.Feed([]byte("spliced"))
	awaitAt(t, dst, 7)
	r.AwaitParked()
	splices.Store(false)
	src.Feed([]byte("this, too, and no more"))
	awaitAt(t, dst, 29)
	r.AwaitParked()
	if mark, _ := lowWater(t, src.Reader); mark != 1 {
		t.Errorf("waits for single bytes with a mark of %d", mark)
	}
	src.End()
	r.Wait()
	checkWhole(t, dst, r.n, r.err, src.Content)
}

// TestRawEverything: both switches on, in a pattern of pieces, deadlines and ends.
func TestRawEverything(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(9).Bytes(8 << 20)
	for _, force := range []func(int64) bool{zerocopy.AtOnce, zerocopy.Alternate(), nil} {
		for _, kinds := range [][2]ztest.Kind{{ztest.TCP4, ztest.TCP4}, {ztest.TCP6, ztest.File}, {ztest.Unix, ztest.TCP4}, {ztest.TCP4, ztest.Pipe}} {
			src, dst := ztest.NewSource(t, kinds[0], content, ztest.Pieces(1, 100_000, 17, 1<<20)), ztest.NewDest(t, kinds[1])
			c := track(t, nil)
			c.Force(force)
			c.RawCalls, c.LowWater = true, true
			n, err := c.within(t, dst.Writer, src.Reader)
			checkWhole(t, dst, n, err, content)
			if c.report.Bytes(zerocopy.Splice) == 0 || c.count("raw splice") == 0 {
				t.Errorf("%v: %d raw calls; %v", kinds, c.count("raw splice"), c.report)
			}
		}
	}
	src, dst := ztest.NewSource(t, ztest.TCP4, content, ztest.NoEOF()), ztest.NewDest(t, ztest.TCP4, ztest.Buffers(64<<10), ztest.StallAfter(1<<20))
	c := track(t, nil)
	c.RawCalls, c.LowWater = true, true
	dst.Writer.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	n, err := c.within(t, dst.Writer, src.Reader)
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Error(n, err)
	}
	checkRest(t, src, n, err)
}
