package zerocopy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The adaptive start end to end: which bytes of a socket are read and written, which
// are spliced, and why. (When the pace itself changes is in pace_test.go.)

// start is how much of a stream that is bulk from its first byte is read.
const start = zerocopy.BulkReads * zerocopy.BufferSize

// adaptive is track with the splicing left to the pace of the stream.
func adaptive(t testing.TB, f answer) *tracked {
	c := track(t, f)
	c.Force(nil)
	return c
}

// A fast source is one whose bytes are there before the copy asks for them, however
// busy the machine is: a call on it waits until more than a buffer is queued, all
// that the peer has been told to send, or as much as fits.
type fast struct {
	*ztest.Source
	due atomic.Int64
}

// newFast makes one. A nil content is for feed.
func newFast(t testing.TB, k ztest.Kind, content []byte) *fast {
	opts := []ztest.Option{ztest.NoEOF()}
	if content == nil {
		opts = []ztest.Option{ztest.Manual()}
	}
	f := &fast{Source: ztest.NewSource(t, k, content, opts...)}
	f.due.Store(int64(len(content)))
	return f
}

// feed has the peer send b.
func (f *fast) feed(b []byte) {
	f.due.Add(int64(len(b)))
	f.Feed(b)
}

// answer is for the calls of the copy; next, if not nil, answers what it lets pass.
func (f *fast) answer(t testing.TB, next answer) answer {
	var in int
	rawFD(t, f.Reader, func(fd int) error { in = fd; return nil })
	return func(c *sys.Call, nth int) (int, error, bool) {
		if c.In == in && (c.Name == "read" || c.Name == "splice") {
			for began := time.Now(); f.Sent() < f.due.Load() && time.Since(began) < time.Second; time.Sleep(20 * time.Microsecond) {
				n, err := ztest.Queued(f.Reader)
				_, room, err2 := ztest.Poll(f.Peer())
				if err != nil || err2 != nil || n > 48<<10 || n > 0 && !room {
					break
				}
			}
		}
		if next == nil {
			return 0, nil, false
		}
		return next(c, nth)
	}
}

// reported adds up what the report says of system calls.
func reported(r zerocopy.Report) (n int64) {
	for _, s := range r.Steps {
		n += s.Calls
	}
	return n
}

var socketPairs = []struct{ src, dst ztest.Kind }{
	{ztest.TCP4, ztest.TCP4}, {ztest.Unix, ztest.Unix}, {ztest.TCP6, ztest.Unix}, {ztest.Unix, ztest.TCP4}, {ztest.SockFile, ztest.TCP4},
}

// TestMessagesAreNotSpliced: question and answer that do not fill three buffers in a
// row make no pipe and cost what a loop of Read and Write costs, however long they go
// on. A read in vain before each wait is part of it: package net's Read makes it, too.
func TestMessagesAreNotSpliced(t *testing.T) {
	t.Parallel()
	const rounds = 8
	for _, p := range socketPairs {
		for _, size := range []int{1, 100, 1448, 16 << 10, 32<<10 - 1, 32<<10 + 1, 50_000, 64<<10 - 1, 64<<10 + 1} {
			t.Run(fmt.Sprintf("%s→%s/%d", p.src, p.dst, size), func(t *testing.T) {
				t.Parallel()
				src, dst := newFast(t, p.src, nil), ztest.NewDest(t, p.dst)
				c := adaptive(t, src.answer(t, nil))
				r := c.begin(t, nil, dst.Writer, src.Reader)
				message := ztest.Pattern(uint64(size)).Bytes(size)
				for range rounds {
					r.AwaitParked()
					src.feed(message)
					dst.AwaitReceived(int64(len(src.Content)))
				}
				r.AwaitParked()
				src.End()
				r.Wait()
				checkWhole(t, dst, r.n, r.err, src.Content)
				if c.count("splice", "pipe2", "poll") > 0 {
					t.Errorf("more than read and write: %v; %v", c.calls, c.report)
				}
				// A read and a write of each 32 KiB, a read in vain, and one by chance
				// where a message comes in two pieces.
				pieces := (size + zerocopy.BufferSize - 1) / zerocopy.BufferSize
				if n := reported(c.report); n > int64(rounds*(2*pieces+2)) {
					t.Errorf("%d calls for %d messages of %d pieces: %v", n, rounds, pieces, c.report)
				}
				if s, ok := c.reason(zerocopy.ReasonStart); !ok || s.Bytes != r.n || s.End != zerocopy.SourceEnd || s.Type == "" {
					t.Errorf("%v", c.report)
				}
			})
		}
	}
}

