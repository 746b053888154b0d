package pages_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// A sink is a destination of an unknown type that fails as it is told.
type sink struct {
	got    []byte
	until  int   // takes so many bytes and fails then, with err; less than 0 is never
	err    error // nil is a short write without an error
	failed bool
}

var errSink = errors.New("the sink is full")

func (s *sink) Write(p []byte) (int, error) {
	if s.until < 0 || len(s.got)+len(p) <= s.until {
		s.got = append(s.got, p...)
		return len(p), nil
	}
	s.failed = true
	n := s.until - len(s.got)
	s.got = append(s.got, p[:n]...)
	return n, s.err
}

// buffered is what a Writer has in common with a bufio.Writer.
type buffered interface {
	io.Writer
	io.StringWriter
	io.ByteWriter
	io.ReaderFrom
	Flush() error
	Available() int
	AvailableBuffer() []byte
	Buffered() int
	Size() int
}

// stutter is a Reader that gives a little at a time, sometimes nothing, and ends as it is told.
type stutter struct {
	b   []byte
	rnd *rand.Rand
	end error
	eof bool // with the last bytes
}

func (r *stutter) Read(p []byte) (int, error) {
	n := min(len(p), len(r.b), r.rnd.IntN(9000))
	if r.rnd.IntN(5) == 0 && len(r.b) > 0 {
		n = 0
	}
	copy(p, r.b[:n])
	if r.b = r.b[n:]; len(r.b) == 0 && (n == 0 || r.eof) {
		return n, r.end
	}
	return n, nil
}

// TestBufio: where a bufio.Writer of the same size stood a Writer does the same, call by call:
// results, what is buffered, what has arrived.
func TestBufio(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 0))
			size := (1 + rnd.IntN(3)) * os.Getpagesize()
			until, err := -1, errSink
			switch seed % 4 {
			case 1:
				until = rnd.IntN(20 * size)
			case 2:
				until, err = rnd.IntN(20*size), nil
			}
			ours, theirs := &sink{until: until, err: err}, &sink{until: until, err: err}
			w, werr := pages.NewWriter(ours, &pages.Options{Size: size - rnd.IntN(100)})
			must(t, werr)
			defer w.Close()
			// A bufio.Writer passes a ReadFrom on to its destination and writes what is
			// larger than itself past the buffer: a sink has no ReadFrom, and the pieces
			// are no larger.
			pair := [2]buffered{w, bufio.NewWriterSize(theirs, size)}
			var off int64
			for step := range 100 {
				var results [2]string
				k := rnd.IntN([]int{3, 500, size + 1}[rnd.IntN(3)])
				what, p := rnd.IntN(7), make([]byte, k)
				ztest.Pattern(seed).Fill(p, off)
				end := []error{io.EOF, errors.New("the source"), io.EOF}[rnd.IntN(3)]
				state := rnd.Uint64()
				for i, b := range pair {
					switch what {
					case 0, 1:
						n, err := b.Write(p)
						results[i] = fmt.Sprint("Write ", n, err)
					case 2:
						n, err := b.WriteString(string(p))
						results[i] = fmt.Sprint("WriteString ", n, err)
					case 3:
						results[i] = fmt.Sprint("WriteByte ", b.WriteByte(byte(state)))
					case 4:
						results[i] = fmt.Sprint("Flush ", b.Flush())
					case 5:
						p := append(p, p...)
						n, err := b.ReadFrom(&stutter{p, rand.New(rand.NewPCG(state, 1)), end, state%2 == 0})
						results[i] = fmt.Sprint("ReadFrom ", n, err)
					case 6:
						// A full bufio.Writer has an AvailableBuffer of nothing; a Writer
						// sends what is collected first, and after an error has none.
						if pair[1].Available() == 0 || b.Flush() != nil {
							continue
						}
						buf := b.AvailableBuffer()
						if len(buf) != 0 || cap(buf) != b.Available() {
							t.Fatalf("%T: AvailableBuffer of %d bytes, capacity %d of %d", b, len(buf), cap(buf), b.Available())
						}
						n, err := b.Write(fmt.Append(buf, "number ", state))
						results[i] = fmt.Sprint("AvailableBuffer ", n, err)
					}
					if results[i] != "" {
						results[i] += fmt.Sprint(", buffered ", b.Buffered(), ", size ", b.Size())
						if !(i == 0 && ours.failed || i == 1 && theirs.failed) { // what is available then is of no use
							results[i] += fmt.Sprint(", available ", b.Available())
						}
					}
				}
				off += int64(k)
				if results[0] != results[1] {
					t.Fatalf("step %d, %d bytes:\n%s, a bufio.Writer:\n%s", step, k, results[0], results[1])
				}
				if !lazy(what) {
					ztest.Equal(t, fmt.Sprintf("step %d, what has arrived", step), ours.got, theirs.got)
				}
			}
			if a, b := w.Flush(), pair[1].Flush(); a != b {
				t.Errorf("%v, a bufio.Writer: %v", a, b)
			}
			ztest.Equal(t, "what has arrived", ours.got, theirs.got)
			if s := w.Stats(); s.Bytes != int64(len(ours.got)) || s.Copied != s.Bytes || s.Mechanism != zerocopy.Buffered || s.Type != "*pages_test.sink" {
				t.Errorf("%d bytes: %+v", len(ours.got), s)
			}
		})
	}
}

