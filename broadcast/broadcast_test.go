package broadcast_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// These tests need no descriptor but the recording's, and run on every system.

var everyPolicy = []broadcast.Policy{broadcast.Block, broadcast.Detach, broadcast.Demote}

// runAll runs b, and fails the test if that does not end.
func runAll(t testing.TB, b *broadcast.Broadcast) (err error) {
	t.Helper()
	ztest.Within(t, ztest.Patience, "Run", func() { err = b.Run(t.Context()) })
	return err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newFile returns an empty file that is open for reading and writing.
func newFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// why is the reason for which a sink or a source that is no descriptor is not spliced.
func why() zerocopy.Reason {
	if sys.Supported {
		return zerocopy.ReasonNotDescriptor
	}
	return zerocopy.ReasonPlatform
}

// TestH52Writers: sinks of which only Write is known.
func TestH52Writers(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(52).Bytes(300_001)
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	pack.Write(content)
	must(t, pack.Close())
	for name, src := range map[string]func() io.Reader{
		"strings.Reader": func() io.Reader { return strings.NewReader(string(content)) },
		"gzip.Reader": func() io.Reader {
			r, err := gzip.NewReader(bytes.NewReader(packed.Bytes()))
			must(t, err)
			return r
		},
		"the end with the last bytes": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(content)) },
		"now and then nothing":        func() io.Reader { return &hesitant{r: bytes.NewReader(content)} },
		"seven bytes at a time":       func() io.Reader { return &fewBytes{bytes.NewReader(content)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := newFile(t)
			b, err := broadcast.New(src(), &broadcast.Options{Recording: rec})
			must(t, err)
			var buf, zipped, hidden bytes.Buffer
			var sum hash.Hash = sha256.New()
			zip := gzip.NewWriter(&zipped)
			var sinks []*broadcast.Sink
			for i, w := range []io.Writer{&buf, sum, zip, struct{ io.Writer }{&hidden}} {
				s, err := b.Add(w, &broadcast.SinkOptions{Policy: everyPolicy[i%2*2], FromStart: i == 3})
				must(t, err)
				sinks = append(sinks, s)
			}
			if err := runAll(t, b); err != nil {
				t.Errorf("Run: %v", err)
			}
			must(t, zip.Close())
			unzipped, err := gzip.NewReader(&zipped)
			must(t, err)
			plain, err := io.ReadAll(unzipped)
			must(t, err)
			recorded, err := os.ReadFile(rec.Name())
			must(t, err)
			ztest.Equal(t, "bytes.Buffer", buf.Bytes(), content)
			ztest.Equal(t, "gzip.Writer", plain, content)
			ztest.Equal(t, "from the start", hidden.Bytes(), content)
			ztest.Equal(t, "recording", recorded, content)
			if got := sha256.Sum256(content); !bytes.Equal(sum.Sum(nil), got[:]) {
				t.Error("the digest differs")
			}
			for _, s := range sinks {
				st := s.Stats()
				if st.Err != nil || s.Wait() != nil || st.Position != int64(len(content)) || st.Live+st.Recorded != st.Position ||
					st.Mechanism != zerocopy.Buffered || st.Reason != why() || st.Type == "" || st.Pipes != 0 {
					t.Errorf("%+v", st)
				}
			}
			if st := b.Stats(); st.Mechanism != zerocopy.Buffered || st.Reason != why() || st.Type == "" || !st.Ended ||
				st.Position != int64(len(content)) || st.Recording.Position != st.Position || st.Recording.State != broadcast.Ended {
				t.Errorf("%+v", st)
			}
		})
	}
}

// A hesitant returns nothing, and no error, every other time.
type hesitant struct {
	r   io.Reader
	now bool
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.now = !h.now; !h.now {
		return 0, nil
	}
	return h.r.Read(p)
}

type fewBytes struct{ r io.Reader }

func (f *fewBytes) Read(p []byte) (int, error) { return f.r.Read(p[:min(len(p), 7)]) }

// A liar is a Writer whose nth Write answers (k, err).
type liar struct {
	buf bytes.Buffer
	n   int
	k   func(n int) int
	err error
}

func (l *liar) Write(p []byte) (int, error) {
	if l.n--; l.n != 0 {
		return l.buf.Write(p)
	}
	k := l.k(len(p))
	l.buf.Write(p[:max(0, min(k, len(p)))])
	return k, l.err
}

