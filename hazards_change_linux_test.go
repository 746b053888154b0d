package zerocopy_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A hooked is a transparent reader that calls moved after each chunk, with the
// bytes so far.
type hooked struct {
	r     io.Reader
	chunk int
	n     int64
	moved func(n int64)
}

func (h *hooked) Read(p []byte) (int, error) { return 0, errors.New("read past the opt-in") }

func (h *hooked) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: h, Reader: h.r, Chunk: h.chunk, Moved: func(n int64) error {
		h.n += n
		h.moved(h.n)
		return nil
	}}, true
}

// fileWays are the ways that the bytes of a file take.
var fileWays = []struct {
	to      ztest.Kind
	pages   zerocopy.Pages
	disable zerocopy.MechanismSet
	by      zerocopy.Mechanism
}{
	{ztest.File, zerocopy.AsIOCopy, 0, zerocopy.CopyFileRange},
	{ztest.File, zerocopy.AsIOCopy, zerocopy.Mechanisms(zerocopy.CopyFileRange), zerocopy.Splice},
	{ztest.PTY, zerocopy.AsIOCopy, 0, zerocopy.Splice},
	{ztest.TCP4, zerocopy.AsIOCopy, 0, zerocopy.Sendfile},
	{ztest.Unix, zerocopy.AsIOCopy, 0, zerocopy.Sendfile},
	{ztest.Pipe, zerocopy.Share, 0, zerocopy.Splice},
	{ztest.Pipe, zerocopy.AsIOCopy, 0, zerocopy.Buffered},
	{ztest.TCP4, zerocopy.Stable, 0, zerocopy.Buffered},
	{ztest.File, zerocopy.AsIOCopy, zerocopy.AllMechanisms, zerocopy.Buffered},
}

// TestH09FileChanges: the source becomes longer or shorter while it is copied. The
// copy ends where the file ends then, or at its limit; no byte is invented, and no
// call repeated for nothing.
func TestH09FileChanges(t *testing.T) {
	t.Parallel()
	const size, chunk = 800_000, 96 << 10
	const at = 3 * chunk // when the change comes
	content := ztest.Pattern(1).Bytes(2 * size)
	for _, tt := range []struct {
		name   string
		change func(f *os.File) error
		limit  int64 // 0 is none
		want   int64 // bytes of content that the copy shall give; less than it has given are those
	}{
		{"grows", func(f *os.File) error { _, err := f.WriteAt(content[size:], size); return err }, 0, 2 * size},
		{"grows past the limit", func(f *os.File) error { _, err := f.WriteAt(content[size:], size); return err }, size, size},
		{"grows up to the limit", func(f *os.File) error { _, err := f.WriteAt(content[size:], size); return err }, size + 5000, size + 5000},
		{"shrinks", func(f *os.File) error { return f.Truncate(size / 2) }, 0, size / 2},
		{"shrinks below the limit", func(f *os.File) error { return f.Truncate(size / 2) }, size, size / 2},
		{"shrinks to where the copy is", func(f *os.File) error { return f.Truncate(at) }, 0, at},
		{"shrinks to less", func(f *os.File) error { return f.Truncate(at / 2) }, 0, at},
		{"shrinks to nothing", func(f *os.File) error { return f.Truncate(0) }, 0, at},
		{"shrinks and grows", func(f *os.File) error {
			err := f.Truncate(at / 2)
			_, err2 := f.WriteAt(content[at:], at)
			return errors.Join(err, err2)
		}, 0, 2 * size},
		{"is removed", func(f *os.File) error { return os.Remove(f.Name()) }, 0, size},
	} {
		for _, way := range fileWays {
			t.Run(fmt.Sprintf("%s/%s/%v", tt.name, way.to, way.by), func(t *testing.T) {
				t.Parallel()
				f, dst := newFile(t, ztest.File), ztest.NewDest(t, way.to)
				_, err := f.WriteAt(content[:size], 0)
				must(t, err)
				c := track(t, nil)
				c.Pages, c.Disable = way.pages, way.disable
				want := tt.want
				changed := false
				var src io.Reader = &hooked{r: f, chunk: chunk, moved: func(n int64) {
					if n < at || changed {
						return
					}
					changed = true
					want = max(want, n)
					awaitAt(t, dst, n) // pages on their way would show the change (H12)
					must(t, tt.change(f))
				}}
				if tt.limit > 0 {
					src = io.LimitReader(src, tt.limit)
				}
				n, err := c.within(t, dst.Writer, src)
				checkWhole(t, dst, n, err, content[:want])
				if pos, err := f.Seek(0, io.SeekCurrent); pos != n || err != nil {
					t.Errorf("the source stands at %d of %d, %v", pos, n, err)
				}
				if c.report.Bytes(way.by) < n*9/10 {
					t.Errorf("%v", c.report)
				}
				most := 4000
				if way.to == ztest.PTY {
					most += int(n) / 100 // it takes 4 KiB at a time, at the most
				}
				if k := c.moves(); k > most {
					t.Errorf("%d system calls", k)
				}
			})
		}
	}
}

