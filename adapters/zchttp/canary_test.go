package zchttp

import (
	"io"
	"slices"
	"testing"
)

// TestCanary: net/http of the Go release that runs this is as it was verified to be.
func TestCanary(t *testing.T) {
	t.Parallel()
	if err := canary(readBody); err != nil {
		t.Fatal(err)
	}
}

// TestCanaryFalls: a Read that did anything else with the caller's memory would be noticed.
func TestCanaryFalls(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(io.Reader, []byte) (int, error){
		"through a buffer of its own": func(body io.Reader, p []byte) (int, error) {
			q := make([]byte, len(p))
			n, err := body.Read(q)
			copy(p, q[:n])
			return n, err
		},
		"capacity cut": func(body io.Reader, p []byte) (int, error) { return body.Read(p[:len(p):len(p)]) },
		"a byte moved": func(body io.Reader, p []byte) (int, error) {
			if len(p) < 2 {
				return body.Read(p)
			}
			n, err := body.Read(p[1:])
			copy(p, p[1:1+n])
			return n, err
		},
		"the last byte changed": func(body io.Reader, p []byte) (int, error) {
			n, err := body.Read(p)
			if n > 1 {
				n--
			}
			return n, err
		},
		"two reads, swapped": func(body io.Reader, p []byte) (int, error) {
			half := len(p) / 2
			n, err := body.Read(p[:half])
			if n < half || err != nil {
				return n, err
			}
			m, err := body.Read(p[half:])
			slices.Reverse(p[:n])
			return n + m, err
		},
	} {
		if err := canary(read); err == nil {
			t.Errorf("%s: not noticed", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
}

// BenchmarkCanary is what the first SpliceBodies(true) takes.
func BenchmarkCanary(b *testing.B) {
	for b.Loop() {
		if err := canary(readBody); err != nil {
			b.Fatal(err)
		}
	}
}
