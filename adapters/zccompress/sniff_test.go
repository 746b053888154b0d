package zccompress_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
)

const (
	everything = zccompress.Standard | zccompress.Zlib
	gz         = "\x1f\x8b\x08"
	zst        = "\x28\xb5\x2f\xfd"
	s2Magic    = "\xff\x06\x00\x00S2sTwO"
	snMagic    = "\xff\x06\x00\x00sNaPpY"
)

// The format is told by as few bytes as it takes, and no byte more is read.
func TestSniff(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		reason, stream string
		accepted       zccompress.Format
		want           zccompress.Format
		read           int
		err            error
	}{
		{"nothing at all", "", 0, zccompress.Plain, 0, nil},
		{"text", "GET / HTTP/1.1\r\n", 0, zccompress.Plain, 1, nil},
		{"one byte", "a", 0, zccompress.Plain, 1, nil},
		{"gzip", gz + "\x00\x00", 0, zccompress.Gzip, 3, nil},
		{"gzip's first byte, then another", "\x1f\x8c\x08...", 0, zccompress.Plain, 3, nil},
		{"gzip of a method that nobody has", "\x1f\x8b\x07...", 0, zccompress.Plain, 3, nil},
		{"ends within the magic of gzip", "\x1f\x8b", 0, zccompress.Plain, 2, nil},
		{"zstd", zst + "..", 0, zccompress.Zstd, 4, nil},
		{"ends within the magic of zstd", zst[:3], 0, zccompress.Plain, 3, nil},
		{"nearly zstd", zst[:3] + "\xfc..", 0, zccompress.Plain, 4, nil},
		{"text that begins as zstd", "(note)", 0, zccompress.Plain, 4, nil},
		{"zstd, skippable", "\x50\x2a\x4d\x18..", 0, zccompress.Zstd, 4, nil},
		{"zstd, the last of the skippable", "\x5f\x2a\x4d\x18..", 0, zccompress.Zstd, 4, nil},
		{"text that begins as a skippable frame", "Peter", 0, zccompress.Plain, 4, nil},
		{"the letter after those", "\x60\x2a\x4d\x18", 0, zccompress.Plain, 1, nil},
		{"S2", s2Magic + "...", 0, zccompress.S2, 10, nil},
		{"Snappy", snMagic + "...", 0, zccompress.Snappy, 10, nil},
		{"neither of them", "\xff\x06\x00\x00sNaPpZ...", 0, zccompress.Plain, 10, nil},
		{"ends before the last byte of S2", s2Magic[:9], 0, zccompress.Plain, 9, nil},
		{"UTF-16 text", "\xff\xfea\x00b\x00c\x00d\x00e\x00f\x00", 0, zccompress.Plain, 10, nil},
		{"zlib is not recognised unless asked for", "\x78\x9c\x03\x00", 0, zccompress.Plain, 1, nil},
		{"zlib, default level", "\x78\x9c\x03\x00", everything, zccompress.Zlib, 2, nil},
		{"zlib, level 1", "\x78\x01\x03\x00", everything, zccompress.Zlib, 2, nil},
		{"zlib, a window of 256 bytes", "\x08\x1d\x03\x00", everything, zccompress.Zlib, 2, nil},
		{"zlib that wants a dictionary", "\x78\xbb\x03\x00", everything, zccompress.Plain, 2, nil},
		{"zlib whose header is not a multiple of 31", "\x78\x9d\x03\x00", everything, zccompress.Plain, 2, nil},
		{"zlib with too large a window", "\x88\x1c\x03\x00", everything, zccompress.Plain, 1, nil},
		{"a text that begins as zlib", "x^2 + y^2", everything, zccompress.Zlib, 2, nil},
		{"ends within the header of zlib", "\x78", everything, zccompress.Plain, 1, nil},
		{"zstd, whose first byte could be zlib's", zst, everything, zccompress.Zstd, 4, nil},
		{"a format that is not accepted", gz, zccompress.Plain | zccompress.Zstd, zccompress.Plain, 1, nil},
		{"plain is not accepted", "a", zccompress.Gzip, 0, 1, zccompress.ErrFormat},
		{"another format is not accepted", zst, zccompress.Gzip, 0, 1, zccompress.ErrFormat},
		{"nothing, where plain is not accepted", "", zccompress.Gzip, 0, 0, io.ErrUnexpectedEOF},
		{"the end in the magic, where plain is not accepted", gz[:2], zccompress.Gzip, 0, 2, io.ErrUnexpectedEOF},
	} {
		for _, way := range []struct {
			name string
			wrap func(io.Reader) io.Reader
		}{
			{"whole", func(r io.Reader) io.Reader { return r }},
			{"byte by byte", iotest.OneByteReader},
			{"with its end at once", iotest.DataErrReader},
		} {
			src := &script{steps: []step{{tt.stream, nil}}}
			z := zccompress.NewReader(way.wrap(src), &zccompress.Options{Formats: tt.accepted})
			if z.Format() != 0 || src.reads != 0 {
				t.Errorf("%s: known to be %v after %d reads before anything is read", tt.reason, z.Format(), src.reads)
			}
			f, err := z.Sniff()
			// A DataErrReader reads on by itself; where gzip ends after "1f 8c" it is asked for what is missing.
			if f != tt.want || err != tt.err || z.Format() != f || src.bytes > tt.read && way.name != "with its end at once" {
				t.Errorf("%s, %s: %v, %v after %d bytes, want %v, %v after %d", tt.reason, way.name, f, err, src.bytes, tt.want, tt.err, tt.read)
			}
			if f != zccompress.Plain {
				continue
			}
			var got bytes.Buffer
			if n, err := io.Copy(&got, bare{z}); err != nil || n != int64(len(tt.stream)) || got.String() != tt.stream {
				t.Errorf("%s, %s: %q, %d, %v", tt.reason, way.name, got.String(), n, err)
			}
		}
	}
}

