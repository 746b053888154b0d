package ztest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
)

var sizes = []int{0, 1, 4095, 65536, 1<<20 + 1}

// readUpTo reads with plain calls until n bytes or an error.
func readUpTo(r io.Reader, n int) ([]byte, error) {
	var got []byte
	buf := make([]byte, 32<<10)
	for len(got) < n {
		k, err := r.Read(buf[:min(len(buf), n-len(got))])
		got = append(got, buf[:k]...)
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

// readAll reads s as a copy would, to its end if it has one.
func readAll(t *testing.T, s *Source) []byte {
	t.Helper()
	most := 1 << 30
	if s.Endless {
		most = len(s.Content)
	}
	var got []byte
	var err error
	Within(t, Patience, "read", func() { got, err = readUpTo(s.Reader, most) })
	switch {
	case err == nil && s.Endless:
	case s.EndErr == nil && err == io.EOF:
	case s.EndErr != nil && errors.Is(err, s.EndErr):
	default:
		t.Errorf("%s: ends with %v, want %v", s.Kind, err, s.EndErr)
	}
	return got
}

// write writes b in one call.
func write(t *testing.T, d *Dest, b []byte) {
	t.Helper()
	Within(t, Patience, "write", func() {
		if n, err := d.Writer.Write(b); n != len(b) || err != nil {
			t.Errorf("%s: wrote %d of %d, %v", d.Kind, n, len(b), err)
		}
	})
}

func TestSource(t *testing.T) {
	t.Parallel()
	for _, k := range SourceKinds {
		for name, opts := range map[string][]Option{
			"plain":    nil,
			"blocking": {Blocking()},
			"otherend": {OtherEnd()},
			"pieces":   {Pieces(5000, 1, 20000), Barrier()},
			"small":    {Buffers(4096)},
		} {
			for _, n := range sizes {
				if k == Unix || k == SockFile || k.IP() || k == PTY || k == Pipe || k == FIFO || name == "plain" {
					t.Run(fmt.Sprintf("%s/%s/%d", k, name, n), func(t *testing.T) {
						t.Parallel()
						s := NewSource(t, k, Pattern(n).Bytes(n), opts...)
						Equal(t, string(k), readAll(t, s), s.Content)
						if k.Regular() && s.Pos() != int64(n) || k.Stream() && s.Pos() != -1 {
							t.Errorf("position %d", s.Pos())
						}
						if rest := s.Rest(); len(rest) != 0 {
							t.Errorf("%d bytes left", len(rest))
						}
						s.Close()
						s.Close()
					})
				}
			}
		}
	}
}

func TestDest(t *testing.T) {
	t.Parallel()
	for _, k := range DestKinds {
		for name, opts := range map[string][]Option{
			"plain":    nil,
			"blocking": {Blocking()},
			"otherend": {OtherEnd()},
			"pieces":   {Pieces(5000, 1, 20000)},
			"small":    {Buffers(4096)},
			"existing": {Existing([]byte("before"))},
		} {
			for _, n := range sizes {
				t.Run(fmt.Sprintf("%s/%s/%d", k, name, n), func(t *testing.T) {
					t.Parallel()
					d := NewDest(t, k, opts...)
					b := Pattern(n).Bytes(n)
					write(t, d, b)
					got := d.Finish()
					if d.Discards {
						b = nil
					}
					Equal(t, string(k), got, b)
					d.Close()
					d.Close()
					if err := d.Err(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

func TestEndsAreOfTheRightTypes(t *testing.T) {
	t.Parallel()
	for _, k := range SourceKinds {
		var ok bool
		switch r := NewSource(t, k, nil).Reader.(type) {
		case *net.TCPConn:
			ok = k.IP()
		case *net.UnixConn:
			ok = k == Unix
		case *os.File:
			ok = !k.Conn()
			var st syscall.Stat_t
			control(r, func(fd uintptr) error { return syscall.Fstat(int(fd), &st) })
			want := map[Kind]uint32{Zero: syscall.S_IFCHR, Null: syscall.S_IFCHR, PTY: syscall.S_IFCHR,
				Pipe: syscall.S_IFIFO, FIFO: syscall.S_IFIFO, SockFile: syscall.S_IFSOCK}[k]
			if want == 0 {
				want = syscall.S_IFREG
			}
			if st.Mode&syscall.S_IFMT != want {
				t.Errorf("%s: mode %#o", k, st.Mode)
			}
		}
		if !ok {
			t.Errorf("%s: wrong type", k)
		}
	}
	for k, fs := range map[Kind]string{File: Filesystem("/"), Append: Filesystem("/"), Tmpfs: "tmpfs"} {
		if got := Filesystem(NewDest(t, k).Name()); got != fs {
			t.Errorf("%s is on %s, want %s", k, got, fs)
		}
	}
}

// With a barrier each piece is read alone, even into a large buffer.
func TestBarrierKeepsPiecesApart(t *testing.T) {
	t.Parallel()
	for _, k := range []Kind{Pipe, FIFO, PTY, Unix, TCP4, TCP6, MPTCP, SockFile} {
		t.Run(string(k), func(t *testing.T) {
			t.Parallel()
			var steps []int64
			s := NewSource(t, k, Pattern(1).Bytes(3000), Pieces(1000, 1, 500), Barrier(),
				Step(func(n int64) { steps = append(steps, n) }))
			var got []int
			buf := make([]byte, 64<<10)
			for {
				n, err := s.Reader.Read(buf)
				if err != nil {
					break
				}
				got = append(got, n)
			}
			if want := []int{1000, 1, 500, 1000, 1, 498}; fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("read %v, want %v", got, want)
			}
			if err := s.Err(); err != nil {
				t.Error(err)
			}
			if want := []int64{0, 1000, 1001, 1501, 2501, 2502, 3000}; fmt.Sprint(steps) != fmt.Sprint(want) {
				t.Errorf("steps %v, want %v", steps, want)
			}
		})
	}
}

func TestRestIsWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, k := range SourceKinds {
		for _, opt := range []Option{NoEOF(), OtherEnd(), Blocking()} {
			s := NewSource(t, k, Pattern(9).Bytes(200_000), opt)
			got, err := readUpTo(s.Reader, min(70_000, len(s.Content)/2))
			if err != nil {
				if k != Null {
					t.Errorf("%s: %v", k, err)
				}
				continue
			}
			if k == Zero {
				continue
			}
			Equal(t, string(k), append(got, s.Rest()...), s.Content)
		}
	}
}

func TestManual(t *testing.T) {
	t.Parallel()
	for _, k := range []Kind{Pipe, FIFO, Unix, TCP4, SockFile} {
		s := NewSource(t, k, nil, Manual())
		for i := range 3 {
			s.Feed(Pattern(i).Bytes(1000))
			s.AwaitQueued(1000)
			b, err := readUpTo(s.Reader, 1000)
			if err != nil || !bytes.Equal(b, Pattern(i).Bytes(1000)) {
				t.Fatalf("%s: %v", k, err)
			}
			s.AwaitTaken()
		}
		s.End()
		if n, err := s.Reader.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%s: %d, %v after End", k, n, err)
		}
		if len(s.Content) != 3000 || s.Sent() != 3000 {
			t.Errorf("%s: content %d, sent %d", k, len(s.Content), s.Sent())
		}
	}
}
