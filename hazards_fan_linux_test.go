package zerocopy_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH02FanSlots: pieces that take a slot each, more of them than a pipe has, through
// pipes and duplicates of the least size and into pipes of the same.
func TestH02FanSlots(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix} {
		for _, piece := range []int{1, 1448} {
			t.Run(fmt.Sprintf("%s/%d", from, piece), func(t *testing.T) {
				t.Parallel()
				content := ztest.Pattern(73).Bytes(500 * piece)
				src := ztest.NewSource(t, from, content, ztest.Pieces(piece), ztest.Buffers(4<<20), ztest.MSS(1448))
				pipe, conn, file := ztest.NewDest(t, ztest.Pipe, ztest.Slow(100_000)), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.File)
				hash := sha256.New()
				c := track(t, narrow)
				n, err := c.within(t, io.MultiWriter(pipe.Writer, hash, conn.Writer, file.Writer), src.Reader)
				if n != int64(len(content)) || err != nil {
					t.Errorf("%d, %v", n, err)
				}
				for _, d := range []*ztest.Dest{pipe, conn, file} {
					ztest.Equal(t, string(d.Kind), d.Finish(), content)
				}
				if got := fmt.Sprintf("%x", hash.Sum(nil)); got != ztest.Sum(content) {
					t.Error("the hash is of something else")
				}
				if teed := c.report.Bytes(zerocopy.Tee); teed != n {
					t.Errorf("%d bytes were duplicated: %v", teed, c.report)
				}
			})
		}
	}
}

// TestH11FanTakesAll: an empty private pipe as large as the one that the chunk is in
// takes it in one call of tee: one for each sink but the last, and one for memory.
func TestH11FanTakesAll(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(74).Bytes(2 << 20)
	for _, tt := range []struct {
		sinks []ztest.Kind
		tees  int // a chunk
	}{
		{[]ztest.Kind{ztest.TCP4, ztest.Unix}, 1},
		{[]ztest.Kind{ztest.TCP4, ztest.Unix, ztest.File, ztest.TCP4}, 3},
		{[]ztest.Kind{ztest.TCP4, ""}, 1},         // the last reads the pipe itself
		{[]ztest.Kind{"", ztest.TCP4}, 1},         // one for memory
		{[]ztest.Kind{"", ztest.TCP4, "", ""}, 1}, // one for all that is in memory
		{[]ztest.Kind{ztest.TCP4, "", ztest.TCP4}, 2},
		{[]ztest.Kind{ztest.TCP4}, 0}, // is no fan
	} {
		t.Run(fmt.Sprint(tt.sinks), func(t *testing.T) {
			t.Parallel()
			drains := 0
			src := ztest.NewSource(t, ztest.TCP4, content)
			c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
				rawFD(t, src.Reader, func(fd int) error {
					if call.Name == "splice" && call.In == fd {
						drains++
					}
					return nil
				})
				return 0, nil, false
			})
			r := fanRoute{name: "hash", sinks: tt.sinks}
			writers := r.writers(t)
			n, err := c.within(t, io.MultiWriter(writers...), src.Reader)
			if n != int64(len(content)) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			if tees := c.count("tee"); tees > tt.tees*drains || tt.tees > 0 && tees < tt.tees {
				t.Errorf("%d calls of tee for %d chunks, want %d each", tees, drains, tt.tees)
			}
			if p := c.pipes.Stats(); p.Open > 2*3 { // of each size at the most two
				t.Errorf("%+v", p)
			}
		})
	}
}

// writers are sinks of the kinds, "" for one that is no descriptor.
func (r fanRoute) writers(t *testing.T) (writers []io.Writer) {
	for _, k := range r.sinks {
		if k == "" {
			writers = append(writers, sha256.New())
			continue
		}
		writers = append(writers, ztest.NewDest(t, k).Writer)
	}
	return writers
}

// TestH52NotDescriptors: sinks that are none, beside some that are: those keep to the
// kernel, and memory stays bounded whatever the stream is.
func TestH52NotDescriptors(t *testing.T) {
	if !ztest.Isolated(t) { // counts the process's memory
		return
	}
	const size = 64 << 20
	src, conn := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(75).Bytes(size)), ztest.NewDest(t, ztest.TCP4, ztest.Into(ztest.Pattern(75).Checker()))
	check, packed := ztest.Pattern(75).Checker(), &counted{}
	z, err := gzip.NewWriterLevel(packed, gzip.HuffmanOnly)
	must(t, err)
	c := track(t, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := c.within(t, zerocopy.MultiWriter(z, conn.Writer), io.TeeReader(src.Reader, check))
	runtime.ReadMemStats(&after)
	if n != size || err != nil || check.N() != size {
		t.Errorf("%d, %v; %d bytes checked", n, err, check.N())
	}
	conn.Finish()
	must(t, conn.Err())
	must(t, z.Close())
	if packed.n == 0 {
		t.Error("nothing came to the compressor")
	}
	if teed := c.report.Bytes(zerocopy.Tee); teed < size*99/100 {
		t.Errorf("%d bytes were duplicated: %v", teed, c.report)
	}
	most := uint64(8 << 20)
	if raceEnabled {
		most = size // a sync.Pool forgets at random there
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d bytes were allocated for %d", got, size)
	}
}

