package zerocopy_test

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// nonblocking reports O_NONBLOCK of c's open description.
func nonblocking(t testing.TB, c syscall.Conn) (on bool) {
	t.Helper()
	rawFD(t, c, func(fd int) error {
		flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
		on = flags&syscall.O_NONBLOCK != 0
		if e != 0 {
			return e
		}
		return nil
	})
	return on
}

// TestH27FileAfterCopy: after a copy an *os.File stands where it should, its
// deadlines and Close work, and its mode is as it was.
func TestH27FileAfterCopy(t *testing.T) {
	t.Parallel()
	const size = 200_000
	content := ztest.Pattern(27).Bytes(size)
	for _, p := range []struct {
		src, dst ztest.Kind
		reason   string
	}{
		{ztest.File, ztest.File, "copy_file_range moves both positions"},
		{ztest.File, ztest.TCP4, "sendfile moves the file's"},
		{ztest.File, ztest.Pipe, "read and write"},
		{ztest.TCP4, ztest.File, "splice moves the file's"},
		{ztest.Pipe, ztest.File, "the same, with no pipe between"},
		{ztest.Pipe, ztest.Pipe, "two streams"},
		{ztest.FIFO, ztest.TCP4, "opened by name"},
		{ztest.SockFile, ztest.SockFile, "sockets that are files"},
	} {
		for _, off := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
			t.Run(fmt.Sprintf("%s→%s/off=%s", p.src, p.dst, off), func(t *testing.T) {
				t.Parallel()
				src, dst := ztest.NewSource(t, p.src, content, ztest.NoEOF()), ztest.NewDest(t, p.dst)
				modes := [2]bool{nonblocking(t, src.Reader), nonblocking(t, dst.Writer)}
				c := track(t, nil)
				c.Disable = off
				var n int64
				var err error
				ztest.Within(t, ztest.Patience, "CopyN", func() { n, err = c.CopyN(dst.Writer, src.Reader, size-1000) })
				if n != size-1000 || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				if now := [2]bool{nonblocking(t, src.Reader), nonblocking(t, dst.Writer)}; now != modes {
					t.Errorf("O_NONBLOCK was %v, is %v", modes, now)
				}
				if at := src.Pos(); p.src == ztest.File && at != n {
					t.Errorf("the source stands at %d, not %d", at, n)
				}
				if at := dst.Pos(); p.dst == ztest.File && at != n {
					t.Errorf("the destination stands at %d, not %d", at, n)
				}
				if p.src.Stream() {
					deadlineEndsRead(t, src)
				}
				// The next bytes are the next bytes.
				dst.Writer.Write(content[n : n+10])
				if p.src == ztest.File {
					rest, _ := io.ReadAll(src.Reader)
					ztest.Equal(t, "read after the copy", rest, content[n:])
				}
				if f, ok := dst.Writer.(io.Seeker); ok && p.dst == ztest.File {
					if at, err := f.Seek(-5, io.SeekCurrent); at != n+5 || err != nil {
						t.Errorf("Seek: %d, %v", at, err)
					}
				}
				ztest.Equal(t, "received", dst.Finish(), content[:n+10])
				if err := dst.Writer.Close(); err != nil && p.dst != ztest.Pipe && p.dst != ztest.FIFO { // Finish closed those
					t.Errorf("Close: %v", err)
				}
				if err := src.Reader.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
	}
}

// deadlineEndsRead reads what a stream still has, until its read deadline: a read
// in blocking mode would not end.
func deadlineEndsRead(t *testing.T, src *ztest.Source) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "Read until the deadline", func() {
		if err := src.Reader.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Errorf("SetReadDeadline: %v", err)
		}
		for {
			if _, err := src.Reader.Read(make([]byte, 4096)); err != nil {
				if !os.IsTimeout(err) {
					t.Errorf("Read: %v, want a timeout", err)
				}
				return
			}
		}
	})
}

// TestH35NonblockCleared: O_NONBLOCK belongs to the open description, and others
// clear it on a live connection. Where it is clear before the copy, the copy reads
// and writes, and says why.
func TestH35NonblockCleared(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(35).Bytes(300_000)
	for _, p := range []struct{ src, dst ztest.Kind }{
		{ztest.TCP4, ztest.TCP4}, {ztest.Unix, ztest.Pipe}, {ztest.Pipe, ztest.TCP4}, {ztest.SockFile, ztest.File}, {ztest.File, ztest.TCP4},
	} {
		for _, clear := range []string{"source", "destination"} {
			src, dst := ztest.NewSource(t, p.src, content, ztest.Pieces(7000)), ztest.NewDest(t, p.dst)
			end, stored := src.Reader, p.src == ztest.File
			if clear == "destination" {
				end, stored = dst.Writer, p.dst == ztest.File
			}
			if stored {
				continue // a file is never nonblocking
			}
			if err := ztest.SetNonblock(end, false); err != nil {
				t.Fatal(err)
			}
			c := track(t, nil)
			n, err := c.within(t, dst.Writer, src.Reader)
			checkWhole(t, dst, n, err, content)
			if s, ok := c.reason(zerocopy.ReasonBlocking); !ok || s.Bytes != n || s.End.String() != clear {
				t.Errorf("%s→%s, %s: %v", p.src, p.dst, clear, c.report)
			}
			if c.count("splice", "sendfile", "copy_file_range", "pipe2") > 0 {
				t.Errorf("%s→%s, %s: a call that may sleep: %v", p.src, p.dst, clear, c.calls)
			}
		}
	}
}

// pollSaysReady has the copy make calls that it would spare itself.
func pollSaysReady(c *sys.Call, _ int) (int, error, bool) {
	return sys.Readable | sys.Writable, nil, c.Name == "poll"
}

// TestH35NonblockClearedMeanwhile: the same under a copy that is under way. Its next
// splice sleeps in the kernel. It must do so where the scheduler knows of it, or the
// next garbage collection stops the process until the peer sends something.
func TestH35NonblockClearedMeanwhile(t *testing.T) {
	if !ztest.Isolated(t) { // stops the world
		return
	}
	const nap = 20 * time.Second // after which the kernel ends the sleep: nothing else could
	for _, p := range []struct {
		src, dst ztest.Kind
		sleeps   bool // SPLICE_F_NONBLOCK is enough for unix sockets (H05)
	}{
		{ztest.TCP4, ztest.TCP4, true},
		{ztest.TCP6, ztest.File, true},
		{ztest.Unix, ztest.TCP4, false},
	} {
		src, dst := ztest.NewSource(t, p.src, nil, ztest.Manual()), ztest.NewDest(t, p.dst)
		rawFD(t, src.Reader, func(fd int) error {
			timeout := syscall.NsecToTimeval(int64(nap))
			return syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout)
		})
		copying := track(t, pollSaysReady).begin(t, nil, dst.Writer, src.Reader)
		src.Feed([]byte("first "))
		awaitAt(t, dst, 6)
		copying.AwaitParked()
		if err := ztest.SetNonblock(src.Reader, false); err != nil {
			t.Fatal(err)
		}
		src.Feed([]byte("second "))
		awaitAt(t, dst, 13)
		if p.sleeps {
			copying.AwaitSyscall()
		}
		start := time.Now()
		runtime.GC()
		if took := time.Since(start); took > nap/2 {
			t.Errorf("%s: a garbage collection took %v: it waited for the copy", p.src, took)
		}
		src.Feed([]byte("third"))
		src.End()
		copying.Wait()
		checkWhole(t, dst, copying.n, copying.err, []byte("first second third"))
	}
}
