package zerocopy_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// narrow makes the private pipes the least that is still spliced through: 64 KiB,
// which is 16 slots.
func narrow(c *sys.Call, _ int) (int, error, bool) {
	if c.Name == "F_SETPIPE_SZ" {
		c.N = 64 << 10
	}
	return 0, nil, false
}

// TestH02SlotsNotBytes: a pipe is full when its slots are, whatever they hold, so
// a drain ends long before its bytes fit no more. That is no end of the stream.
func TestH02SlotsNotBytes(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.File} {
			for _, tt := range []struct {
				name          string
				pieces, count int
				opts          []ztest.Option
			}{
				{"bytes", 1, 600, nil},
				{"segments", 1448, 60, []ztest.Option{ztest.MSS(1448)}},
			} {
				t.Run(fmt.Sprintf("%s→%s/%s", from, to, tt.name), func(t *testing.T) {
					t.Parallel()
					content := ztest.Pattern(2).Bytes(tt.pieces * tt.count)
					queued := make(chan struct{})
					src := ztest.NewSource(t, from, content, append(tt.opts, ztest.Pieces(tt.pieces), ztest.Buffers(4<<20),
						ztest.Step(func(sent int64) {
							if sent == int64(len(content)) {
								close(queued)
							}
						}))...)
					dst := ztest.NewDest(t, to)
					<-queued
					if from.IP() {
						awaitAll(t, src, int64(len(content)))
					}
					c := track(t, narrow)
					n, err := c.within(t, dst.Writer, src.Reader)
					checkWhole(t, dst, n, err, content)
					if by := mechanisms(c.report); by != "splice" {
						t.Errorf("went by %s: %v", by, c.report)
					}
					// 16 slots a drain, and a pump or two for each, more if the
					// destination's peer is slow. TCP may have merged pieces before;
					// unix sockets never do.
					k := c.count("splice")
					if k > tt.count/2 || from == ztest.Unix && k < 2*tt.count/16 {
						t.Errorf("%d splices for %d pieces", k, tt.count)
					}
				})
			}
		}
	}
}

// TestH02DestinationOutOfSlots: EAGAIN from a splice into somebody's pipe, which
// is full by slots and nearly empty by bytes, is the destination's: the copy
// waits for that one, without a call in between, and goes on when it is read.
func TestH02DestinationOutOfSlots(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.SockFile} {
		t.Run(string(from), func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(3).Bytes(300)
			src := ztest.NewSource(t, from, content, ztest.Pieces(1), ztest.Barrier())
			dst := ztest.NewDest(t, ztest.Pipe, ztest.StallAfter(0), ztest.Buffers(64<<10))
			c := track(t, nil)
			r := c.begin(t, nil, dst.Writer, src.Reader)
			dst.AwaitFull()
			r.AwaitParked()
			queued, err := ztest.Queued(dst.Peer())
			if err != nil || queued == 0 || queued >= 64 {
				t.Errorf("a full pipe holds %d bytes, %v; want a few", queued, err)
			}
			src.AwaitQueued(1) // the source is ready, and stays so
			before := c.moves()
			r.AwaitParked()
			if k := c.moves() - before; k > 8 {
				t.Errorf("%d system calls while the destination is full", k)
			}
			dst.Resume()
			r.Wait()
			checkWhole(t, dst, r.n, r.err, content)
			if by := mechanisms(c.report); by != "splice" {
				t.Errorf("went by %s: %v", by, c.report)
			}
		})
	}
}

// TestH03NeverAskedForNothing: splice of 0 bytes returns 0, which looks like an
// end. At a limit no call is made, so the copy neither takes it for an end of the
// parts behind it nor waits for a source of which it wants nothing more.
func TestH03NeverAskedForNothing(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	content := ztest.Pattern(4).Bytes(1<<20 + 100)
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File, ztest.Unix, ztest.Zero} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
			for _, tt := range []struct {
				name, why string
				src       func(r io.Reader) io.Reader
				want      int
			}{
				{"zero", "nothing is asked for", func(r io.Reader) io.Reader { return io.LimitReader(r, 0) }, 0},
				{"negative", "as zero", func(r io.Reader) io.Reader { return io.LimitReader(r, -5) }, 0},
				{"exact", "the limit falls on the end", func(r io.Reader) io.Reader { return io.LimitReader(r, int64(len(content))) }, len(content)},
				{"pipe", "the limit falls on a whole pipe", func(r io.Reader) io.Reader { return io.LimitReader(r, 1<<20) }, 1 << 20},
				{"nested", "the inner limit ends first", func(r io.Reader) io.Reader { return io.LimitReader(io.LimitReader(r, 50_000), 60_000) }, 50_000},
				{"parts", "an empty part is not the end of all", func(r io.Reader) io.Reader {
					return io.MultiReader(io.LimitReader(r, 0), io.LimitReader(r, 70_000), io.LimitReader(r, 0), io.LimitReader(r, 30_000))
				}, 100_000},
				{"bounded", "an opt-in without room", func(r io.Reader) io.Reader { return &bounded{r, 0} }, 0},
				{"bounded exact", "an opt-in with room for a part", func(r io.Reader) io.Reader { return &bounded{r, 65536} }, 65536},
			} {
				few.Run(fmt.Sprintf("%s→%s/%s", from, to, tt.name), func(t *testing.T) {
					src := ztest.NewSource(t, from, content, ztest.NoEOF())
					dst := ztest.NewDest(t, to)
					c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
						switch call.Name {
						case "splice", "sendfile", "copy_file_range", "read", "pread64":
							if call.N <= 0 {
								t.Errorf("%s: %s is asked for %d bytes", tt.why, call.Name, call.N)
							}
						}
						return 0, nil, false
					})
					n, err := c.within(t, dst.Writer, tt.src(src.Reader))
					checkWhole(t, dst, n, err, src.Content[:tt.want])
					if rest := src.Rest(); from != ztest.Zero {
						ztest.Equal(t, "left in the source", rest, content[tt.want:])
					}
				})
			}
		}
	}
}

