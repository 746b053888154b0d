package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// header is what stands for bytes that were read before the copy began.
var header = strings.Repeat("X-Early: bytes that are in memory before the copy begins\r\n", 5) + "\r\n"

func newHeaderReader() io.Reader { return strings.NewReader(header) }

// blockSize is how much is written at once by a source: enough that the source
// is not what limits the copy, and well within a second-level cache.
const blockSize = 256 << 10

// feed writes n bytes of random-looking data to w. If verify is set, no part of
// it is like another, so that bytes lost, doubled or out of place show in a
// hash; otherwise one block is written over and over, which costs nothing.
func feed(w io.Writer, n int64, verify bool) error {
	rng := rand.NewChaCha8([32]byte([]byte("zerocopy: bytes for a comparison")))
	block := make([]byte, blockSize)
	rng.Read(block)
	for first := true; n > 0; first = false {
		if verify && !first {
			rng.Read(block)
		}
		m, err := w.Write(block[:min(n, blockSize)])
		n -= int64(m)
		if err != nil {
			return err
		}
	}
	return nil
}

// feedText writes n bytes of text that compresses about as well as a log does.
func feedText(w io.Writer, n int64) error {
	rng := rand.New(rand.NewPCG(1, 2))
	var block bytes.Buffer
	for block.Len() < 1<<20 {
		fmt.Fprintf(&block, "10.%d.%d.%d GET /articles/%d 200 %d\n",
			rng.IntN(4), rng.IntN(256), rng.IntN(256), rng.IntN(5000), rng.IntN(1<<16))
	}
	for n > 0 {
		m, err := w.Write(block.Bytes()[:min(n, int64(block.Len()))])
		n -= int64(m)
		if err != nil {
			return err
		}
	}
	return nil
}

// expected returns the hash of the n bytes that p's destination must get in a
// run to verify.
func (p pair) expected(n int64) (string, error) {
	h := sha256.New()
	var err error
	switch p.src {
	case aZero:
		_, err = io.CopyN(h, zeros{}, n)
	case aGzip:
		err = feedText(h, n)
	default:
		io.WriteString(h, header[:p.prefix])
		err = feed(h, n-int64(p.prefix), true)
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A depot is a directory of source files, made when first asked for, and the
// place for destination files.
type depot struct{ dir string }

// source returns the path of a file whose content is what a run of n bytes with
// a source of kind k needs: plain, or compressed for aGzip.
func (d *depot) source(k kind, n int64, verify bool) (string, error) {
	path := filepath.Join(d.dir, fmt.Sprintf("%.4s-%d-%v", k, n, verify))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	if k == aGzip {
		z, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
		if err = feedText(z, n); err == nil {
			err = z.Close()
		}
	} else {
		err = feed(f, n, verify)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path)
	}
	return path, err
}

// destination returns the path of the one destination file.
func (d *depot) destination() string { return filepath.Join(d.dir, "destination") }

// hashFile returns the size and the hash of the file at path.
func hashFile(path string) (n int64, sum string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return n, hex.EncodeToString(h.Sum(nil)), err
}
