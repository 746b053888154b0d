package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// Methods that call Copy on their own receiver. io.Copy would call them again.

type selfReader struct{ io.Reader }

func (r *selfReader) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, r) }

type selfWriter struct{ io.Writer }

func (w *selfWriter) ReadFrom(r io.Reader) (int64, error) { return zerocopy.Copy(w, r) }

// The same by value: two of them with the same fields are one.
type selfReaderValue struct{ io.Reader }

func (r selfReaderValue) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, r) }

type selfWriterValue struct{ io.Writer }

func (w selfWriterValue) ReadFrom(r io.Reader) (int64, error) { return zerocopy.Copy(w, r) }

// Each call wraps the other end anew.
type wrappingReader struct{ io.Reader }

func (r wrappingReader) WriteTo(w io.Writer) (int64, error) {
	return zerocopy.Copy(&wrappedWriter{w}, r)
}

type wrappedWriter struct{ io.Writer }

type wrappingWriter struct{ io.Writer }

func (w wrappingWriter) ReadFrom(r io.Reader) (int64, error) {
	return zerocopy.Copy(w, &wrappedReader{r})
}

type wrappedReader struct{ io.Reader }

// A value that cannot be compared, and is told apart by the other end.
type slicedReader struct {
	io.Reader
	_ []byte
}

func (r slicedReader) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, r) }

// Two that call each other.
type pingReader struct {
	io.Reader
	other *pingReader
}

func (r *pingReader) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, r.other) }

// Through the project's own Reader and Writer, and through standard wrappers.
type viaReader struct{ io.Reader }

func (r *viaReader) WriteTo(w io.Writer) (int64, error) {
	return zerocopy.NewReader(io.NopCloser(r)).WriteTo(zerocopy.NewWriter(w))
}

type viaWriter struct{ io.Writer }

func (w *viaWriter) ReadFrom(r io.Reader) (int64, error) {
	return zerocopy.NewWriter(bufio.NewWriterSize(w, 16)).ReadFrom(io.MultiReader(r))
}

// TestH34Recursion: a WriteTo or ReadFrom that calls Copy on its own receiver ends.
// It runs in a child, because a recursion without end ends the process.
func TestH34Recursion(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	debug.SetMaxStack(8 << 20)
	const size = 100_000
	content := ztest.Pattern(34).Bytes(size)
	plainReader := func() io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} }
	var got bytes.Buffer
	plainWriter := struct{ io.Writer }{&got}
	for _, tt := range []struct {
		name string
		dst  io.Writer
		src  func() io.Reader
		lost int // bytes that stay in a bufio.Writer nobody flushes
	}{
		{"WriteTo", plainWriter, func() io.Reader { return &selfReader{plainReader()} }, 0},
		{"ReadFrom", &selfWriter{plainWriter}, plainReader, 0},
		{"both", &selfWriter{plainWriter}, func() io.Reader { return &selfReader{plainReader()} }, 0},
		{"WriteTo of a value", plainWriter, func() io.Reader { return selfReaderValue{plainReader()} }, 0},
		{"ReadFrom of a value", selfWriterValue{plainWriter}, plainReader, 0},
		{"both of values", selfWriterValue{plainWriter}, func() io.Reader { return selfReaderValue{plainReader()} }, 0},
		{"WriteTo that wraps the Writer anew", plainWriter, func() io.Reader { return wrappingReader{plainReader()} }, 0},
		{"ReadFrom that wraps the Reader anew", wrappingWriter{plainWriter}, plainReader, 0},
		{"WriteTo of what cannot be compared", plainWriter, func() io.Reader { return slicedReader{Reader: plainReader()} }, 0},
		{"two that call each other", plainWriter, func() io.Reader {
			a := &pingReader{Reader: plainReader()}
			a.other = &pingReader{a.Reader, a}
			return a
		}, 0},
		{"through NewReader and NopCloser", plainWriter, func() io.Reader { return &viaReader{plainReader()} }, 0},
		{"through NewWriter and MultiReader", &viaWriter{plainWriter}, plainReader, size % 16},
		{"a descriptor under it", plainWriter, func() io.Reader {
			return &selfReader{ztest.NewSource(t, ztest.Pipe, content).Reader}
		}, 0},
	} {
		got.Reset()
		n, err := zerocopy.Copy(tt.dst, tt.src())
		if n != size || err != nil {
			t.Errorf("%s: copied %d, %v", tt.name, n, err)
		}
		ztest.Equal(t, tt.name, got.Bytes(), content[:size-tt.lost])
	}
}

// A liar returns counts that no Read or Write may return, then behaves.
type liar struct {
	say  int
	err  error
	then io.Reader // or io.Writer
	to   io.Writer
	lied bool
}

func (l *liar) Read(p []byte) (int, error) {
	if !l.lied {
		l.lied = true
		return l.say, l.err
	}
	return l.then.Read(p)
}

func (l *liar) Write(p []byte) (int, error) {
	if !l.lied {
		l.lied = true
		return l.say, l.err
	}
	return l.to.Write(p)
}

// A pooledBuffer is a BufferPool of one buffer, of which the last half belongs to
// somebody else.
type pooledBuffer struct {
	buf       []byte
	gets, out int
}

