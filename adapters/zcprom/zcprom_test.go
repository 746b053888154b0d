package zcprom_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcprom"
)

var update = flag.Bool("update", false, "write the golden expositions in testdata/ anew")

// some are counts with something in each metric.
func some() zerocopy.Stats {
	return zerocopy.Stats{
		Copies: 7, Active: 2, Failed: 1, HandedBack: 4096, Relays: 3,
		Disabled: []zerocopy.Mechanism{zerocopy.Tee, zerocopy.Vmsplice},
		Mechanisms: []zerocopy.MechanismStats{
			{Mechanism: zerocopy.Buffered, Copies: 4, Bytes: 512, Calls: 5},
			{Mechanism: zerocopy.Splice, Copies: 6, Bytes: 1 << 40, Calls: 1 << 20},
		},
		Reasons: []zerocopy.ReasonStats{
			{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "*gzip.Reader", Copies: 2, Bytes: 300},
			{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "struct { F int \"a\\b\" }", Copies: 1, Bytes: 200},
			{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.DestinationEnd, Type: "*tls.Conn", Copies: 1, Bytes: 100},
			{Reason: zerocopy.ReasonPlatform, Copies: 1, Bytes: 12},
			{Reason: zerocopy.ReasonRefused, End: zerocopy.DestinationEnd, Type: "*os.File", Copies: 1, Bytes: 9}, // at an end where it is not expected
			{Reason: zerocopy.ReasonStart, End: zerocopy.SourceEnd, Type: "*net.TCPConn", Copies: 1},
		},
		Pipes: zerocopy.PipeStats{Open: 3, Idle: 1, Bytes: 3 << 20, Budget: 32 << 20, Created: 5, Discarded: 6, Refused: 9},
	}
}

// TestExposition: the text of a scrape, before anything was copied and after. Names and
// labels are API. Every problem that promlint knows is one.
func TestExposition(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		golden string
		read   func() zerocopy.Stats
		opts   []zcprom.Option
	}{
		{"empty.txt", func() zerocopy.Stats { return zerocopy.Stats{} }, nil},
		{"some.txt", some, nil},
		{"types.txt", some, []zcprom.Option{zcprom.WithTypes(2)}},
	} {
		c := zcprom.NewCollectorOf(row.read, row.opts...)
		problems, err := testutil.CollectAndLint(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s: %s", row.golden, p.Metric, p.Text)
		}
		got := exposition(t, c)
		name := "testdata/" + row.golden
		if *update {
			if err := os.WriteFile(name, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s differs; see go test -update. It is\n%s", name, got)
		}
	}
}

// TestSeriesAreConstant: counts add no series to those of the first scrape, where reasons
// come at the ends that they are known to come at.
func TestSeriesAreConstant(t *testing.T) {
	t.Parallel()
	stats := some()
	stats.Reasons = stats.Reasons[:4]
	before := testutil.CollectAndCount(zcprom.NewCollectorOf(func() zerocopy.Stats { return zerocopy.Stats{} }))
	after := testutil.CollectAndCount(zcprom.NewCollectorOf(func() zerocopy.Stats { return stats }))
	if before != after || before > 150 {
		t.Errorf("%d series before, %d after", before, after)
	}
}

// TestTypesNeverGoBack: however the types come and whichever has the most bytes, there
// are at most n with a series, what all series of a reason add up to is right, and none
// goes back or away.
func TestTypesNeverGoBack(t *testing.T) {
	t.Parallel()
	const most = 3
	rnd := rand.New(rand.NewPCG(1, 2))
	var stats zerocopy.Stats
	c := zcprom.NewCollectorOf(func() zerocopy.Stats { return stats }, zcprom.WithTypes(most))
	last := map[string]float64{}
	for scrape := range 200 {
		if scrape%10 == 3 {
			stats.Reasons = append(stats.Reasons, zerocopy.ReasonStats{
				Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: fmt.Sprintf("*p.T%d", scrape), Copies: 1,
			})
		}
		var sum int64
		for i := range stats.Reasons {
			stats.Reasons[i].Bytes += rnd.Int64N(1 << (i + 1))
			sum += stats.Reasons[i].Bytes
		}
		rnd.Shuffle(len(stats.Reasons), func(i, j int) { // as if the order by bytes had changed
			stats.Reasons[i], stats.Reasons[j] = stats.Reasons[j], stats.Reasons[i]
		})
		now := gather(t, c, "zerocopy_unaccelerated_type_bytes_total")
		var total float64
		for series, n := range now {
			total += n
			if n < last[series] {
				t.Fatalf("scrape %d: %s went from %v to %v", scrape, series, last[series], n)
			}
		}
		for series := range last {
			if _, ok := now[series]; !ok {
				t.Fatalf("scrape %d: %s is gone", scrape, series)
			}
		}
		if total != float64(sum) || len(now) > most+1 {
			t.Fatalf("scrape %d: %d series of %v bytes, want %v: %v", scrape, len(now), total, sum, now)
		}
		last = now
	}
	if len(last) != most+1 {
		t.Errorf("%d series at the end: %v", len(last), last)
	}
}

