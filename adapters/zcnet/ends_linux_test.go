package zcnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/bothends"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A scene is a copy between two Conns that waits at one of them.
type scene struct {
	*ztest.Task
	src      *ztest.Source
	dst      *ztest.Dest
	from, to zcnet.Conn
	atSource bool
	report   zerocopy.Report
	n        int64
	err      error
}

// begin starts a copy that waits for its source, or for its destination.
func begin(t testing.TB, ctx context.Context, kind ztest.Kind, atSource bool) *scene {
	t.Helper()
	s := &scene{atSource: atSource}
	if atSource {
		s.src, s.dst = ztest.NewSource(t, kind, nil, ztest.Manual()), ztest.NewDest(t, kind)
	} else {
		s.src = ztest.NewSource(t, kind, ztest.Pattern(2).Bytes(bulk), ztest.NoEOF())
		s.dst = ztest.NewDest(t, kind, ztest.StallAfter(50_000), ztest.Buffers(32<<10))
	}
	s.from, s.to = conn(s.src.Reader), conn(s.dst.Writer)
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) { s.report = r }}
	s.Task = ztest.Go(t, "Copy", func() { s.n, s.err = c.Copy(ctx, s.to, s.from) })
	if !atSource {
		s.dst.AwaitFull()
	}
	s.AwaitParked()
	return s
}

// whole demands that every byte is at the destination, handed back, or still to be read.
func (s *scene) whole(t testing.TB) {
	t.Helper()
	if s.atSource {
		return
	}
	got := s.dst.Finish()
	ztest.Equal(t, "received", got, s.src.Content[:s.n])
	var left *zerocopy.PartialError
	if errors.As(s.err, &left) {
		ztest.Equal(t, "handed back", left.Unwritten, s.src.Content[s.n:][:len(left.Unwritten)])
	}
}

var scenes = []struct {
	kind     ztest.Kind
	atSource bool
}{{ztest.TCP4, true}, {ztest.TCP4, false}, {ztest.Unix, true}, {ztest.Unix, false}}

// TestEndsWithEither (H22): a copy between two Conns ends with either, whichever it waits
// for, by Close and by deadline, with the error of the one that ended.
func TestEndsWithEither(t *testing.T) {
	t.Parallel()
	for _, sc := range scenes {
		for _, tt := range []struct {
			name string
			act  func(*scene) error
			op   string
			want error
			end  zerocopy.End
		}{
			{"source closed", func(s *scene) error { return s.from.Close() }, "read", net.ErrClosed, zerocopy.SourceEnd},
			{"destination closed", func(s *scene) error { return s.to.Close() }, "write", net.ErrClosed, zerocopy.DestinationEnd},
			{"source expired", func(s *scene) error { return s.from.SetReadDeadline(time.Unix(1, 0)) }, "read", os.ErrDeadlineExceeded, zerocopy.SourceEnd},
			{"destination expired", func(s *scene) error { return s.to.SetWriteDeadline(time.Unix(1, 0)) }, "write", os.ErrDeadlineExceeded, zerocopy.DestinationEnd},
			{"source expires", func(s *scene) error { return s.from.SetDeadline(time.Now().Add(5 * time.Millisecond)) }, "read", os.ErrDeadlineExceeded, zerocopy.SourceEnd},
			{"destination expires", func(s *scene) error { return s.to.SetDeadline(time.Now().Add(5 * time.Millisecond)) }, "write", os.ErrDeadlineExceeded, zerocopy.DestinationEnd},
			{"source expires, moved up", func(s *scene) error {
				s.from.SetReadDeadline(time.Now().Add(time.Hour))
				return s.from.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			}, "read", os.ErrDeadlineExceeded, zerocopy.SourceEnd},
		} {
			t.Run(string(sc.kind)+map[bool]string{true: "/at source/", false: "/at destination/"}[sc.atSource]+tt.name, func(t *testing.T) {
				t.Parallel()
				s := begin(t, nil, sc.kind, sc.atSource)
				must(t, tt.act(s))
				s.Wait()
				if !isOp(s.err, tt.op, tt.want) || s.report.Failed != tt.end {
					t.Errorf("%v, failed %v", s.err, s.report.Failed)
				}
				// The other end has the deadline that its user had set: none.
				if tt.end == zerocopy.SourceEnd {
					if s.atSource {
						if _, err := s.to.Write([]byte("x")); err != nil {
							t.Error("destination afterwards:", err)
						}
					}
				} else if s.atSource {
					s.src.Feed([]byte("x"))
					if _, err := s.from.Read(make([]byte, 1)); err != nil {
						t.Error("source afterwards:", err)
					}
				}
				s.whole(t)
			})
		}
	}
}

