package zerocopy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A wrapping builds a Reader over a stream, and says what can be seen of it: each
// N, each position, what is buffered.
type wrapping struct {
	name   string
	reason string
	make   func(t testing.TB, s ztest.Stream) (r io.Reader, seen func() string)
}

// held returns a bufio.Reader of size bytes of which n are filled, and what can be
// seen of it.
func held(t testing.TB, r io.Reader, size, n int) (*bufio.Reader, func() string) {
	b := bufio.NewReaderSize(r, size)
	if n > 0 {
		if _, err := b.Peek(n); err != nil {
			t.Fatal(err)
		}
	}
	return b, func() string { return fmt.Sprint("buffered ", b.Buffered()) }
}

var wrappings = []wrapping{
	{"bufio, empty", "nothing goes first", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		b, seen := held(t, s, 4096, 0)
		return b, seen
	}},
	{"bufio, full", "the buffer goes first, whole", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		b, seen := held(t, s, 4096, 4096)
		return b, seen
	}},
	{"bufio, one byte", "the least that can be lost", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		b, seen := held(t, s, 4096, 4096)
		b.Discard(4095)
		return b, seen
	}},
	{"Peek before", "a Peek is no Read", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		b, seen := held(t, s, 100, 7)
		return b, seen
	}},
	{"limit over bufio over limit", "three bounds, the middle one holds bytes", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		inner := &io.LimitedReader{R: s, N: 60_000}
		b, seen := held(t, inner, 4096, 4096)
		outer := &io.LimitedReader{R: b, N: 50_000}
		return outer, func() string { return fmt.Sprint(outer.N, inner.N+int64(b.Buffered()), seen() != "") }
	}},
	{"the limit ends inside the buffer", "the rest stays buffered", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		b, seen := held(t, s, 4096, 4096)
		outer := &io.LimitedReader{R: b, N: 1000}
		return outer, func() string { return fmt.Sprint(outer.N, " ", seen()) }
	}},
	{"bufio over bufio", "the outer buffer first", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		inner, seenInner := held(t, s, 4096, 4096)
		outer, seen := held(t, inner, 16, 16)
		return outer, func() string { return seen() + seenInner() }
	}},
	{"MultiReader", "what follows the stream follows", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		r := io.MultiReader(strings.NewReader("before "), s, strings.NewReader(" after"))
		return r, func() string { return "" }
	}},
	{"MultiReader in limits", "the bound is over all parts", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		part := &io.LimitedReader{R: s, N: 20_000}
		after := strings.NewReader(strings.Repeat("after ", 1000))
		l := &io.LimitedReader{R: io.MultiReader(strings.NewReader("before"), part, after), N: 22_000}
		return l, func() string { return fmt.Sprint(l.N, part.N, after.Len() <= 6000-1994) }
	}},
	{"N larger than the source", "N is what is left of it", limitedTo(1 << 40)},
	{"N is the source", "the end is not looked for", limitedTo(100_000)},
	{"N smaller", "the rest stays in the stream", limitedTo(33_333)},
	{"N zero", "nothing is read", limitedTo(0)},
	{"N negative", "nothing is read, and N stays", limitedTo(-7)},
	{"N negative inside", "the inner bound counts too", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		inner := &io.LimitedReader{R: s, N: -1}
		outer := &io.LimitedReader{R: inner, N: 10}
		return outer, func() string { return fmt.Sprint(outer.N, inner.N) }
	}},
	{"NopCloser over limit", "a struct in between", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		l := &io.LimitedReader{R: s, N: 5000}
		return io.NopCloser(l), func() string { return fmt.Sprint(l.N) }
	}},
}

func limitedTo(n int64) func(testing.TB, ztest.Stream) (io.Reader, func() string) {
	return func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		l := &io.LimitedReader{R: s, N: n}
		return l, func() string { return fmt.Sprint(l.N) }
	}
}

// sections are only over a file.
var sections = []wrapping{
	{"section", "its position advances, the file's does not", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		r := io.NewSectionReader(s.(io.ReaderAt), 1000, 50_000)
		r.Seek(10, io.SeekStart)
		return r, func() string { return fmt.Sprint(r.Seek(0, io.SeekCurrent)) }
	}},
	{"section of a section, beyond the end", "both bounds and the file's", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		outer := io.NewSectionReader(io.NewSectionReader(s.(io.ReaderAt), 40_000, 1<<40), 1000, 1<<30)
		return outer, func() string { return fmt.Sprint(outer.Seek(0, io.SeekCurrent)) }
	}},
	{"bufio over a section", "bytes held of it", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		r := io.NewSectionReader(s.(io.ReaderAt), 1000, 50_000)
		b, seen := held(t, r, 64, 64)
		return b, func() string { return fmt.Sprint(seen(), " ", pos(r)) }
	}},
	{"an empty section", "nothing is read", func(t testing.TB, s ztest.Stream) (io.Reader, func() string) {
		r := io.NewSectionReader(s.(io.ReaderAt), 10, 0)
		return r, func() string { return fmt.Sprint(pos(r)) }
	}},
}