// TestH18NoSpace: the destination's filesystem is full after some bytes. They are
// counted, and what is left can be resent once there is room.
func TestH18NoSpace(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(3 << 20)
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Pipe, ztest.Unix, ztest.PTY} {
		for _, disable := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
			t.Run(fmt.Sprintf("%s/%v", from, disable), func(t *testing.T) {
				t.Parallel()
				dir := ztest.MountTmpfs(t, 1<<20)
				f, err := os.Create(filepath.Join(dir, "f"))
				must(t, err)
				defer f.Close()
				src := ztest.NewSource(t, from, content)
				c := track(t, nil)
				c.Disable = disable
				n, err := c.within(t, f, src.Reader)
				checkStopped(t, c, src, f, n, err, syscall.ENOSPC, 1<<20)
			})
		}
	}
}

// checkStopped demands that a copy of src to f has ended with errno when f had
// limit bytes, that n is what f holds, and that nothing else is gone.
func checkStopped(t *testing.T, c *tracked, src *ztest.Source, f *os.File, n int64, err error, errno error, limit int64) {
	t.Helper()
	var failed *fs.PathError
	if !errors.Is(err, errno) || !errors.As(err, &failed) || failed.Op != "write" || failed.Path != f.Name() {
		t.Errorf("copied %d, %v; want %v", n, err, errno)
	}
	if n > limit || n < limit/2 {
		t.Errorf("copied %d into %d", n, limit)
	}
	got, err2 := os.ReadFile(f.Name())
	must(t, err2)
	ztest.Equal(t, "the file", got, src.Content[:n])
	if pos, err := f.Seek(0, io.SeekCurrent); pos != n || err != nil {
		t.Errorf("the destination stands at %d of %d, %v", pos, n, err)
	}
	if src.Kind.Regular() && src.Pos() != n {
		t.Errorf("the source stands at %d of %d", src.Pos(), n)
	}
	if k := c.moves(); k > 4000 {
		t.Errorf("%d system calls", k)
	}
	checkRest(t, src, n, err)
}

// TestH18FileSizeLimit: RLIMIT_FSIZE with SIGXFSZ ignored ends the copy with EFBIG
// at the limit.
func TestH18FileSizeLimit(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	const limit = 1_000_000
	signal.Ignore(syscall.SIGXFSZ)
	content := ztest.Pattern(3).Bytes(3 << 20)
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Pipe, ztest.Unix, ztest.SockFile} {
		for _, disable := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
			t.Run(fmt.Sprintf("%s/%v", from, disable), func(t *testing.T) {
				src, f := ztest.NewSource(t, from, content), newFile(t, ztest.File)
				c := track(t, nil)
				c.Disable = disable
				var was syscall.Rlimit
				const rlimitFsize = 1
				must(t, syscall.Getrlimit(rlimitFsize, &was))
				must(t, syscall.Setrlimit(rlimitFsize, &syscall.Rlimit{Cur: limit, Max: was.Max}))
				n, err := c.within(t, f, src.Reader)
				must(t, syscall.Setrlimit(rlimitFsize, &was))
				checkStopped(t, c, src, f, n, err, syscall.EFBIG, limit)
				if n != limit {
					t.Errorf("copied %d, the limit is %d", n, limit)
				}
			})
		}
	}
}
