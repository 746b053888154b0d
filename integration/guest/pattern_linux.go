package guest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
)

// patternSize is the length after which the pattern repeats: a prime, so that no two
// pages of it are alike before it has gone round 4096 times.
const patternSize = 65521

// pattern has twice what repeats, so that a comparison need not wrap around.
var pattern = func() []byte {
	p := make([]byte, 2*patternSize)
	random := rand.NewChaCha8([32]byte{})
	random.Read(p[:patternSize])
	copy(p[patternSize:], p)
	return p
}()

// fill fills p with what a stream has at an offset.
func fill(p []byte, offset int64) {
	for len(p) > 0 {
		n := copy(p, pattern[offset%patternSize:])
		p, offset = p[n:], offset+int64(n)
	}
}

// spoil overwrites p with what the pattern does not have.
func spoil(p []byte) {
	for len(p) > 0 {
		p = p[copy(p, spoiled):]
	}
}

var spoiled = bytes.Repeat([]byte{0xdb}, 1<<16)

// A checker is a Writer that wants to be written the pattern.
type checker struct{ offset int64 }

func (c *checker) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		want := pattern[c.offset%patternSize:]
		n := min(len(want), len(rest))
		if !bytes.Equal(rest[:n], want[:n]) {
			i := 0
			for rest[i] == want[i] {
				i++
			}
			return 0, fmt.Errorf("byte %d of the stream is %#02x, want %#02x", c.offset+int64(i), rest[i], want[i])
		}
		rest, c.offset = rest[n:], c.offset+int64(n)
	}
	return len(p), nil
}

// receive reads size bytes and checks them.
func receive(r io.Reader, c *checker, size int64) error {
	// A LimitedReader has no WriteTo: nothing is spliced, bytes are looked at here.
	n, err := io.CopyBuffer(struct{ io.Writer }{c}, &io.LimitedReader{R: r, N: size}, make([]byte, 1<<16))
	if err == nil && n < size {
		err = fmt.Errorf("%w: %d bytes of %d", io.ErrUnexpectedEOF, n, size)
	}
	return err
}
