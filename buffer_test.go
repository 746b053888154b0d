package zerocopy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
)

const (
	kib32  = zerocopy.BufferSize
	kib256 = zerocopy.BulkBuffer
)

// TestBufferGrows: reads as they come, and the size of the buffer of each.
func TestBufferGrows(t *testing.T) {
	t.Parallel()
	if zerocopy.BulkFills != 2 || kib32 != 32<<10 || kib256 != 256<<10 {
		t.Fatal("the rows are of other constants")
	}
	for _, tt := range []struct {
		why   string
		reads []int // how many bytes; -1 is as many as the buffer has
		want  []int // sizes of the buffers, one more than reads
	}{
		{"io.Copy's, at first", nil, []int{kib32}},
		{"a message that fills it is no stream", []int{-1}, []int{kib32, kib32}},
		{"twice in a row is", []int{-1, -1}, []int{kib32, kib32, kib256}},
		{"a byte less is not", []int{kib32 - 1, kib32 - 1, kib32 - 1}, []int{kib32, kib32, kib32, kib32}},
		{"in a row", []int{-1, 5, -1, -1}, []int{kib32, kib32, kib32, kib32, kib256}},
		{"a stream that fills that keeps it", []int{-1, -1, -1, -1, -1}, []int{kib32, kib32, kib256, kib256, kib256, kib256}},
		{"one that was not filled has emptied the source", []int{-1, -1, -1, kib256 - 1}, []int{kib32, kib32, kib256, kib256, kib32}},
		{"what follows is waited for with a small one, which tells", []int{-1, -1, 5, -1, -1}, []int{kib32, kib32, kib256, kib32, kib256, kib256}},
		{"each time", []int{-1, -1, kib32, -1, 100_000, -1, 7, 7}, []int{kib32, kib32, kib256, kib32, kib256, kib32, kib256, kib32, kib32}},
		{"nothing is as little as a little", []int{-1, -1, 0}, []int{kib32, kib32, kib256, kib32}},
		{"a message ends it: it has to grow again", []int{-1, -1, 1, 1, -1, -1}, []int{kib32, kib32, kib256, kib32, kib32, kib32, kib256}},
	} {
		b := zerocopy.NewBufferSource(nil, nil)
		var got []int
		for i := range tt.want {
			buf := b.Get()
			if got = append(got, len(buf)); b.Holds() != len(buf) {
				t.Errorf("%s: a buffer of %d bytes, %d borrowed", tt.why, len(buf), b.Holds())
			}
			if again := b.Get(); &again[0] != &buf[0] || len(again) != len(buf) {
				t.Errorf("%s: another buffer without a read in between", tt.why)
			}
			if i == len(tt.reads) {
				break
			}
			n := tt.reads[i]
			if n < 0 {
				n = len(buf)
			}
			b.Read(n)
			if i%2 == 0 { // a wait, in which nothing is held; the size is remembered
				if b.Put(); b.Holds() != 0 {
					t.Errorf("%s: %d bytes held after Put", tt.why, b.Holds())
				}
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: buffers of %v bytes, want %v", tt.why, got, tt.want)
		}
		b.Reset()
		if n := len(b.Get()); n != kib32 {
			t.Errorf("%s: the next copy begins with %d bytes", tt.why, n)
		}
		if b.Reset(); b.Holds() != 0 {
			t.Errorf("%s: %d bytes held after Reset", tt.why, b.Holds())
		}
	}
}

// A tallied is a BufferPool of buffers of one size that knows which of them are out.
type tallied struct {
	size       int
	gets, puts int
	out        map[*byte]bool
	foreign    int // buffers put back that were not out
}

func (p *tallied) Get() []byte {
	p.gets++
	b := make([]byte, p.size, p.size+1)
	if p.out == nil {
		p.out = make(map[*byte]bool)
	}
	p.out[&b[:1][0]] = true
	return b
}

func (p *tallied) Put(b []byte) {
	p.puts++
	if first := &b[:1][0]; cap(b) != p.size+1 || !p.out[first] {
		p.foreign++
	} else {
		delete(p.out, first)
	}
}

// TestBuffersOfOthersDoNotGrow: a BufferPool's and CopyBuffer's are what they are.
func TestBuffersOfOthersDoNotGrow(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 1000, kib32, kib32 + 1, kib256, 1 << 20} {
		pool, fixed := &tallied{size: size}, make([]byte, size)
		for name, b := range map[string]*zerocopy.BufferSource{
			"pool": zerocopy.NewBufferSource(pool, nil), "fixed": zerocopy.NewBufferSource(nil, fixed),
			"fixed beside a pool": zerocopy.NewBufferSource(&tallied{size: 7}, fixed),
		} {
			for range 10 {
				if buf := b.Get(); len(buf) != size || b.Holds() != 0 {
					t.Errorf("%s: %d bytes of %d, %d of our own", name, len(buf), size, b.Holds())
				}
				b.Read(size)
				b.Get()
				b.Put()
				b.Put()
			}
			b.Get()
			b.Reset()
		}
		if pool.gets != 11 || pool.puts != 11 || pool.foreign > 0 || len(pool.out) > 0 {
			t.Errorf("%d Gets, %d Puts, %d of them foreign", pool.gets, pool.puts, pool.foreign)
		}
	}
}

