package zerocopy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// newPipe returns a Pipe that is closed at the end of the test.
func newPipe(t testing.TB, size int) *zerocopy.Pipe {
	t.Helper()
	p, err := zerocopy.NewPipe(size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// TestPipe: what goes in comes out, in order, and then the end.
func TestPipe(t *testing.T) {
	t.Parallel()
	p := newPipe(t, 0)
	content := ztest.Pattern(1).Bytes(3000)
	if n, err := p.Write(content); n != len(content) || err != nil {
		t.Fatal(n, err)
	}
	b := make([]byte, 1000)
	if n, err := io.ReadFull(p, b); n != len(b) || err != nil {
		t.Fatal(n, err)
	}
	ztest.Equal(t, "the first", b, content[:1000])
	if n, want := p.Buffered(), 2000; n != want && sys.Supported {
		t.Errorf("%d bytes are in it, want %d", n, want)
	}
	if err := p.CloseWrite(); err != nil {
		t.Error(err)
	}
	rest, err := io.ReadAll(struct{ io.Reader }{p})
	if err != nil {
		t.Error(err)
	}
	ztest.Equal(t, "the rest", rest, content[1000:])
	if n, err := p.Read(b); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// TestPipeClosed: every method of a closed Pipe says so, or 0.
func TestPipeClosed(t *testing.T) {
	t.Parallel()
	p, other := newPipe(t, 0), newPipe(t, 0)
	if err := p.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := p.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after CloseWrite: %v", err)
	}
	if err := p.CloseWrite(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("CloseWrite twice: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("Close after CloseWrite: %v", err)
	}
	calls := map[string]func() (int64, error){
		"Close":            func() (int64, error) { return 0, p.Close() },
		"CloseWrite":       func() (int64, error) { return 0, p.CloseWrite() },
		"SetDeadline":      func() (int64, error) { return 0, p.SetDeadline(time.Time{}) },
		"SetReadDeadline":  func() (int64, error) { return 0, p.SetReadDeadline(time.Time{}) },
		"SetWriteDeadline": func() (int64, error) { return 0, p.SetWriteDeadline(time.Time{}) },
		"Read":             func() (int64, error) { n, err := p.Read(make([]byte, 1)); return int64(n), err },
		"Write":            func() (int64, error) { n, err := p.Write([]byte("x")); return int64(n), err },
		"ReadFrom": func() (int64, error) {
			return p.ReadFrom(struct{ io.Reader }{bytes.NewReader([]byte("x"))})
		},
		"WriteTo": func() (int64, error) { return p.WriteTo(new(bytes.Buffer)) },
	}
	if sys.Supported {
		calls["Tee from it"] = func() (int64, error) { return p.Tee(other, 1) }
		calls["Tee to it"] = func() (int64, error) { other.Write([]byte("x")); return other.Tee(p, 1) }
		calls["size"] = func() (int64, error) { n, err := p.SetSize(8192); return int64(n), err }
	}
	for name, f := range calls {
		n, err := f()
		if strings.HasPrefix(name, "Set") && err != nil {
			continue // what os says of a deadline is not os.ErrClosed (H38)
		}
		if n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if p.Size() != 0 || p.Buffered() != 0 {
		t.Errorf("size %d, %d buffered", p.Size(), p.Buffered())
	}
}

// TestPipeDeadlines: of each direction, and of both.
func TestPipeDeadlines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		set         func(*zerocopy.Pipe, time.Time) error
		read, write bool
	}{
		{"read", (*zerocopy.Pipe).SetReadDeadline, true, false},
		{"write", (*zerocopy.Pipe).SetWriteDeadline, false, true},
		{"both", (*zerocopy.Pipe).SetDeadline, true, true},
	} {
		p := newPipe(t, 0)
		if err := tt.set(p, time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
		if _, err := p.Write([]byte("x")); errors.Is(err, os.ErrDeadlineExceeded) != tt.write {
			t.Errorf("%s: Write: %v", tt.name, err)
		}
		if tt.write {
			p.SetWriteDeadline(time.Time{})
			p.Write([]byte("x"))
		}
		if _, err := p.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) != tt.read {
			t.Errorf("%s: Read: %v", tt.name, err)
		}
		if err := tt.set(p, time.Time{}); err != nil {
			t.Error(err)
		}
	}
}

// TestPipeBothEndsAtOnce: one goroutine fills, another empties, much more than fits.
func TestPipeBothEndsAtOnce(t *testing.T) {
	t.Parallel()
	size := int64(256 << 20)
	if raceEnabled {
		size = 64 << 20
	}
	p, pattern := newPipe(t, 1<<20), ztest.Pattern(5)
	read, check := make(chan error, 1), pattern.Checker()
	go func() {
		_, err := p.WriteTo(check)
		read <- err
	}()
	n, err := p.ReadFrom(pattern.Reader(size))
	if n != size || err != nil {
		t.Errorf("filled with %d, %v", n, err)
	}
	if err := p.CloseWrite(); err != nil {
		t.Error(err)
	}
	if err := <-read; err != nil || check.N() != size {
		t.Errorf("emptied of %d, %v", check.N(), err)
	}
}

// TestPipeElsewhere: on systems that are not Linux a Pipe is a pipe, and says what
// it cannot do.
func TestPipeElsewhere(t *testing.T) {
	t.Parallel()
	if sys.Supported {
		return // see pipe_linux_test.go
	}
	p, err := zerocopy.NewPipe(1 << 20) // the size is for the kernel to have
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Write([]byte("text"))
	if p.Size() != 0 || p.Buffered() != 0 {
		t.Errorf("size %d, %d buffered", p.Size(), p.Buffered())
	}
	if n, err := p.SetSize(8192); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SetSize: %d, %v", n, err)
	}
	if n, err := p.Tee(newPipe(t, 0), 4); n != 0 || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Tee: %d, %v", n, err)
	}
}
