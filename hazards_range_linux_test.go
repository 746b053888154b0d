package zerocopy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// newFile makes an empty file of the kind, open for reading and writing.
func newFile(t testing.TB, kind ztest.Kind) *os.File {
	t.Helper()
	f, err := os.CreateTemp(ztest.Dir(t, kind), "hazard-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close(); os.Remove(f.Name()) })
	return f
}

// must is for calls that a test needs and does not test.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// blocks is what a file takes on its disk, in units of 512 bytes.
func blocks(t testing.TB, f *os.File) int64 {
	t.Helper()
	fi, err := f.Stat()
	must(t, err)
	return fi.Sys().(*syscall.Stat_t).Blocks
}

// TestH08LargestOffset: near the largest offset of a file a mechanism says EFBIG or
// EOVERFLOW, and so do, or EINVAL, read and write where a whole buffer has no room.
// What did move is counted, and what did not is still there.
func TestH08LargestOffset(t *testing.T) {
	t.Parallel()
	refused := func(err error) bool {
		return errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EOVERFLOW)
	}
	content := ztest.Pattern(1).Bytes(100_000)
	for _, room := range []int64{3000, 70_000} {
		for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Pipe} {
			t.Run(fmt.Sprintf("%d/%s→end", room, from), func(t *testing.T) {
				t.Parallel()
				src, f := ztest.NewSource(t, from, content), newFile(t, ztest.Tmpfs)
				at, err := f.Seek(math.MaxInt64-room, io.SeekStart)
				must(t, err)
				n, err := track(t, nil).within(t, f, src.Reader)
				if n > room || !refused(err) {
					t.Errorf("copied %d, %v", n, err)
				}
				if from.Regular() && src.Pos() != n {
					t.Errorf("the source stands at %d of %d", src.Pos(), n)
				}
				checkRest(t, src, n, err)
				if end, err := f.Seek(0, io.SeekEnd); n > 0 && (end != at+n || err != nil) {
					t.Errorf("the file ends at %d, not %d, %v", end, at+n, err)
				}
				got := make([]byte, n)
				_, err = f.ReadAt(got, at)
				must(t, err)
				ztest.Equal(t, "the last bytes of the file", got, content[:n])
			})
		}
		for _, to := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Pipe} {
			t.Run(fmt.Sprintf("%d/end→%s", room, to), func(t *testing.T) {
				t.Parallel()
				f, dst := newFile(t, ztest.Tmpfs), ztest.NewDest(t, to)
				must(t, f.Truncate(math.MaxInt64))
				_, err := f.WriteAt(content[:room], math.MaxInt64-room)
				must(t, err)
				at, err := f.Seek(math.MaxInt64-room, io.SeekStart)
				must(t, err)
				n, err := track(t, nil).within(t, dst.Writer, f)
				if err == nil && n != room || err != nil && !refused(err) {
					t.Errorf("copied %d of %d, %v", n, room, err)
				}
				ztest.Equal(t, "received", dst.Finish(), content[:n])
				if pos, err := f.Seek(0, io.SeekCurrent); pos != at+n || err != nil {
					t.Errorf("the source stands at %d, not %d, %v", pos, at+n, err)
				}
			})
		}
	}
}

// TestH09Holes: copy_file_range fills the holes of the source, as io.Copy does.
// What is asked for is the content and the length, a hole at the end included.
func TestH09Holes(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	content := make([]byte, size)
	for _, at := range []int{0, 3 << 20, 3<<20 + 5000, 6 << 20} {
		ztest.Pattern(2).Fill(content[at:at+4096], int64(at))
	}
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs} {
		for _, to := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Pipe} {
			t.Run(fmt.Sprintf("%s→%s", from, to), func(t *testing.T) {
				t.Parallel()
				f, dst := newFile(t, from), ztest.NewDest(t, to)
				must(t, f.Truncate(size))
				for at := 0; at < size; at += 4096 {
					if p := content[at : at+4096]; bytes.Count(p, []byte{0}) < len(p) {
						_, err := f.WriteAt(p, int64(at))
						must(t, err)
					}
				}
				n, err := track(t, nil).within(t, dst.Writer, f)
				checkWhole(t, dst, n, err, content)
				if out, ok := dst.Writer.(*os.File); ok && dst.Name() != "" {
					t.Logf("%d blocks have become %d", blocks(t, f), blocks(t, out))
				}
			})
		}
	}
}