// Each byte of a plain stream arrives once, however it is read.
func TestPlain(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		for _, prefix := range []string{"", "\x1f", zst[:3], s2Magic[:9], "P*M"} {
			stream := (prefix + "plain as it is, and longer")[:n]
			for name, copied := range map[string]func(io.Writer, *zccompress.Reader) (int64, error){
				"Copy":    func(w io.Writer, z *zccompress.Reader) (int64, error) { return zerocopy.Copy(w, z) },
				"io.Copy": func(w io.Writer, z *zccompress.Reader) (int64, error) { return io.Copy(w, z) },
				"Read":    func(w io.Writer, z *zccompress.Reader) (int64, error) { return io.Copy(w, iotest.OneByteReader(z)) },
				"limited": func(w io.Writer, z *zccompress.Reader) (int64, error) {
					a, err := zerocopy.Copy(w, io.LimitReader(z, 5))
					if err != nil {
						return a, err
					}
					b, err := zerocopy.Copy(w, z)
					return a + b, err
				},
			} {
				for _, dst := range []io.Writer{new(bytes.Buffer), new(strings.Builder)} {
					z := zccompress.NewReader(strings.NewReader(stream), nil)
					n, err := copied(dst, z)
					if got := dst.(interface{ String() string }).String(); err != nil || n != int64(len(stream)) || got != stream {
						t.Errorf("%s of %q to a %T: %q, %d, %v", name, stream, dst, got, n, err)
					}
				}
			}
		}
	}
}

