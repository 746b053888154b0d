package broadcast_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestH52Mixed: sinks that are no descriptors beside sinks that are, which the former do
// not slow down to their way.
func TestH52Mixed(t *testing.T) {
	t.Parallel()
	_, recorded := recording(t, ztest.Tmpfs)
	s := newShow(t, ztest.TCP4, recorded)
	spliced := []*viewer{s.view(ztest.TCP4, nil), s.view(ztest.Unix, nil), s.view(ztest.File, nil)}
	sum := sha256.New()
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	plain := []*viewer{
		s.viewBy(func(w io.Writer) io.Writer { return io.MultiWriter(w, sum) }, nil),
		s.viewBy(func(w io.Writer) io.Writer { return io.MultiWriter(w, pack) }, &broadcast.SinkOptions{Policy: broadcast.Demote}),
		s.viewBy(func(w io.Writer) io.Writer { return struct{ io.Writer }{w} }, &broadcast.SinkOptions{Policy: broadcast.Detach, MaxLag: 64 << 20}),
	}
	s.run(t.Context())
	for range 30 {
		s.feed(100_000, 1448, 1, 60_000)
		s.awaitAll()
	}
	s.finish()
	must(t, pack.Close())
	for _, v := range spliced {
		v.requireTee()
	}
	for _, v := range plain {
		if st := v.sink.Stats(); st.Mechanism != zerocopy.Buffered || st.Reason != zerocopy.ReasonNotDescriptor || st.Type == "" || st.Pipes != 0 {
			t.Errorf("%+v", st)
		}
	}
	if st := s.b.Stats(); st.Mechanism != zerocopy.Splice || s.count("write") > 0 {
		t.Errorf("the stream itself is written: %v, %+v", s.calls, st)
	}
	content := s.pattern.Bytes(int(s.fed))
	if want := sha256.Sum256(content); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("the digest differs")
	}
	unpack, err := gzip.NewReader(&packed)
	must(t, err)
	got, err := io.ReadAll(unpack)
	must(t, err)
	ztest.Equal(t, "gzip", got, content)
}

// TestH52Sources: a source that is not spliced is read and written once, however many
// sinks there are, and what was written is duplicated. Of a file or pipe Pages decides.
func TestH52Sources(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(50).Bytes(2 << 20) // as a show's
	var packed bytes.Buffer
	pack := gzip.NewWriter(&packed)
	pack.Write(content)
	must(t, pack.Close())
	for _, tt := range []struct {
		name   string
		src    func(t *testing.T) io.Reader
		pages  zerocopy.Pages
		reason zerocopy.Reason
	}{
		{"gzip.Reader", func(t *testing.T) io.Reader {
			r, err := gzip.NewReader(bytes.NewReader(packed.Bytes()))
			must(t, err)
			return r
		}, 0, zerocopy.ReasonNotDescriptor},
		{"a hidden connection", func(t *testing.T) io.Reader {
			return struct{ io.Reader }{ztest.NewSource(t, ztest.TCP4, content).Reader}
		}, zerocopy.Share, zerocopy.ReasonNotDescriptor},
		{"file", fromKind(ztest.File, content), zerocopy.AsIOCopy, zerocopy.ReasonPages},
		{"file", fromKind(ztest.File, content), zerocopy.Stable, zerocopy.ReasonStable},
		{"file", fromKind(ztest.File, content), zerocopy.Share, 0},
		{"pipe", fromKind(ztest.Pipe, content), zerocopy.AsIOCopy, zerocopy.ReasonPages},
		{"pipe", fromKind(ztest.Pipe, content), zerocopy.Stable, zerocopy.ReasonStable},
		{"pipe", fromKind(ztest.Pipe, content), zerocopy.Share, 0},
		{"socket file", fromKind(ztest.SockFile, content), zerocopy.Stable, 0},
		{"blocking pipe", fromKind(ztest.Pipe, content, ztest.Blocking()), zerocopy.Share, zerocopy.ReasonBlocking},
		{"blocking socket", fromKind(ztest.SockFile, content, ztest.Blocking()), zerocopy.AsIOCopy, zerocopy.ReasonBlocking},
		{"terminal", fromKind(ztest.PTY, content[:50_000], ztest.OtherEnd()), zerocopy.Share, zerocopy.ReasonDevice},
	} {
		t.Run(fmt.Sprintf("%s/%v", tt.name, tt.pages), func(t *testing.T) {
			t.Parallel()
			src := tt.src(t)
			s := &show{t: t, pattern: 50, calls: make(map[string]int)}
			s.open(src, func(_ *show, o *broadcast.Options) { o.Pages = tt.pages })
			for _, k := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.Pipe, ztest.File} {
				s.view(k, nil)
			}
			s.run(t.Context())
			s.fed = int64(len(content))
			if tt.name == "terminal" { // which has no end
				s.fed = 50_000
				s.awaitTaken()
				s.b.End()
			}
			s.wait()
			for _, v := range s.viewers {
				v.whole()
				v.requireTee()
			}
			st := s.b.Stats()
			if s.err != nil || st.Position != s.fed {
				t.Errorf("Run: %v, %+v", s.err, st)
			}
			if st.Reason != tt.reason || (st.Mechanism == zerocopy.Splice) != (tt.reason == 0) || (st.Type == "") != (tt.reason == 0) {
				t.Errorf("%+v, want %v", st, tt.reason)
			}
			if tt.reason == 0 {
				s.requireKernel()
				return
			}
			writes := s.count("write")
			if s.mu.Lock(); s.foreign > 0 || writes == 0 || s.calls["tee"] < 2*writes {
				t.Errorf("not written once and duplicated: %v, %d reads of pipes", s.calls, s.foreign)
			}
			s.mu.Unlock()
		})
	}
}

