package zerocopy_test

import (
	"bytes"
	"io"
	"os"
	"sync"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// leadSize is how many bytes of matrixBytes lie before those that a source holds.
// What a row has in memory is taken from there, so that all that arrives is one
// stretch of the same bytes.
const leadSize = 8

// matrixBytes returns the lead and what the largest source of a kind holds.
func matrixBytes(k ztest.Kind) []byte {
	switch k {
	case ztest.Zero:
		return zeroBytes()
	case ztest.Proc:
		return procBytes()
	case ztest.Null:
		return patternBytes()[:leadSize]
	}
	return patternBytes()
}

var (
	patternBytes = sync.OnceValue(func() []byte {
		return ztest.Pattern(2).Bytes(leadSize + matrixSizes[len(matrixSizes)-1].bytes)
	})
	zeroBytes = sync.OnceValue(func() []byte {
		b := make([]byte, len(patternBytes()))
		copy(b, patternBytes()[:leadSize])
		return b
	})
	procBytes = sync.OnceValue(func() []byte {
		b, err := os.ReadFile("/proc/version") // what ztest's source of this kind reads
		if err != nil {
			panic(err)
		}
		return append(patternBytes()[:leadSize:leadSize], b...)
	})
)

// matrixLead returns the n bytes before the first that a source of the kind holds.
func matrixLead(k ztest.Kind, n int) []byte { return matrixBytes(k)[leadSize-n : leadSize] }

// matrixContent returns what a source of the kind and size holds.
func matrixContent(k ztest.Kind, size int) []byte {
	b := matrixBytes(k)[leadSize:]
	return b[:min(size, len(b))]
}

// wasThere is what destination files hold before a copy.
var wasThere = []byte("was there before\n")

// matrixPieces are the writes of a source's peer. The first holds all of the smaller
// sizes, so that they are queued whole before the copy begins; the others do not end
// where pages, pipes or buffers do.
var matrixPieces = ztest.Pieces(64<<10, 256<<10, 100_001)

// An arrival compares what comes at a destination with what is wanted.
type arrival struct {
	mu   sync.Mutex
	want []byte
	n    int64
	bad  string
}

// expect says what shall come, before anything has.
func (a *arrival) expect(want []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.want = want
}

func (a *arrival) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.bad == "" {
		rest := a.want[min(a.n, int64(len(a.want))):]
		if !bytes.HasPrefix(rest, p) {
			a.bad = ztest.Diff(p, rest[:min(len(rest), len(p))])
		}
	}
	a.n += int64(len(p))
	return len(p), nil
}

var arrivalBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// readFile compares what a destination file holds beyond wasThere.
func (a *arrival) readFile(tb testing.TB, name string) {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	buf := arrivalBuffers.Get().(*[64 << 10]byte)
	defer arrivalBuffers.Put(buf)
	first := buf[:len(wasThere)]
	if _, err := io.ReadFull(f, first); err != nil || !bytes.Equal(first, wasThere) {
		tb.Errorf("what the destination held before has become %q, %v", first, err)
	}
	for {
		n, err := f.Read(buf[:])
		a.Write(buf[:n])
		if err == io.EOF {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
}
