package zcnet_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// bulk is a stream that is spliced for the most part.
const bulk = 2 << 20

// conn returns s as a Conn.
func conn(s ztest.Stream) zcnet.Conn { return zcnet.NewConn(s.(net.Conn)) }

// mostlySpliced copies, again if need be, until half of bulk is spliced. A copy that is as quick as
// its source's peer may find every other buffer not quite full, and then it is not bulk.
func mostlySpliced(t *testing.T, again func() zerocopy.Report) {
	t.Helper()
	var report zerocopy.Report
	for range 5 {
		if report = again(); report.Bytes(zerocopy.Splice) >= bulk/2 || t.Failed() {
			return
		}
	}
	t.Error(report)
}

// TestConnSplices: with a Conn at either end or at both, the kernel moves what it moves
// without, also under the wrappers of the standard library.
func TestConnSplices(t *testing.T) {
	t.Parallel()
	both := func(w io.Writer, r io.Reader) (io.Writer, io.Reader) { return w, r }
	for _, tt := range []struct {
		name     string
		from, to bool // a Conn
		wrap     func(io.Writer, io.Reader) (io.Writer, io.Reader)
		prefix   int64 // bytes that pass user memory besides the start of the stream
	}{
		{"source", true, false, both, 0},
		{"destination", false, true, both, 0},
		{"both", true, true, both, 0},
		{"limited", true, true, func(w io.Writer, r io.Reader) (io.Writer, io.Reader) { return w, io.LimitReader(r, bulk) }, 0},
		{"limited twice", true, true, func(w io.Writer, r io.Reader) (io.Writer, io.Reader) {
			return w, io.LimitReader(io.LimitReader(r, bulk), bulk+1)
		}, 0},
		{"bufio.Reader", true, true, func(w io.Writer, r io.Reader) (io.Writer, io.Reader) { return w, bufio.NewReader(r) }, 0},
		{"MultiReader", true, true, func(w io.Writer, r io.Reader) (io.Writer, io.Reader) { return w, io.MultiReader(r) }, 0},
		{"bufio.Writer", true, true, func(w io.Writer, r io.Reader) (io.Writer, io.Reader) { return bufio.NewWriter(w), r }, 0},
	} {
		for _, kinds := range [][2]ztest.Kind{{ztest.TCP4, ztest.TCP4}, {ztest.TCP6, ztest.Unix}, {ztest.Unix, ztest.TCP4}, {ztest.Unix, ztest.Unix}} {
			t.Run(tt.name+"/"+string(kinds[0])+"→"+string(kinds[1]), func(t *testing.T) {
				t.Parallel()
				content := ztest.Pattern(3).Bytes(bulk)
				mostlySpliced(t, func() zerocopy.Report {
					src, dst := ztest.NewSource(t, kinds[0], content), ztest.NewDest(t, kinds[1])
					var r io.Reader = src.Reader
					var w io.Writer = dst.Writer
					if tt.from {
						r = conn(src.Reader)
					}
					if tt.to {
						w = conn(dst.Writer)
					}
					w, r = tt.wrap(w, r)
					var report zerocopy.Report
					c := &zerocopy.Copier{Report: func(got zerocopy.Report) { report = got }}
					n, err := c.Copy(context.Background(), w, r)
					if n != bulk || err != nil {
						t.Error(n, err)
					}
					ztest.Equal(t, "received", dst.Finish(), content)
					return report
				})
			})
		}
	}
}

// TestConnIOCopy: io.Copy finds the methods of a Conn, which the counts of the process show.
// Not in parallel: others count, too.
func TestConnIOCopy(t *testing.T) {
	for _, tt := range []struct {
		name string
		copy func(dst, src ztest.Stream) (int64, error)
	}{
		{"WriteTo", func(dst, src ztest.Stream) (int64, error) {
			return io.Copy(struct{ ztest.Stream }{dst}.Stream, conn(src))
		}},
		{"ReadFrom", func(dst, src ztest.Stream) (int64, error) { return io.Copy(conn(dst), io.LimitReader(src, bulk)) }},
		{"both", func(dst, src ztest.Stream) (int64, error) { return io.Copy(conn(dst), conn(src)) }},
		{"CopyN", func(dst, src ztest.Stream) (int64, error) { return io.CopyN(conn(dst), conn(src), bulk) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			content := ztest.Pattern(4).Bytes(bulk)
			src, dst := ztest.NewSource(t, ztest.Unix, content), ztest.NewDest(t, ztest.TCP4)
			before := zerocopy.ReadStats()
			if n, err := tt.copy(dst.Writer, src.Reader); n != bulk || err != nil {
				t.Error(n, err)
			}
			after := zerocopy.ReadStats()
			if k := after.Bytes(zerocopy.Splice) - before.Bytes(zerocopy.Splice); k < bulk/2 || after.Copies != before.Copies+1 {
				t.Errorf("%d bytes spliced in %d copies", k, after.Copies-before.Copies)
			}
			ztest.Equal(t, "received", dst.Finish(), content)
		})
	}
}

// TestConnSendfile: a file goes to a Conn by sendfile, whether ReadFrom or Copy is called.
func TestConnSendfile(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(5).Bytes(bulk)
	src, dst := ztest.NewSource(t, ztest.File, content), ztest.NewDest(t, ztest.TCP4)
	var report zerocopy.Report
	c := &zerocopy.Copier{Report: func(got zerocopy.Report) { report = got }}
	if n, err := c.Copy(context.Background(), conn(dst.Writer), src.Reader); n != bulk || err != nil || report.Bytes(zerocopy.Sendfile) != bulk {
		t.Error(n, err, report)
	}
	ztest.Equal(t, "received", dst.Finish(), content)
}

// TestConnDeadlines: a deadline set through a Conn holds during a copy and afterwards.
func TestConnDeadlines(t *testing.T) {
	t.Parallel()
	src, dst := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual()), ztest.NewDest(t, ztest.TCP4)
	from, to := conn(src.Reader), conn(dst.Writer)
	far := time.Now().Add(time.Hour)
	must(t, from.SetReadDeadline(far))
	var err error
	run := ztest.Go(t, "io.Copy", func() { _, err = io.Copy(to, from) })
	run.AwaitParked()
	must(t, from.SetReadDeadline(far.Add(time.Hour))) // later: ends nothing
	src.Feed([]byte("x"))
	dst.AwaitReceived(1)
	run.AwaitParked()
	must(t, from.SetReadDeadline(time.Now().Add(time.Millisecond)))
	run.Wait()
	if !isTimeout(err, "read") {
		t.Error(err)
	}
	if _, err := from.Read(make([]byte, 1)); !isTimeout(err, "read") {
		t.Error("afterwards:", err)
	}
	must(t, from.SetReadDeadline(time.Time{}))
	src.Feed([]byte("y"))
	if p := make([]byte, 1); true {
		if n, err := from.Read(p); n != 1 || err != nil || !bytes.Equal(p, []byte("y")) {
			t.Error(n, err, p)
		}
	}
	if _, err := to.Write([]byte("z")); err != nil {
		t.Error("the destination's own deadline is not what it was:", err)
	}
}
