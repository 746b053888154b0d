package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Opt-in wrappers at the sinks of a fan: they are asked and told as at the ends of any
// other copy.

// A fanPlace is where a wrapper stands.
type fanPlace struct {
	name string
	put  func(w *told, conn [3]io.Writer, r io.Reader) (io.Writer, io.Reader)
}

var fanPlaces = []fanPlace{
	{"first of a MultiWriter", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Writer = c[0]
		return io.MultiWriter(&toldWriter2{w}, c[1], c[2]), r
	}},
	{"last of a MultiWriter", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Writer = c[2]
		return io.MultiWriter(c[0], c[1], &toldWriter2{w}), r
	}},
	{"around a MultiWriter", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Writer = zerocopy.MultiWriter(c[:]...)
		return &toldWriter2{w}, r
	}},
	{"at a TeeReader", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Writer = c[0]
		return c[2], io.TeeReader(io.TeeReader(r, &toldWriter2{w}), c[1])
	}},
	{"destination behind TeeReaders", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Writer = c[2]
		return &toldWriter2{w}, zerocopy.TeeReader(io.TeeReader(r, c[0]), c[1])
	}},
	{"source below a TeeReader", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Reader = r
		return c[2], io.TeeReader(io.TeeReader(&toldReader{w}, c[0]), c[1])
	}},
	{"source above a TeeReader", func(w *told, c [3]io.Writer, r io.Reader) (io.Writer, io.Reader) {
		w.Reader = io.TeeReader(io.TeeReader(r, c[0]), c[1])
		return c[2], &toldReader{w}
	}},
}

// toldWriter2 and toldReader are of one direction, which told is not: its methods are
// those of both.
type toldWriter2 struct{ w *told }

func (o *toldWriter2) Write(p []byte) (int, error) {
	if err := o.w.before(); err != nil {
		return 0, err
	}
	n, err := o.w.Writer.Write(p)
	o.w.moved += int64(n)
	return n, err
}

func (o *toldWriter2) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	in, ok := o.w.UnwrapWriter()
	in.Self, in.Flush, in.Before, in.Moved = o, panicsOn(in.Flush), panicsOn(in.Before), panicsOnMoved(in.Moved)
	return in, ok
}

type toldReader struct{ w *told }

func (o *toldReader) Read(p []byte) (int, error) {
	n, err := o.w.Reader.Read(p)
	o.w.moved += int64(n)
	return n, err
}

func (o *toldReader) UnwrapReader() (zerocopy.InnerReader, bool) {
	in, ok := o.w.UnwrapReader()
	in.Self, in.Before, in.Moved = o, panicsOn(in.Before), panicsOnMoved(in.Moved)
	return in, ok
}

// errPanic is the error in whose place a callback panics.
var errPanic = errors.New("a panic")

func panicsOn(f func() error) func() error {
	return func() error {
		err := f()
		if err == errPanic {
			panic(err)
		}
		return err
	}
}

func panicsOnMoved(f func(int64) error) func(int64) error {
	return func(n int64) error { return panicsOn(func() error { return f(n) })() }
}

// TestFanOptIn: at each place a wrapper is flushed once, asked before each wait, told
// of all bytes in steps of its Chunk, and done once.
func TestFanOptIn(t *testing.T) {
	t.Parallel()
	const size, chunk = 500_000, 30_000
	content := ztest.Pattern(70).Bytes(size)
	for _, place := range fanPlaces {
		for _, force := range []bool{true, false} { // by tee, and by read and write
			t.Run(fmt.Sprintf("%s/%v", place.name, force), func(t *testing.T) {
				t.Parallel()
				src := ztest.NewSource(t, ztest.TCP4, content)
				var dests [3]*ztest.Dest
				var conns [3]io.Writer
				for i := range dests {
					dests[i] = ztest.NewDest(t, ztest.Unix)
					conns[i] = dests[i].Writer
				}
				w := &told{chunk: chunk}
				dst, from := place.put(w, conns, src.Reader)
				c := track(t, nil)
				c.Force(func(int64) bool { return force })
				n, err := c.within(t, dst, from)
				if n != size || err != nil || w.moved != size {
					t.Errorf("%d, %v; moved %d", n, err, w.moved)
				}
				for _, d := range dests {
					ztest.Equal(t, "sink", d.Finish(), content)
				}
				if k := w.calls["Moved"]; k < size/chunk {
					t.Errorf("Moved %d times, with a Chunk of %d", k, chunk)
				}
				if k := w.calls["Before"]; k < w.calls["Moved"] {
					t.Errorf("Before %d times, Moved %d times", k, w.calls["Moved"])
				}
				if k := w.calls["Flush"]; w.Writer != nil && k != 1 {
					t.Errorf("Flush %d times", k)
				}
				if w.calls["Done"] != 1 || w.doneErr != nil || w.unwritten != 0 {
					t.Errorf("Done %d times, with %v and %d", w.calls["Done"], w.doneErr, w.unwritten)
				}
				if teed := c.report.Bytes(zerocopy.Tee); teed == size != force {
					t.Errorf("%d bytes were duplicated: %v", teed, c.report)
				}
			})
		}
	}
}