func pos(s io.Seeker) int64 {
	at, _ := s.Seek(0, io.SeekCurrent)
	return at
}

// TestH26WrappersThatHoldBytes: bytes, count, every N, every position and what is
// left in the buffers and the stream are what io.Copy leaves.
func TestH26WrappersThatHoldBytes(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	content := ztest.Pattern(26).Bytes(100_000)
	kinds := []ztest.Kind{ztest.File, ztest.TCP4, ztest.Unix, ztest.Pipe}
	for _, from := range kinds {
		rows := wrappings
		if from == ztest.File {
			rows = append(rows[:len(rows):len(rows)], sections...)
		}
		for _, w := range rows {
			for _, to := range kinds {
				few.Run(fmt.Sprintf("%s/%s/%s", from, w.name, to), func(t *testing.T) {
					run := func(copy func(io.Writer, io.Reader) (int64, error)) (got []byte, all string, rest []byte) {
						src, dst := ztest.NewSource(t, from, content), ztest.NewDest(t, to)
						if from != ztest.File {
							src.AwaitQueued(55_000) // after short reads io.Copy may leave something in a buffer
						}
						r, seen := w.make(t, src.Reader)
						n, err := copy(dst.Writer, r)
						all = fmt.Sprint(n, err, " ", seen(), " at ", src.Pos())
						if b, ok := r.(*bufio.Reader); ok {
							rest, _ = b.Peek(b.Buffered())
							rest = bytes.Clone(rest)
						}
						return dst.Finish(), all, append(rest, src.Rest()...)
					}
					got, all, rest := run(zerocopy.Copy)
					want, wantAll, wantRest := run(io.Copy)
					ztest.Equal(t, w.reason, got, want)
					ztest.Equal(t, "what is left", rest, wantRest)
					if all != wantAll {
						t.Errorf("%s: %q, want %q", w.reason, all, wantAll)
					}
				})
			}
		}
	}
}

// TestH37BufioWriter: what fits into the buffer stays there, as io.Copy leaves it;
// what does not makes it flush, and the rest goes direct.
func TestH37BufioWriter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		size, held int // of the bufio.Writer
		bytes      int // to copy
		sticky     error
		kernel     bool // the bulk goes direct
	}{
		{"5 bytes behind 10", 4096, 10, 5, nil, false},
		{"exactly full", 4096, 10, 4086, nil, false},
		{"one too many", 4096, 10, 4087, nil, true},
		{"bulk behind 10", 4096, 10, 500_000, nil, true},
		{"bulk into an empty one", 4096, 0, 500_000, nil, true},
		{"5 bytes into an empty one", 4096, 0, 5, nil, true},
		{"nothing behind 10", 4096, 10, 0, nil, false},
		{"a sticky error comes first", 4096, 10, 500_000, os.ErrDeadlineExceeded, false},
	} {
		for _, from := range []ztest.Kind{ztest.File, ztest.TCP4, ztest.Pipe} {
			for _, to := range []ztest.Kind{ztest.TCP4, ztest.File} {
				if tt.sticky != nil && to == ztest.File {
					continue // has no deadlines
				}
				t.Run(fmt.Sprintf("%s/%s/%s", tt.name, from, to), func(t *testing.T) {
					t.Parallel()
					run := func(copy func(io.Writer, io.Reader) (int64, error)) (got []byte, all string) {
						src, dst := ztest.NewSource(t, from, ztest.Pattern(37).Bytes(tt.bytes), ztest.NoEOF()), ztest.NewDest(t, to)
						if tt.bytes > 0 {
							src.AwaitQueued(1)
						}
						b := bufio.NewWriterSize(dst.Writer, tt.size)
						b.Write(make([]byte, tt.held))
						if tt.sticky != nil { // of a Flush that is over and done with
							dst.Writer.SetWriteDeadline(past)
							b.Flush()
							dst.Writer.SetWriteDeadline(time.Time{})
						}
						src.End()
						n, err := copy(b, src.Reader)
						all = fmt.Sprint(n, errors.Is(err, tt.sticky), b.Buffered())
						if err == nil {
							err = b.Flush()
						}
						return dst.Finish(), fmt.Sprint(all, errors.Is(err, tt.sticky))
					}
					c := track(t, nil)
					got, all := run(func(w io.Writer, r io.Reader) (int64, error) { return c.within(t, w, r) })
					want, wantAll := run(io.Copy)
					ztest.Equal(t, tt.name, got, want)
					// How much of the tail io.Copy leaves in the buffer depends on
					// how the pieces of the stream came; what fits is another matter.
					if tt.held+tt.bytes <= tt.size && all != wantAll || tt.sticky != nil && (all != wantAll || c.moves() > 0) {
						t.Errorf("%q, want %q", all, wantAll)
					}
					if fast := c.report.Bytes(zerocopy.Splice)+c.report.Bytes(zerocopy.Sendfile)+c.report.Bytes(zerocopy.CopyFileRange) > int64(tt.bytes/2); fast != tt.kernel && tt.bytes > zerocopy.SmallFile {
						t.Errorf("kernel: %v, want %v: %v", fast, tt.kernel, c.report)
					}
				})
			}
		}
	}
}

