package zerocopy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The hazards once more, with the change between read-and-write and splice forced at
// each turn of the stream: whatever a stream meets, it can meet it on either side of
// a change.

// A forcing decides of each turn whether it is spliced.
type forcing func(turn int64) bool

// forced gives c the decisions of f.
func (c *tracked) forced(f forcing) *tracked {
	var turns atomic.Int64
	c.Force(func(int64) bool { return f(turns.Add(1)) })
	return c
}

// mostTurns bounds the places of a change in one stream: what follows is the same
// again.
const mostTurns = 16

// atEachTurn runs a copy with the change at each of its turns, in both directions, then
// with a change at every turn, and at random. The first run finds out how many turns
// there are.
func atEachTurn(t *testing.T, run func(t *testing.T, f forcing)) {
	var most atomic.Int64
	t.Run("every other", func(t *testing.T) {
		run(t, func(turn int64) bool {
			most.Store(turn)
			return turn%2 == 0
		})
	})
	parallel := func(name string, f forcing) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, f)
		})
	}
	parallel("every other, spliced first", func(turn int64) bool { return turn%2 == 1 })
	for k := range min(most.Load(), mostTurns) {
		parallel(fmt.Sprintf("spliced from turn %d", k+1), func(turn int64) bool { return turn > k })
		parallel(fmt.Sprintf("read from turn %d", k+2), func(turn int64) bool { return turn <= k+1 })
	}
	seed := rand.Uint64()
	parallel(fmt.Sprintf("random, seed %d", seed), func(turn int64) bool {
		return rand.New(rand.NewPCG(seed, uint64(turn))).IntN(2) == 0
	})
}

// someTurns is atEachTurn for what takes long: a change at every turn, one early, one
// late.
func someTurns(t *testing.T, run func(t *testing.T, f forcing)) {
	for name, f := range map[string]forcing{
		"every other": func(turn int64) bool { return turn%2 == 0 }, "every other, spliced first": func(turn int64) bool { return turn%2 == 1 },
		"spliced from turn 2": func(turn int64) bool { return turn >= 2 }, "read from turn 2": func(turn int64) bool { return turn < 2 },
		"spliced from turn 4": func(turn int64) bool { return turn >= 4 }, "read from turn 4": func(turn int64) bool { return turn < 4 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(t, f)
		})
	}
}

// littleBuffers make many turns of few bytes.
func (c *tracked) littleBuffers(n int) *tracked {
	c.BufferPool = &tallied{size: n}
	return c
}

// TestH01ChangeAtTheMark: urgent data, and a change of ways before, at and behind it.
func TestH01ChangeAtTheMark(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.File} {
		for _, tt := range marked {
			want := tt.feed.plainly(t, ztest.TCP4)
			for _, buffer := range []int{0, 300} {
				few.Run(fmt.Sprintf("%s/%s/%d", to, tt.name, buffer), func(t *testing.T) {
					atEachTurn(t, func(t *testing.T, f forcing) {
						src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, to)
						tt.feed.send(t, src)
						awaitAll(t, src, tt.feed.bytes())
						src.End()
						c := track(t, nil).forced(f)
						if buffer > 0 {
							c.littleBuffers(buffer)
						}
						n, err := c.within(t, dst.Writer, src.Reader)
						checkWhole(t, dst, n, err, want)
						if k := c.moves(); k > 400 {
							t.Errorf("%d system calls", k)
						}
						src.Close()
						dst.Close()
					})
				})
			}
		}
	}
}

// TestH01ChangeWhileWaiting: the mark comes when the copy waits already, by the one
// way or the other.
func TestH01ChangeWhileWaiting(t *testing.T) {
	t.Parallel()
	someTurns(t, func(t *testing.T, f forcing) {
		src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
		c := track(t, nil).forced(f)
		r := c.begin(t, nil, dst.Writer, src.Reader)
		for range 5 {
			r.AwaitParked()
			feed{0}.send(t, src)
			feed{700}.send(t, src)
			dst.AwaitReceived(int64(len(src.Content)))
		}
		r.AwaitParked()
		src.End()
		r.Wait()
		checkWhole(t, dst, r.n, r.err, src.Content)
	})
}