// TestTypeLabel: a name as a program could have it, in a label.
func TestTypeLabel(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 98)
	for _, row := range []struct{ name, typ, want string }{
		{"not UTF-8 would fail the whole scrape", "a\xffb", "a\uFFFDb"},
		{"a hundred bytes stay", long + "yz", long + "yz"},
		{"more are cut", long + "yzz", long + "yz…"},
		{"a row without a type has no series of its own", "", "other"},
		{"not inside a character", long + "yé", long + "y…"},
	} {
		stats := zerocopy.Stats{Reasons: []zerocopy.ReasonStats{
			{Reason: zerocopy.ReasonNested, End: zerocopy.SourceEnd, Type: row.typ, Bytes: 5},
			{Reason: zerocopy.ReasonNested, End: zerocopy.SourceEnd, Type: row.want, Bytes: 6}, // which is the same then
		}}
		c := zcprom.NewCollectorOf(func() zerocopy.Stats { return stats }, zcprom.WithTypes(9))
		want := fmt.Sprintf(`zerocopy_unaccelerated_type_bytes_total{end="source",reason="nested",type="%s"}`, row.want)
		if got := gather(t, c, "zerocopy_unaccelerated_type_bytes_total"); len(got) != 1 || got[want] != 11 {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

// exposition returns what a scrape of c gets.
func exposition(t *testing.T, c prometheus.Collector) []byte {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	return text.Bytes()
}

// gather returns the values of a metric's series by their text.
func gather(t *testing.T, c prometheus.Collector, name string) map[string]float64 {
	t.Helper()
	all := series(t, string(exposition(t, c)))
	for s := range all {
		if !strings.HasPrefix(s, name+"{") {
			delete(all, s)
		}
	}
	return all
}

// series returns the values in an exposition by metric and labels.
func series(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		var n float64
		if _, err := fmt.Sscan(line[i+1:], &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all[line[:i]] = n
	}
	return all
}

// TestConcurrent: scrapes by several registries while copies run, by one collector.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	c := zcprom.NewCollector(zcprom.WithTypes(1))
	stop := make(chan struct{})
	var copies, scrapes sync.WaitGroup
	for range 2 {
		copies.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					zerocopy.Copy(sink{io.Discard}, source{strings.NewReader("text")})
				}
			}
		})
		scrapes.Go(func() {
			registry := prometheus.NewPedanticRegistry()
			registry.MustRegister(c)
			for range 50 {
				if _, err := registry.Gather(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	scrapes.Wait()
	close(stop)
	copies.Wait()
}

type (
	source struct{ io.Reader }
	sink   struct{ io.Writer }
)

func ExampleNewCollector() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(zcprom.NewCollector())
	http.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))

	zerocopy.Copy(sink{io.Discard}, source{strings.NewReader("text")})
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "zerocopy_copies_total" {
			fmt.Println(f.GetHelp(), f.GetMetric()[0].GetCounter().GetValue() > 0)
		}
	}
	// Output: Copies that have ended. true
}

func ExampleWithTypes() {
	registry := prometheus.NewRegistry()
	registry.MustRegister(zcprom.NewCollector(zcprom.WithTypes(20))) // at most 20 types, and "other"

	zerocopy.Copy(sink{io.Discard}, source{strings.NewReader("text")})
	families, _ := registry.Gather()
	for _, f := range families {
		if f.GetName() == "zerocopy_unaccelerated_type_bytes_total" {
			for _, label := range f.GetMetric()[0].GetLabel() {
				fmt.Println(label.GetName(), label.GetValue())
			}
		}
	}
	// Output:
	// end source
	// reason not-descriptor
	// type zcprom_test.source
}

func ExampleOption() {
	var opts []zcprom.Option
	if os.Getenv("METRICS_TYPES") != "" {
		opts = append(opts, zcprom.WithTypes(20))
	}
	prometheus.MustRegister(zcprom.NewCollector(opts...))
}
