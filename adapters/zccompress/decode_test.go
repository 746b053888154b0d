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

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What is compressed arrives as it was, however it comes and however it is read.
func TestDecode(t *testing.T) {
	t.Parallel()
	sources := map[string]func(io.Reader) io.Reader{
		"whole":                func(r io.Reader) io.Reader { return r },
		"byte by byte":         iotest.OneByteReader,
		"with its end at once": iotest.DataErrReader,
	}
	ways := map[string]func(io.Writer, io.Reader) (int64, error){
		"Copy":    zerocopy.Copy,
		"io.Copy": io.Copy,
		"small":   func(w io.Writer, r io.Reader) (int64, error) { return io.CopyBuffer(w, bare{r}, make([]byte, 7)) },
		"large":   func(w io.Writer, r io.Reader) (int64, error) { return io.CopyBuffer(w, bare{r}, make([]byte, 1<<20)) },
	}
	for _, f := range all {
		for _, n := range []int{0, 1, 1000, 300_000} {
			want := text(n)
			stream := compress(t, f, want)
			as := f
			if len(stream) == 0 { // an s2.Writer writes nothing then
				as = zccompress.Plain
			}
			for from, source := range sources {
				for name, way := range ways {
					for _, dst := range []io.Writer{new(bytes.Buffer), new(strings.Builder)} {
						z := zccompress.NewReader(source(bytes.NewReader(stream)), any_)
						got, err := way(dst, z)
						what := fmt.Sprintf("%v, %d bytes, %s, by %s", f, n, from, name)
						if err != nil || got != int64(n) || z.Format() != as {
							t.Errorf("%s: %d, %v, as %v", what, got, err, z.Format())
						}
						ztest.Equal(t, what, []byte(dst.(interface{ String() string }).String()), want)
						if n, err := z.Read(make([]byte, 1)); n != 0 || err != io.EOF {
							t.Errorf("%s: at the end %d, %v", what, n, err)
						}
						must(t, z.Close())
					}
				}
			}
		}
	}
}

// Several streams in a row are one, in the formats that say so; what else follows is as with the reference.
func TestInARow(t *testing.T) {
	t.Parallel()
	a, b := text(5000), []byte("and what follows")
	skip := "\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"
	for _, tt := range []struct {
		reason string
		f      zccompress.Format
		stream string
		want   string
		err    error
	}{
		{"two members", zccompress.Gzip, string(compress(t, zccompress.Gzip, a)) + string(compress(t, zccompress.Gzip, b)), string(a) + string(b), nil},
		{"an empty member between", zccompress.Gzip, string(compress(t, zccompress.Gzip, a)) + string(compress(t, zccompress.Gzip, nil)) + string(compress(t, zccompress.Gzip, b)), string(a) + string(b), nil},
		{"two frames", zccompress.Zstd, string(compress(t, zccompress.Zstd, a)) + string(compress(t, zccompress.Zstd, b)), string(a) + string(b), nil},
		{"skippable frames around", zccompress.Zstd, skip + string(compress(t, zccompress.Zstd, a)) + skip, string(a), nil},
		{"nothing but a skippable frame", zccompress.Zstd, skip, "", nil},
		{"two streams of S2", zccompress.S2, string(compress(t, zccompress.S2, a)) + string(compress(t, zccompress.S2, b)), string(a) + string(b), nil},
		{"Snappy, then S2", zccompress.Snappy, string(compress(t, zccompress.Snappy, a)) + string(compress(t, zccompress.S2, b)), string(a) + string(b), nil},
		{"zlib ends where it says", zccompress.Zlib, string(compress(t, zccompress.Zlib, a)) + "trailing", string(a), nil},
		{"garbage after a member", zccompress.Gzip, string(compress(t, zccompress.Gzip, a)) + "trailing garbage", string(a), errAny},
		{"zeros after a member", zccompress.Gzip, string(compress(t, zccompress.Gzip, a)) + strings.Repeat("\x00", 512), string(a), errAny},
		{"a piece of a member after a member", zccompress.Gzip, string(compress(t, zccompress.Gzip, a)) + "\x1f", string(a), io.ErrUnexpectedEOF},
		{"a member whose name is cut off", zccompress.Gzip, gz + "\x08\x00\x00\x00\x00\x00\x00nam", "", io.ErrUnexpectedEOF},
		{"garbage after a frame", zccompress.Zstd, string(compress(t, zccompress.Zstd, a)) + "trailing garbage", string(a), errAny},
		{"a dictionary is wanted", zccompress.Zstd, zst + "\x21\x07\x01\x09\x00\x00x", "", zstd.ErrUnknownDictionary},
	} {
		z := zccompress.NewReader(strings.NewReader(tt.stream), any_)
		got, err := io.ReadAll(z)
		if tt.err == errAny && err == nil || tt.err != errAny && !errors.Is(err, tt.err) || z.Format() != tt.f {
			t.Errorf("%s: %v, %v, want %v", tt.reason, z.Format(), err, tt.err)
		}
		ztest.Equal(t, tt.reason, got, []byte(tt.want))
	}
}

var errAny = errors.New("any")

