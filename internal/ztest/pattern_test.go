package ztest

import (
	"encoding/binary"
	"io"
	"strings"
	"testing"
)

func TestPatternIsTheSameFromEveryOffset(t *testing.T) {
	t.Parallel()
	whole := Pattern(7).Bytes(300)
	for off := range 100 {
		for _, n := range []int{0, 1, 7, 8, 9, 64, 150} {
			b := make([]byte, n)
			Pattern(7).Fill(b, int64(off))
			if s := Diff(b, whole[off:off+n]); s != "" {
				t.Fatalf("offset %d, %d bytes: %s", off, n, s)
			}
		}
	}
}

func TestPatternDoesNotRepeat(t *testing.T) {
	t.Parallel()
	seen := make(map[uint64]string)
	for _, seed := range []Pattern{0, 1, 2} {
		b := seed.Bytes(1 << 18)
		for i := 0; i < len(b); i += 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			if seen[w] != "" {
				t.Fatalf("pattern %d, offset %d: also in %s", seed, i, seen[w])
			}
			seen[w] = "an earlier place"
		}
	}
}

func TestPatternNamesTheFirstDifference(t *testing.T) {
	t.Parallel()
	b := Pattern(1).Bytes(10000)
	if s := Pattern(1).Diff(b, 0); s != "" {
		t.Fatal(s)
	}
	if s := Pattern(1).Diff(b[5000:], 5000); s != "" {
		t.Fatal(s)
	}
	b[8191] ^= 1
	if s := Pattern(1).Diff(b[10:], 10); !strings.Contains(s, "offset 8191:") {
		t.Errorf("got %q, want offset 8191", s)
	}
	f := &fakeTB{TB: t}
	if Pattern(1).Check(f, b, 0) || !f.failed {
		t.Error("Check passed a wrong byte")
	}
	c := Pattern(1).Checker()
	if _, err := c.Write(b[:8000]); err != nil || c.N() != 8000 {
		t.Errorf("N = %d, %v", c.N(), err)
	}
	if _, err := c.Write(b[8000:]); err == nil {
		t.Error("Checker passed a wrong byte")
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want, part string }{
		{"abc", "abc", ""},
		{"abc", "abcd", "3 bytes, want 4"},
		{"abx", "abcd", "offset 2"},
		{"", "a", "0 bytes, want 1"},
	} {
		s := Diff([]byte(c.got), []byte(c.want))
		if (s == "") != (c.part == "") || !strings.Contains(s, c.part) {
			t.Errorf("%q, %q: %q, want %q", c.got, c.want, s, c.part)
		}
	}
}

func TestSum(t *testing.T) {
	t.Parallel()
	if got, want := Sum([]byte("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r := Pattern(3).Reader(100_001)
	if _, ok := r.(io.WriterTo); ok {
		t.Error("the reader is more than an io.Reader")
	}
	sum, n, err := SumReader(r)
	if err != nil || n != 100_001 || sum != Sum(Pattern(3).Bytes(100_001)) {
		t.Errorf("%d bytes, %v", n, err)
	}
}