// TestBulkIsSpliced: of a fast stream three buffers are read, and the rest is spliced
// through pipes that grow.
func TestBulkIsSpliced(t *testing.T) {
	t.Parallel()
	size := 64 << 20
	if raceEnabled || testing.Short() {
		size = 8 << 20
	}
	content := ztest.Pattern(64).Bytes(size)
	for _, p := range socketPairs {
		src := newFast(t, p.src, content)
		sum := ztest.Pattern(64).Checker()
		dst := ztest.NewDest(t, p.dst, ztest.Into(sum))
		c := adaptive(t, src.answer(t, nil))
		r := c.begin(t, nil, dst.Writer, src.Reader)
		ztest.Eventually(t, 2*ztest.Patience, "bulk", func() bool { return dst.Received() == int64(size) })
		src.End()
		r.Wait()
		dst.Finish()
		if r.n != int64(size) || r.err != nil || sum.N() != r.n {
			t.Errorf("%s→%s: %d of %d bytes, %d of them right, %v", p.src, p.dst, r.n, size, sum.N(), r.err)
		}
		if spliced := c.report.Bytes(zerocopy.Splice); spliced*100 < r.n*95 {
			t.Errorf("%s→%s: %d of %d bytes were spliced: %v", p.src, p.dst, spliced, r.n, c.report)
		}
		if s, ok := c.reason(zerocopy.ReasonStart); !ok || s.Bytes < start || s.Bytes > 2*start {
			t.Errorf("%s→%s: %v", p.src, p.dst, c.report)
		}
		if s := c.pipes.Stats(); s.Created > int64(len(kpipe.Sizes)) || s.Open != s.Idle {
			t.Errorf("%s→%s: one stream made %+v", p.src, p.dst, s)
		}
		dst.Close()
		src.Close()
	}
}