// A stream that ends too early is io.ErrUnexpectedEOF at each of its bytes, one whose source fails has the
// error of the source, and what came before is right.
func TestCutOff(t *testing.T) {
	t.Parallel()
	failure := errors.New("of the source")
	for _, f := range all {
		want := text(700)
		stream := compress(t, f, want)
		for at := range stream {
			_, rerr := reference(f, stream[:at])
			for _, err := range []error{nil, failure, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded} {
				z := zccompress.NewReader(&script{steps: []step{{string(stream[:at]), err}}}, any_)
				got, gotErr := io.ReadAll(bare{z})
				if z.Format() == zccompress.Plain || z.Format() == 0 {
					continue // see TestSniff
				}
				wantErr := err
				// Between two chunks of S2 nothing says that there are more.
				if err == nil && (rerr != nil || f != zccompress.S2 && f != zccompress.Snappy) {
					wantErr = io.ErrUnexpectedEOF
				}
				if gotErr != wantErr || !bytes.HasPrefix(want, got) {
					t.Errorf("%v, %d of %d bytes, then %v: %d bytes, %v", f, at, len(stream), err, len(got), gotErr)
				}
				if _, again := z.Read(make([]byte, 9)); again != gotErr && (gotErr != nil || again != io.EOF) {
					t.Errorf("%v, %d of %d bytes: %v, then %v", f, at, len(stream), gotErr, again)
				}
			}
		}
	}
}

// One bit of a stream is wrong: then it is an error, or as the reference has it.
func TestCorrupt(t *testing.T) {
	t.Parallel()
	for _, f := range all {
		stream := compress(t, f, text(150))
		for at := range len(stream) * 8 {
			bad := bytes.Clone(stream)
			bad[at/8] ^= 1 << (at % 8)
			sameAsReference(t, bad)
		}
	}
}

// sameAsReference fails the test unless a Reader makes of b what the reference does of its format.
func sameAsReference(t *testing.T, b []byte) {
	t.Helper()
	z := zccompress.NewReader(bytes.NewReader(b), any_)
	got, err := io.ReadAll(z)
	f := z.Format()
	want, wantErr := reference(f, b)
	if f == zccompress.Plain {
		want, wantErr = b, nil
	}
	if errors.Is(err, zccompress.ErrTooLarge) {
		return // the reference has another bound for some frames
	}
	if f == zccompress.Gzip && wantErr == nil { // there are flags that one of the two does not look at
		var r *kgzip.Reader
		if r, wantErr = kgzip.NewReader(bytes.NewReader(b)); wantErr == nil {
			_, wantErr = io.ReadAll(r)
		}
	}
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%v: %v, but the reference says %v\n%x", f, err, wantErr, b)
	}
	if err == nil && !bytes.Equal(got, want) {
		t.Errorf("%v: %d bytes, the reference has %d\n%x", f, len(got), len(want), b)
	}
}

func FuzzReader(f *testing.F) {
	for _, format := range all {
		f.Add(compress(f, format, text(300)))
		f.Add(append(compress(f, format, text(30)), compress(f, format, text(40))...))
	}
	f.Add([]byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"))
	f.Add([]byte("\xff\x06\x00\x00"))
	f.Add([]byte("plain"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 1 << 20
		z := zccompress.NewReader(bytes.NewReader(b), &zccompress.Options{Formats: any_.Formats, MaxBytes: most})
		if n, err := zerocopy.Copy(io.Discard, z); z.Format() != zccompress.Plain && n > most {
			t.Errorf("%d bytes, %v", n, err)
		} else if errors.Is(err, zccompress.ErrTooLarge) {
			return // more than the reference should be asked for
		}
		sameAsReference(t, b)
	})
}

// What the other side has flushed is there to be read, whatever comes after it.
func TestFlushed(t *testing.T) {
	t.Parallel()
	for _, f := range all {
		r, w := io.Pipe()
		defer w.Close()
		next := make(chan int)
		go func() {
			c := compressor(t, f, w)
			for n := range next {
				c.Write(text(n))
				c.Flush()
			}
			c.Close()
			w.Close()
		}()
		z := zccompress.NewReader(r, any_)
		arrived := make(chan []byte)
		go func() {
			defer close(arrived)
			for {
				p := make([]byte, 1<<20)
				n, err := z.Read(p)
				if err != nil {
					return
				}
				arrived <- p[:n]
			}
		}()
		for _, n := range []int{5, 1000, 200_000} {
			next <- n
			var got []byte
			ztest.Within(t, ztest.Patience, fmt.Sprintf("%v: what was flushed", f), func() {
				for len(got) < n {
					got = append(got, <-arrived...)
				}
			})
			ztest.Equal(t, f.String(), got, text(n))
		}
		close(next)
		ztest.Within(t, ztest.Patience, "the end", func() {
			for range arrived {
			}
		})
	}
}

// The last bytes of a gzip member do not wait for the next.
func TestMemberEnds(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	go w.Write(compress(t, zccompress.Gzip, []byte("a message")))
	defer w.Close()
	z := zccompress.NewReader(r, nil)
	p := make([]byte, 100)
	ztest.Within(t, ztest.Patience, "the message", func() {
		n, err := io.ReadFull(z, p[:9])
		if err != nil || string(p[:n]) != "a message" {
			t.Errorf("%q, %v", p[:n], err)
		}
	})
}
