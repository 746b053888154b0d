package zerocopy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What the tests of the hazards have in common. Each test carries the id of the
// hazard that it reproduces (H01 …); what is meant by them stands at the tests.

// An answer decides about the nth call of its name, counted from 1, as
// sys.Calls.Intercept does.
type answer func(c *sys.Call, nth int) (n int, err error, done bool)

// A tracked is a Copier of which the test sees every system call and the report.
type tracked struct {
	zerocopy.Copier
	pipes *kpipe.Pool

	mu     sync.Mutex
	calls  map[string]int
	report zerocopy.Report
}

// track returns a Copier whose calls are answered by f where f, if not nil, says
// so. It splices sockets from the first byte on. Its pipes are closed at the end of
// the test.
func track(t testing.TB, f answer) *tracked {
	c := &tracked{calls: make(map[string]int)}
	c.Report = func(r zerocopy.Report) {
		c.mu.Lock()
		c.report = r
		c.mu.Unlock()
	}
	c.pipes = c.SetCalls(&sys.Calls{Intercept: func(call *sys.Call) (int, error, bool) {
		c.mu.Lock()
		c.calls[call.Name]++
		nth := c.calls[call.Name]
		c.mu.Unlock()
		if f == nil {
			return 0, nil, false
		}
		return f(call, nth)
	}})
	c.Force(zerocopy.AtOnce)
	t.Cleanup(c.pipes.CloseIdle)
	return c
}

// count returns how many calls of these names there were, of all names if none is
// given.
func (c *tracked) count(names ...string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(names) == 0 {
		for _, k := range c.calls {
			n += k
		}
	}
	for _, name := range names {
		n += c.calls[name]
	}
	return n
}

// moves returns how many calls moved bytes or asked about them; the calls of the
// plain copy, which package os and net make themselves, are not among them.
func (c *tracked) moves() int {
	return c.count("splice", "sendfile", "copy_file_range", "read", "poll", "FIONREAD", "recv")
}

// within copies and fails the test if that does not end.
func (c *tracked) within(t testing.TB, dst io.Writer, src io.Reader) (n int64, err error) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "Copy", func() { n, err = c.Copy(context.Background(), dst, src) })
	return n, err
}

// reason returns the step of the last copy that has the reason.
func (c *tracked) reason(r zerocopy.Reason) (zerocopy.Step, bool) {
	for _, s := range c.report.Steps {
		if s.Reason == r {
			return s, true
		}
	}
	return zerocopy.Step{}, false
}

// A copying is a copy under way.
type copying struct {
	*ztest.Task
	n   int64
	err error
}

// begin starts a copy in a goroutine of its own. A nil ctx is never cancelled.
func (c *tracked) begin(t testing.TB, ctx context.Context, dst io.Writer, src io.Reader) *copying {
	r := new(copying)
	r.Task = ztest.Go(t, "Copy", func() { r.n, r.err = c.Copy(ctx, dst, src) })
	return r
}

// unwritten returns what a failed copy hands back.
func unwritten(t testing.TB, n int64, err error) []byte {
	t.Helper()
	var partial *zerocopy.PartialError
	if !errors.As(err, &partial) {
		return nil
	}
	if partial.Written != n {
		t.Errorf("PartialError.Written is %d, the copy returned %d", partial.Written, n)
	}
	if len(partial.Unwritten) == 0 {
		t.Error("PartialError with nothing in it")
	}
	return partial.Unwritten
}

// checkRest demands that what the destination did not accept of src's content is
// what the error hands back and, behind it, what src still has: so resending
// Unwritten and copying on completes the stream.
func checkRest(t testing.TB, src *ztest.Source, n int64, err error) {
	t.Helper()
	left := bytes.Clone(unwritten(t, n, err))
	if n > int64(len(src.Content)) {
		t.Errorf("%d bytes written of %d", n, len(src.Content))
		return
	}
	ztest.Equal(t, "Unwritten and what the source still has", append(left, src.Rest()...), src.Content[n:])
}

// checkWhole demands a copy without error of all of want.
func checkWhole(t testing.TB, dst *ztest.Dest, n int64, err error, want []byte) {
	t.Helper()
	if err != nil || n != int64(len(want)) {
		t.Errorf("copied %d of %d bytes, %v", n, len(want), err)
	}
	if !dst.Discards {
		ztest.Equal(t, "received", dst.Finish(), want)
	}
}

// mechanisms names those by which the report moved bytes.
func mechanisms(r zerocopy.Report) string {
	var names []string
	for _, s := range r.Steps {
		if s.Bytes > 0 {
			names = append(names, s.Mechanism.String())
		}
	}
	return strings.Join(names, ",")
}

// rawFD runs f on the descriptor of c.
func rawFD(t testing.TB, c syscall.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		t.Fatal(err)
	}
	if ferr != nil {
		t.Fatal(ferr)
	}
}

// awaitAt waits until n bytes have come to dst's peer, or are in its file.
func awaitAt(t testing.TB, dst *ztest.Dest, n int64) {
	t.Helper()
	if dst.Name() == "" {
		dst.AwaitReceived(n)
		return
	}
	ztest.Eventually(t, ztest.Patience, "bytes in the file", func() bool {
		fi, err := os.Stat(dst.Name())
		return err != nil || fi.Size() >= n
	})
}

// plainly is a loop of Read and Write.
func plainly(dst io.Writer, src io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{dst}, struct{ io.Reader }{src})
}

// limited bounds a source that does not end of itself.
func limited(src *ztest.Source) io.Reader {
	if src.Endless {
		return io.LimitReader(src.Reader, int64(len(src.Content)))
	}
	return src.Reader
}
