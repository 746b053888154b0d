package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The waits of a copy, with the change between read-and-write and splice forced
// before them: see hazards_pace_linux_test.go.

// changeWaits are pairs between which the way can change.
var changeWaits = []wait{
	{src: ztest.TCP4, dst: ztest.TCP4}, {src: ztest.TCP4, dst: ztest.Pipe}, {src: ztest.Unix, dst: ztest.TCP6}, {src: ztest.SockFile, dst: ztest.SockFile},
}

// changeForDestination is wait.forDestination under f.
func (w wait) changeForDestination(t testing.TB, ctx context.Context, f forcing) *waiting {
	t.Helper()
	c := w.copier(t).forced(f)
	src := ztest.NewSource(t, w.src, ztest.Pattern(2).Bytes(waitSize), ztest.NoEOF())
	dst := ztest.NewDest(t, w.dst, ztest.StallAfter(50_000), ztest.Buffers(32<<10))
	r := &waiting{c.begin(t, ctx, dst.Writer, src.Reader), c, src, dst}
	dst.AwaitReceived(50_000)
	dst.AwaitFull()
	r.AwaitParked()
	return r
}

// changeForSource is wait.forSource under f.
func (w wait) changeForSource(t testing.TB, ctx context.Context, f forcing) *waiting {
	t.Helper()
	c := w.copier(t).forced(f)
	src, dst := ztest.NewSource(t, w.src, nil, ztest.Manual()), ztest.NewDest(t, w.dst)
	r := &waiting{c.begin(t, ctx, dst.Writer, src.Reader), c, src, dst}
	for range 5 {
		src.Feed(ztest.Pattern(1).Bytes(20_000))
		awaitAt(t, dst, int64(len(src.Content)))
	}
	r.AwaitParked()
	return r
}

// TestH21ChangeBeforeTheDestinationFails: a deadline, Close or reset of a destination
// that takes nothing more. n is exact, and what was taken is handed back, be it in the
// pipe or in a buffer.
func TestH21ChangeBeforeTheDestinationFails(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const gone = "reset"
	for i, w := range changeWaits {
		for _, what := range []string{expired, closing, expiring, gone} {
			few.Run(w.String()+"/"+what, func(t *testing.T) {
				turns := someTurns
				if i < 2 && (what == expired || what == gone) {
					turns = atEachTurn
				}
				turns(t, func(t *testing.T, f forcing) {
					r := w.changeForDestination(t, nil, f)
					if what == gone {
						r.dst.Reset()
						r.Wait()
						if !errors.Is(r.err, syscall.EPIPE) && !errors.Is(r.err, syscall.ECONNRESET) {
							t.Errorf("ended with %v", r.err)
						}
						checkRest(t, r.src, r.n, r.err)
						return
					}
					act(t, what, r.dst.Writer)
					r.Wait()
					checkError(t, r.err, what, "write")
					r.checkAfterwards(t, what)
				})
			})
		}
	}
}

// TestH22ChangeBeforeTheSourceEnds: Close or deadline of the source while the copy
// waits for the destination, by a pump or by a write.
func TestH22ChangeBeforeTheSourceEnds(t *testing.T) {
	t.Parallel()
	for _, w := range changeWaits {
		for _, what := range []string{closing, expired} {
			t.Run(w.String()+"/"+what, func(t *testing.T) {
				t.Parallel()
				someTurns(t, func(t *testing.T, f forcing) {
					w.changeForDestination(t, nil, f).endSource(t, what)
				})
			})
		}
	}
}