// A reads is a Reader that notes how much it is asked for, and gives as much as the
// next of its numbers says, at most that: after them it ends, or fails, or panics.
type reads struct {
	give  []int
	asked []int
	err   error // nil: panic
}

func (r *reads) Read(p []byte) (int, error) {
	r.asked = append(r.asked, len(p))
	if len(r.give) == 0 {
		if r.err == nil {
			panic("in Read")
		}
		return 0, r.err
	}
	n := min(r.give[0], len(p))
	r.give = r.give[1:]
	return n, nil
}

// A writes is a Writer that does so.
type writes struct {
	left int
	err  error // nil: panic
}

func (w *writes) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		if w.err == nil {
			panic("in Write")
		}
		return 0, w.err
	}
	return len(p), nil
}

// TestBuffersOfACopy: what an unknown Reader is asked for, as a copy goes on.
func TestBuffersOfACopy(t *testing.T) {
	t.Parallel()
	const all = 1 << 30
	for _, tt := range []struct {
		name string
		buf  []byte
		give []int
		want []int
	}{
		{"grows and shrinks", nil, []int{all, all, all, all, 10, all, 10, 10, all}, []int{kib32, kib32, kib256, kib256, kib256, kib32, kib256, kib32, kib32, kib32}},
		{"small messages", nil, []int{100, 20_000, 5}, []int{kib32, kib32, kib32, kib32}},
		{"CopyBuffer", make([]byte, 5000), []int{all, all, all, all}, []int{5000, 5000, 5000, 5000, 5000}},
	} {
		r := &reads{give: tt.give, err: io.EOF}
		if _, err := zerocopy.CopyBuffer(&writes{left: all}, r, tt.buf); err != nil || !slices.Equal(r.asked, tt.want) {
			t.Errorf("%s: asked for %v, want %v (%v)", tt.name, r.asked, tt.want, err)
		}
		// The next copy has no part in it.
		r = &reads{err: io.EOF}
		if _, err := zerocopy.Copy(&writes{left: all}, r); err != nil || r.asked[0] != kib32 {
			t.Errorf("%s: the next copy asks for %v (%v)", tt.name, r.asked, err)
		}
	}
}

// TestEachGetHasOnePut: however a copy ends.
func TestEachGetHasOnePut(t *testing.T) {
	t.Parallel()
	fault := errors.New("fault")
	for _, size := range []int{1, 3000, kib32, kib256} {
		for _, tt := range []struct {
			name   string
			give   int // reads that succeed
			source error
			left   int // bytes that the destination takes
			dest   error
			panics bool
		}{
			{"ends", 5, io.EOF, 1 << 30, fault, false},
			{"ends at once", 0, io.EOF, 1 << 30, fault, false},
			{"the source fails", 5, fault, 1 << 30, fault, false},
			{"the source panics", 5, nil, 1 << 30, fault, true},
			{"the source panics at once", 0, nil, 1 << 30, fault, true},
			{"the destination fails", 5, io.EOF, 2 * size, fault, false},
			{"the destination panics", 5, io.EOF, 2 * size, nil, true},
		} {
			pool := &tallied{size: size}
			c := &zerocopy.Copier{BufferPool: pool}
			r := &reads{give: slices.Repeat([]int{1 << 30}, tt.give), err: tt.source}
			panicked := false
			func() {
				defer func() { panicked = recover() != nil }()
				c.Copy(t.Context(), &writes{tt.left, tt.dest}, r)
			}()
			if panicked != tt.panics || pool.gets == 0 || pool.puts != pool.gets || pool.foreign > 0 || len(pool.out) > 0 {
				t.Errorf("%s: panicked %v, %d Gets, %d Puts, %d of them foreign", tt.name, panicked, pool.gets, pool.puts, pool.foreign)
			}
			if slices.Max(r.asked) > size {
				t.Errorf("%s: a buffer of %d bytes of the pool was taken for %v", tt.name, size, r.asked)
			}
		}
	}
}

// TestBuffersAreClean: growing does not repeat, drop or mix up bytes.
func TestBuffersAreClean(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&want, "%d ", i)
	}
	text := want.String()
	var got bytes.Buffer
	n, err := zerocopy.Copy(struct{ io.Writer }{&got}, struct{ io.Reader }{strings.NewReader(text)})
	if n != int64(len(text)) || err != nil || got.String() != text {
		t.Errorf("%d of %d bytes, %v", n, len(text), err)
	}
}
