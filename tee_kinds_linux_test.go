package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestFanKinds: every kind of descriptor as a sink, beside a connection and a hash; what
// cannot be spliced to is written to, and the others keep to the kernel.
func TestFanKinds(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(85).Bytes(300_000)
	type row struct {
		kind ztest.Kind
		opts []ztest.Option
	}
	rows := []row{{ztest.Pipe, []ztest.Option{ztest.Blocking()}}, {ztest.SockFile, []ztest.Option{ztest.Blocking()}}, {ztest.PTY, []ztest.Option{ztest.OtherEnd()}}}
	for _, k := range ztest.DestKinds {
		rows = append(rows, row{k, nil})
	}
	for _, r := range rows {
		for at := range 3 {
			t.Run(fmt.Sprintf("%s %d/%d", r.kind, len(r.opts), at), func(t *testing.T) {
				t.Parallel()
				src, conn, odd := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, r.kind, r.opts...)
				hash := sha256.New()
				w := []io.Writer{conn.Writer, hash}
				w = append(w[:min(at, 2):2], append([]io.Writer{odd.Writer}, w[min(at, 2):]...)...)
				c := track(t, nil)
				n, err := c.within(t, io.MultiWriter(w...), src.Reader)
				checkWhole(t, odd, n, err, content)
				checkWhole(t, conn, n, err, content)
				if fmt.Sprintf("%x", hash.Sum(nil)) != ztest.Sum(content) {
					t.Error("the hash is of something else")
				}
				if teed := c.report.Bytes(zerocopy.Tee); teed != n {
					t.Errorf("%d bytes were duplicated: %v", teed, c.report)
				}
			})
		}
	}
}

// TestH35FanBlockingConn: a connection whose description somebody has put into blocking
// mode is written to: a splice into it could sleep with nothing to end it.
func TestH35FanBlockingConn(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(95).Bytes(300_000)
	for at := range 3 {
		var sinks [3]*ztest.Dest
		var w [3]io.Writer
		for i := range sinks {
			sinks[i] = ztest.NewDest(t, ztest.Unix)
			w[i] = sinks[i].Writer
		}
		must(t, ztest.SetNonblock(sinks[at].Writer, false))
		src, c := ztest.NewSource(t, ztest.TCP4, content), track(t, nil)
		n, err := c.within(t, zerocopy.MultiWriter(w[:]...), src.Reader)
		for _, d := range sinks {
			checkWhole(t, d, n, err, content)
		}
		if s := c.report.Steps[0]; s.Mechanism != zerocopy.Tee || !strings.Contains(s.Route, "memory") || !strings.Contains(s.Route, "2×unix") {
			t.Errorf("sink %d is in blocking mode: %v", at, c.report)
		}
	}
}

// TestH07FanAppendLater: a sink that gets O_APPEND by fcntl while the copy runs takes
// no splice any more.
func TestH07FanAppendLater(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(86).Bytes(300_000)
	for at := range 3 {
		src, conn, file := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.File)
		hash := sha256.New()
		w := &moving{Stream: file.Writer, moved: func() { must(t, ztest.SetAppend(file.Writer)) }}
		sinks := append([]io.Writer{conn.Writer, hash}[:min(at, 2):2], w)
		sinks = append(sinks, []io.Writer{conn.Writer, hash}[min(at, 2):]...)
		c := track(t, nil)
		n, err := c.within(t, io.MultiWriter(sinks...), src.Reader)
		checkWhole(t, file, n, err, content)
		checkWhole(t, conn, n, err, content)
		if fmt.Sprintf("%x", hash.Sum(nil)) != ztest.Sum(content) {
			t.Error("the hash is of something else")
		}
		if c.count("tee") == 0 {
			t.Errorf("nothing was duplicated: %v", c.report)
		}
	}
}