// TestH37UnreadAfterCopy: UnreadByte and UnreadRune after the copy behave as after
// io.Copy. One thing differs: where a limit lets bytes go past the buffer, the last
// of them cannot be unread, because it was never in user memory.
func TestH37UnreadAfterCopy(t *testing.T) {
	t.Parallel()
	for _, before := range []string{"nothing", "ReadByte", "ReadRune", "Peek", "ReadByte of all"} {
		for _, n := range []int64{0, 10, 1000, 1 << 20} {
			run := func(copy func(io.Writer, io.Reader) (int64, error)) string {
				src, dst := ztest.NewSource(t, ztest.TCP4, []byte(strings.Repeat("é", 50_000))), ztest.NewDest(t, ztest.TCP4)
				b := bufio.NewReaderSize(src.Reader, 512)
				switch before {
				case "ReadByte":
					b.ReadByte()
				case "ReadRune":
					b.ReadRune()
				case "Peek":
					b.Peek(512)
				case "ReadByte of all":
					b.Peek(512)
					b.Discard(511)
					b.ReadByte()
				}
				var r io.Reader = b
				if n < 1<<20 {
					r = io.LimitReader(b, n)
				}
				copied, err := copy(dst.Writer, r)
				rune, byte := b.UnreadRune(), b.UnreadByte()
				next, _ := b.ReadByte()
				return fmt.Sprint(copied, err, rune, byte, next)
			}
			got, want := run(zerocopy.Copy), run(func(w io.Writer, r io.Reader) (int64, error) {
				l, ok := r.(*io.LimitedReader)
				past := ok && l.N > int64(l.R.(*bufio.Reader).Buffered())
				n, err := io.Copy(w, r)
				if past {
					l.R.(*bufio.Reader).Peek(0) // forgets it
				}
				return n, err
			})
			if got != want {
				t.Errorf("%s, then %d copied: %s, want %s", before, n, got, want)
			}
		}
	}
}

// TestH37MultiReaderResumes: after an error a MultiReader goes on where it stood,
// in whichever part that was.
func TestH37MultiReaderResumes(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.TCP4, ztest.File, ztest.Pipe} {
		for _, after := range []int{3, 7, 5000, 50_007, 50_009} {
			content := ztest.Pattern(38).Bytes(50_000)
			src, dst := ztest.NewSource(t, from, content), ztest.NewDest(t, ztest.TCP4)
			want := append(append([]byte("before "), content...), " after"...)
			r := io.MultiReader(strings.NewReader("before "), src.Reader, strings.NewReader(" after"))
			w := &failing{Writer: dst.Writer, left: after}
			n, err := zerocopy.Copy(w, r)
			if !errors.Is(err, errTest) || n != int64(after) {
				t.Errorf("%s: %d, %v after %d", from, n, err, after)
			}
			dst.Writer.Write(unwritten(t, n, err))
			if _, err := zerocopy.Copy(dst.Writer, r); err != nil {
				t.Error(err)
			}
			ztest.Equal(t, fmt.Sprintf("%s, failed after %d", from, after), dst.Finish(), want)
		}
	}
}

var errTest = errors.New("an error of the test's")

// A failing Writer fails after that many bytes.
type failing struct {
	io.Writer
	left int
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) <= f.left {
		f.left -= len(p)
		return f.Writer.Write(p)
	}
	n, err := f.Writer.Write(p[:f.left])
	f.left -= n
	if err == nil {
		err = errTest
	}
	return n, err
}