type counted struct{ n int64 }

func (c *counted) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

// TestH53OverwrittenFile: a file that changes while it is copied to a connection and
// a hash, and again before the receiver reads: the digest is that of what it receives.
func TestH53OverwrittenFile(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe} {
			for name, fan := range map[string]func(w, h io.Writer, f io.Reader) (io.Writer, io.Reader){
				"MultiWriter": func(w, h io.Writer, f io.Reader) (io.Writer, io.Reader) { return io.MultiWriter(w, h), f },
				"hash first":  func(w, h io.Writer, f io.Reader) (io.Writer, io.Reader) { return zerocopy.MultiWriter(h, w), f },
				"TeeReader":   func(w, h io.Writer, f io.Reader) (io.Writer, io.Reader) { return w, zerocopy.TeeReader(f, h) },
				"Tee, limited": func(w, h io.Writer, f io.Reader) (io.Writer, io.Reader) {
					return w, io.LimitReader(io.TeeReader(f, h), 1<<30)
				},
			} {
				t.Run(fmt.Sprintf("%s→%s/%s", from, to, name), func(t *testing.T) {
					t.Parallel()
					f := lateFile(t, from)
					dst := ztest.NewDest(t, to, ztest.StallAfter(0), ztest.Buffers(1<<20))
					hash := sha256.New()
					overwrite := func(int64) error {
						_, err := f.WriteAt(ztest.Pattern(2).Bytes(lateSize), 0)
						return err
					}
					w := &overwriting{dst.Writer, overwrite}
					c := track(t, nil)
					d, s := fan(w, hash, f)
					n, err := c.within(t, d, s)
					if n != lateSize || err != nil {
						t.Fatal(n, err)
					}
					must(t, overwrite(0))
					if got := dst.Finish(); ztest.Sum(got) != fmt.Sprintf("%x", hash.Sum(nil)) {
						t.Errorf("the digest is not that of what was received: %v", c.report)
					}
					if s, ok := c.reason(zerocopy.ReasonPages); !ok || s.Bytes != lateSize {
						t.Errorf("the report does not tell: %v", c.report)
					}
				})
			}
		}
	}
}

// An overwriting Writer has the file overwritten after each chunk.
type overwriting struct {
	io.Writer
	moved func(int64) error
}

func (o *overwriting) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: o, Writer: o.Writer, Chunk: 20_000, Moved: o.moved}, true
}

// fanSwitches are sets of mechanisms that are off, with what is left of a fan.
var fanSwitches = []struct {
	off zerocopy.MechanismSet
	tee bool
}{
	{0, true},
	{zerocopy.Mechanisms(zerocopy.Sendfile, zerocopy.CopyFileRange, zerocopy.Delegated), true},
	{zerocopy.Mechanisms(zerocopy.Tee), false},
	{zerocopy.Mechanisms(zerocopy.Splice), false},
	{zerocopy.AllMechanisms, false},
}

// TestFanDisable: what is off is not called, from the next chunk on; and Explain says
// in advance what Report says afterwards.
func TestFanDisable(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(76).Bytes(200_000)
	for _, r := range fanRoutes {
		for _, sw := range fanSwitches {
			t.Run(fmt.Sprintf("%s/%v", r.name, sw.off), func(t *testing.T) {
				t.Parallel()
				c := track(t, nil)
				c.Disable = sw.off
				r.copy(t, c, content)
				if got := c.report.Bytes(zerocopy.Tee) == int64(len(content)); got != sw.tee {
					t.Errorf("off %v: %v", sw.off, c.report)
				}
				if k := c.count("tee", "splice"); !sw.tee && k > 0 {
					t.Errorf("%d calls of what is off: %v", k, c.report)
				}
				if s, ok := c.reason(zerocopy.ReasonDisabled); ok == sw.tee || ok && s.Bytes != int64(len(content)) {
					t.Errorf("the report does not tell: %v", c.report)
				}
			})
		}
	}
}

// TestFanDisableWhileRunning: a switch is obeyed from the next chunk on.
func TestFanDisableWhileRunning(t *testing.T) {
	if !ztest.Isolated(t) { // the default is the process's
		return
	}
	content := ztest.Pattern(77).Bytes(2 << 20)
	src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
	first := track(t, nil)
	zerocopy.SetDefault(&first.Copier)
	defer zerocopy.SetDefault(nil)
	hash := sha256.New()
	r := ztest.Go(t, "Copy", func() { zerocopy.Copy(io.MultiWriter(dst.Writer, hash), src.Reader) })
	src.Feed(content[:1<<20])
	dst.AwaitReceived(1 << 20)
	r.AwaitParked()
	if first.count("tee") == 0 {
		t.Error("not duplicated before the switch")
	}
	zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.Mechanisms(zerocopy.Tee)})
	src.Feed(content[1<<20 : 1<<20+1]) // one more piece by what it waits in
	dst.AwaitReceived(1<<20 + 1)
	r.AwaitParked()
	before := first.count("tee")
	src.Feed(content[1<<20+1:])
	src.End()
	r.Wait()
	if k := first.count("tee") - before; k != 0 {
		t.Errorf("%d calls of tee after the switch", k)
	}
	ztest.Equal(t, "conn", dst.Finish(), content)
	if fmt.Sprintf("%x", hash.Sum(nil)) != ztest.Sum(content) {
		t.Error("the hash is of something else")
	}
}