// TestH28FanIntoItself: a pipe that is the source and one of the sinks.
func TestH28FanIntoItself(t *testing.T) {
	t.Parallel()
	p, conn := newPipe(t, 0), ztest.NewDest(t, ztest.TCP4)
	content := ztest.Pattern(87).Bytes(10_000)
	p.Write(content)
	c := track(t, nil)
	c.Pages = zerocopy.Share
	n, err := c.within(t, zerocopy.MultiWriter(conn.Writer, p), io.LimitReader(p, 4000))
	if n != 4000 || err != nil {
		t.Error(n, err, c.report)
	}
	ztest.Equal(t, "the pipe", contentsOf(t, p), append(bytes.Clone(content[4000:]), content[:4000]...))
	ztest.Equal(t, "the connection", conn.Finish(), content[:4000])
}

// TestFanSinkDiesWhileSourceWaits: what comes after the end of a sink is not lost, and
// no sink has got more of it than the ones before.
func TestFanSinkDiesWhileSourceWaits(t *testing.T) {
	t.Parallel()
	const first, second = 100_000, 5000
	for _, how := range []string{"closed", "deadline"} {
		for at := range 3 {
			for _, l := range layouts {
				t.Run(fmt.Sprintf("%s/%d/%s", how, at, l), func(t *testing.T) {
					t.Parallel()
					s := &fanScene{t: t, layout: l, at: at, m: ofIO, c: track(t, nil), src: ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())}
					var dests [3]*ztest.Dest
					for i := range dests {
						dests[i] = ztest.NewDest(t, ztest.Unix)
						s.w[i], s.got[i] = dests[i].Writer, dests[i].Finish
					}
					s.src.Feed(ztest.Pattern(88).Bytes(first))
					dst, src := s.ends()
					r := s.c.begin(t, nil, dst, src)
					dests[2].AwaitReceived(first)
					r.AwaitParked()
					class := os.ErrDeadlineExceeded
					if how == "closed" {
						class = net.ErrClosed
						dests[at].Writer.Close()
					} else {
						dests[at].Writer.SetWriteDeadline(past)
					}
					s.src.Feed(ztest.Pattern(89).Bytes(second))
					r.Wait()
					checkFailed(t, r.err, failed{dests[at].Writer, "write", class})
					s.n, s.err = r.n, r.err
					s.src.End()
					s.check(first, first, len(unwritten(t, r.n, r.err)))
				})
			}
		}
	}
}

// TestFanBufioSticky: what a bufio.Writer keeps of an error is what it keeps with io's
// types: that of a TeeReader's Writer is one of reading.
func TestFanBufioSticky(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(90).Bytes(200_000)
	for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ""} { // with a ReadFrom and without, and hidden
		for _, held := range []int{0, 10} {
			for _, fails := range []string{"tee", "tee later", "destination", "both", "neither"} {
				run := func(m fanMakers, copy func(io.Writer, io.Reader) (int64, error)) string {
					kind := to
					if kind == "" {
						kind = ztest.Unix
					}
					src, conn, tap := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, kind), io.Writer(new(bytes.Buffer))
					switch fails {
					case "tee", "both":
						tap = &failing{tap, 0}
					case "tee later":
						tap = &failing{tap, 50_000}
					}
					w := io.Writer(conn.Writer)
					if to == "" {
						w = struct{ io.Writer }{w}
					}
					if fails == "destination" || fails == "both" {
						conn.Writer.SetWriteDeadline(past)
					}
					b := bufio.NewWriter(w)
					b.Write(make([]byte, held))
					n, err := copy(b, m.tee(src.Reader, tap))
					return fmt.Sprint(fails != "neither" || n == int64(len(content)), errors.Is(err, errTest), errors.Is(err, os.ErrDeadlineExceeded), b.Flush() != nil)
				}
				want := run(ofIO, io.Copy)
				for name, m := range map[string]fanMakers{"io's": ofIO, "ours": ofOur} {
					got := run(m, func(w io.Writer, r io.Reader) (int64, error) { return track(t, nil).within(t, w, r) })
					if got != want {
						t.Errorf("to %q, %d held, %s fails, %s: %s, with io.Copy %s", to, held, fails, name, got, want)
					}
				}
			}
		}
	}
}