// An error within the magic decides nothing, and nothing is lost by it.
func TestSniffFails(t *testing.T) {
	t.Parallel()
	text := text(1000)
	for _, tt := range []struct {
		stream string
		magic  int // how many bytes tell
		want   string
	}{
		{"plain", 1, "plain"},
		{"\x1fplain", 2, "\x1fplain"},
		{string(compress(t, zccompress.Gzip, text)), 3, string(text)},
		{string(compress(t, zccompress.S2, text)), 10, string(text)},
	} {
		for at := range tt.magic {
			for _, failure := range []error{os.ErrDeadlineExceeded, errors.New("of the source")} {
				src := &script{steps: []step{{tt.stream[:at], failure}, {tt.stream[at:], nil}}}
				z := zccompress.NewReader(src, nil)
				var got bytes.Buffer
				if n, err := io.Copy(&got, z); err != failure || n != 0 || z.Format() != 0 {
					t.Errorf("%.5q fails at %d: %d bytes, %v, as %v", tt.stream, at, n, err, z.Format())
				}
				if _, err := io.Copy(&got, z); err != nil || got.String() != tt.want {
					t.Errorf("%.5q fails at %d: then %d bytes, %v", tt.stream, at, got.Len(), err)
				}
			}
		}
		// With the last byte of the magic, it comes after what is known to be plain.
		if tt.stream == tt.want {
			failure := errors.New("of the source")
			src := &script{steps: []step{{tt.stream[:tt.magic], failure}, {tt.stream[tt.magic:], nil}}}
			z := zccompress.NewReader(src, nil)
			var got bytes.Buffer
			if n, err := io.Copy(&got, z); err != failure || n != int64(tt.magic) {
				t.Errorf("%.5q fails behind the magic: %d bytes, %v", tt.stream, n, err)
			}
			if _, err := io.Copy(&got, z); err != nil || got.String() != tt.want {
				t.Errorf("%.5q fails behind the magic: then %q, %v", tt.stream, got.String(), err)
			}
		}
	}
}

// Readers that break the contract of io.Reader.
func TestSniffBadReaders(t *testing.T) {
	t.Parallel()
	if _, err := zccompress.NewReader(iotest.ErrReader(nil), nil).Sniff(); err != io.ErrNoProgress {
		t.Errorf("of a Reader that gives nothing: %v", err)
	}
	for _, n := range []int{-1, 1 << 20} {
		for name, stream := range map[string]string{"in the sniff": "", "in what is compressed": string(compress(t, zccompress.Gzip, []byte("once")))} {
			func() {
				var got bytes.Buffer
				z := zccompress.NewReader(io.MultiReader(strings.NewReader(stream), lies(n)), nil)
				defer func() {
					if recover() == nil {
						t.Errorf("%s, n = %d: no panic, as io.Copy's (H39)", name, n)
					}
					if stream != "" && got.String() != "once" {
						t.Errorf("%s, n = %d: %q, of what a codec had before", name, n, got.String())
					}
					if _, err := z.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
						t.Errorf("%s, n = %d: afterwards %v", name, n, err)
					}
				}()
				io.Copy(&got, bare{z})
			}()
		}
	}
}

type lies int

func (n lies) Read([]byte) (int, error) { return int(n), nil }

// Asking for a plan reads nothing.
func TestExplain(t *testing.T) {
	t.Parallel()
	src := &script{steps: []step{{"plain", nil}}}
	z := zccompress.NewReader(src, nil)
	before := zerocopy.Explain(new(strings.Builder), z)
	if src.reads != 0 || z.Format() != 0 {
		t.Errorf("%d reads for %v", src.reads, before)
	}
}

// A type that embeds a Reader and has a Read of its own is read by it (H36).
func TestEmbedded(t *testing.T) {
	t.Parallel()
	z := zccompress.NewReader(strings.NewReader("plain"), nil)
	var got strings.Builder
	if _, err := zerocopy.Copy(&got, shout{z}); err != nil || got.String() != "PLAIN" {
		t.Errorf("%q, %v", got.String(), err)
	}
}

type shout struct{ *zccompress.Reader }

func (s shout) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	copy(p, bytes.ToUpper(p[:n]))
	return n, err
}

// A Writer whose ReadFrom copies to itself ends (H34).
func TestRecursion(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"plain", string(compress(t, zccompress.Zstd, []byte("plain")))} {
		var w again
		if n, err := zerocopy.Copy(&w, zccompress.NewReader(strings.NewReader(stream), nil)); err != nil || n != 5 || w.String() != "plain" {
			t.Errorf("%q, %d, %v", w.String(), n, err)
		}
	}
}

type again struct{ b strings.Builder }

func (a *again) String() string                      { return a.b.String() }
func (a *again) Write(p []byte) (int, error)         { return a.b.Write(p) }
func (a *again) ReadFrom(r io.Reader) (int64, error) { return zerocopy.Copy(a, r) }
