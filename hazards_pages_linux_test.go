package zerocopy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// lateSize is more than what is read and written for being small, and no more than
// what any destination takes without being read.
const lateSize = 48 << 10

// overwritten copies a file to dst, overwrites it as long as nobody has read what
// came, and tells whether the receiver sees the bytes of then or those of now.
func overwritten(t *testing.T, f *os.File, dst *ztest.Dest, copy func() (int64, error)) (old, new bool) {
	t.Helper()
	n, err := copy()
	if n != lateSize || err != nil {
		t.Fatalf("copied %d of %d, %v", n, lateSize, err)
	}
	_, err = f.WriteAt(ztest.Pattern(2).Bytes(lateSize), 0)
	must(t, err)
	got := dst.Finish()
	if len(got) != lateSize {
		t.Fatalf("received %d of %d", len(got), lateSize)
	}
	return ztest.Pattern(1).Diff(got, 0) == "", ztest.Pattern(2).Diff(got, 0) == ""
}

// lateFile returns a file of lateSize bytes that stands at its start.
func lateFile(t *testing.T, kind ztest.Kind) *os.File {
	t.Helper()
	f := newFile(t, kind)
	_, err := f.WriteAt(ztest.Pattern(1).Bytes(lateSize), 0)
	must(t, err)
	return f
}

// embedded are destinations and sources whose own methods, which are the standard
// library's by promotion, would send pages of a file.
type (
	embeddedTCP  struct{ *net.TCPConn }
	embeddedUnix struct{ *net.UnixConn }
	embeddedFile struct{ *os.File }
)

// TestH12Snapshot: what a file holds while it is copied is what the receiver gets,
// wherever pages are not lent: always with Stable, and to pipes and files unless
// Share allows it.
func TestH12Snapshot(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	sources := map[string]func(f *os.File) io.Reader{
		"bare":    func(f *os.File) io.Reader { return f },
		"limited": func(f *os.File) io.Reader { return io.LimitReader(io.LimitReader(f, lateSize+1), lateSize) },
		"section": func(f *os.File) io.Reader { return io.NewSectionReader(f, 0, lateSize) },
		"peeked": func(f *os.File) io.Reader {
			b := bufio.NewReaderSize(f, 100)
			b.Peek(50)
			return b
		},
		"parts": func(f *os.File) io.Reader {
			return io.MultiReader(io.LimitReader(f, lateSize/2), bytes.NewReader(nil), f)
		},
		"opted in": func(f *os.File) io.Reader { return &bounded{f, lateSize} },
		"embedded": func(f *os.File) io.Reader { return embeddedFile{f} },
	}
	writers := map[string]func(w io.Writer) io.Writer{
		"bare":     func(w io.Writer) io.Writer { return w },
		"buffered": func(w io.Writer) io.Writer { return bufio.NewWriter(w) },
		"embedded": func(w io.Writer) io.Writer {
			switch w := w.(type) {
			case *net.TCPConn:
				return embeddedTCP{w}
			case *net.UnixConn:
				return embeddedUnix{w}
			}
			return embeddedFile{w.(*os.File)}
		},
	}
	for _, from := range []ztest.Kind{ztest.File, ztest.Tmpfs} {
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.MPTCP, ztest.Unix, ztest.SockFile, ztest.Pipe, ztest.FIFO, ztest.File, ztest.Tmpfs} {
			for _, pages := range []zerocopy.Pages{zerocopy.Stable, zerocopy.AsIOCopy} {
				lent := to == ztest.TCP4 || to == ztest.MPTCP || to == ztest.Unix
				if pages == zerocopy.AsIOCopy && lent {
					continue // as with io.Copy
				}
				for srcName, wrapSrc := range sources {
					for dstName, wrapDst := range writers {
						few.Run(fmt.Sprintf("%s→%s/%v/%s→%s", from, to, pages, srcName, dstName), func(t *testing.T) {
							f, dst := lateFile(t, from), ztest.NewDest(t, to, ztest.StallAfter(0), ztest.Buffers(1<<20))
							c := track(t, nil)
							c.Pages = pages
							w := wrapDst(dst.Writer)
							old, _ := overwritten(t, f, dst, func() (int64, error) {
								n, err := c.within(t, w, wrapSrc(f))
								if b, ok := w.(*bufio.Writer); ok && err == nil {
									err = b.Flush()
								}
								return n, err
							})
							if !old {
								t.Errorf("the receiver does not see what was copied: %v", c.report)
							}
							if k := c.count("sendfile") + c.count("splice"); k > 0 && pages == zerocopy.Stable {
								t.Errorf("%d calls that lend pages", k)
							}
							bare := srcName == "bare" && dstName == "bare"
							if to.Regular() && bare && pages == zerocopy.Stable && from == to && mechanisms(c.report) != "copy_file_range" {
								t.Errorf("between files Stable has the kernel copy: %v", c.report)
							}
						})
					}
				}
			}
		}
	}
}

// TestH12LentPages is the comparison: where pages are lent, by io.Copy or because
// Share allows it, the receiver may see what was written to the file later. That
// is not promised, only logged; what is demanded is that Copy lends no more than
// io.Copy does.
func TestH12LentPages(t *testing.T) {
	t.Parallel()
	for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.SockFile, ztest.Pipe, ztest.File} {
		f, dst := lateFile(t, ztest.File), ztest.NewDest(t, to, ztest.StallAfter(0), ztest.Buffers(1<<20))
		_, lent := overwritten(t, f, dst, func() (int64, error) { return io.Copy(dst.Writer, f) })
		t.Logf("file→%s: new bytes seen after io.Copy: %v", to, lent)
		for _, pages := range []zerocopy.Pages{zerocopy.AsIOCopy, zerocopy.Stable, zerocopy.Share} {
			f, dst := lateFile(t, ztest.File), ztest.NewDest(t, to, ztest.StallAfter(0), ztest.Buffers(1<<20))
			c := track(t, nil)
			c.Pages = pages
			old, new := overwritten(t, f, dst, func() (int64, error) { return c.within(t, dst.Writer, f) })
			t.Logf("file→%s: new bytes seen after Copy, %v: %v (%s)", to, pages, new, mechanisms(c.report))
			if pages != zerocopy.Share && !lent && !old {
				t.Errorf("file→%s: Copy with %v lends pages, io.Copy does not", to, pages)
			}
		}
	}
}
