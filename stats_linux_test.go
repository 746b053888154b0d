package zerocopy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestStatsEmpty: a process that has copied nothing has lists, not null.
func TestStatsEmpty(t *testing.T) {
	if !ztest.Isolated(t, "ZEROCOPY=splice=off,tee=off") { // the counts and the environment are the process's
		return
	}
	s := zerocopy.ReadStats()
	const want = `{"Copies":0,"Active":0,"Failed":0,"HandedBack":0,"Relays":0,"Disabled":["splice","tee"],"Mechanisms":[],"Reasons":[],` +
		`"Pipes":{"Open":0,"Idle":0,"Bytes":0,"Budget":0,"Created":0,"Discarded":0,"Refused":0}}`
	if got, err := json.Marshal(s); err != nil || string(got) != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	s.Disabled = nil
	zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.Mechanisms(zerocopy.Sendfile)})
	defer zerocopy.SetDefault(nil)
	want2 := []zerocopy.Mechanism{zerocopy.Sendfile, zerocopy.Splice, zerocopy.Tee}
	if got := zerocopy.ReadStats().Disabled; !slices.Equal(got, want2) {
		t.Errorf("disabled %v, want %v", got, want2)
	}
}

// refusing is a Writer that accepts n bytes.
type refusing struct{ n int }

var errRefused = errors.New("refused")

func (w *refusing) Write(p []byte) (int, error) {
	n := min(len(p), w.n)
	w.n -= n
	if n < len(p) {
		return n, errRefused
	}
	return n, nil
}

// recopying is a Reader whose own WriteTo is a Copy.
type recopying struct{ io.Reader }

func (c recopying) WriteTo(w io.Writer) (int64, error) { return zerocopy.Copy(w, c.Reader) }

// TestStatsByCopy: what each copy adds to the counts of copies.
func TestStatsByCopy(t *testing.T) {
	if !ztest.Isolated(t) { // the counts are the process's
		return
	}
	const size = 1 << 20
	content := ztest.Pattern(7).Bytes(size)
	socket := func() io.Reader { return ztest.NewSource(t, ztest.TCP4, content).Reader }
	var c zerocopy.Copier
	c.Force(zerocopy.Alternate())
	for _, row := range []struct {
		name  string
		src   func() io.Reader
		dst   func() io.Writer
		took  map[zerocopy.Mechanism]int64
		count zerocopy.Stats
		back  bool // some bytes are handed back
	}{
		{name: "two ways are counted at both, once",
			src: socket, dst: func() io.Writer { return ztest.NewDest(t, ztest.TCP4).Writer },
			took:  map[zerocopy.Mechanism]int64{zerocopy.Buffered: 1, zerocopy.Splice: 1},
			count: zerocopy.Stats{Copies: 1}},
		{name: "from memory, without a transfer",
			src: func() io.Reader { return strings.NewReader("text") }, dst: func() io.Writer { return sink{io.Discard} },
			took:  map[zerocopy.Mechanism]int64{zerocopy.Delegated: 1},
			count: zerocopy.Stats{Copies: 1}},
		{name: "from memory, failed",
			src: func() io.Reader { return strings.NewReader("text") }, dst: func() io.Writer { return &refusing{} },
			took:  map[zerocopy.Mechanism]int64{zerocopy.Delegated: 1},
			count: zerocopy.Stats{Copies: 1, Failed: 1}},
		{name: "an unknown source keeps what it gave",
			src: func() io.Reader { return gzipLike{bytes.NewReader(content)} }, dst: func() io.Writer { return &refusing{5} },
			took:  map[zerocopy.Mechanism]int64{zerocopy.Buffered: 1},
			count: zerocopy.Stats{Copies: 1, Failed: 1}},
		{name: "a stream's is handed back",
			src: socket, dst: func() io.Writer { return &refusing{1000} },
			took:  map[zerocopy.Mechanism]int64{zerocopy.Buffered: 1},
			count: zerocopy.Stats{Copies: 1, Failed: 1}, back: true},
		{name: "a Copy inside a WriteTo hands it back once",
			src: func() io.Reader { return recopying{socket()} }, dst: func() io.Writer { return &refusing{1000} },
			took:  map[zerocopy.Mechanism]int64{zerocopy.Buffered: 1, zerocopy.Delegated: 1},
			count: zerocopy.Stats{Copies: 2, Failed: 2}, back: true},
	} {
		before := zerocopy.ReadStats()
		_, err := c.Copy(context.Background(), row.dst(), row.src())
		after := zerocopy.ReadStats()

		if (err != nil) != (row.count.Failed > 0) {
			t.Errorf("%s: %v", row.name, err)
		}
		var partial *zerocopy.PartialError
		if errors.As(err, &partial) != row.back {
			t.Errorf("%s: handed back is %v: %v", row.name, !row.back, err)
		}
		if row.back {
			row.count.HandedBack = int64(len(partial.Unwritten))
		}
		got := zerocopy.Stats{Copies: after.Copies - before.Copies, Failed: after.Failed - before.Failed, HandedBack: after.HandedBack - before.HandedBack}
		if diff := cmp.Diff(row.count, got); diff != "" || after.Active != 0 {
			t.Errorf("%s: %d active: %s", row.name, after.Active, diff)
		}
		took := map[zerocopy.Mechanism]int64{}
		for m := range zerocopy.MsgZerocopy + 1 {
			if n := copiesBy(after, m) - copiesBy(before, m); n != 0 {
				took[m] = n
			}
		}
		if diff := cmp.Diff(row.took, took); diff != "" {
			t.Errorf("%s: copies by mechanism: %s", row.name, diff)
		}
	}
	zerocopy.CloseIdlePipes()
}

