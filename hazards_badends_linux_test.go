package zerocopy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// errorClasses are those that a program tells apart.
var errorClasses = []error{
	os.ErrClosed, net.ErrClosed, os.ErrInvalid, os.ErrDeadlineExceeded, io.ErrShortWrite, io.ErrUnexpectedEOF,
	syscall.EBADF, syscall.EISDIR, syscall.EINVAL, syscall.EPIPE, syscall.ECONNRESET, syscall.EAGAIN, syscall.ENOTCONN,
}

// classOf names the classes that err is of: "" for no error.
func classOf(err error) string {
	if err == nil {
		return ""
	}
	var names []string
	for _, class := range errorClasses {
		if errors.Is(err, class) {
			names = append(names, class.Error())
		}
	}
	if names == nil {
		return err.Error()
	}
	return strings.Join(names, "+")
}

// attempt copies and says what came of it, a panic included.
func attempt(t testing.TB, copy func(io.Writer, io.Reader) (int64, error), dst io.Writer, src io.Reader) (what string, err error) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "a copy between bad ends", func() {
		defer func() {
			if v := recover(); v != nil {
				what = "panic"
			}
		}()
		var n int64
		n, err = copy(dst, src)
		what = fmt.Sprintf("%d %s", n, classOf(err))
	})
	return what, err
}

// A badEnd is made anew for each copy.
type badEnd struct {
	name string
	make func(t *testing.T) ztest.Stream // nil: a nil interface
}

func closed(k ztest.Kind) func(*testing.T) ztest.Stream {
	return func(t *testing.T) ztest.Stream {
		s := ztest.NewDest(t, k).Writer
		s.Close()
		return s
	}
}