// TestH52BadWriters: a Writer that fails, or breaks the contract of io.Writer, ends its
// own sink, at the byte up to which it has said that it has all.
func TestH52BadWriters(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, tt := range []struct {
		name string
		l    liar
		want error
		has  bool // what the last Write took counts
	}{
		{"fails", liar{k: func(int) int { return 0 }, err: broken}, broken, true},
		{"fails in the middle", liar{k: func(n int) int { return n / 2 }, err: broken}, broken, true},
		{"fails at the end", liar{k: func(n int) int { return n }, err: broken}, broken, true},
		{"short without an error", liar{k: func(n int) int { return n / 2 }}, io.ErrShortWrite, true},
		{"nothing without an error", liar{k: func(int) int { return 0 }}, io.ErrShortWrite, true},
		{"more than there was", liar{k: func(n int) int { return n + 1 }}, io.ErrShortWrite, false},
		{"negative", liar{k: func(int) int { return -1 }}, io.ErrShortWrite, false},
	} {
		for _, fromStart := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/from start %v", tt.name, fromStart), func(t *testing.T) {
				t.Parallel()
				content := ztest.Pattern(53).Bytes(600_000)
				b, err := broadcast.New(bytes.NewReader(content), &broadcast.Options{Recording: newFile(t)})
				must(t, err)
				good := new(bytes.Buffer)
				bad := tt.l
				bad.n = 2
				s, err := b.Add(&bad, &broadcast.SinkOptions{FromStart: fromStart, Name: "bad"})
				must(t, err)
				_, err = b.Add(good, &broadcast.SinkOptions{Name: "good"})
				must(t, err)
				if err := runAll(t, b); err != nil {
					t.Errorf("Run: %v", err)
				}
				ztest.Equal(t, "good", good.Bytes(), content)
				st := s.Stats()
				if !fromStart && !errors.Is(st.Err, tt.want) || st.Err == nil || st.State != broadcast.Ended {
					t.Errorf("ended with %v, want %v", st.Err, tt.want)
				}
				if got := bad.buf.Bytes(); tt.has && (st.Position != int64(len(got)) || !bytes.Equal(got, content[:len(got)])) {
					t.Errorf("at byte %d, the Writer has %d: %s", st.Position, len(got), ztest.Diff(got, content[:len(got)]))
				}
			})
		}
	}
}

// TestH52BadReaders: what came before the error gets to the sinks, which end with it.
func TestH52BadReaders(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(54).Bytes(200_000)
	broken := errors.New("broken")
	for name, tt := range map[string]struct {
		src  io.Reader
		want error // nil is any
		n    int
	}{
		"fails":              {io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), broken, len(content)},
		"fails at once":      {iotest.ErrReader(broken), broken, 0},
		"fails with bytes":   {&failing{content, broken}, broken, len(content)},
		"ErrUnexpectedEOF":   {io.MultiReader(bytes.NewReader(content), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF, len(content)},
		"more than the room": {&miscount{1 << 20}, nil, 0},
		"a negative count":   {&miscount{-1}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := broadcast.New(tt.src, &broadcast.Options{Recording: newFile(t)})
			must(t, err)
			var live, late bytes.Buffer
			s, err := b.Add(&live, nil)
			must(t, err)
			recorded, err := b.Add(&late, &broadcast.SinkOptions{FromStart: true})
			must(t, err)
			got := runAll(t, b)
			if got == nil || tt.want != nil && got != tt.want || s.Wait() != got || recorded.Wait() != got {
				t.Errorf("Run: %v, sinks: %v and %v, want %v", got, s.Wait(), recorded.Wait(), tt.want)
			}
			if rec := b.Stats().Recording; rec.Err != nil || rec.State != broadcast.Ended || rec.Position != int64(tt.n) {
				t.Errorf("recording: %v", rec)
			}
			ztest.Equal(t, "live", live.Bytes(), content[:tt.n])
			ztest.Equal(t, "from the start", late.Bytes(), content[:tt.n])
		})
	}
}

type failing struct {
	p   []byte
	err error
}

func (f *failing) Read(p []byte) (n int, err error) {
	n = copy(p, f.p)
	if f.p = f.p[n:]; len(f.p) == 0 {
		err = f.err
	}
	return n, err
}

type miscount struct{ n int }

func (m *miscount) Read([]byte) (int, error) { return m.n, nil }

// TestNobodyIsThere: without a sink the stream flows on, and who joins gets what comes
// next.
func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(55).Bytes(100_000)
	r, w := io.Pipe()
	b, err := broadcast.New(r, nil)
	must(t, err)
	done := ztest.Go(t, "Run", func() {
		if err := b.Run(context.Background()); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	w.Write(content[:70_000])
	ztest.Eventually(t, ztest.Patience, "bytes", func() bool { return b.Stats().Position == 70_000 })
	var buf bytes.Buffer
	s, err := b.Add(&buf, &broadcast.SinkOptions{Prefix: []byte("head ")})
	must(t, err)
	w.Write(content[70_000:])
	w.Close()
	done.Wait()
	ztest.Equal(t, "what came next", buf.Bytes(), append([]byte("head "), content[70_000:]...))
	if st := s.Stats(); st.From != 70_000 || st.Position != 100_000 || st.Live != 30_000 {
		t.Errorf("%+v", st)
	}
	if st := b.Stats(); st.Recording != nil {
		t.Errorf("%+v", st)
	}
}
