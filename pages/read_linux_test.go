package pages_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// ways are those of taking bytes out of a pipe.
var ways = map[string]bool{"vmsplice": true, "read": false}

// TestReader: what is in a pipe comes out of it, by either way, in pieces of any size.
func TestReader(t *testing.T) {
	t.Parallel()
	for name, splice := range ways {
		for _, k := range []ztest.Kind{ztest.Pipe, ztest.FIFO} {
			for _, size := range []int{1, 4095, 4096, 4097, 100_000} {
				t.Run(name+"/"+string(k), func(t *testing.T) {
					t.Parallel()
					n := min(300_000, 3000*size)
					src := ztest.NewSource(t, k, ztest.Pattern(61).Bytes(n), ztest.Pieces(1, 5000, 65_536, 4096))
					r := pages.NewReader(src.Reader)
					if !r.SetSplice(splice) {
						t.Error("not read as a pipe")
					}
					m, err := pages.NewMemory(size, false)
					must(t, err)
					defer m.Free()
					var got bytes.Buffer
					for {
						k, err := r.Read(m.Bytes())
						got.Write(m.Bytes()[:k])
						if err == io.EOF {
							break
						}
						if must(t, err); k == 0 {
							t.Fatal("nothing was read")
						}
					}
					if k, err := r.Read(m.Bytes()); k != 0 || err != io.EOF {
						t.Errorf("after the end: %d, %v", k, err)
					}
					if got.Len() != n {
						t.Errorf("%d bytes of %d", got.Len(), n)
					}
					ztest.Pattern(61).Check(t, got.Bytes(), 0)
					if r.Splices() != splice {
						t.Error("the way has changed")
					}
				})
			}
		}
	}
}

// TestReaderOthers: what is no pipe is read by its own Read.
func TestReaderOthers(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(62).Bytes(200_000)
	for _, k := range []ztest.Kind{ztest.File, ztest.TCP4, ztest.Unix, ztest.SockFile, ztest.PTY} {
		src := ztest.NewSource(t, k, content)
		r := pages.NewReader(src.Reader)
		if r.SetSplice(true) {
			t.Errorf("%s is read as a pipe", k)
		}
		got := make([]byte, len(content))
		n, err := pages.ReadPages(r, got)
		if n != len(content) || err != nil {
			t.Errorf("%s: %d, %v", k, n, err)
		}
		ztest.Equal(t, string(k), got, content)
	}
	got, err := io.ReadAll(pages.NewReader(bytes.NewReader(content)))
	must(t, err)
	ztest.Equal(t, "an unknown Reader", got, content)
	if n, err := pages.NewReader(ztest.NewSource(t, ztest.Pipe, nil, ztest.NoEOF()).Reader).Read(nil); n != 0 || err != nil {
		t.Errorf("an empty Read: %d, %v", n, err)
	}
	src := ztest.NewSource(t, ztest.Pipe, content, ztest.Blocking())
	got, err = io.ReadAll(pages.NewReader(src.Reader))
	must(t, err)
	ztest.Equal(t, "a pipe in blocking mode", got, content)
}

// TestReadPages: until the memory is full or the stream ends.
func TestReadPages(t *testing.T) {
	t.Parallel()
	p, err := zerocopy.NewPipe(0)
	must(t, err)
	defer p.Close()
	m, err := pages.NewMemory(10_000, true)
	must(t, err)
	defer m.Free()
	content := ztest.Pattern(63).Bytes(25_000)
	_, err = p.Write(content)
	must(t, err)
	must(t, p.CloseWrite())
	for i, want := range []struct {
		n   int
		err error
	}{{10_000, nil}, {10_000, nil}, {5_000, io.ErrUnexpectedEOF}, {0, io.EOF}} {
		n, err := pages.ReadPages(p, m.Bytes())
		if n != want.n || err != want.err {
			t.Errorf("%d: %d, %v", i, n, err)
		}
		if n > 0 {
			ztest.Pattern(63).Check(t, m.Bytes()[:n], int64(10_000*i))
		}
	}
	for _, huge := range []bool{false, true} {
		for _, n := range []int{0, -1, 1<<30 + 1} {
			if _, err := pages.NewMemory(n, huge); err == nil {
				t.Errorf("memory of %d bytes", n)
			}
		}
		m, err := pages.NewMemory(1, huge)
		must(t, err)
		if len(m.Bytes()) != 1 {
			t.Error(len(m.Bytes()))
		}
		m.Free()
		m.Free()
		if m.Bytes() != nil {
			t.Error("memory after Free")
		}
	}
}

// TestReaderEnds: Close of the source and its deadline end a Read that waits.
func TestReaderEnds(t *testing.T) {
	t.Parallel()
	for name, splice := range ways {
		for what, tt := range map[string]struct {
			end  func(f ztest.Stream)
			want error
		}{
			"Close":    {func(f ztest.Stream) { f.Close() }, os.ErrClosed},
			"deadline": {func(f ztest.Stream) { f.SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		} {
			src := ztest.NewSource(t, ztest.Pipe, nil, ztest.Manual())
			r := pages.NewReader(src.Reader)
			r.SetSplice(splice)
			var err error
			task := ztest.Go(t, "Read", func() { _, err = r.Read(make([]byte, 100)) })
			task.AwaitParked()
			tt.end(src.Reader)
			task.Wait()
			if !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "read ") {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			if tt.want != os.ErrDeadlineExceeded {
				continue
			}
			src.Reader.SetReadDeadline(time.Time{})
			src.Feed([]byte("later"))
			b := make([]byte, 5)
			if _, err := pages.ReadPages(r, b); err != nil || string(b) != "later" {
				t.Errorf("%s: %q, %v", name, b, err)
			}
		}
	}
}

// TestReaderOff: vmsplice that is switched off, or refused, is a read; what it takes is counted.
func TestReaderOff(t *testing.T) { // not parallel: the switch and the counts are those of the process
	defer zerocopy.SetDefault(nil)
	for _, off := range []bool{false, true} {
		zerocopy.SetDefault(nil)
		by := zerocopy.Vmsplice
		if off {
			zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.Mechanisms(zerocopy.Vmsplice)})
			by = zerocopy.Buffered
		}
		src := ztest.NewSource(t, ztest.Pipe, ztest.Pattern(64).Bytes(50_000))
		r := pages.NewReader(src.Reader)
		r.SetSplice(true)
		got := make([]byte, 50_000)
		n := moved(by, func() {
			_, err := pages.ReadPages(r, got)
			must(t, err)
		})
		if n != 50_000 {
			t.Errorf("off %v: %d bytes by %v", off, n, by)
		}
		ztest.Pattern(64).Check(t, got, 0)
	}
}
