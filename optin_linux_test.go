package zerocopy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What the wrappers of optin_types_linux_test.go come to in a copy.

const optInSize = 3<<20 + 17

func conn(s *ztest.Source) net.Conn { return s.Reader.(net.Conn) }

// spliced copies and demands that all but prefix bytes were spliced.
func spliced(t *testing.T, dst io.Writer, src io.Reader, prefix int64) (int64, error) {
	t.Helper()
	var r zerocopy.Report
	c := &zerocopy.Copier{Report: func(got zerocopy.Report) { r = got }}
	c.Force(zerocopy.AtOnce)
	n, err := c.Copy(context.Background(), dst, src)
	if got := r.Bytes(zerocopy.Splice); got != n-prefix {
		t.Errorf("%d of %d bytes were spliced: %v", got, n, r)
	}
	return n, err
}

func TestOptInCounter(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(optInSize)
	dst := ztest.NewDest(t, ztest.TCP4)
	from := &counter{Conn: conn(ztest.NewSource(t, ztest.TCP4, content))}
	to := &counter{Conn: dst.Writer.(net.Conn)}
	if n, err := spliced(t, to, from, 0); n != optInSize || err != nil || from.in != n || to.out != n {
		t.Errorf("%d, %v; counted %d in, %d out", n, err, from.in, to.out)
	}
	ztest.Equal(t, "tcp", dst.Finish(), content)
}

func TestOptInPeeker(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(optInSize)
	dst := ztest.NewDest(t, ztest.Unix)
	from, err := peek(conn(ztest.NewSource(t, ztest.TCP4, content)), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := spliced(t, dst.Writer, from, 1000); n != optInSize || err != nil || len(from.peeked) != 0 {
		t.Errorf("%d, %v; %d left in the buffer", n, err, len(from.peeked))
	}
	ztest.Equal(t, "unix", dst.Finish(), content)
}

// TestOptInPeekerStacked: of two buffers the outer one goes first.
func TestOptInPeekerStacked(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(3).Bytes(100000)
	dst := ztest.NewDest(t, ztest.TCP4)
	inner, err := peek(conn(ztest.NewSource(t, ztest.TCP4, content)), 5000)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := peek(inner, 700) // takes them from the inner buffer
	if err != nil {
		t.Fatal(err)
	}
	if n, err := spliced(t, dst.Writer, io.LimitReader(outer, 90000), 5000); n != 90000 || err != nil {
		t.Error(n, err)
	}
	ztest.Equal(t, "tcp", dst.Finish(), content[:90000])
}

// TestOptInIdleTimeout: each wait for the next piece has a timeout of its own, which
// is armed after the last piece has moved; and a source that stays silent is cut. A
// timeout that is to end nothing is an hour, for who can say when a busy machine
// lets the peer write.
func TestOptInIdleTimeout(t *testing.T) {
	t.Parallel()
	const pieces, size = 10, 100
	src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
	dst := ztest.NewDest(t, ztest.TCP4)
	from, moved := &idler{timeout: time.Hour}, int64(0)
	from.Conn = &closer{conn(src), func(n int64) error { // before the next wait is armed
		if moved += n; moved == pieces*size {
			from.timeout = 50 * time.Millisecond // nothing follows
		}
		return nil
	}}
	var n int64
	var err error
	run := ztest.Go(t, "Copy", func() { n, err = spliced(t, dst.Writer, from, 0) })
	for i := range pieces {
		run.AwaitParked()
		before := from.armed.Load()
		src.Feed(make([]byte, size))
		dst.AwaitReceived(int64(i+1) * size)
		if i == pieces-1 {
			break
		}
		run.AwaitParked()
		if from.armed.Load() == before {
			t.Errorf("waits for piece %d with the timeout of the one before", i+1)
		}
	}
	run.Wait()
	if n != pieces*size || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	if moved != n {
		t.Errorf("the wrapper under it was told of %d", moved)
	}
}

func TestOptInLimiter(t *testing.T) {
	t.Parallel()
	for _, burst := range []int{4096, 10000, 1 << 20} {
		content := ztest.Pattern(4).Bytes(300000)
		dst := ztest.NewDest(t, ztest.TCP4)
		l := &ledger{burst: burst, total: 1 << 30}
		from := &paced{conn(ztest.NewSource(t, ztest.TCP4, content)), l}
		if n, err := spliced(t, dst.Writer, from, 0); n != 300000 || err != nil {
			t.Error(n, err)
		}
		sum := 0
		for _, n := range l.asked {
			sum += n
		}
		if sum != 300000 || slices.Max(l.asked) > burst {
			t.Errorf("burst %d: asked for %d in all, %d at once", burst, sum, slices.Max(l.asked))
		}
		ztest.Equal(t, "tcp", dst.Finish(), content)
	}
}

// TestOptInLimiterRefuses: the error of Moved ends the copy, which has written
// those bytes; nothing that was taken is lost.
func TestOptInLimiterRefuses(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(5).Bytes(300000)
	src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.TCP4)
	l := &ledger{burst: 10000, total: 55000}
	n, err := zerocopy.Copy(dst.Writer, &paced{conn(src), l})
	if !errors.Is(err, errSpent) || n <= 55000 || n > 65000 {
		t.Errorf("%d, %v", n, err)
	}
	var partial *zerocopy.PartialError
	var unwritten []byte
	if errors.As(err, &partial) {
		unwritten = partial.Unwritten
	}
	ztest.Equal(t, "written", dst.Finish(), content[:n])
	ztest.Equal(t, "handed back, and left", append(unwritten, src.Rest()...), content[n:])
}

func TestOptInBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		declared, sent int64
		want           error
	}{
		{"exact", optInSize, optInSize, nil},
		{"an early end", optInSize + 1, optInSize, io.ErrUnexpectedEOF},
		{"more follows", optInSize - 1, optInSize, nil},
		{"empty", 0, 100, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(6).Bytes(int(tt.sent))
			src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.File)
			b := &body{src.Reader, tt.declared}
			n, err := spliced(t, dst.Writer, b, 0)
			if want := min(tt.declared, tt.sent); n != want || err != tt.want || b.left != tt.declared-want {
				t.Errorf("%d, %v; %d left", n, err, b.left)
			}
			ztest.Equal(t, "file", dst.Finish(), content[:n])
			ztest.Equal(t, "what follows the body", src.Rest(), content[n:])
		})
	}
}

// A witness tells in which order its callbacks come.
type witness struct {
	io.Reader
	io.Writer
	name string
	log  *[]string
	done int
}

func (w *witness) say(what string) { *w.log = append(*w.log, w.name+" "+what) }

func (w *witness) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{
		Self: w, Reader: w.Reader,
		Before: func() error { w.say("before"); return nil },
		Moved:  func(int64) error { w.say("moved"); return nil },
		Done:   func(_ int64, err error) error { w.done++; w.say("done"); return err },
	}, true
}

func (w *witness) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{
		Self: w, Writer: w.Writer,
		Flush:  func() error { w.say("flush"); return nil },
		Before: func() error { w.say("before"); return nil },
		Moved:  func(int64) error { w.say("moved"); return nil },
		Done:   func(_ int64, err error) error { w.done++; w.say("done"); return err },
	}, true
}

// TestOptInOrder: Moved and Done are told from the inner to the outer, source
// before destination; Done once; Flush before the first byte.
func TestOptInOrder(t *testing.T) {
	t.Parallel()
	var log []string
	dst := ztest.NewDest(t, ztest.TCP4)
	src := ztest.NewSource(t, ztest.TCP4, []byte("one piece"))
	src.AwaitQueued(len("one piece")) // each wait has a Before of its own
	rin := &witness{Reader: src.Reader, name: "r-inner", log: &log}
	rout := &witness{Reader: rin, name: "r-outer", log: &log}
	win := &witness{Writer: dst.Writer, name: "w-inner", log: &log}
	wout := &witness{Writer: win, name: "w-outer", log: &log}
	if n, err := zerocopy.Copy(wout, rout); n != 9 || err != nil {
		t.Fatal(n, err)
	}
	want := []string{
		"w-outer flush", "w-inner flush",
		"r-inner before", "r-outer before", "w-inner before", "w-outer before",
		"r-inner moved", "r-outer moved", "w-inner moved", "w-outer moved",
		// Before, once or twice more: the end of the source, confirmed by a read.
		"r-inner done", "r-outer done", "w-inner done", "w-outer done",
	}
	log = append(log[:10:10], slices.DeleteFunc(log[10:], func(s string) bool { return strings.HasSuffix(s, "before") })...)
	if !slices.Equal(log, want) {
		t.Errorf("callbacks came as\n%q, want\n%q", log, want)
	}
	if rin.done != 1 || rout.done != 1 || win.done != 1 || wout.done != 1 {
		t.Error("Done was not called once each")
	}
}

// TestOptInCallbacksHoldNoLock: a callback may set deadlines and close; neither
// may wait for the copy that calls it.
func TestOptInCallbacksHoldNoLock(t *testing.T) {
	t.Parallel()
	ztest.Within(t, ztest.Patience, "a copy whose callback closes", func() {
		src, dst := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(8).Bytes(1<<20)), ztest.NewDest(t, ztest.TCP4)
		moved := int64(0)
		from := &closer{conn(src), func(n int64) error {
			moved += n
			src.Reader.SetDeadline(time.Now().Add(time.Hour))
			return src.Reader.Close()
		}}
		n, err := zerocopy.Copy(dst.Writer, from)
		if !errors.Is(err, net.ErrClosed) || n != moved {
			t.Errorf("%d, %v; moved %d", n, err, moved)
		}
	})
}

type closer struct {
	net.Conn
	moved func(int64) error
}

func (c *closer) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: c, Reader: c.Conn, Chunk: 1000, Moved: c.moved}, true
}