func fromKind(k ztest.Kind, content []byte, opts ...ztest.Option) func(t *testing.T) io.Reader {
	return func(t *testing.T) io.Reader { return ztest.NewSource(t, k, content, opts...).Reader }
}

// TestH53FileOverwritten: a file that is overwritten while its bytes are on their way
// reaches all sinks as it was, unless its pages are to be shared (H12).
func TestH53FileOverwritten(t *testing.T) {
	t.Parallel()
	const size = 512 << 10
	for _, pages := range []zerocopy.Pages{zerocopy.AsIOCopy, zerocopy.Stable, zerocopy.Share} {
		t.Run(pages.String(), func(t *testing.T) {
			t.Parallel()
			content := ztest.Pattern(50).Bytes(size)
			src := ztest.NewSource(t, ztest.Tmpfs, content)
			s := &show{t: t, pattern: 50, calls: make(map[string]int)}
			s.open(src.Reader, func(_ *show, o *broadcast.Options) { o.Pages = pages })
			var sinks []*ztest.Dest
			for _, k := range []ztest.Kind{ztest.Pipe, ztest.Unix, ztest.TCP4} {
				d := ztest.NewDest(t, k, ztest.StallAfter(0), ztest.Buffers(16<<10))
				_, err := s.b.Add(d.Writer, nil)
				must(t, err)
				sinks = append(sinks, d)
			}
			s.run(t.Context())
			ztest.Eventually(t, ztest.Patience, "the end of the source", func() bool { return s.b.Stats().Ended })
			_, err := src.Reader.(*os.File).WriteAt(ztest.Pattern(51).Bytes(size), 0)
			must(t, err)
			for _, d := range sinks {
				d.Resume()
			}
			s.wait()
			changed := 0
			for _, d := range sinks {
				if !bytes.Equal(d.Finish(), content) {
					changed++
				}
			}
			if want := map[bool]int{true: len(sinks)}[pages == zerocopy.Share]; changed != want || s.err != nil {
				t.Errorf("%d of %d sinks have seen the change, want %d: %v", changed, len(sinks), want, s.err)
			}
		})
	}
}