func (p *pooledBuffer) Get() []byte  { p.gets++; p.out++; return p.buf }
func (p *pooledBuffer) Put(b []byte) { p.out-- }

// TestH39TooLong: a Reader that claims more than it was asked for makes Copy panic,
// as io.Copy does, and what lies behind the buffer goes nowhere. The pooled buffer
// and the pipes are given back all the same.
func TestH39TooLong(t *testing.T) {
	t.Parallel()
	secret := bytes.Repeat([]byte("secret! "), 1024)
	buf := func() []byte { return append([]byte(nil), secret...)[:4096] } // 8192 in all
	lie := func() io.Reader { return &liar{say: 6000, then: strings.NewReader("")} }
	for _, tt := range []struct {
		name string
		src  func() io.Reader
		copy func(c *zerocopy.Copier, w io.Writer, r io.Reader) (int64, error)
	}{
		{"a plain loop", lie, nil},
		{"part of a MultiReader", func() io.Reader { return io.MultiReader(lie(), strings.NewReader("x")) }, nil},
		{"CopyBuffer, capacity beyond the length", lie, func(c *zerocopy.Copier, w io.Writer, r io.Reader) (int64, error) {
			return c.CopyBuffer(w, r, buf())
		}},
		{"limited, as CopyN does", lie, func(c *zerocopy.Copier, w io.Writer, r io.Reader) (int64, error) {
			return c.CopyN(w, r, 100)
		}},
		{"under a declared Reader", func() io.Reader { return &passing{Reader: lie()} }, nil},
	} {
		for _, k := range []ztest.Kind{ztest.TCP4, ztest.File} {
			t.Run(tt.name+"/"+string(k), func(t *testing.T) {
				dst := ztest.NewDest(t, k)
				pool := &pooledBuffer{buf: buf()}
				c := track(t, nil)
				c.BufferPool = pool
				panicked := func() (panicked bool) {
					defer func() { panicked = recover() != nil }()
					copy := tt.copy
					if copy == nil {
						copy = func(c *zerocopy.Copier, w io.Writer, r io.Reader) (int64, error) {
							return c.Copy(context.Background(), w, r)
						}
					}
					n, err := copy(&c.Copier, dst.Writer, tt.src())
					t.Errorf("copied %d, %v", n, err)
					return false
				}()
				if !panicked {
					t.Error("did not panic")
				}
				if pool.out != 0 {
					t.Errorf("%d buffers out after %d Gets", pool.out, pool.gets)
				}
				if got := dst.Finish(); len(got) != 0 {
					t.Errorf("received %d bytes, %q", len(got), got[:min(len(got), 16)])
				}
			})
		}
	}
}

// A passing is a Reader that declares itself transparent around any other.
type passing struct{ io.Reader }

func (p *passing) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: p, Reader: p.Reader}, true
}

// TestH39Negative: a negative count is no bytes, and the error with it counts.
func TestH39Negative(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		say  int
		err  error
	}{
		{"with an error", -1, broken},
		{"with the end", -1000, io.EOF},
		{"alone, then right", -5, nil},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r },
			"multi": func(r io.Reader) io.Reader { return io.MultiReader(r, strings.NewReader("")) },
		} {
			dst := ztest.NewDest(t, ztest.TCP4)
			n, err := track(t, nil).within(t, dst.Writer, wrap(&liar{say: tt.say, err: tt.err, then: strings.NewReader("right")}))
			var want bytes.Buffer
			wantN, wantErr := io.Copy(struct{ io.Writer }{&want}, &liar{say: tt.say, err: tt.err, then: strings.NewReader("right")})
			if n != wantN || !errors.Is(err, wantErr) {
				t.Errorf("%s, %s: %d, %v, want %d, %v", tt.name, name, n, err, wantN, wantErr)
			}
			ztest.Equal(t, tt.name, dst.Finish(), want.Bytes())
		}
	}
}

// TestH39Writer: a Write that returns a count that cannot be has accepted nothing,
// and a short one without an error is io.ErrShortWrite.
func TestH39Writer(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(39).Bytes(1000)
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
		for _, say := range []int{-1, 1001, 1 << 40 >> 10, 400} {
			for _, lied := range []error{nil, io.ErrClosedPipe} {
				src := ztest.NewSource(t, k, content)
				n, err := track(t, nil).within(t, &liar{say: say, err: lied, to: io.Discard}, src.Reader)
				_, want := io.Copy(&liar{say: say, err: lied, to: io.Discard}, struct{ io.Reader }{bytes.NewReader(content)})
				if accepted := int64(400); say == 400 && n != accepted || say != 400 && n != 0 {
					t.Errorf("%s: %d claimed, n = %d", k, say, n)
				}
				if err == nil || want == nil || !errors.Is(err, want) && !strings.HasPrefix(err.Error(), want.Error()) {
					t.Errorf("%s: %d claimed: %v, io.Copy says %v", k, say, err, want)
				}
				checkRest(t, src, n, err)
				if fmt.Sprint(lied) != "<nil>" && !errors.Is(err, lied) {
					t.Errorf("%s: the Writer's own error is lost: %v", k, err)
				}
			}
		}
	}
}