// TestEndsNot: what must not end a copy.
func TestEndsNot(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		act  func(*scene) (done bool) // or else once more, since it came too late
	}{
		{"deadlines of the other kind", func(s *scene) bool {
			s.from.SetWriteDeadline(time.Unix(1, 0))
			s.to.SetReadDeadline(time.Unix(1, 0))
			return true
		}},
		{"deadlines moved on in time", func(s *scene) bool {
			at := time.Now().Add(50 * time.Millisecond)
			s.from.SetDeadline(at)
			s.to.SetDeadline(at)
			s.from.SetReadDeadline(time.Now().Add(time.Hour))
			s.to.SetWriteDeadline(time.Time{})
			inTime := time.Now().Before(at)
			time.Sleep(70 * time.Millisecond)
			return inTime
		}},
		{"the end of another copy", func(s *scene) bool {
			a, b := tcpPair(t)
			other := zcnet.NewConn(a)
			b.Close()
			io.Copy(other, other)
			other.Close()
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, nil, ztest.TCP4, true)
			for !tt.act(s) {
				s.from.Close()
				s.Wait()
				s = begin(t, nil, ztest.TCP4, true)
			}
			s.AwaitParked()
			s.src.Feed([]byte("x"))
			s.dst.AwaitReceived(1)
			s.src.End()
			s.Wait()
			if s.n != 1 || s.err != nil {
				t.Error(s.n, s.err)
			}
		})
	}
}

// TestEndsBefore: a Conn that is closed, or past its deadline, before the copy.
func TestEndsBefore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		act  func(from, to zcnet.Conn)
		op   string
		want error
	}{
		{"source closed", func(from, _ zcnet.Conn) { from.Close() }, "read", net.ErrClosed},
		{"destination closed", func(_, to zcnet.Conn) { to.Close() }, "write", net.ErrClosed},
		{"source expired", func(from, _ zcnet.Conn) { from.SetDeadline(time.Unix(1, 0)) }, "read", os.ErrDeadlineExceeded},
		{"destination expired", func(_, to zcnet.Conn) { to.SetDeadline(time.Unix(1, 0)) }, "write", os.ErrDeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			src, dst := ztest.NewSource(t, ztest.TCP4, []byte("x"), ztest.NoEOF()), ztest.NewDest(t, ztest.TCP4)
			from, to := conn(src.Reader), conn(dst.Writer)
			tt.act(from, to)
			if n, err := io.Copy(to, from); n != 0 || !isOp(err, tt.op, tt.want) {
				t.Error(n, err)
			}
		})
	}
}

// TestEndsContext: the cancellation of a copy between Conns is reported as such.
func TestEndsContext(t *testing.T) {
	t.Parallel()
	for _, sc := range scenes {
		ctx, cancel := context.WithCancelCause(t.Context())
		cause := errors.New("enough")
		s := begin(t, ctx, sc.kind, sc.atSource)
		cancel(cause)
		s.Wait()
		if !errors.Is(s.err, cause) || s.report.Failed != zerocopy.NoEnd {
			t.Error(s.err, s.report.Failed)
		}
	}
}

// An idler moves its read deadline before each wait.
type idler struct {
	net.Conn
	timeout time.Duration
}

func (i *idler) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: i, Reader: i.Conn, Before: func() error {
		return i.SetReadDeadline(time.Now().Add(i.timeout))
	}}, true
}

// TestEndsIdler: a wrapper's deadline for each wait at the source, stale while the copy waits
// at the destination, does not end it.
func TestEndsIdler(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(bulk)
	src := ztest.NewSource(t, ztest.TCP4, content)
	dst := ztest.NewDest(t, ztest.TCP4, ztest.StallAfter(50_000), ztest.Buffers(32<<10))
	from := &idler{conn(src.Reader), 30 * time.Millisecond}
	var n int64
	var err error
	run := ztest.Go(t, "Copy", func() { n, err = zerocopy.Copy(conn(dst.Writer), from) })
	dst.AwaitFull()
	run.AwaitParked()
	time.Sleep(60 * time.Millisecond)
	dst.Resume()
	run.Wait()
	if n != bulk || err != nil {
		t.Error(n, err)
	}
}

// TestEndsTee: a copy to several connections leaves the deadlines of all as they are.
func TestEndsTee(t *testing.T) {
	t.Parallel()
	src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
	dst, third := ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.TCP4)
	to, beside := conn(dst.Writer), conn(third.Writer)
	run := ztest.Go(t, "Copy", func() { zerocopy.Copy(to, io.TeeReader(conn(src.Reader), beside)) })
	run.AwaitParked()
	to.Close()
	src.Feed([]byte("x"))
	run.Wait()
	if _, err := beside.Write([]byte("y")); err != nil {
		t.Error(err)
	}
}

// TestEndsDeadlineLost: a deadline that the user moves on after the copy was told does not
// keep it waiting: the source is closed while the copy waits at the destination, whose
// deadline somebody keeps moving on.
func TestEndsDeadlineLost(t *testing.T) {
	t.Parallel()
	for range 20 {
		s := begin(t, nil, ztest.Unix, false)
		quit, gone := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(gone)
			for {
				select {
				case <-quit:
					return
				default:
					s.to.SetWriteDeadline(time.Now().Add(time.Hour))
				}
			}
		}()
		s.from.Close()
		s.Wait()
		close(quit)
		<-gone
		if !isOp(s.err, "read", net.ErrClosed) {
			t.Error(s.err)
		}
	}
}