func opened(name string, flag int) func(*testing.T) ztest.Stream {
	return func(t *testing.T) ztest.Stream {
		f, err := os.OpenFile(name, flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
}

// file makes a file that holds "file" and opens it with the flag.
func file(flag int) func(*testing.T) ztest.Stream {
	return func(t *testing.T) ztest.Stream {
		name := t.TempDir() + "/file"
		if err := os.WriteFile(name, []byte("file"), 0o600); err != nil {
			t.Fatal(err)
		}
		return opened(name, flag)(t)
	}
}

// endedSource makes a stream that is at its end.
func endedSource(k ztest.Kind) func(*testing.T) ztest.Stream {
	return func(t *testing.T) ztest.Stream {
		s := ztest.NewSource(t, k, nil).Reader
		if k == ztest.File {
			return s
		}
		ztest.Eventually(t, ztest.Patience, "end of the stream", func() bool {
			readable, _, err := ztest.Poll(s)
			return readable || err != nil
		})
		return s
	}
}

func stillborn[T ztest.Stream](t *testing.T) ztest.Stream { var s T; return s }

var badEnds = []badEnd{
	{"nil", nil},
	{"nil *os.File", stillborn[*os.File]},
	{"nil *net.TCPConn", stillborn[*net.TCPConn]},
	{"nil *net.UnixConn", stillborn[*net.UnixConn]},
	{"closed file", closed(ztest.File)},
	{"closed pipe", closed(ztest.Pipe)},
	{"closed TCPConn", closed(ztest.TCP4)},
	{"closed UnixConn", closed(ztest.Unix)},
	{"closed socket as a file", closed(ztest.SockFile)},
	{"directory", opened("/", os.O_RDONLY)},
	{"write-only file", file(os.O_WRONLY)},
	{"read-only file", file(os.O_RDONLY)},
	{"the write end of a pipe", func(t *testing.T) ztest.Stream { _, w := ztest.Pair(t, ztest.Pipe); return w }},
	{"the read end of a pipe", func(t *testing.T) ztest.Stream {
		s := ztest.NewSource(t, ztest.Pipe, []byte("piped"))
		return s.Reader
	}},
	{"zero-byte file", func(t *testing.T) ztest.Stream { return ztest.NewSource(t, ztest.File, nil).Reader }},
	{"expired TCPConn", func(t *testing.T) ztest.Stream {
		s, w := ztest.Pair(t, ztest.TCP4)
		w.Write([]byte("queued"))
		s.SetDeadline(time.Unix(1, 0))
		return s
	}},
	{"expired pipe", func(t *testing.T) ztest.Stream {
		s, w := ztest.Pair(t, ztest.Pipe)
		w.Write([]byte("queued"))
		s.SetDeadline(time.Unix(1, 0))
		return s
	}},
	{"unconnected socket", func(t *testing.T) ztest.Stream {
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "unconnected")
		t.Cleanup(func() { f.Close() })
		return f
	}},
}

// handedOver are the ways in which an end comes to Copy.
var handedOver = []struct {
	name string
	r    func(io.Reader) io.Reader
	w    func(io.Writer) io.Writer
}{
	{"bare", func(r io.Reader) io.Reader { return r }, func(w io.Writer) io.Writer { return w }},
	{"limit and bufio", func(r io.Reader) io.Reader { return io.LimitReader(r, 1<<20) }, func(w io.Writer) io.Writer { return bufio.NewWriterSize(w, 4) }},
	{"multi", func(r io.Reader) io.Reader { return io.MultiReader(strings.NewReader(""), r) }, func(w io.Writer) io.Writer { return w }},
	{"limit 0", func(r io.Reader) io.Reader { return io.LimitReader(r, 0) }, func(w io.Writer) io.Writer { return w }},
}

// TestH28BadEnds: what is wrong with an end gives what it gives with io.Copy: the
// same count, the same class of error, the same panic.
func TestH28BadEnds(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	good := []badEnd{
		{"file", func(t *testing.T) ztest.Stream {
			return ztest.NewSource(t, ztest.File, ztest.Pattern(28).Bytes(50_000)).Reader
		}},
		{"tcp", func(t *testing.T) ztest.Stream {
			return ztest.NewSource(t, ztest.TCP4, ztest.Pattern(28).Bytes(50_000)).Reader
		}},
		{"pipe", func(t *testing.T) ztest.Stream {
			return ztest.NewSource(t, ztest.Pipe, ztest.Pattern(28).Bytes(50_000)).Reader
		}},
		{"ended tcp", endedSource(ztest.TCP4)},
		{"ended unix", endedSource(ztest.Unix)},
		{"ended pipe", endedSource(ztest.Pipe)},
	}
	sinks := []badEnd{
		{"file", func(t *testing.T) ztest.Stream { return ztest.NewDest(t, ztest.File).Writer }},
		{"tcp", func(t *testing.T) ztest.Stream { return ztest.NewDest(t, ztest.TCP4).Writer }},
		{"pipe", func(t *testing.T) ztest.Stream { return ztest.NewDest(t, ztest.Pipe).Writer }},
	}
	type row struct {
		over     int
		src, dst badEnd
	}
	var rows []row
	// Nil pointers of a type are one value, and of a value whose ReadFrom or WriteTo is
	// under way a second copy does not call it (H34), so it does not panic either.
	var nils sync.Mutex
	for i := range handedOver {
		for _, bad := range badEnds {
			for _, end := range good {
				rows = append(rows, row{i, end, bad})
			}
			for _, end := range sinks {
				rows = append(rows, row{i, bad, end})
			}
		}
	}
	for _, tt := range rows {
		over := handedOver[tt.over]
		few.Run(fmt.Sprintf("%s/%s→%s", over.name, tt.src.name, tt.dst.name), func(t *testing.T) {
			ends := func() (w io.Writer, r io.Reader) {
				if tt.src.make != nil {
					r = tt.src.make(t)
				}
				if tt.dst.make != nil {
					w = over.w(tt.dst.make(t))
				}
				return w, over.r(r)
			}
			if strings.HasPrefix(tt.src.name, "nil") || strings.HasPrefix(tt.dst.name, "nil") {
				nils.Lock()
				defer nils.Unlock()
			}
			w, r := ends()
			got, err := attempt(t, zerocopy.Copy, w, r)
			w, r = ends()
			want, wantErr := attempt(t, io.Copy, w, r)
			switch {
			case got == want:
			case strings.HasPrefix(tt.src.name, "ended") && got == "0 ":
				// Nobody has to write. io.Copy sees it so by some mechanisms.
			case tt.dst.name == "directory" && got == "0 bad file descriptor" && want == "0 is a directory":
				// A file that is not open for writing; EISDIR is one mechanism's word.
			default:
				t.Errorf("%s (%v), io.Copy: %s (%v)", got, err, want, wantErr)
			}
		})
	}
}

// TestH28DestinationIsKnownFirst: a destination that takes nothing takes nothing
// from the source either. (io.Copy loses a buffer or a pipe of it.)
func TestH28DestinationIsKnownFirst(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(29).Bytes(20_000)
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.SockFile, ztest.File} {
		for _, dst := range badEnds {
			switch {
			case strings.HasPrefix(dst.name, "nil"), dst.name == "write-only file", dst.name == "zero-byte file",
				dst.name == "the write end of a pipe", dst.name == "unconnected socket":
				continue // not refused, or not before a write is tried
			}
			for _, wrap := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r },
				func(r io.Reader) io.Reader { return &io.LimitedReader{R: r, N: 1 << 20} },
				func(r io.Reader) io.Reader { b := bufio.NewReaderSize(r, 16); b.Peek(16); return b },
				func(r io.Reader) io.Reader { return io.MultiReader(strings.NewReader(""), r) },
			} {
				src := ztest.NewSource(t, from, content, ztest.NoEOF())
				src.AwaitQueued(16)
				r := wrap(src.Reader)
				c := track(t, nil)
				n, err := c.within(t, dst.make(t), r)
				if n != 0 || err == nil {
					t.Errorf("%s→%s: %d, %v", from, dst.name, n, err)
				}
				if partial, ok := err.(*zerocopy.PartialError); ok {
					t.Errorf("%s→%s: %d bytes were taken", from, dst.name, len(partial.Unwritten))
				}
				if c.count("splice", "sendfile", "copy_file_range", "read", "pipe2") > 0 {
					t.Errorf("%s→%s: %v", from, dst.name, c.calls)
				}
				var rest []byte
				switch r := r.(type) {
				case *io.LimitedReader:
					if r.N != 1<<20 {
						t.Errorf("%s→%s: N is %d", from, dst.name, r.N)
					}
				case *bufio.Reader:
					rest, _ = r.Peek(r.Buffered())
				}
				ztest.Equal(t, "what the source has", append(rest, src.Rest()...), content)
			}
		}
	}
}