// TestH02ChangeAmongFragments: a pipe that is out of slots, and reads in between.
func TestH02ChangeAmongFragments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		src, dst              ztest.Kind
		pieces, count, buffer int
	}{
		{ztest.Unix, ztest.TCP4, 1, 300, 30}, {ztest.Unix, ztest.Pipe, 1, 300, 30}, {ztest.TCP4, ztest.Unix, 1448, 60, 5000}, {ztest.TCP4, ztest.File, 1448, 60, 5000},
	} {
		content := ztest.Pattern(2).Bytes(tt.pieces * tt.count)
		t.Run(fmt.Sprintf("%s→%s", tt.src, tt.dst), func(t *testing.T) {
			t.Parallel()
			atEachTurn(t, func(t *testing.T, f forcing) {
				src := newFast(t, tt.src, content)
				src.End()
				dst := ztest.NewDest(t, tt.dst)
				ztest.Eventually(t, ztest.Patience, "all sent", func() bool { return src.Sent() == int64(len(content)) })
				c := track(t, narrow).forced(f).littleBuffers(tt.buffer)
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
			})
		})
	}
}

// TestH03ChangeAtALimit: no call is made for nothing, and the limit falls where it
// should whichever way comes to it.
func TestH03ChangeAtALimit(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	content := ztest.Pattern(4).Bytes(120_000)
	for _, p := range []struct{ src, dst ztest.Kind }{{ztest.TCP4, ztest.TCP4}, {ztest.Unix, ztest.Pipe}} {
		for _, limit := range []int{0, 1, 32 << 10, 65_536, 100_001, len(content), len(content) + 1} {
			few.Run(fmt.Sprintf("%s→%s/%d", p.src, p.dst, limit), func(t *testing.T) {
				atEachTurn(t, func(t *testing.T, f forcing) {
					src, dst := ztest.NewSource(t, p.src, content, ztest.NoEOF()), ztest.NewDest(t, p.dst)
					if limit > len(content) {
						src.End()
					}
					c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
						if (call.Name == "splice" || call.Name == "read") && call.N <= 0 {
							t.Errorf("%s is asked for %d bytes", call.Name, call.N)
						}
						return 0, nil, false
					}).forced(f)
					l := &io.LimitedReader{R: src.Reader, N: int64(limit)}
					n, err := c.within(t, dst.Writer, io.MultiReader(io.LimitReader(l, 40_000), io.LimitReader(l, 0), l))
					want := content[:min(limit, len(content))]
					checkWhole(t, dst, n, err, want)
					if l.N != int64(limit)-n {
						t.Errorf("N is %d", l.N)
					}
					ztest.Equal(t, "left in the source", src.Rest(), content[len(want):])
				})
			})
		}
	}
}

// TestH04ChangeBeforeTheLastPiece: it is not held back, by the one way behind the other.
func TestH04ChangeBeforeTheLastPiece(t *testing.T) {
	t.Parallel()
	someTurns(t, func(t *testing.T, f forcing) {
		notHeldBack(t, ztest.TCP4, ztest.TCP4, func(dst io.Writer, src io.Reader) func() (int64, error) {
			r := track(t, nil).forced(f).begin(t, nil, dst, src)
			return func() (int64, error) { r.Wait(); return r.n, r.err }
		})
	})
}

// TestH05ChangeInBlockingMode: a descriptor in blocking mode, of either end, is not
// spliced at whichever turn that would have begun.
func TestH05ChangeInBlockingMode(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(20).Bytes(300_000)
	for _, p := range []struct{ src, dst ztest.Kind }{
		{ztest.TCP4, ztest.TCP4}, {ztest.Unix, ztest.Unix}, {ztest.SockFile, ztest.TCP4}, {ztest.TCP4, ztest.Pipe}, {ztest.Unix, ztest.SockFile},
	} {
		for _, side := range []string{"source", "destination"} {
			t.Run(fmt.Sprintf("%s→%s/%s", p.src, p.dst, side), func(t *testing.T) {
				t.Parallel()
				atEachTurn(t, func(t *testing.T, f forcing) {
					src, dst := ztest.NewSource(t, p.src, content, ztest.Pieces(7000)), ztest.NewDest(t, p.dst)
					end := src.Reader
					if side == "destination" {
						end = dst.Writer
					}
					must(t, ztest.SetNonblock(end, false))
					c := track(t, nil).forced(f)
					n, err := c.within(t, dst.Writer, src.Reader)
					checkWhole(t, dst, n, err, content)
					if c.count("splice", "pipe2") > 0 {
						t.Errorf("a call that may sleep: %v; %v", c.calls, c.report)
					}
				})
			})
		}
	}
}