// TestEndsTogether: two copies in opposite directions, as of a tunnel, both end when one of
// the connections is closed, or both are, from two goroutines. One that leaves must not
// restore the deadline that wakes the other.
func TestEndsTogether(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  func(a, b zcnet.Conn)
	}{
		{"one", func(a, _ zcnet.Conn) { a.Close() }},
		{"the other", func(_, b zcnet.Conn) { b.Close() }},
		{"both", func(a, b zcnet.Conn) {
			var wait sync.WaitGroup
			wait.Go(func() { a.Close() })
			wait.Go(func() { b.Close() })
			wait.Wait()
		}},
		{"a deadline of one", func(a, _ zcnet.Conn) { a.SetDeadline(time.Unix(1, 0)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for range 60 {
				_, x := pair(t, "unix")
				_, y := pair(t, "unix")
				a, b := zcnet.NewConn(x), zcnet.NewConn(y)
				var there, back error
				one := ztest.Go(t, "there", func() { _, there = io.Copy(b, a) })
				two := ztest.Go(t, "back", func() { _, back = io.Copy(a, b) })
				one.AwaitParked()
				two.AwaitParked()
				tt.end(a, b)
				one.Wait()
				two.Wait()
				if there == nil || back == nil {
					t.Error(there, back)
				}
				a.Close()
				b.Close()
			}
		})
	}
}

// TestEndsMany: copies one after the other on the same Conns leave nothing behind that
// would end the next, and deadlines are what the user has set.
func TestEndsMany(t *testing.T) {
	t.Parallel()
	src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
	from, to := conn(src.Reader), conn(dst.Writer)
	for i := range 100 {
		must(t, from.SetReadDeadline(time.Now().Add(time.Hour)))
		if i%3 == 0 {
			must(t, to.SetWriteDeadline(time.Unix(1, 0)))
			if n, err := io.Copy(to, from); n != 0 || !isTimeout(err, "write") {
				t.Fatal(n, err)
			}
			must(t, to.SetWriteDeadline(time.Time{}))
		}
		src.Feed([]byte("0123456789"))
		if n, err := io.CopyN(to, from, 10); n != 10 || err != nil {
			t.Fatal(n, err)
		}
	}
	dst.AwaitReceived(1000)
}

// TestEndsStorm: Close and deadlines of both ends, at random times, for the race detector.
func TestEndsStorm(t *testing.T) {
	t.Parallel()
	var wait sync.WaitGroup
	for i := range 40 {
		p, x := pair(t, []string{"tcp", "unix"}[i%2])
		y, q := pair(t, "tcp")
		a, b := zcnet.NewConn(x), zcnet.NewConn(y)
		wait.Go(func() { io.Copy(a, b) })
		wait.Go(func() { io.Copy(b, a) })
		wait.Go(func() { io.Copy(p, ztest.Pattern(i).Reader(bulk)) })
		wait.Go(func() { io.Copy(io.Discard, q) })
		for k, c := range []zcnet.Conn{a, b, a, b} {
			wait.Go(func() {
				time.Sleep(time.Duration(i*k) * 50 * time.Microsecond)
				c.SetDeadline(time.Now().Add(time.Duration(i) * time.Millisecond))
				time.Sleep(time.Duration(i%7) * time.Millisecond)
				c.Close()
				p.Close()
				q.Close()
			})
		}
	}
	wait.Wait()
}

// A cancelling connection cancels the copy that asks what it is.
type cancelling struct {
	zcnet.Conn
	cancel func()
}

func (c *cancelling) UnwrapReader() (zerocopy.InnerReader, bool) {
	c.cancel()
	time.Sleep(20 * time.Millisecond) // for the watch to hear of it
	return zerocopy.InnerReader{Self: c, Reader: c.Conn}, true
}

// TestCancelledBeforeKnown: a copy that is cancelled before it knows what lies under its ends
// leaves the deadline alone that the user has set to a Conn.
func TestCancelledBeforeKnown(t *testing.T) {
	t.Parallel()
	a, _ := ztest.TCPPair(t, ztest.TCP4)
	b, _ := ztest.TCPPair(t, ztest.TCP4)
	src := zcnet.NewConn(a)
	src.SetReadDeadline(time.Now().Add(2 * time.Second))
	ctx, cancel := context.WithCancelCause(t.Context())
	passing := &bothends.Passing{Err: errors.New("passing")}
	_, err := zerocopy.CopyContext(ctx, zcnet.NewConn(b), &cancelling{src, func() { cancel(passing) }})
	if !errors.Is(err, passing) {
		t.Error(err)
	}
	ztest.Within(t, ztest.Patience, "the user's deadline", func() {
		if _, err := src.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}