// TestH31ChangeBeforeAnError: the class of an error and the side that it names do not
// depend on the way, nor does a cancellation's cause.
func TestH31ChangeBeforeAnError(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	for _, w := range append([]wait{{src: ztest.TCP4, dst: ztest.File}}, changeWaits...) {
		for _, what := range []string{closing, expired, expiring, cancelled} {
			few.Run(w.String()+"/"+what, func(t *testing.T) {
				someTurns(t, func(t *testing.T, f forcing) {
					ctx, cancel := context.WithCancelCause(t.Context())
					defer cancel(nil)
					r := w.changeForSource(t, ctx, f)
					cause := errors.New("enough of this")
					if what == cancelled {
						cancel(cause)
						r.Wait()
						if !errors.Is(r.err, cause) {
							t.Errorf("ended with %v", r.err)
						}
					} else {
						act(t, what, r.src.Reader)
						r.Wait()
						checkError(t, r.err, what, "read")
					}
					if len(unwritten(t, r.n, r.err)) > 0 {
						t.Error("bytes left over")
					}
					checkWhole(t, r.dst, r.n, nil, r.src.Content)
				})
			})
		}
	}
}

// TestH17ChangeWhereNoEdgeComes: a splice that says EAGAIN where poll says ready, amid
// the changes.
func TestH17ChangeWhereNoEdgeComes(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	content := ztest.Pattern(3).Bytes(1 << 20)
	for _, p := range []struct{ src, dst ztest.Kind }{{ztest.TCP4, ztest.TCP4}, {ztest.Unix, ztest.Pipe}} {
		for _, from := range []int{1, 2, 5, 6} { // drain and pump take turns
			for _, polled := range []int{-1, sys.Readable | sys.Writable} {
				few.Run(fmt.Sprintf("%s→%s/%d/poll=%d", p.src, p.dst, from, polled), func(t *testing.T) {
					someTurns(t, func(t *testing.T, f forcing) {
						src, dst := ztest.NewSource(t, p.src, content), ztest.NewDest(t, p.dst)
						var c *tracked
						c = track(t, func(call *sys.Call, nth int) (int, error, bool) {
							switch {
							case call.Name == "splice" && nth >= from:
								return 0, syscall.EAGAIN, true
							case call.Name == "poll" && polled >= 0 && c.count("splice") >= from:
								return polled, nil, true
							}
							return 0, nil, false
						}).forced(f)
						n, err := c.within(t, dst.Writer, src.Reader)
						checkWhole(t, dst, n, err, content)
						if k := c.moves(); k > 20*len(content)/(32<<10)+100 {
							t.Errorf("%d system calls for %d bytes: %v", k, len(content), c.report)
						}
					})
				})
			}
		}
	}
}

// TestH17ChangeAndNeverReady: where nothing is ever ready the copy sleeps until it is
// ended, on either side of a change.
func TestH17ChangeAndNeverReady(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(4).Bytes(1 << 20)
	for _, from := range []int{1, 2, 5, 6} {
		for _, end := range []string{closing, expired} {
			t.Run(fmt.Sprintf("%d/%s", from, end), func(t *testing.T) {
				t.Parallel()
				someTurns(t, func(t *testing.T, f forcing) {
					src, dst := ztest.NewSource(t, ztest.TCP4, content, ztest.NoEOF()), ztest.NewDest(t, ztest.TCP4)
					never := false
					c := track(t, func(call *sys.Call, nth int) (int, error, bool) {
						switch {
						case call.Name == "splice" && nth >= from:
							never = true
							return 0, syscall.EAGAIN, true
						case never && (call.Name == "poll" || call.Name == "FIONREAD"):
							return 0, nil, true
						case never && call.Name == "read":
							return 0, syscall.EAGAIN, true
						}
						return 0, nil, false
					}).forced(f)
					r := c.begin(t, nil, dst.Writer, src.Reader)
					r.AwaitParked()
					before := c.moves()
					act(t, end, src.Reader)
					act(t, end, dst.Writer)
					r.Wait()
					if !errors.Is(r.err, os.ErrDeadlineExceeded) && !errors.Is(r.err, net.ErrClosed) {
						t.Errorf("ended with %v", r.err)
					}
					if k := c.moves() - before; k > 20 {
						t.Errorf("%d system calls after the end of the wait", k)
					}
				})
			})
		}
	}
}

