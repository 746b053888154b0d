package ztest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"testing"
)

// A Pattern is an endless byte stream named by a seed. Every aligned 8 bytes
// are a hash of the seed and their index, so bytes that are lost, repeated,
// moved or taken from another stream show at the first of them.
type Pattern uint64

// word is splitmix64 of the index: a bijection for each seed, hence no two
// words of one stream are the same.
func (p Pattern) word(i uint64) uint64 {
	z := uint64(p)*0xd1342543de82ef95 + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Fill writes to b what the stream holds from off on.
func (p Pattern) Fill(b []byte, off int64) {
	i := uint64(off) / 8
	if r := int(off % 8); r != 0 && len(b) > 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], p.word(i))
		b = b[copy(b, w[r:]):]
		i++
	}
	for ; len(b) >= 8; b, i = b[8:], i+1 {
		binary.LittleEndian.PutUint64(b, p.word(i))
	}
	if len(b) > 0 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], p.word(i))
		copy(b, w[:])
	}
}

// Bytes returns the first n bytes of the stream.
func (p Pattern) Bytes(n int) []byte {
	b := make([]byte, n)
	p.Fill(b, 0)
	return b
}

// Reader returns a reader of the first n bytes of the stream. It is of a type
// that no library knows: io.Reader and nothing more.
func (p Pattern) Reader(n int64) io.Reader { return &patternReader{p: p, n: n} }

type patternReader struct {
	p      Pattern
	off, n int64
}

func (r *patternReader) Read(b []byte) (int, error) {
	if r.off == r.n {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), r.n-r.off)]
	r.p.Fill(b, r.off)
	r.off += int64(len(b))
	return len(b), nil
}

// Diff compares got with what the stream holds from off on. It returns "" if
// they are the same, else where and how they first differ.
func (p Pattern) Diff(got []byte, off int64) string {
	var buf [4096]byte
	for done := 0; done < len(got); {
		want := buf[:min(len(buf), len(got)-done)]
		p.Fill(want, off+int64(done))
		if s := diffAt(got[done:done+len(want)], want, off+int64(done)); s != "" {
			return s
		}
		done += len(want)
	}
	return ""
}

// Check fails the test, naming the first offset that differs, unless got is
// what the stream holds from off on. It reports whether it is.
func (p Pattern) Check(tb testing.TB, got []byte, off int64) bool {
	tb.Helper()
	if s := p.Diff(got, off); s != "" {
		tb.Errorf("pattern %d, %d bytes from offset %d: %s", uint64(p), len(got), off, s)
		return false
	}
	return true
}

// Checker returns a writer that compares what it is given with the stream, from
// its start, and keeps none of it: for streams too long to hold in memory.
func (p Pattern) Checker() *Checker { return &Checker{p: p} }

// A Checker is made by Pattern.Checker.
type Checker struct {
	p Pattern
	n int64
}

// Write reports the first difference as its error; n is exact up to it.
func (c *Checker) Write(b []byte) (int, error) {
	if s := c.p.Diff(b, c.n); s != "" {
		return 0, fmt.Errorf("pattern %d: %s", uint64(c.p), s)
	}
	c.n += int64(len(b))
	return len(b), nil
}

// N is the number of right bytes so far.
func (c *Checker) N() int64 { return c.n }

// Equal fails the test unless got is want, naming the first offset that
// differs and both lengths. It reports whether they are the same.
func Equal(tb testing.TB, what string, got, want []byte) bool {
	tb.Helper()
	if s := Diff(got, want); s != "" {
		tb.Errorf("%s: %s", what, s)
		return false
	}
	return true
}

// Diff returns "" if got is want, else where they first differ.
func Diff(got, want []byte) string {
	if bytes.Equal(got, want) {
		return ""
	}
	n := min(len(got), len(want))
	if s := diffAt(got[:n], want[:n], 0); s != "" {
		return fmt.Sprintf("%s (%d bytes, want %d)", s, len(got), len(want))
	}
	return fmt.Sprintf("%d bytes, want %d; the same up to the shorter end", len(got), len(want))
}

// diffAt compares slices of the same length; off is the offset of the first.
func diffAt(got, want []byte, off int64) string {
	if bytes.Equal(got, want) {
		return ""
	}
	for i := range got {
		if got[i] != want[i] {
			e := min(i+8, len(got))
			return fmt.Sprintf("first difference at offset %d: got % x, want % x", off+int64(i), got[i:e], want[i:e])
		}
	}
	return ""
}

// Sum is the SHA-256 of b in hexadecimal.
func Sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// SumReader reads r to its end and returns the SHA-256 and the length of what
// it held.
func SumReader(r io.Reader) (sum string, n int64, err error) {
	h := sha256.New()
	buf := make([]byte, 64<<10)
	for {
		k, err := r.Read(buf)
		h.Write(buf[:k])
		n += int64(k)
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), n, nil
		}
		if err != nil {
			return "", n, err
		}
	}
}
