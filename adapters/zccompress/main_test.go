package zccompress_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests.
func TestMain(m *testing.M) { ztest.Main(m, func() { kpipe.Shared.CloseIdle() }) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// all is every format that is compressed, and any accepts them and Plain.
var all = []zccompress.Format{zccompress.Gzip, zccompress.Zlib, zccompress.Zstd, zccompress.S2, zccompress.Snappy}

var any_ = &zccompress.Options{Formats: zccompress.Standard | zccompress.Zlib}

// A flusher is what compresses.
type flusher interface {
	io.WriteCloser
	Flush() error
}

// compressor returns a compressor by the reference implementations: of the standard library, where it
// has one.
func compressor(t testing.TB, f zccompress.Format, w io.Writer) flusher {
	t.Helper()
	switch f {
	case zccompress.Gzip:
		return gzip.NewWriter(w)
	case zccompress.Zlib:
		return zlib.NewWriter(w)
	case zccompress.Zstd:
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		must(t, err)
		return z
	case zccompress.S2:
		return s2.NewWriter(w, s2.WriterConcurrency(1))
	case zccompress.Snappy:
		return s2.NewWriter(w, s2.WriterConcurrency(1), s2.WriterSnappyCompat(), s2.WriterBlockSize(64<<10))
	}
	t.Fatal(f)
	return nil
}

// compress returns b compressed.
func compress(t testing.TB, f zccompress.Format, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := compressor(t, f, &out)
	_, err := z.Write(b)
	must(t, err)
	must(t, z.Close())
	return out.Bytes()
}

// reference decompresses b by what a Reader shall be as good as.
func reference(f zccompress.Format, b []byte) (out []byte, err error) {
	var r io.Reader = bytes.NewReader(b)
	switch f {
	case zccompress.Gzip:
		if r, err = gzip.NewReader(r); err != nil {
			return nil, err
		}
	case zccompress.Zlib:
		if r, err = zlib.NewReader(r); err != nil {
			return nil, err
		}
	case zccompress.Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zccompress.DefaultMaxWindow))
		if err != nil {
			return nil, err
		}
		defer d.Close()
		r = d
	case zccompress.S2, zccompress.Snappy:
		r = s2.NewReader(r)
	}
	return io.ReadAll(r)
}

// text is n bytes that compress, and no two parts of them are alike.
func text(n int) []byte {
	b := ztest.Pattern(3).Bytes(n)
	for i := range b {
		b[i] = 'a' + b[i]&3
	}
	return b
}

// A script is a source that gives what it is told, a step a Read.
type script struct {
	steps []step
	reads int
	bytes int
}

type step struct {
	data string
	err  error
}

func (s *script) Read(p []byte) (int, error) {
	s.reads++
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	now := &s.steps[0]
	n := copy(p, now.data)
	s.bytes += n
	if now.data = now.data[n:]; now.data != "" {
		return n, nil
	}
	err := now.err
	s.steps = s.steps[1:]
	return n, err
}

// bare hides all but Read.
type bare struct{ io.Reader }