// TestH32ChangeBesideAWriter: another goroutine writes to the destination when the
// copy takes over and while its way changes. No byte of the one lands inside of one
// of the other's records.
func TestH32ChangeBesideAWriter(t *testing.T) {
	t.Parallel()
	for _, w := range changeWaits {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			someTurns(t, func(t *testing.T, f forcing) {
				besideAWriter(t, track(t, nil).forced(f), route{src: w.src, dst: w.dst}, 600_000, 3)
			})
		})
	}
}

// TestH33ChangeOfASlowStream: byte by byte, each of them another way. The calls are
// bounded, and nothing is held between two bytes.
func TestH33ChangeOfASlowStream(t *testing.T) {
	t.Parallel()
	const count, perByte = 40, 8
	for _, w := range changeWaits {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			someTurns(t, func(t *testing.T, f forcing) {
				src, dst := ztest.NewSource(t, w.src, nil, ztest.Manual()), ztest.NewDest(t, w.dst)
				pool := new(soakPool)
				c := track(t, nil).forced(f)
				c.BufferPool = pool
				r := c.begin(t, nil, dst.Writer, src.Reader)
				for i := range count {
					src.Feed([]byte{byte(i)})
					dst.AwaitReceived(int64(i + 1))
					if i%10 == 9 {
						r.AwaitParked()
						if s := c.pipes.Stats(); s.Open != s.Idle || pool.out.Load() != 0 {
							t.Errorf("held between bytes: %+v, %d buffers", s, pool.out.Load())
						}
					}
				}
				r.AwaitParked()
				if k := c.moves(); k > count*perByte {
					t.Errorf("%d system calls for %d bytes", k, count)
				}
				src.Reader.Close()
				r.Wait()
				checkFailed(t, r.err, failed{src.Reader, "read", closedClass(src.Reader)})
				ztest.Equal(t, "received", dst.Finish(), src.Content)
			})
		})
	}
}

// TestChangeAndTwoCopiesInARow: what one copy has left the next one takes, the first
// ended by a deadline at each turn: resuming completes the stream.
func TestChangeAndTwoCopiesInARow(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	for _, w := range changeWaits {
		few.Run(w.String(), func(t *testing.T) {
			atEachTurn(t, func(t *testing.T, f forcing) {
				content := ztest.Pattern(7).Bytes(400_000)
				src, dst := ztest.NewSource(t, w.src, content, ztest.Pieces(7_000)), ztest.NewDest(t, w.dst)
				c := track(t, nil).forced(f)
				var n int64
				for pause, done := time.Duration(0), false; !done; {
					var k int64
					var err error
					pause += 50 * time.Microsecond // or a slow machine would not move a byte
					past := time.AfterFunc(pause, func() {
						src.Reader.SetReadDeadline(time.Unix(1, 0))
						dst.Writer.SetWriteDeadline(time.Unix(1, 0))
					})
					ztest.Within(t, ztest.Patience, "Copy", func() { k, err = c.Copy(context.Background(), dst.Writer, src.Reader) })
					past.Stop()
					n += k
					if done = err == nil; !done && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatal(err)
					}
					must(t, src.Reader.SetDeadline(time.Time{}))
					must(t, dst.Writer.SetDeadline(time.Time{}))
					// A timer that has begun may set them once more: Write and Copy again.
					rest := bytes.Clone(unwritten(t, k, err))
					for len(rest) > 0 {
						k, err := dst.Writer.Write(rest)
						n, rest = n+int64(k), rest[k:]
						if err != nil {
							must(t, dst.Writer.SetWriteDeadline(time.Time{}))
						}
					}
				}
				if n != int64(len(content)) {
					t.Errorf("%d of %d bytes", n, len(content))
				}
				ztest.Equal(t, "received", dst.Finish(), content)
				if left, err := io.ReadAll(struct{ io.Reader }{src.Reader}); len(left) > 0 {
					t.Errorf("%d bytes left, %v", len(left), err)
				}
			})
		})
	}
}
