package zerocopy_test

import (
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// The matrix: every kind of source × every kind of destination × every row of
// wrappers × every size. Each case runs io.Copy on one fresh pair of ends and
// Copier.Copy on another and compares what they leave behind; then the way that the
// bytes went is compared with the golden table, and with what Explain had said.
//
//	go test -run 'TestMatrix/^file→tcp4$' .   one pair
//	go test -run '^TestMatrix$' -update .     write the table of this machine

// A matrixSize is how many bytes a source holds. (A /proc file holds what the kernel
// says, /dev/null nothing: there it only sets limits and sections.) Whether a stream
// of some length proves to be bulk depends on how its bytes arrive, so the larger
// ones have that decided; nil leaves it to the pace of the stream.
type matrixSize struct {
	name  string
	bytes int
	force func() func(written int64) bool
}

var matrixSizes = []matrixSize{
	{"0", 0, nil},
	{"1", 1, nil},
	{"4095", 4095, nil},    // less than a bufio buffer
	{"64K", 64 << 10, nil}, // a pipe as it comes, and less than what is bulk
	{"1M+1", 1<<20 + 1, func() func(int64) bool { return zerocopy.AtOnce }},
	{"2M+4K", 2<<20 + 4097, zerocopy.Alternate}, // more than a chunk, and than two of the private pipes
}

// A matrixCase is one case.
type matrixCase struct {
	src, dst ztest.Kind
	row      *matrixRow
	size     matrixSize
}

// A matrixPair is all cases of a source and a destination.
type matrixPair struct {
	name  string
	cases []matrixCase
}

// matrixPairs lists all cases that can be run. excluded counts the others by reason:
// what Go or the kernel cannot express, and kinds that this machine does not have.
func matrixPairs() (pairs []matrixPair, excluded map[string]int) {
	excluded = map[string]int{}
	for _, src := range ztest.SourceKinds {
		for _, dst := range ztest.DestKinds {
			p := matrixPair{name: string(src) + "→" + string(dst)}
			for i := range matrixRows {
				row := &matrixRows[i]
				if why := row.excludes(src, dst); why != "" {
					excluded[why] += len(matrixSizes)
					continue
				}
				for _, size := range matrixSizes {
					p.cases = append(p.cases, matrixCase{src, dst, row, size})
				}
			}
			if len(p.cases) > 0 {
				pairs = append(pairs, p)
			}
		}
	}
	return pairs, excluded
}

func TestMatrix(t *testing.T) {
	began := time.Now()
	pairs, excluded := matrixPairs()
	var ran atomic.Int64
	var table routeTable
	queue := make(chan matrixPair)
	var workers sync.WaitGroup
	// More than there are processors: a copy waits for its peers most of its time.
	for range 4 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for p := range queue {
				t.Run(p.name, func(t *testing.T) {
					for _, mc := range p.cases {
						mc.test(t, &table)
						ran.Add(1)
					}
					table.complete(p.name)
				})
			}
		})
	}
	for _, p := range pairs {
		queue <- p
	}
	close(queue)
	workers.Wait()

	table.check(t, len(pairs))
	for _, why := range slices.Sorted(maps.Keys(excluded)) {
		t.Logf("not among them are %d cases: %s", excluded[why], why)
	}
	t.Logf("%d cases run in %v, of %d sources × %d destinations × %d rows × %d sizes",
		ran.Load(), time.Since(began).Round(100*time.Millisecond),
		len(ztest.SourceKinds), len(ztest.DestKinds), len(matrixRows), len(matrixSizes))
}

// test runs the case in each way and compares.
func (mc matrixCase) test(t *testing.T, table *routeTable) {
	tb := &caseTB{TB: t, name: mc.key().String() + " (" + mc.row.reason + ")"}
	reference := mc.reference(tb)
	got := mc.run(tb, byCopier)
	if d := reference.diff(got); d != "" {
		tb.Errorf("io.Copy is -, Copy is +:\n%s\nreport: %v", d, got.report)
	}
	if got.report == nil {
		tb.Fatalf("Report was not called")
	}
	mc.checkReport(tb, got)
	if !mc.row.manual { // when the mark comes decides how much is read plainly
		table.add(mc, mc.way(tb, got))
	}
}

// reference returns what is right: what io.Copy leaves behind, unless that is one
// of its known mistakes, or one of the differences that are on purpose.
func (mc matrixCase) reference(tb *caseTB) matrixOutcome {
	if mc.row.manual {
		return mc.run(tb, byHand)
	}
	o := mc.run(tb, byIOCopy)
	for _, m := range ioCopyMistakes {
		if !m.where(mc) {
			continue
		}
		right := mc.run(tb, byHand)
		switch d := right.diff(o); {
		case d != "" && o.Err != m.err:
			tb.Errorf("%s, with the error %q. But it is +, a read and write loop is -:\n%s", m.why, m.err, d)
		case d == "" && mc.size.bytes > 0 && (mc.row.name == "bare" || mc.row.name == "append-late"):
			tb.Errorf("io.Copy is right, although %s", m.why)
		}
		o = right
	}
	o.checkSelf(tb)
	for _, d := range onPurpose {
		if d.where(mc, o) {
			d.amend(&o)
		}
	}
	return o
}

// checkReport compares the report with what was seen.
func (mc matrixCase) checkReport(tb testing.TB, got matrixOutcome) {
	tb.Helper()
	var sum int64
	for _, s := range got.report.Steps {
		sum += s.Bytes
	}
	if got.report.Written != got.Written || sum != got.Written || got.reports != 1 {
		tb.Errorf("%d bytes copied, but the report says %d and its steps %d, and there were %d reports: %v",
			got.Written, got.report.Written, sum, got.reports, got.report)
	}
}

// A caseTB is the testing.TB of one case: it names the case, and closes its ends
// when it is over and not at the end of the test.
type caseTB struct {
	testing.TB
	name     string
	cleanups []func()
}

func (c *caseTB) Cleanup(f func()) { c.cleanups = append(c.cleanups, f) }

// done runs the cleanups, also when the case ends early.
func (c *caseTB) done() {
	for i := len(c.cleanups) - 1; i >= 0; i-- {
		c.cleanups[i]()
	}
	c.cleanups = nil
}

func (c *caseTB) Errorf(format string, args ...any) {
	c.Helper()
	c.TB.Errorf("%s: "+format, append([]any{c.name}, args...)...)
}

func (c *caseTB) Fatalf(format string, args ...any) {
	c.Helper()
	c.TB.Fatalf("%s: "+format, append([]any{c.name}, args...)...)
}

func (c *caseTB) Fatal(args ...any) {
	c.Helper()
	c.TB.Fatal(append([]any{c.name + ":"}, args...)...)
}