// lazy reports whether a Writer may have sent a full buffer by then that a bufio.Writer
// still has.
func lazy(what int) bool { return what == 5 }

// TestBufioLarge: pieces larger than the buffer arrive as well.
func TestBufioLarge(t *testing.T) {
	t.Parallel()
	for _, until := range []int{-1, 50_000} {
		ours, theirs := &sink{until: until, err: errSink}, &sink{until: until, err: errSink}
		w, err := pages.NewWriter(ours, &pages.Options{Size: 4096})
		must(t, err)
		b := bufio.NewWriterSize(theirs, w.Size())
		for i := range 10 {
			p := ztest.Pattern(uint64(i)).Bytes(3000 * i)
			n, err := w.Write(p)
			if n != len(p) && (until < 0 || err != errSink) || err == nil && n != len(p) {
				t.Errorf("%d bytes: %d, %v", len(p), n, err)
			}
			b.Write(p)
			m, err := w.WriteString(string(p))
			if err == nil && m != len(p) {
				t.Errorf("%d bytes: %d, %v", len(p), m, err)
			}
			b.Write(p)
		}
		b.Flush()
		if err := w.Flush(); (err == nil) != (until < 0) {
			t.Error(err)
		}
		ztest.Equal(t, "what has arrived", ours.got, theirs.got)
		w.Close()
	}
}

// A liar is a Writer or Reader with results that cannot be.
type liar int

func (l liar) Write(p []byte) (int, error) { return int(l), nil }
func (l liar) Read(p []byte) (int, error)  { return int(l), nil }

// TestBadCounts: counts that cannot be are errors.
func TestBadCounts(t *testing.T) {
	t.Parallel()
	for _, l := range []liar{-1, 1 << 30, 3} {
		w, err := pages.NewWriter(l, nil)
		must(t, err)
		io.WriteString(w, "more than three")
		err = w.Flush()
		if err == nil || l == 3 && err != io.ErrShortWrite {
			t.Errorf("Write returned %d: %v", l, err)
		}
		if again := w.Flush(); again != err {
			t.Errorf("%v, then %v", err, again)
		}
		if s := w.Stats(); s.Bytes != max(0, int64(l))%(1<<30) {
			t.Errorf("Write returned %d: %+v", l, s)
		}
		w.Close()
	}
	for _, l := range []liar{-1, 1 << 30, 0} {
		var got bytes.Buffer
		w, err := pages.NewWriter(&got, nil)
		must(t, err)
		n, err := w.ReadFrom(l)
		if n != 0 || err == nil || l == 0 && err != io.ErrNoProgress {
			t.Errorf("Read returned %d: %d, %v", l, n, err)
		}
		io.WriteString(w, "goes on")
		must(t, w.Flush())
		if got.String() != "goes on" {
			t.Errorf("%q", got.String())
		}
		w.Close()
	}
}

// TestReadFromMix: what was collected before and after, in order; and a source's error with
// its last bytes.
func TestReadFromMix(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	w, err := pages.NewWriter(&got, &pages.Options{Size: 4096})
	must(t, err)
	defer w.Close()
	io.WriteString(w, "before ")
	n, err := w.ReadFrom(strings.NewReader(strings.Repeat("x", 10_000)))
	if n != 10_000 || err != nil {
		t.Error(n, err)
	}
	io.WriteString(w, " between ")
	buf, err := w.Next() // sends what is collected
	must(t, err)
	must(t, w.Commit(copy(buf, "a buffer ")))
	r := &stutter{b: []byte("the rest"), rnd: rand.New(rand.NewPCG(0, 0)), end: errSink, eof: true}
	if n, err := w.ReadFrom(r); n != 8 || err != errSink {
		t.Error(n, err)
	}
	must(t, w.Flush())
	if want := "before " + strings.Repeat("x", 10_000) + " between a buffer the rest"; got.String() != want {
		t.Errorf("%d bytes: %q…", got.Len(), got.String()[:min(got.Len(), 20)])
	}
}
