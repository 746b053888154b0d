package zerocopy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A fanCase is one source, three sinks and how they are put together. io.Copy with
// io's types is the reference for Copy with io's and for Copy with ours.
type fanCase struct {
	shape fanShape
	src   fanSource
	sinks [3]fanSink
	size  int
	force func() func(int64) bool // nil leaves it to the pace of the stream
}

func (fc fanCase) String() string {
	return fmt.Sprintf("%s/%s/%s,%s,%s/%d", fc.shape.name, fc.src.name, fc.sinks[0].name, fc.sinks[1].name, fc.sinks[2].name, fc.size)
}

// A fanOutcome is what a copy leaves behind.
type fanOutcome struct {
	N     int64
	Err   string
	Seen  string
	Sinks [3]string // what has come to each, as a digest
}

var fanContent = ztest.Pattern(60).Bytes(3 << 20)

// run copies once.
func (fc fanCase) run(t *testing.T, m fanMakers, copy func(io.Writer, io.Reader) (int64, error)) (o fanOutcome) {
	tb := &caseTB{TB: t, name: fc.String()}
	defer tb.done()
	r, left := fc.src.make(tb, fanContent[:fc.size])
	var w [3]io.Writer
	var got [3]func() []byte
	for i, s := range fc.sinks {
		w[i], got[i] = s.make(tb)
	}
	dst, src, seen := fc.shape.make(m, r, w, fc.size)
	ztest.Within(tb, ztest.Patience, "copy", func() {
		n, err := copy(dst, src)
		o = fanOutcome{N: n, Err: fmt.Sprint(err), Seen: seen() + " " + left()}
	})
	for i := range got {
		b := got[i]()
		o.Sinks[i] = fmt.Sprint(len(b), " ", ztest.Sum(b))
	}
	return o
}

// test compares, and demands the kernel's route where there is one.
func (fc fanCase) test(t *testing.T) {
	want := fc.run(t, ofIO, io.Copy)
	if want.Err != "<nil>" {
		t.Fatalf("%s: io.Copy: %s", fc, want.Err)
	}
	for name, m := range map[string]fanMakers{"io's": ofIO, "ours": ofOur} {
		c := track(t, nil)
		if fc.force == nil {
			c.Force(nil)
		} else {
			c.Force(fc.force())
		}
		got := fc.run(t, m, func(w io.Writer, r io.Reader) (int64, error) { return c.Copy(context.Background(), w, r) })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s, %s: io.Copy is -, Copy is +:\n%s\n%v", fc, name, d, c.report)
		}
		var sum int64
		for _, s := range c.report.Steps {
			sum += s.Bytes
		}
		if c.report.Written != got.N || sum != got.N {
			t.Errorf("%s, %s: copied %d: %v", fc, name, got.N, c.report)
		}
		fc.checkRoute(t, name, c, got.N)
	}
}

// checkRoute demands that a stream of which each chunk may be duplicated is.
func (fc fanCase) checkRoute(t *testing.T, name string, c *tracked, n int64) {
	teed := c.report.Bytes(zerocopy.Tee)
	memory := int64(fc.src.memory)
	if fc.shape.name == "Tee in a buffer" {
		memory += 512
	}
	kernel := fc.sinks[0].kernel || fc.sinks[1].kernel || fc.sinks[2].kernel
	if fc.shape.single && strings.HasPrefix(fc.sinks[2].name, "bufio") { // is filled, then passed by
		kernel = true
		memory += 4096
	}
	switch {
	case !kernel || !fc.src.socket:
		if teed > 0 || c.count("tee") > 0 {
			t.Errorf("%s, %s: %d bytes duplicated, in %d calls: %v", fc, name, teed, c.count("tee"), c.report)
		}
	case fc.force == nil && fc.size >= 3<<20 && teed < n/2:
		t.Errorf("%s, %s: %d of %d bytes duplicated at its own pace: %v", fc, name, teed, n, c.report)
	case fc.force != nil && fc.force()(0) && teed < n-memory:
		t.Errorf("%s, %s: %d of %d bytes duplicated: %v", fc, name, teed, n, c.report)
	}
}

