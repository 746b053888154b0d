package zerocopy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A wait is a copy that has come to wait for one of its ends.
type wait struct {
	src, dst ztest.Kind
	pages    zerocopy.Pages
	disable  zerocopy.MechanismSet
}

const plain = zerocopy.AllMechanisms

// sourceWaits wait for their source, which is open and has no more to give now.
var sourceWaits = []wait{
	{src: ztest.TCP4, dst: ztest.TCP4}, // through a private pipe
	{src: ztest.TCP6, dst: ztest.Unix},
	{src: ztest.MPTCP, dst: ztest.TCP4},
	{src: ztest.Unix, dst: ztest.TCP4},
	{src: ztest.SockFile, dst: ztest.TCP4},
	{src: ztest.TCP4, dst: ztest.File},
	{src: ztest.TCP4, dst: ztest.PTY},
	{src: ztest.TCP4, dst: ztest.Pipe},
	{src: ztest.Pipe, dst: ztest.TCP4}, // with no pipe between
	{src: ztest.FIFO, dst: ztest.Unix},
	{src: ztest.Pipe, dst: ztest.File},
	{src: ztest.Pipe, dst: ztest.Pipe},
	{src: ztest.TCP4, dst: ztest.TCP4, disable: plain}, // by read and write
	{src: ztest.Pipe, dst: ztest.File, disable: plain},
	{src: ztest.PTY, dst: ztest.TCP4},
}

// destinationWaits wait for their destination, whose peer does not read.
var destinationWaits = []wait{
	{src: ztest.TCP4, dst: ztest.TCP4}, // the pump
	{src: ztest.TCP6, dst: ztest.Unix},
	{src: ztest.Unix, dst: ztest.MPTCP},
	{src: ztest.SockFile, dst: ztest.SockFile},
	{src: ztest.TCP4, dst: ztest.Pipe},
	{src: ztest.Unix, dst: ztest.PTY},
	{src: ztest.Pipe, dst: ztest.TCP4}, // splice with no pipe between
	{src: ztest.Pipe, dst: ztest.FIFO},
	{src: ztest.FIFO, dst: ztest.Unix},
	{src: ztest.Pipe, dst: ztest.PTY},
	{src: ztest.File, dst: ztest.TCP4}, // sendfile
	{src: ztest.Tmpfs, dst: ztest.Unix},
	{src: ztest.File, dst: ztest.SockFile, pages: zerocopy.Share},
	{src: ztest.Zero, dst: ztest.TCP6},
	{src: ztest.File, dst: ztest.Pipe, pages: zerocopy.Share},
	{src: ztest.File, dst: ztest.TCP4, pages: zerocopy.Stable}, // by read and write
	{src: ztest.File, dst: ztest.Pipe},
	{src: ztest.TCP4, dst: ztest.TCP4, disable: plain},
	{src: ztest.Pipe, dst: ztest.Pipe, disable: plain},
}

func (w wait) String() string {
	s := fmt.Sprintf("%s→%s", w.src, w.dst)
	if w.pages != zerocopy.AsIOCopy {
		s += " " + w.pages.String()
	}
	if w.disable != 0 {
		s += " plain"
	}
	return s
}

// A waiting is a wait that has begun.
type waiting struct {
	*copying
	c   *tracked
	src *ztest.Source
	dst *ztest.Dest
}

func (w wait) copier(t testing.TB) *tracked {
	c := track(t, nil)
	c.Pages, c.Disable = w.pages, w.disable
	return c
}

const waitSize = 2 << 20

// forSource starts w and returns when it waits for its source.
func (w wait) forSource(t testing.TB, ctx context.Context) *waiting {
	t.Helper()
	c := w.copier(t)
	src, dst := ztest.NewSource(t, w.src, nil, ztest.Manual()), ztest.NewDest(t, w.dst)
	r := &waiting{c.begin(t, ctx, dst.Writer, src.Reader), c, src, dst}
	src.Feed(ztest.Pattern(1).Bytes(100_000))
	awaitAt(t, dst, 100_000)
	r.AwaitParked()
	return r
}

// forDestination starts w and returns when it waits for its destination.
func (w wait) forDestination(t testing.TB, ctx context.Context) *waiting {
	t.Helper()
	c := w.copier(t)
	src := ztest.NewSource(t, w.src, ztest.Pattern(2).Bytes(waitSize), ztest.NoEOF())
	dst := ztest.NewDest(t, w.dst, ztest.StallAfter(50_000), ztest.Buffers(32<<10))
	r := &waiting{c.begin(t, ctx, dst.Writer, limited(src)), c, src, dst}
	dst.AwaitReceived(50_000)
	if w.dst != ztest.PTY { // a full terminal may call itself writable, and wake nobody
		dst.AwaitFull()
	}
	r.AwaitParked()
	return r
}

// The things that can be done to an end while a copy waits.
const (
	closing   = "closed"
	expired   = "expired"
	expiring  = "expiring"
	cancelled = "cancelled"
)