// TestFanEnvironment: ZEROCOPY=tee=off, and the Tee of a Pipe.
func TestFanEnvironment(t *testing.T) {
	if !ztest.Isolated(t, "ZEROCOPY=tee=off") {
		return
	}
	for _, r := range fanRoutes {
		c := track(t, nil)
		r.copy(t, c, ztest.Pattern(78).Bytes(100_000))
		if c.count("tee") > 0 || c.report.Bytes(zerocopy.Buffered) != 100_000 {
			t.Errorf("%s: %v", r.name, c.report)
		}
	}
	p, dst := newPipe(t, 0), newPipe(t, 0)
	p.Write([]byte("abc"))
	if n, err := p.Tee(dst, 3); n != 0 || err == nil || !strings.Contains(err.Error(), "switched off") {
		t.Errorf("Tee of a Pipe: %d, %v", n, err)
	}
}

// TestFanExplain: the words of a plan, that the copy then does as it says, and that
// asking moves nothing.
func TestFanExplain(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(79).Bytes(300_000)
	dest := func(k ztest.Kind) io.Writer { return ztest.NewDest(t, k).Writer }
	source := func(k ztest.Kind) io.Reader { return ztest.NewSource(t, k, content).Reader }
	var buf bytes.Buffer
	for _, tt := range []struct {
		dst  io.Writer
		src  io.Reader
		want string
	}{
		{io.MultiWriter(dest(ztest.TCP4), &buf), source(ztest.TCP4), "tee tcp→pipe→tcp+memory if bulk"},
		{io.MultiWriter(dest(ztest.TCP4), dest(ztest.TCP4), dest(ztest.File)), source(ztest.Unix), "tee unix→pipe→2×tcp+file if bulk"},
		{dest(ztest.Unix), zerocopy.TeeReader(source(ztest.TCP4), dest(ztest.Pipe)), "tee tcp→pipe→pipe+unix if bulk"},
		{zerocopy.MultiWriter(dest(ztest.TCP4)), source(ztest.TCP4), "splice tcp→pipe→tcp if bulk"},
		{io.MultiWriter(&buf, sha256.New()), source(ztest.TCP4), "buffered: destination *bytes.Buffer is not a descriptor"},
		{io.MultiWriter(dest(ztest.TCP4), &buf), source(ztest.File), "buffered: source *os.File has pages that io.Copy would not lend here (Pages: Share does)"},
	} {
		var plan zerocopy.Plan
		for range 2 {
			if plan = zerocopy.Explain(tt.dst, tt.src); plan.String() != tt.want {
				t.Errorf("Explain(%T, %T)\n got %q\nwant %q", tt.dst, tt.src, plan, tt.want)
			}
		}
		c := track(t, nil)
		n, err := c.within(t, tt.dst, tt.src)
		main := plan.Main()
		last := c.report.Steps[len(c.report.Steps)-1]
		if n != int64(len(content)) || err != nil || last.Mechanism != main.Mechanism || last.Route != main.Route || last.Reason != main.Reason || last.Type != main.Type {
			t.Errorf("planned %v, done %v (%d, %v)", plan, c.report, n, err)
		}
	}
}

// TestFanShare: with Share the pages of a file, and what is in a pipe, are duplicated.
func TestFanShare(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(80).Bytes(3 << 20)
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.Pipe, ztest.Zero} {
		for _, pages := range []zerocopy.Pages{zerocopy.AsIOCopy, zerocopy.Stable, zerocopy.Share} {
			src, a, b := ztest.NewSource(t, from, content), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.File)
			hash := sha256.New()
			c := track(t, nil)
			c.Pages = pages
			n, err := c.Copy(context.Background(), zerocopy.MultiWriter(a.Writer, hash, b.Writer), limited(src))
			if n != int64(len(content)) || err != nil {
				t.Errorf("%s, %v: %d, %v", from, pages, n, err)
			}
			ztest.Equal(t, "conn", a.Finish(), src.Content)
			ztest.Equal(t, "file", b.Finish(), src.Content)
			if fmt.Sprintf("%x", hash.Sum(nil)) != ztest.Sum(src.Content) {
				t.Errorf("%s, %v: the hash is of something else", from, pages)
			}
			if all := c.report.Bytes(zerocopy.Tee) == n; all != (pages == zerocopy.Share) {
				t.Errorf("%s, %v: %v", from, pages, c.report)
			}
		}
	}
}