// TestPaceFollowsTheStream: bulk, then messages, then bulk again, each of them its
// own way, and no byte is lost where the way changes.
func TestPaceFollowsTheStream(t *testing.T) {
	t.Parallel()
	for _, p := range socketPairs {
		t.Run(fmt.Sprintf("%s→%s", p.src, p.dst), func(t *testing.T) {
			t.Parallel()
			src, dst := newFast(t, p.src, nil), ztest.NewDest(t, p.dst)
			c := adaptive(t, src.answer(t, nil))
			r := c.begin(t, nil, dst.Writer, src.Reader)
			send := func(n int) (splices int) {
				before := c.count("splice")
				src.feed(ztest.Pattern(uint64(n)).Bytes(n))
				dst.AwaitReceived(int64(len(src.Content)))
				r.AwaitParked()
				return c.count("splice") - before
			}
			for round := range 3 {
				if k := send(2 << 20); k < 4 {
					t.Errorf("round %d: %d splices for bulk", round, k)
				}
				for range zerocopy.ShortDrains + 2 { // the end of the bulk may have been one or two of them
					send(100)
				}
				for range 5 {
					if k := send(100); k > 0 {
						t.Errorf("round %d: %d splices for a message", round, k)
					}
				}
			}
			src.End()
			r.Wait()
			checkWhole(t, dst, r.n, r.err, src.Content)
			if s := c.pipes.Stats(); s.Open != s.Idle {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestPaceOfALimit: a limit is met to the byte, and what is left is not worth a pipe
// where it is less than what makes a splice pay.
func TestPaceOfALimit(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(97).Bytes(1 << 20)
	for _, p := range socketPairs {
		for _, tt := range []struct {
			limit   int
			spliced int // bytes
		}{
			{1, 0}, {32 << 10, 0}, {start - 1, 0}, {start, 0}, {start + 1, 0}, {97 << 10, 0},
			{start + zerocopy.ShortDrain - 1, 0}, {start + zerocopy.ShortDrain, zerocopy.ShortDrain},
			{start + 64<<10, 64 << 10}, {len(content), len(content) - start},
		} {
			for _, by := range []string{"CopyN", "LimitedReader", "bounded", "two limits"} {
				src, dst := newFast(t, p.src, content), ztest.NewDest(t, p.dst)
				c := adaptive(t, src.answer(t, nil))
				var n int64
				var err error
				limit := &io.LimitedReader{R: src.Reader, N: int64(tt.limit)}
				ztest.Within(t, ztest.Patience, by, func() {
					switch by {
					case "CopyN":
						n, err = c.CopyN(dst.Writer, src.Reader, limit.N)
						limit.N -= n
					case "LimitedReader":
						n, err = c.Copy(context.Background(), dst.Writer, limit)
					case "bounded":
						n, err = c.Copy(context.Background(), dst.Writer, &bounded{src.Reader, limit.N})
						limit.N -= n
					case "two limits":
						n, err = c.Copy(context.Background(), dst.Writer, io.LimitReader(limit, int64(len(content))))
					}
				})
				if n != int64(tt.limit) || err != nil || limit.N != 0 {
					t.Errorf("%s→%s, %s of %d: %d, %v, N is %d", p.src, p.dst, by, tt.limit, n, err, limit.N)
				}
				// Near its end a stream may drain what is left in pieces of any size.
				spliced := c.report.Bytes(zerocopy.Splice)
				if tt.spliced == 0 && (spliced > 0 || c.pipes.Stats().Created > 0) || spliced > int64(tt.spliced) || spliced < int64(tt.spliced)-zerocopy.ShortDrain {
					t.Errorf("%s→%s, %s of %d: %d bytes were spliced, want %d: %v", p.src, p.dst, by, tt.limit, spliced, tt.spliced, c.report)
				}
				ztest.Equal(t, "received", dst.Finish(), content[:tt.limit])
				ztest.Equal(t, "left in the source", src.Rest(), content[tt.limit:])
				dst.Close()
				src.Close()
			}
		}
	}
}

// TestPaceWithoutPipes: a bulk stream that gets no pipe is read and written, says why,
// asks again now and then, and is spliced as soon as there is one.
func TestPaceWithoutPipes(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(24).Bytes(16 << 20) // three times 16 buffers of 256 KiB are 12 MiB
	for _, p := range socketPairs {
		for _, tt := range []struct {
			name    string
			refused int64 // times
			err     error
		}{
			{"EMFILE once", 1, syscall.EMFILE}, {"ENFILE twice", 2, syscall.ENFILE}, {"ENOSYS three times", 3, syscall.ENOSYS},
			{"budget", 2, kpipe.ErrBudget},
		} {
			src, dst := newFast(t, p.src, content), ztest.NewDest(t, p.dst)
			var c *tracked
			var held *kpipe.Pipe
			c = adaptive(t, src.answer(t, func(call *sys.Call, nth int) (int, error, bool) {
				switch {
				case call.Name == "pipe2" && held == nil && int64(nth) <= tt.refused:
					return 0, tt.err, true
				case call.Name == "read" && held != nil && c.pipes.Stats().Refused == tt.refused:
					c.pipes.Put(held) // room again, for the next time that it asks
					held = nil
				}
				return 0, nil, false
			}))
			if tt.err == kpipe.ErrBudget {
				c.pipes.Limits = func() kpipe.Limits { return kpipe.Limits{Budget: 64 << 10, MaxSize: 1 << 20} }
				held, _ = c.pipes.Get(nil, 0)
			}
			src.End()
			n, err := c.within(t, dst.Writer, src.Reader)
			checkWhole(t, dst, n, err, content)
			s, ok := c.reason(zerocopy.ReasonNoPipe)
			if !ok || !errors.Is(s.Err, tt.err) {
				t.Errorf("%s→%s, %s: %v", p.src, p.dst, tt.name, c.report)
			}
			// Between two times that it asks it fills as many buffers, which have grown.
			turns := tt.refused * zerocopy.PipeTurns
			if s.Bytes < turns*zerocopy.BufferSize || s.Bytes > turns*zerocopy.BulkBuffer {
				t.Errorf("%s→%s, %s: %d bytes in %d turns: %v", p.src, p.dst, tt.name, s.Bytes, turns, c.report)
			}
			if got := c.pipes.Stats(); got.Refused != tt.refused || c.report.Bytes(zerocopy.Splice)+s.Bytes+2*start < n {
				t.Errorf("%s→%s, %s: %+v: %v", p.src, p.dst, tt.name, got, c.report)
			}
			dst.Close()
			src.Close()
		}
	}
}

// TestStartReadsWithASmallBuffer: a stream that was buffered bulk for a while, without
// a pipe, and has turned interactive, is read with a buffer that fits its messages.
func TestStartReadsWithASmallBuffer(t *testing.T) {
	t.Parallel()
	src, dst := newFast(t, ztest.TCP4, nil), ztest.NewDest(t, ztest.TCP4)
	var asked atomic.Int64 // by the last read
	c := adaptive(t, src.answer(t, func(call *sys.Call, nth int) (int, error, bool) {
		if call.Name == "read" {
			asked.Store(int64(call.N))
		}
		return 0, syscall.EMFILE, call.Name == "pipe2" && nth == 1
	}))
	r := c.begin(t, nil, dst.Writer, src.Reader)
	for _, n := range []int{16 << 20, 100, 100, 100, 100, 100, 100, 100, 100} {
		src.feed(make([]byte, n))
		dst.AwaitReceived(int64(len(src.Content)))
		r.AwaitParked()
	}
	if n := asked.Load(); n != zerocopy.BufferSize {
		t.Errorf("a message is read with a buffer of %d bytes", n)
	}
	src.End()
	r.Wait()
	checkWhole(t, dst, r.n, r.err, src.Content)
	if _, ok := c.reason(zerocopy.ReasonNoPipe); !ok || c.report.Bytes(zerocopy.Splice) == 0 {
		t.Errorf("%v", c.report)
	}
}
