package zerocopy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestFanContextReachesWriters: what a plain copy writes to can be ended, too, where
// the descriptors are known.
func TestFanContextReachesWriters(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]io.Reader{
		"unknown Reader": struct{ io.Reader }{ztest.Pattern(1).Reader(8 << 20)},
		"in memory":      bytes.NewReader(make([]byte, 8<<20)),
		"TeeReader":      io.TeeReader(ztest.Pattern(1).Reader(8<<20), io.Discard),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst, other := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(1000), ztest.Buffers(small)), new(bytes.Buffer)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			c := track(t, nil)
			r := c.begin(t, ctx, io.MultiWriter(other, dst.Writer), from)
			dst.AwaitFull()
			r.AwaitParkedToWrite()
			cancel(errCause)
			r.Wait()
			if !errors.Is(r.err, errCause) {
				t.Error(r.n, r.err)
			}
		})
	}
}

// TestFanContextOutlivesDeadlines: a context that has ended ends the copy, although a
// sink's callback sets anew the deadlines by which it would have ended.
func TestFanContextOutlivesDeadlines(t *testing.T) {
	t.Parallel()
	for _, l := range layouts {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			s := &fanScene{t: t, layout: l, m: ofOur, c: track(t, nil)}
			s.src = ztest.NewSource(t, ztest.TCP4, ztest.Pattern(94).Bytes(4<<20), ztest.NoEOF())
			first, stuck, last := ztest.NewDest(t, ztest.Unix), ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(0), ztest.Buffers(small)), ztest.NewDest(t, ztest.Unix)
			for n := 1; n > 0; { // what is on its way to the peer makes room once more
				stuck.Writer.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
				n, _ = stuck.Writer.Write(make([]byte, 1<<20))
			}
			stuck.Writer.SetWriteDeadline(time.Time{})
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			rearm := func() {
				cancel(errCause)
				for _, d := range []*ztest.Dest{first, stuck, last} {
					awaitExpired(t, d.Writer, "write")
					d.Writer.SetWriteDeadline(time.Time{})
				}
				s.src.Reader.SetReadDeadline(time.Time{})
			}
			s.w = [3]io.Writer{&moving{Stream: first.Writer, moved: rearm}, stuck.Writer, last.Writer}
			dst, src := s.ends()
			r := s.c.begin(t, ctx, dst, src)
			r.Wait()
			if !errors.Is(r.err, errCause) {
				t.Errorf("%d, %v", r.n, r.err)
			}
		})
	}
}

// TestFanContextReachesWrapped: the connections that are waited for may be inside of
// others: a wrapper that has no deadline of its own, MultiWriters of both kinds.
func TestFanContextReachesWrapped(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(w io.Writer) io.Writer{
		"bare":              func(w io.Writer) io.Writer { return w },
		"opt-in":            func(w io.Writer) io.Writer { return &toldWriter2{&told{Writer: w}} },
		"MultiWriter of io": func(w io.Writer) io.Writer { return io.MultiWriter(io.Discard, io.MultiWriter(w)) },
		"MultiWriter":       func(w io.Writer) io.Writer { return zerocopy.MultiWriter(io.MultiWriter(w), io.Discard) },
		"Writer":            func(w io.Writer) io.Writer { return zerocopy.NewWriter(w) },
		"bufio.Writer":      func(w io.Writer) io.Writer { return bufio.NewWriter(w) },
	} {
		for _, l := range layouts {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/%v", name, l, known), func(t *testing.T) {
					t.Parallel()
					s := &fanScene{t: t, layout: l, m: ofIO, c: track(t, nil)}
					s.src = ztest.NewSource(t, ztest.TCP4, ztest.Pattern(97).Bytes(4<<20))
					stuck := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(1000), ztest.Buffers(small))
					s.w = [3]io.Writer{new(bytes.Buffer), wrap(stuck.Writer), new(bytes.Buffer)}
					if !known {
						s.src.Reader = hiddenStream{s.src.Reader}
					}
					ctx, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					dst, src := s.ends()
					r := s.c.begin(t, ctx, dst, src)
					stuck.AwaitFull()
					r.AwaitParkedToWrite()
					cancel(errCause)
					r.Wait()
					if !errors.Is(r.err, errCause) {
						t.Error(r.n, r.err)
					}
				})
			}
		}
	}
}

// A hiddenStream is of a type that nobody knows.
type hiddenStream struct{ ztest.Stream }