// TestH28SameFile: the same file at both ends is read and written, as io.Copy does
// where copy_file_range refuses.
func TestH28SameFile(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(30).Bytes(100_000)
	for _, k := range []ztest.Kind{ztest.File, ztest.Tmpfs} {
		for _, same := range []string{"descriptor", "name"} {
			run := func(copy func(io.Writer, io.Reader) (int64, error)) (string, []byte) {
				dst := ztest.NewDest(t, k)
				f := dst.Writer.(*os.File)
				f.Write(content)
				r := f
				if same == "name" {
					r, _ = os.Open(f.Name())
					defer r.Close()
				}
				f.Seek(0, io.SeekEnd)
				r.Seek(60_000, io.SeekStart)
				if same == "name" {
					f.Seek(100_000, io.SeekStart)
				}
				n, err := copy(f, io.LimitReader(r, 30_000))
				return fmt.Sprint(n, err, pos(f), pos(r)), dst.Finish()
			}
			c := track(t, nil)
			got, b := run(func(w io.Writer, r io.Reader) (int64, error) { return c.within(t, w, r) })
			want, wantB := run(io.Copy)
			if got != want || c.count("copy_file_range", "splice", "sendfile") > 0 {
				t.Errorf("%s, same %s: %s, want %s; %v", k, same, got, want, c.calls)
			}
			if _, ok := c.reason(zerocopy.ReasonSame); !ok {
				t.Errorf("%s, same %s: %v", k, same, c.report)
			}
			ztest.Equal(t, same, b, wantB)
		}
	}
}

// TestH28SamePipe: a pipe copied into itself goes round, and nothing waits for
// itself: not for room that only this copy makes, nor inside splice.
func TestH28SamePipe(t *testing.T) {
	t.Parallel()
	for _, k := range []ztest.Kind{ztest.Pipe, ztest.FIFO} {
		for _, held := range []int{1000, 40_000} {
			r, w := ztest.FilePair(t, k)
			w.Write(ztest.Pattern(31).Bytes(held))
			c := track(t, nil)
			var n int64
			var err error
			ztest.Within(t, ztest.Patience, "a pipe into itself", func() { n, err = c.CopyN(w, r, 300_000) })
			if n != 300_000 || err != nil || c.count("splice") > 0 {
				t.Errorf("%s holding %d: %d, %v, %v", k, held, n, err, c.calls)
			}
			w.Close()
			left, _ := io.ReadAll(r)
			twice := append(ztest.Pattern(31).Bytes(held), ztest.Pattern(31).Bytes(held)...)
			ztest.Equal(t, "what goes round", left, twice[300_000%held:][:held])
		}
	}
}

// TestH28EndedPartIsNotTheEnd: that the part which comes first has nothing more does
// not excuse a destination that takes nothing from what is behind it.
func TestH28EndedPartIsNotTheEnd(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(32).Bytes(20_000)
	for _, k := range []ztest.Kind{ztest.File, ztest.TCP4, ztest.Pipe} {
		for _, dst := range badEnds {
			switch dst.name {
			case "closed file", "closed TCPConn", "read-only file", "expired TCPConn", "the read end of a pipe":
			default:
				continue
			}
			gone, src := endedSource(k)(t), ztest.NewSource(t, k, content)
			n, err := track(t, nil).within(t, dst.make(t), io.MultiReader(gone, src.Reader))
			if n != 0 || err == nil {
				t.Errorf("%s→%s: %d, %v", k, dst.name, n, err)
			}
			ztest.Equal(t, "what the second part has", src.Rest(), content)
			b := bufio.NewReader(io.MultiReader(strings.NewReader("held"), gone))
			b.Peek(4)
			if n, err := track(t, nil).within(t, dst.make(t), io.MultiReader(b, gone)); n != 0 || err == nil || b.Buffered() != 4 {
				t.Errorf("%s→%s: %d, %v, %d still held", k, dst.name, n, err, b.Buffered())
			}
		}
	}
}