func copiesBy(s zerocopy.Stats, m zerocopy.Mechanism) int64 {
	for _, row := range s.Mechanisms {
		if row.Mechanism == m {
			return row.Copies
		}
	}
	return 0
}

// TestStatsSameName: types that have one name are one row, as labels of a metric have to be.
func TestStatsSameName(t *testing.T) {
	if !ztest.Isolated(t) { // the counts are the process's
		return
	}
	first := func() io.Reader {
		type local struct{ io.Reader }
		return local{strings.NewReader("one")}
	}
	second := func() io.Reader {
		type local struct{ io.Reader }
		return local{strings.NewReader("three")}
	}
	zerocopy.Copy(sink{io.Discard}, first())
	zerocopy.Copy(sink{io.Discard}, second())
	want := []zerocopy.ReasonStats{{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "zerocopy_test.local", Copies: 2, Bytes: 8}}
	if diff := cmp.Diff(want, zerocopy.ReadStats().Reasons); diff != "" {
		t.Error(diff)
	}
}

// TestStatsConcurrent: counts read while copies run never go back, and end at the sum.
func TestStatsConcurrent(t *testing.T) {
	if !ztest.Isolated(t) { // the counts are the process's
		return
	}
	const copies = 200
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range copies {
				zerocopy.Copy(sink{io.Discard}, gzipLike{strings.NewReader("text")})
				zerocopy.Copy(&refusing{1}, strings.NewReader("text"))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var last zerocopy.Stats
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		s := zerocopy.ReadStats()
		if s.Copies < last.Copies || s.Failed < last.Failed || s.Active < 0 ||
			copiesBy(s, zerocopy.Buffered) < copiesBy(last, zerocopy.Buffered) || copiesBy(s, zerocopy.Delegated) < copiesBy(last, zerocopy.Delegated) {
			t.Fatalf("went back from %+v to %+v", last, s)
		}
		last = s
	}
	if last.Copies != 8*copies || last.Failed != 4*copies || copiesBy(last, zerocopy.Buffered) != 4*copies || copiesBy(last, zerocopy.Delegated) != 4*copies {
		t.Errorf("%+v", last)
	}
}
