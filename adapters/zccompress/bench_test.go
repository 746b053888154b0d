package zccompress_test

import (
	"bytes"
	"io"
	"testing"

	kgzip "github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	stdgzip "compress/gzip"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
)

// fresh makes a decompressor as one does without a pool.
func fresh(f zccompress.Format, r io.Reader) (io.Reader, error) {
	switch f {
	case zccompress.Gzip:
		return kgzip.NewReader(r)
	case zccompress.Zlib:
		return zlib.NewReader(r)
	case zccompress.Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return s2.NewReader(r), nil
}

// sink has no method but Write, and does nothing.
type sink struct{}

func (sink) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkStream is one stream a round: with a decompressor made for it, whose WriteTo io.Copy calls, and
// with a Reader.
func BenchmarkStream(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"4KiB", 4 << 10}, {"8MiB", 8 << 20}} {
		for _, f := range all {
			stream := compress(b, f, text(size.n))
			run := func(name string, one func(io.Reader) (int64, error)) {
				b.Run(size.name+"/"+f.String()+"/"+name, func(b *testing.B) {
					b.SetBytes(int64(size.n))
					b.ReportAllocs()
					for b.Loop() {
						if n, err := one(bare{bytes.NewReader(stream)}); n != int64(size.n) || err != nil {
							b.Fatal(n, err)
						}
					}
				})
			}
			if f == zccompress.Gzip {
				run("std", func(r io.Reader) (int64, error) {
					z, err := stdgzip.NewReader(r)
					if err != nil {
						return 0, err
					}
					return io.Copy(sink{}, z)
				})
			}
			run("fresh", func(r io.Reader) (int64, error) {
				z, err := fresh(f, r)
				if err != nil {
					return 0, err
				}
				return io.Copy(sink{}, z)
			})
			run("Reader", func(r io.Reader) (int64, error) {
				z := zccompress.NewReader(r, any_)
				defer z.Close()
				return zerocopy.Copy(sink{}, z)
			})
		}
	}
}