// TestH06ChangeBeforeABrokenPipe: EPIPE of a write and of a splice is the same error of
// an *os.File, and each byte is accounted for.
func TestH06ChangeBeforeABrokenPipe(t *testing.T) {
	t.Parallel()
	for _, p := range []struct{ src, dst ztest.Kind }{{ztest.TCP4, ztest.Pipe}, {ztest.Unix, ztest.FIFO}, {ztest.TCP4, ztest.SockFile}} {
		t.Run(fmt.Sprintf("%s→%s", p.src, p.dst), func(t *testing.T) {
			t.Parallel()
			atEachTurn(t, func(t *testing.T, f forcing) {
				src := ztest.NewSource(t, p.src, ztest.Pattern(2).Bytes(1<<20))
				dst := ztest.NewDest(t, p.dst, ztest.StallAfter(100_000))
				r := track(t, nil).forced(f).begin(t, nil, dst.Writer, src.Reader)
				dst.AwaitReceived(100_000)
				dst.Reset()
				r.Wait()
				var failed *os.PathError
				if !errors.Is(r.err, syscall.EPIPE) && !errors.Is(r.err, syscall.ECONNRESET) || r.n < 100_000 || !errors.As(r.err, &failed) || failed.Op != "write" {
					t.Errorf("copied %d, %v", r.n, r.err)
				}
				checkRest(t, src, r.n, r.err)
			})
		})
	}
}

// TestH06ChangeOnStandardOutput: a program whose reader goes away dies of SIGPIPE, by
// whichever way it came to know.
func TestH06ChangeOnStandardOutput(t *testing.T) {
	forcings := []forcing{
		func(turn int64) bool { return turn%2 == 0 }, func(turn int64) bool { return turn > 2 }, func(turn int64) bool { return turn <= 2 },
	}
	if task := os.Getenv(stdioEnv); task != "" {
		i, err := strconv.Atoi(task)
		must(t, err)
		must(t, syscall.SetNonblock(1, true))
		out := os.NewFile(1, "standard stream")
		src := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(1).Bytes(16<<20))
		n, err := track(t, nil).forced(forcings[i]).within(t, out, src.Reader)
		fmt.Fprintf(os.Stderr, "alive after %d, %v\n", n, err)
		os.Exit(3)
	}
	t.Parallel()
	for i := range forcings {
		theirs, ours := stream(t, ztest.Pipe)
		cmd := stdioChild(t, strconv.Itoa(i))
		var other bytes.Buffer
		cmd.Stdout, cmd.Stderr = theirs, &other
		must(t, cmd.Start())
		theirs.Close()
		_, err := io.ReadFull(ours, make([]byte, 100_000))
		must(t, err)
		ours.Close()
		cmd.Wait()
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGPIPE {
			t.Errorf("%d: the program ended with %v\n%s", i, cmd.ProcessState, other.String())
		}
	}
}

// TestH10ChangeWithoutPipes: at some of the changes no pipe is to be had.
func TestH10ChangeWithoutPipes(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(10).Bytes(2 << 20)
	for _, tt := range []struct {
		name string
		call string
		ok   func(nth int) bool
	}{
		{"never", "pipe2", func(int) bool { return false }}, {"later", "pipe2", func(nth int) bool { return nth > 2 }},
		{"too small at first", "F_GETPIPE_SZ", func(nth int) bool { return nth > 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			atEachTurn(t, func(t *testing.T, f forcing) {
				src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.Unix)
				c := track(t, func(call *sys.Call, nth int) (int, error, bool) {
					switch {
					case call.Name == "F_SETPIPE_SZ" && tt.call == "F_GETPIPE_SZ":
						return 0, syscall.EPERM, true
					case call.Name == tt.call && !tt.ok(nth):
						return 8192, map[string]error{"pipe2": syscall.EMFILE}[tt.call], true
					}
					return 0, nil, false
				}).forced(f)
				n, err := c.within(t, dst.Writer, src.Reader)
				checkWhole(t, dst, n, err, content)
				if s := c.pipes.Stats(); s.Open != s.Idle {
					t.Errorf("%+v", s)
				}
				if s, ok := c.reason(zerocopy.ReasonNoPipe); ok && s.Err == nil {
					t.Errorf("a reason without its cause: %v", c.report)
				}
			})
		})
	}
}