// TestFanOptInFails: what a callback returns ends the copy, wherever the wrapper is;
// what was taken is handed back or was written.
func TestFanOptInFails(t *testing.T) {
	t.Parallel()
	const size, chunk = 300_000, 30_000
	content := ztest.Pattern(71).Bytes(size)
	for _, place := range fanPlaces {
		for _, fails := range []string{"Flush", "Before", "Moved", "Done"} {
			for _, class := range []error{errCause, io.EOF} {
				if fails == "Flush" && strings.HasPrefix(place.name, "source") {
					continue // is a Writer's
				}
				t.Run(fmt.Sprintf("%s/%s/%v", place.name, fails, class), func(t *testing.T) {
					t.Parallel()
					src := ztest.NewSource(t, ztest.TCP4, content)
					var dests [3]*ztest.Dest
					var conns [3]io.Writer
					for i := range dests {
						dests[i] = ztest.NewDest(t, ztest.Unix)
						conns[i] = dests[i].Writer
					}
					w := &told{chunk: chunk, fails: fails, nth: map[string]int{"Moved": 3, "Before": 3}[fails], err: class}
					w.nth = max(w.nth, 1)
					dst, from := place.put(w, conns, src.Reader)
					c := track(t, nil)
					n, err := c.within(t, dst, from)
					if !errors.Is(err, class) {
						t.Errorf("%d, %v, want %v", n, err, class)
					}
					left := unwritten(t, n, err)
					ztest.Equal(t, "Unwritten", left, content[n:][:len(left)])
					ztest.Equal(t, "the rest", src.Rest(), content[int(n)+len(left):])
					for i, d := range dests {
						got := d.Finish()
						if !bytes.HasPrefix(content, got) || len(got) > int(n)+len(left) {
							t.Errorf("sink %d has %d bytes, of %d that were taken", i, len(got), int(n)+len(left))
						}
					}
					if fails != "Done" && n > 4*chunk || fails == "Done" && n != size || fails == "Flush" && n+int64(len(left)) != 0 {
						t.Errorf("n = %d", n)
					}
					if w.calls["Done"] != 1 && fails != "Flush" {
						t.Errorf("Done %d times", w.calls["Done"])
					}
					if p := c.pipes.Stats(); p.Open != p.Idle {
						t.Errorf("a pipe is still borrowed: %+v", p)
					}
				})
			}
		}
	}
}

// TestFanOptInPanics: a panic of a callback comes through, and no pipe is left behind,
// wherever bytes were.
func TestFanOptInPanics(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(96).Bytes(300_000)
	for _, place := range fanPlaces {
		for _, fails := range []string{"Flush", "Before", "Moved"} {
			if fails == "Flush" && strings.HasPrefix(place.name, "source") {
				continue // is a Writer's
			}
			src := ztest.NewSource(t, ztest.TCP4, content)
			var conns [3]io.Writer
			for i := range conns {
				conns[i] = ztest.NewDest(t, ztest.Unix).Writer
			}
			w := &told{chunk: 30_000, fails: fails, nth: 1, err: errPanic}
			dst, from := place.put(w, conns, src.Reader)
			c := track(t, nil)
			func() {
				defer func() {
					if what := recover(); what != errPanic {
						t.Errorf("%s, %s: panic %v", place.name, fails, what)
					}
				}()
				c.Copy(context.Background(), dst, from)
			}()
			if p := c.pipes.Stats(); p.Open != p.Idle {
				t.Errorf("%s, %s: a pipe is still borrowed: %+v", place.name, fails, p)
			}
		}
	}
}

// TestFanOrder: of a chunk the sinks get theirs in io's order, the inner TeeReader's
// first, whether they are descriptors or not.
func TestFanOrder(t *testing.T) {
	t.Parallel()
	var log []string
	named := func(name string, conn bool) io.Writer {
		if conn {
			return &witness{Writer: ztest.NewDest(t, ztest.TCP4).Writer, name: name, log: &log}
		}
		return &namedWriter{name, &log}
	}
	src := ztest.NewSource(t, ztest.TCP4, []byte("one piece"))
	src.AwaitQueued(9)
	r := io.TeeReader(zerocopy.TeeReader(src.Reader, named("a", true)), io.MultiWriter(named("b", false), named("c", true)))
	c := track(t, nil)
	n, err := c.within(t, zerocopy.MultiWriter(named("d", true), named("e", false), io.MultiWriter(named("f", true))), r)
	if n != 9 || err != nil || c.report.Bytes(zerocopy.Tee) != 9 {
		t.Error(n, err, c.report)
	}
	log = slices.DeleteFunc(log, func(s string) bool { return !strings.HasSuffix(s, "moved") })
	if want := "a moved,b moved,c moved,d moved,e moved,f moved"; strings.Join(log, ",") != want {
		t.Errorf("came in the order %q, want %q", log, want)
	}
}

type namedWriter struct {
	name string
	log  *[]string
}

func (w *namedWriter) Write(p []byte) (int, error) {
	*w.log = append(*w.log, w.name+" moved")
	return len(p), nil
}

// TestFanWhatHasPassed: bytes that a buffer outside of a TeeReader holds have passed
// it; if no others are wanted, that its Writer is dead is no matter.
func TestFanWhatHasPassed(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(72).Bytes(50_000)
	for _, dead := range []string{"deadline", "closed"} {
		for _, n := range []int64{500, 1000, 1001} {
			run := func(m fanMakers, copy func(io.Writer, io.Reader) (int64, error)) string {
				src, tap, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.Unix)
				b := bufio.NewReaderSize(m.tee(src.Reader, tap.Writer), 1000)
				b.Peek(1000)
				tap.AwaitReceived(1000)
				if dead == "closed" {
					tap.Writer.Close()
				} else {
					tap.Writer.SetWriteDeadline(past)
				}
				k, err := copy(dst.Writer, io.LimitReader(b, n))
				return fmt.Sprint(k, err != nil, ztest.Sum(dst.Finish()))
			}
			want := run(ofIO, io.Copy)
			for name, m := range map[string]fanMakers{"io's": ofIO, "ours": ofOur} {
				if got := run(m, zerocopy.Copy); got != want {
					t.Errorf("%s, limit of %d, %s: %s, with io.Copy %s", dead, n, name, got, want)
				}
			}
		}
	}
}