// A bounded lets n bytes through and says so.
type bounded struct {
	r io.Reader
	n int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.n <= 0 {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.n)])
	b.n -= int64(n)
	return n, err
}

func (b *bounded) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: b, Reader: b.r, Bounded: true, Limit: b.n,
		Moved: func(n int64) error { b.n -= n; return nil }}, true
}

// lastPiece has begin start a copy whose end is smaller than a segment and which waits for more then, and
// returns after which time all of it has arrived.
func lastPiece(t *testing.T, from, to ztest.Kind, begin func(dst io.Writer, src io.Reader) (wait func() (int64, error))) time.Duration {
	t.Helper()
	content := ztest.Pattern(5).Bytes(70_001)
	src, dst := ztest.NewSource(t, from, content, ztest.NoEOF()), ztest.NewDest(t, to)
	began := time.Now()
	wait := begin(dst.Writer, src.Reader)
	dst.AwaitReceived(int64(len(content)))
	took := time.Since(began)
	src.End()
	n, err := wait()
	checkWhole(t, dst, n, err, content)
	return took
}

// notHeldBack complains if each of several rounds is as slow as one in which the kernel keeps a last small
// piece for 200 ms in the hope of more, as it does with SPLICE_F_MORE. A busy machine can be as slow, and
// drops segments where TCP's memory is short, which come anew after 200 ms, too: so a plain copy takes
// turns with each round, and is quick where the machine is not to blame.
func notHeldBack(t *testing.T, from, to ztest.Kind, begin func(dst io.Writer, src io.Reader) (wait func() (int64, error))) {
	t.Helper()
	plain := func(dst io.Writer, src io.Reader) func() (int64, error) {
		var n int64
		var err error
		done := make(chan struct{})
		go func() {
			defer close(done)
			n, err = io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src})
		}()
		return func() (int64, error) { <-done; return n, err }
	}
	const stall = 150 * time.Millisecond
	quickest, plainly := time.Hour, time.Hour
	for n := 0; n < 5 || quickest > stall && n < 20; n++ {
		quickest = min(quickest, lastPiece(t, from, to, begin))
		if quickest > stall {
			plainly = min(plainly, lastPiece(t, from, to, plain))
		}
	}
	if quickest > stall && plainly < stall/3 {
		t.Errorf("the last byte came after %v at the best, of a plain copy after %v", quickest, plainly)
	}
}

// TestH04LastPieceIsNotHeldBack: the last piece, smaller than a segment, is sent at once.
func TestH04LastPieceIsNotHeldBack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		src, dst ztest.Kind
		by       zerocopy.Mechanism
	}{
		{ztest.TCP4, ztest.TCP4, zerocopy.Splice},
		{ztest.Unix, ztest.TCP6, zerocopy.Splice},
		{ztest.Pipe, ztest.TCP4, zerocopy.Splice},
		{ztest.File, ztest.TCP4, zerocopy.Sendfile},
	} {
		t.Run(fmt.Sprintf("%s→%s", tt.src, tt.dst), func(t *testing.T) {
			t.Parallel()
			notHeldBack(t, tt.src, tt.dst, func(dst io.Writer, src io.Reader) func() (int64, error) {
				c := track(t, nil)
				r := c.begin(t, nil, dst, src)
				return func() (int64, error) {
					r.Wait()
					if by := c.report.Bytes(tt.by); by < 63_000 {
						t.Errorf("went by %s: %v", mechanisms(c.report), c.report)
					}
					return r.n, r.err
				}
			})
		})
	}
}