// fanCases lists the cases: each shape, each source, each sink in each position; the
// small sizes and the three ways to force the start take turns.
func fanCases() (cases []fanCase) {
	atOnce := func() func(int64) bool { return zerocopy.AtOnce }
	small, k := []int{0, 1, 4095, 32 << 10}, len(fanSinks)
	i := 0
	for _, shape := range fanShapes {
		for _, src := range fanSources {
			for j := range fanSinks {
				fc := fanCase{shape: shape, src: src, sinks: [3]fanSink{fanSinks[j], fanSinks[(j+i%(k-1)+1)%k], fanSinks[(j+i*7%(k-1)+1)%k]}}
				for _, size := range []int{small[i/2%4], 200 << 10, 3 << 20} {
					if (size == 200<<10) != (i%3 == 0) && size < 3<<20 || size == 3<<20 && i%10 > 0 {
						continue
					}
					fc.size = size
					switch {
					case i%5 == 4:
						fc.force = zerocopy.Alternate
					case i%5 == 3 && size >= 200<<10:
						fc.force = nil
					default:
						fc.force = atOnce
					}
					cases = append(cases, fc)
				}
				i++
			}
		}
	}
	if raceEnabled { // a quarter will do: each is 15 times as dear
		for i := range cases[:len(cases)/4] {
			cases[i] = cases[4*i]
		}
		cases = cases[:len(cases)/4]
	}
	return cases
}

// TestFan: TeeReader and MultiWriter do what io's do, with the bytes in the kernel.
func TestFan(t *testing.T) {
	t.Parallel()
	cases := fanCases()
	queue := make(chan fanCase)
	done := make(chan struct{})
	const workers = 6 // more than there are processors: they wait for their peers
	for range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for fc := range queue {
				t.Run(fc.String(), fc.test)
			}
		}()
	}
	for _, fc := range cases {
		queue <- fc
	}
	close(queue)
	for range workers {
		<-done
	}
	t.Logf("%d cases", len(cases))
}

// TestFanParts: each part of a MultiReader has TeeReaders of its own, and there may be
// one around all of them.
func TestFanParts(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(61).Bytes(300_000)
	run := func(m fanMakers, copy func(io.Writer, io.Reader) (int64, error)) (o fanOutcome) {
		first, second := ztest.NewSource(t, ztest.TCP4, content), ztest.NewSource(t, ztest.Unix, content[:200_000])
		file := ztest.NewSource(t, ztest.File, content[:100_000])
		a, b, dst, all := ztest.NewDest(t, ztest.Pipe), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.Unix), new(bytes.Buffer)
		parts := io.MultiReader(
			m.tee(strings.NewReader("head "), a.Writer),
			m.tee(first.Reader, m.multi(a.Writer, b.Writer)),
			second.Reader,
			m.tee(file.Reader, b.Writer),
			m.tee(io.MultiReader(strings.NewReader("more "), strings.NewReader("tail")), b.Writer),
		)
		n, err := copy(dst.Writer, m.tee(parts, all))
		o = fanOutcome{N: n, Err: fmt.Sprint(err), Seen: fmt.Sprint(file.Pos())}
		o.Sinks = [3]string{ztest.Sum(a.Finish()), ztest.Sum(b.Finish()), ztest.Sum(dst.Finish()) + ztest.Sum(all.Bytes())}
		return o
	}
	want := run(ofIO, io.Copy)
	for name, m := range map[string]fanMakers{"io's": ofIO, "ours": ofOur} {
		c := track(t, nil)
		got := run(m, func(w io.Writer, r io.Reader) (int64, error) { return c.within(t, w, r) })
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: io.Copy is -, Copy is +:\n%s\n%v", name, d, c.report)
		}
		if teed := c.report.Bytes(zerocopy.Tee); teed != 500_000 {
			t.Errorf("%s: %d bytes duplicated: %v", name, teed, c.report)
		}
	}
}
