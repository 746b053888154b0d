package zerocopy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A manner is what does the copy.
type manner int

const (
	byIOCopy manner = iota
	byHand          // io.Copy between ends of which it knows nothing but Read and Write
	byCopier
)

// A matrixOutcome is what a copy leaves behind. Its exported fields are compared.
type matrixOutcome struct {
	Written  int64
	Err      string
	Arrived  int64   // at the destination, after the flush of a bufio.Writer
	Differs  string  // where what arrived is not what was sent
	Limits   []int64 // N of each LimitedReader, the outermost first
	Section  int64   // position of the SectionReader
	Source   int64   // position of the source, -1 if it has none
	Rest     int     // bytes left in a stream, and in the bufio.Reader over it
	RestBad  string  // where they are not the rest of what was sent
	Dest     int64   // position of the destination, -1 if it has none
	Buffered int     // in the bufio.Writer, before the flush
	Flush    string  // error of the flush
	Counted  int64   // by a counter

	tower   *tower
	plan    zerocopy.Plan
	report  *zerocopy.Report
	reports int
}

// diff returns how got differs from o, "" if it does not.
func (o matrixOutcome) diff(got matrixOutcome) string {
	return cmp.Diff(o, got, cmpopts.IgnoreUnexported(matrixOutcome{}))
}

// checkSelf compares what was returned with what arrived, so that a reference that
// is wrong cannot make a copy that is wrong, too, look right.
func (o matrixOutcome) checkSelf(tb testing.TB) {
	tb.Helper()
	want := o.Written
	if o.tower.out != nil {
		want += int64(o.tower.before)
	}
	if !o.tower.dst.Discards && o.Flush == "" && o.Arrived != want || o.Differs != "" || o.RestBad != "" {
		tb.Errorf("the reference is wrong: %+v", o)
	}
}

// run makes fresh ends, copies and looks at what is left.
func (mc matrixCase) run(tb *caseTB, how manner) (o matrixOutcome) {
	defer tb.done()
	var arrived arrival
	fed := []ztest.Option{matrixPieces, ztest.Barrier()}
	if mc.row.manual {
		fed = []ztest.Option{ztest.Manual()}
	}
	tw := &tower{
		tb:   tb,
		src:  ztest.NewSource(tb, mc.src, matrixContent(mc.src, mc.size.bytes), fed...),
		dst:  ztest.NewDest(tb, mc.dst, ztest.Existing(wasThere), ztest.Into(&arrived)),
		size: mc.size.bytes,
	}
	o.tower = tw
	tw.r, tw.w = tw.src.Reader, tw.dst.Writer
	switch how {
	case byCopier:
		tw.c = vouchingCopier(func(r zerocopy.Report) { o.report = &r; o.reports++ })
		if mc.size.force != nil {
			tw.c.Force(mc.size.force())
		}
	case byHand:
		tw.r, tw.w = struct{ io.Reader }{tw.r}, byLoop(tw.w)
	}
	if tw.src.Endless && mc.row.name != "section" { // which is a limit itself
		tw.limit(int64(tw.size))
	}
	mc.awaitFirst(tw)
	mc.row.dress(tw)
	mc.awaitFirst(tw)
	arrived.expect(matrixBytes(mc.src)[leadSize-tw.before+tw.skipped:])

	if how == byCopier {
		o.plan = tw.c.Explain(tw.w, tw.r)
	}
	var err error
	ztest.Within(tb, ztest.Patience, tb.name, func() { o.Written, err = tw.run(how) })
	o.Err = errorClass(err)
	mc.look(tb, &arrived, &o)
	return o
}

// awaitFirst waits until what the peer writes first is there to be read. Otherwise
// it would be left to chance how much of it a bufio.Reader is filled with, and how
// many calls take it.
func (mc matrixCase) awaitFirst(tw *tower) {
	most := 64 << 10
	switch {
	case mc.row.manual, !mc.src.Stream(), mc.src == ztest.PTY:
		return // a terminal does not tell, and gives its bytes in parts anyway
	case mc.src.IP():
		most = 32 << 10 // the window of a new connection is less than 64 KiB
	}
	n := min(mc.size.bytes, most)
	if tw.in != nil {
		n -= tw.in.Buffered()
	}
	tw.src.AwaitQueued(max(0, n))
}

// look fills in what the copy has left behind.
func (mc matrixCase) look(tb *caseTB, arrived *arrival, o *matrixOutcome) {
	tw := o.tower
	// A bufio.Reader that is read reads ahead of a limit, one that bytes go past
	// does not. What it has read ahead counts as not read from what is under it.
	ahead := 0
	if tw.in != nil {
		ahead = tw.in.Buffered()
	}
	for i, l := range tw.limits {
		n := l.N
		if i >= len(tw.limits)-tw.under {
			n += int64(ahead)
		}
		o.Limits = append(o.Limits, n)
	}
	if tw.section != nil {
		o.Section, _ = tw.section.Seek(0, io.SeekCurrent)
	}
	if o.Source = tw.src.Pos(); o.Source > 0 {
		o.Source -= int64(ahead)
	}
	if tw.out != nil {
		o.Buffered = tw.out.Buffered()
		o.Flush = errorClass(tw.out.Flush())
	}
	if tw.moved != nil {
		o.Counted = tw.moved.bytes
		if tw.c != nil && tw.moved.ends != 1 {
			tb.Errorf("Done was called %d times", tw.moved.ends)
		}
	}
	o.Dest = tw.dst.Pos()
	mc.lookAtDestination(tb, arrived, o)
	mc.lookAtRest(o)
}

func (mc matrixCase) lookAtDestination(tb *caseTB, arrived *arrival, o *matrixOutcome) {
	dst := o.tower.dst
	switch {
	case dst.Discards:
		return
	case dst.Name() != "":
		arrived.readFile(tb, dst.Name())
	default:
		dst.Finish()
		if err := dst.Err(); err != nil {
			tb.Errorf("the destination's peer: %v", err)
		}
	}
	o.Arrived, o.Differs = arrived.n, arrived.bad
}

// lookAtRest reads what a stream still has: that is its position.
func (mc matrixCase) lookAtRest(o *matrixOutcome) {
	if !mc.src.Stream() {
		return
	}
	var rest []byte
	if in := o.tower.in; in != nil {
		buffered, _ := in.Peek(in.Buffered())
		rest = bytes.Clone(buffered)
	}
	rest = append(rest, o.tower.src.Rest()...)
	all := matrixContent(mc.src, mc.size.bytes)
	o.Rest = len(rest)
	o.RestBad = ztest.Diff(rest, all[max(0, len(all)-len(rest)):])
}

// errorClass returns what errors.Is and errors.As find in err.
func errorClass(err error) string {
	if err == nil {
		return ""
	}
	var is []string
	var errno syscall.Errno
	if errors.As(err, &errno) {
		is = append(is, errno.Error())
	}
	for _, e := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrShortWrite, io.ErrNoProgress,
		os.ErrClosed, os.ErrDeadlineExceeded, os.ErrInvalid,
	} {
		if errors.Is(err, e) {
			is = append(is, e.Error())
		}
	}
	if len(is) == 0 {
		is = append(is, err.Error())
	}
	return strings.Join(is, ", ")
}