// TestH09SameFile: copy_file_range refuses ranges of one file that overlap, and
// copies those that do not in one go. What a plain loop makes of them is right.
func TestH09SameFile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		from, to int64
		n        int64
	}{
		{"forward", 0, 100, 200_000},
		{"backward", 70_000, 0, 200_000},
		{"onto itself", 5000, 5000, 200_000},
		{"apart", 0, 300_000, 100_000},
		{"touching", 0, 100_000, 100_000},
		{"to the end", 200_000, 0, 1 << 40},
	} {
		for _, open := range []string{"two opens", "hard link", "one open"} {
			t.Run(tt.name+"/"+open, func(t *testing.T) {
				t.Parallel()
				run := func(copy func(io.Writer, io.Reader) (int64, error)) (content []byte, n int64) {
					a := newFile(t, ztest.File)
					_, err := a.Write(ztest.Pattern(3).Bytes(400_000))
					must(t, err)
					b := a
					if open != "one open" {
						name := a.Name()
						if open == "hard link" {
							name = filepath.Join(t.TempDir(), "link")
							must(t, os.Link(a.Name(), name))
						}
						b, err = os.OpenFile(name, os.O_RDWR, 0)
						must(t, err)
						defer b.Close()
					}
					_, err = b.Seek(tt.to, io.SeekStart)
					must(t, err)
					src := io.Reader(io.LimitReader(a, tt.n))
					if _, err = a.Seek(tt.from, io.SeekStart); open == "one open" {
						src = io.NewSectionReader(a, tt.from, tt.n)
						_, err = a.Seek(tt.to, io.SeekStart)
					}
					must(t, err)
					n, err = copy(b, src)
					must(t, err)
					content, err = os.ReadFile(a.Name())
					must(t, err)
					return content, n
				}
				want, wantN := run(plainly)
				c := track(t, nil)
				got, n := run(func(dst io.Writer, src io.Reader) (int64, error) { return c.within(t, dst, src) })
				if n != wantN {
					t.Errorf("copied %d, a plain loop %d", n, wantN)
				}
				ztest.Equal(t, "the file", got, want)
				if _, ok := c.reason(zerocopy.ReasonSame); !ok || c.moves() > 0 {
					t.Errorf("%d system calls: %v", c.moves(), c.report)
				}
			})
		}
	}
}

// TestH09TwoGiB: beyond 2 GiB, and across it and 4 GiB, by each mechanism, from
// the file's position and by a section.
func TestH09TwoGiB(t *testing.T) {
	t.Parallel()
	const before, n = 150_000, 400_000
	content := ztest.Pattern(4).Bytes(n)
	for _, edge := range []int64{1 << 31, 1 << 32} {
		for _, to := range []ztest.Kind{ztest.File, ztest.Tmpfs, ztest.TCP4, ztest.Unix, ztest.Pipe} {
			for _, pages := range []zerocopy.Pages{zerocopy.AsIOCopy, zerocopy.Stable, zerocopy.Share} {
				for _, section := range []bool{false, true} {
					t.Run(fmt.Sprintf("%d/%s/%v/%v", edge, to, pages, section), func(t *testing.T) {
						t.Parallel()
						f, dst := newFile(t, ztest.File), ztest.NewDest(t, to)
						at := edge - before
						must(t, f.Truncate(at+n+1))
						_, err := f.WriteAt(content, at)
						must(t, err)
						_, err = f.Seek(at, io.SeekStart)
						must(t, err)
						src := io.LimitReader(f, n)
						if section {
							src = io.NewSectionReader(f, at, n)
						}
						c := track(t, func(call *sys.Call, _ int) (int, error, bool) {
							call.N = min(call.N, 64<<10) // calls on either side
							return 0, nil, false
						})
						c.Pages = pages
						k, err := c.within(t, dst.Writer, src)
						checkWhole(t, dst, k, err, content)
						want := "buffered"
						switch {
						case to == ztest.File:
							want = "copy_file_range"
						case pages == zerocopy.Stable, to == ztest.Pipe && pages != zerocopy.Share:
						case to == ztest.TCP4, to == ztest.Unix:
							want = "sendfile"
						default: // to another filesystem, or with Share to a pipe
							want = "splice"
						}
						if by := mechanisms(c.report); by != want {
							t.Errorf("went by %s, want %s: %v", by, want, c.report)
						}
						pos, err := f.Seek(0, io.SeekCurrent)
						if want := at + n; err != nil || section && pos != at || !section && pos != want {
							t.Errorf("the source stands at %d, %v", pos, err)
						}
					})
				}
			}
		}
	}
}

// TestH09LargeFile: a whole file of more than 4 GiB, on a filesystem that clones:
// n holds it, and the calls grow to a GiB each.
func TestH09LargeFile(t *testing.T) {
	t.Parallel()
	dir := ztest.MountLoop(t, "xfs")
	const size = 5<<30 + 12345
	src, err := os.Create(filepath.Join(dir, "src"))
	must(t, err)
	defer src.Close()
	dst, err := os.Create(filepath.Join(dir, "dst"))
	must(t, err)
	defer dst.Close()
	must(t, src.Truncate(size))
	for _, at := range []int64{0, 1 << 31, 1 << 32, size - 4096} {
		b := make([]byte, 4096)
		ztest.Pattern(5).Fill(b, at)
		_, err := src.WriteAt(b, at)
		must(t, err)
	}
	c := track(t, nil)
	n, err := c.within(t, dst, src)
	if n != size || err != nil || mechanisms(c.report) != "copy_file_range" {
		t.Errorf("copied %d of %d, %v: %v", n, int64(size), err, c.report)
	}
	if fi, err := dst.Stat(); err != nil || fi.Size() != size {
		t.Errorf("the copy has %d bytes, %v", fi.Size(), err)
	}
	for _, at := range []int64{0, 1 << 31, 1 << 32, size - 4096} {
		b := make([]byte, 4096)
		_, err := dst.ReadAt(b, at)
		must(t, err)
		ztest.Pattern(5).Check(t, b, at)
	}
	if k := c.count("copy_file_range"); k > 40 {
		t.Errorf("%d calls of copy_file_range for 5 GiB of clones", k)
	}
	for _, f := range []*os.File{src, dst} {
		if pos, err := f.Seek(0, io.SeekCurrent); pos != size || err != nil {
			t.Errorf("%s stands at %d, %v", f.Name(), pos, err)
		}
	}
}