// act does it to one end, for reading or writing. It reports false where the end
// cannot have it done: a regular file has no deadline.
func act(t testing.TB, what string, end ztest.Stream) bool {
	t.Helper()
	var err error
	switch what {
	case closing:
		err = end.Close()
	case expired:
		err = end.SetDeadline(time.Unix(1, 0))
	case expiring:
		err = end.SetDeadline(time.Now().Add(5 * time.Millisecond))
	}
	if errors.Is(err, os.ErrNoDeadline) {
		return false
	}
	must(t, err)
	return true
}

// checkError demands the error that what gives, named after the operation.
func checkError(t testing.TB, err error, what, op string) {
	t.Helper()
	want := []error{os.ErrDeadlineExceeded}
	if what == closing {
		want = []error{net.ErrClosed, os.ErrClosed}
	}
	is := false
	for _, target := range want {
		is = is || errors.Is(err, target)
	}
	var conn *net.OpError
	var file *fs.PathError
	switch {
	case !is:
		t.Errorf("%s: %v", what, err)
	case errors.As(err, &conn):
		if conn.Op != op || conn.Timeout() != (what != closing) {
			t.Errorf("%s: named %q, timeout %v: %v", what, conn.Op, conn.Timeout(), err)
		}
	case errors.As(err, &file):
		if file.Op != op || os.IsTimeout(err) != (what != closing) {
			t.Errorf("%s: named %q, timeout %v: %v", what, file.Op, os.IsTimeout(err), err)
		}
	default:
		t.Errorf("%s: neither a *net.OpError nor an *fs.PathError: %v", what, err)
	}
}

// TestH24SourceWait: Close and deadline of the source end a wait for it, and all
// that it has given has arrived.
func TestH24SourceWait(t *testing.T) {
	t.Parallel()
	for _, w := range sourceWaits {
		for _, what := range []string{closing, expired, expiring} {
			t.Run(w.String()+"/"+what, func(t *testing.T) {
				t.Parallel()
				r := w.forSource(t, nil)
				before := r.c.moves()
				act(t, what, r.src.Reader)
				r.Wait()
				checkError(t, r.err, what, "read")
				if k := r.c.moves() - before; k > 4 {
					t.Errorf("%d system calls after the end of the wait", k)
				}
				if len(unwritten(t, r.n, r.err)) > 0 {
					t.Error("bytes left over")
				}
				checkWhole(t, r.dst, r.n, nil, r.src.Content)
			})
		}
	}
}

// TestH21DestinationWait: Close and deadline of the destination end a wait for it.
// n is exact, what was drained is handed back, and its pipe serves nobody else.
func TestH21DestinationWait(t *testing.T) {
	t.Parallel()
	for _, w := range destinationWaits {
		for _, what := range []string{closing, expired, expiring} {
			t.Run(w.String()+"/"+what, func(t *testing.T) {
				t.Parallel()
				r := w.forDestination(t, nil)
				act(t, what, r.dst.Writer)
				r.Wait()
				checkError(t, r.err, what, "write")
				r.checkAfterwards(t, what)
			})
		}
	}
}

// checkAfterwards demands that every byte is accounted for, and that the pipes of
// the copy serve another one.
func (r *waiting) checkAfterwards(t testing.TB, what string) {
	t.Helper()
	got := r.dst.Finish()
	if what == closing && r.dst.Kind == ztest.PTY {
		got = append(got, r.src.Content[len(got):r.n]...) // a terminal drops what was not read
	}
	ztest.Equal(t, "received", got, r.src.Content[:r.n])
	if r.src.Kind != ztest.Zero {
		checkRest(t, r.src, r.n, r.err)
	}
	content := ztest.Pattern(9).Bytes(100_000)
	src, dst := ztest.NewSource(t, ztest.TCP4, content), ztest.NewDest(t, ztest.Unix)
	n, err := r.c.within(t, dst.Writer, src.Reader)
	checkWhole(t, dst, n, err, content)
	if s := r.c.pipes.Stats(); s.Open != s.Idle {
		t.Errorf("pipes left: %+v", s)
	}
}

// TestH21DeadDestination: the peer goes away while the copy waits for it.
func TestH21DeadDestination(t *testing.T) {
	t.Parallel()
	for _, w := range destinationWaits {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			r := w.forDestination(t, nil)
			r.dst.Reset()
			r.Wait()
			if !errors.Is(r.err, syscall.EPIPE) && !errors.Is(r.err, syscall.ECONNRESET) && !errors.Is(r.err, syscall.EIO) {
				t.Errorf("ended with %v", r.err)
			}
			if r.src.Kind != ztest.Zero {
				checkRest(t, r.src, r.n, r.err)
			}
		})
	}
}

// TestH21IoCopy is the comparison: what io.Copy loses at a write deadline.
func TestH21IoCopy(t *testing.T) {
	t.Parallel()
	src := ztest.NewSource(t, ztest.TCP4, ztest.Pattern(2).Bytes(waitSize))
	dst := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(50_000), ztest.Buffers(32<<10))
	var n int64
	var err error
	r := ztest.Go(t, "io.Copy", func() { n, err = io.Copy(dst.Writer, src.Reader) })
	dst.AwaitFull()
	r.AwaitParked()
	act(t, expired, dst.Writer)
	r.Wait()
	t.Logf("io.Copy: n = %d, %v; %d bytes are neither written nor left", n, err, waitSize-int(n)-len(src.Rest()))
}
