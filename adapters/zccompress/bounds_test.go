package zccompress_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What is bounded, and what is left over.

// MaxBytes is exact: as many bytes as it says arrive, and one more is an error.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	for _, f := range all {
		for _, n := range []int{0, 1, 4096, 70_000, 200_000} {
			want := text(n)
			stream := compress(t, f, want)
			for _, max := range []int{-1, 1, n - 1, n, n + 1} {
				if max == 0 {
					continue
				}
				for name, way := range map[string]func(io.Writer, io.Reader) (int64, error){"Copy": zerocopy.Copy, "Read": func(w io.Writer, r io.Reader) (int64, error) {
					return io.Copy(w, iotest.HalfReader(bare{r}))
				}} {
					z := zccompress.NewReader(bytes.NewReader(stream), &zccompress.Options{Formats: any_.Formats, MaxBytes: int64(max)})
					var got bytes.Buffer
					_, err := way(&got, z)
					what := fmt.Sprintf("%v, %d bytes, at most %d, by %s", f, n, max, name)
					most := max0(max)
					if n <= most {
						must(t, err)
					} else if e := (*zccompress.LimitError)(nil); !errors.As(err, &e) || !errors.Is(err, zccompress.ErrTooLarge) ||
						*e != (zccompress.LimitError{Format: f, Option: "MaxBytes", Limit: int64(most)}) {
						t.Errorf("%s: %v", what, err)
					}
					ztest.Equal(t, what, got.Bytes(), want[:min(n, most)])
				}
			}
		}
	}
	// Plain bytes are no bomb.
	z := zccompress.NewReader(strings.NewReader("plain"), &zccompress.Options{MaxBytes: 2})
	if b, err := io.ReadAll(z); string(b) != "plain" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
}

func max0(n int) int { return max(n, 0) }

// A frame that wants a larger window than it may have is refused, and says so.
func TestMaxWindow(t *testing.T) {
	t.Parallel()
	windowed := func(window int, single bool) []byte {
		if single { // the window is the content
			w, err := zstd.NewWriter(nil, zstd.WithWindowSize(16<<20), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(1))
			must(t, err)
			return w.EncodeAll(make([]byte, window), nil)
		}
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
		must(t, err)
		for range 3 { // so that it does not know the length
			_, err = w.Write(make([]byte, window/2))
			must(t, err)
			must(t, w.Flush())
		}
		must(t, w.Close())
		return b.Bytes()
	}
	for _, tt := range []struct {
		reason string
		window int
		single bool
		max    int64
		ok     bool
	}{
		{"the default", 8 << 20, false, 0, true},
		{"twice that", 16 << 20, false, 0, false},
		{"is allowed", 16 << 20, false, 16 << 20, true},
		{"little is allowed", 64 << 10, false, 32 << 10, false},
		{"nothing is allowed", 1 << 10, false, -1, false},
		{"in one segment", 8 << 20, true, 0, true},
		{"in one segment, a byte more", 8<<20 + 1, true, 0, false},
	} {
		stream := windowed(tt.window, tt.single)
		// Also in a later frame, which nothing has looked at.
		for _, stream := range [][]byte{stream, append(compress(t, zccompress.Zstd, nil), stream...)} {
			z := zccompress.NewReader(bytes.NewReader(stream), &zccompress.Options{MaxWindow: tt.max})
			n, err := io.Copy(io.Discard, z)
			var e *zccompress.LimitError
			switch {
			case tt.ok && (err != nil || n == 0):
				t.Errorf("%s: %d, %v", tt.reason, n, err)
			case !tt.ok && (!errors.As(err, &e) || e.Option != "MaxWindow" || e.Limit == 0 || n != 0):
				t.Errorf("%s: %d, %v", tt.reason, n, err)
			}
		}
	}
}

// The messages say what to do.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&zccompress.LimitError{Format: zccompress.Gzip, Option: "MaxBytes", Limit: 10}, "zccompress: the gzip stream is more than 10 bytes when decompressed (MaxBytes)"},
		{&zccompress.LimitError{Format: zccompress.Zstd, Option: "MaxWindow", Limit: 1024}, "zccompress: a zstd frame wants a window of more than 1024 bytes (MaxWindow)"},
	} {
		if tt.err.Error() != tt.want {
			t.Errorf("%q, want %q", tt.err, tt.want)
		}
	}
	for f, want := range map[zccompress.Format]string{0: "unknown", zccompress.S2: "s2", zccompress.Standard: "plain|gzip|zstd|s2|snappy"} {
		if f.String() != want {
			t.Errorf("%q, want %q", f, want)
		}
	}
}

// What a destination does not take is handed back.
func TestNothingIsLost(t *testing.T) {
	t.Parallel()
	want := text(100_000)
	for _, f := range append(all, zccompress.Plain) {
		stream := want
		if f != zccompress.Plain {
			stream = compress(t, f, want)
		}
		for _, sniffed := range []bool{false, true} {
			z := zccompress.NewReader(bare{bytes.NewReader(stream)}, any_)
			if sniffed {
				z.Sniff()
			}
			w := &full{room: 40_001}
			n, err := zerocopy.Copy(w, z)
			got := w.b.Bytes()
			var p *zerocopy.PartialError
			if errors.As(err, &p) {
				got = append(got, p.Unwritten...)
			} else if f != zccompress.Plain {
				t.Errorf("%v, sniffed %v: %v", f, sniffed, err)
			}
			if n != 40_001 || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v, sniffed %v: %d, %v", f, sniffed, n, err)
			}
			rest, err := io.ReadAll(bare{z})
			must(t, err)
			if p != nil {
				ztest.Equal(t, f.String(), append(got, rest...), want)
			}
		}
	}
}

// full takes so many bytes.
type full struct {
	b    bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	n, _ := f.b.Write(p[:min(len(p), f.room)])
	if f.room -= n; n < len(p) {
		return n, os.ErrDeadlineExceeded
	}
	return n, nil
}