// TestFanByIOCopy: io.Copy comes to the kernel by the methods of our types, and so do
// the other functions.
func TestFanByIOCopy(t *testing.T) {
	if !ztest.Isolated(t) { // the default is the process's
		return
	}
	content := ztest.Pattern(91).Bytes(400_000)
	for name, copy := range map[string]func(tap, dst io.Writer, src io.Reader) (int64, error){
		"io.Copy from a TeeReader": func(tap, dst io.Writer, src io.Reader) (int64, error) {
			return io.Copy(dst, zerocopy.TeeReader(src, tap))
		},
		"io.Copy to a MultiWriter": func(tap, dst io.Writer, src io.Reader) (int64, error) {
			return io.Copy(zerocopy.MultiWriter(tap, dst), src)
		},
		"CopyN": func(tap, dst io.Writer, src io.Reader) (int64, error) {
			return zerocopy.CopyN(dst, io.TeeReader(src, tap), int64(len(content)))
		},
		"CopyBuffer": func(tap, dst io.Writer, src io.Reader) (int64, error) {
			return zerocopy.CopyBuffer(io.MultiWriter(dst, tap), src, make([]byte, 10_000))
		},
		"NewReader": func(tap, dst io.Writer, src io.Reader) (int64, error) {
			return io.Copy(dst, zerocopy.NewReader(io.TeeReader(src, tap)))
		},
		"NewWriter": func(tap, dst io.Writer, src io.Reader) (int64, error) {
			return io.Copy(zerocopy.NewWriter(io.MultiWriter(dst, tap)), src)
		},
	} {
		c := track(t, nil)
		zerocopy.SetDefault(&c.Copier)
		src, dst := ztest.NewSource(t, ztest.Unix, content), ztest.NewDest(t, ztest.TCP4)
		var tap bytes.Buffer
		n, err := copy(struct{ io.Writer }{&tap}, dst.Writer, src.Reader)
		checkWhole(t, dst, n, err, content)
		ztest.Equal(t, name, tap.Bytes(), content)
		if teed := c.report.Bytes(zerocopy.Tee); teed != n {
			t.Errorf("%s: %d bytes were duplicated: %v", name, teed, c.report)
		}
	}
	zerocopy.SetDefault(nil)
}

// TestFanBufferPool: buffers of the application are given back, each once, and a chunk
// for memory is no larger than one of them.
func TestFanBufferPool(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(92).Bytes(300_000)
	for _, size := range []int{100, 5000, 1 << 20} {
		var out, most atomic.Int64
		src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
		c := track(t, nil)
		c.BufferPool = &sizedPool{size: size, out: &out}
		w := writerFunc(func(p []byte) (int, error) {
			most.Store(max(most.Load(), int64(len(p))))
			return len(p), nil
		})
		n, err := c.Copy(context.Background(), io.MultiWriter(w, dst.Writer), src.Reader)
		checkWhole(t, dst, n, err, content)
		if out.Load() != 0 || most.Load() > int64(size) || c.report.Bytes(zerocopy.Tee) != n {
			t.Errorf("buffers of %d: %d are out, a chunk of %d: %v", size, out.Load(), most.Load(), c.report)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type sizedPool struct {
	size int
	out  *atomic.Int64
}

func (p *sizedPool) Get() []byte  { p.out.Add(1); return make([]byte, p.size) }
func (p *sizedPool) Put(b []byte) { p.out.Add(-1) }

// TestFanIdleHoldsNothing: while it waits for its source, a fan has no pipe, and none
// is left to be found.
func TestFanIdleHoldsNothing(t *testing.T) {
	t.Parallel()
	src, a, b := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.Pipe)
	var out atomic.Int64
	c := track(t, nil)
	c.BufferPool = &sizedPool{size: 64 << 10, out: &out}
	r := c.begin(t, nil, io.MultiWriter(a.Writer, sha256.New(), b.Writer), src.Reader)
	for i := range 5 {
		r.AwaitParked()
		if p := c.pipes.Stats(); p.Open != p.Idle || out.Load() != 0 {
			t.Errorf("after %d pieces: %+v, %d buffers", i, p, out.Load())
		}
		src.Feed(ztest.Pattern(93).Bytes(70_000))
		b.AwaitReceived(int64(i+1) * 70_000)
	}
	src.End()
	r.Wait()
	if r.n != 5*70_000 || r.err != nil || c.report.Bytes(zerocopy.Tee) != r.n {
		t.Error(r.n, r.err, c.report)
	}
}
