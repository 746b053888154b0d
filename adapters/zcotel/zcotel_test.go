package zcotel_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcotel"
)

var update = flag.Bool("update", false, "write the golden list in testdata/ anew")

// some are counts with something in each instrument.
func some() zerocopy.Stats {
	return zerocopy.Stats{
		Copies: 7, Active: 2, Failed: 1, HandedBack: 4096, Relays: 3,
		Disabled: []zerocopy.Mechanism{zerocopy.Tee, zerocopy.Vmsplice},
		Mechanisms: []zerocopy.MechanismStats{
			{Mechanism: zerocopy.Buffered, Copies: 4, Bytes: 512, Calls: 5},
			{Mechanism: zerocopy.Splice, Copies: 6, Bytes: 1 << 60, Calls: 1 << 20},
		},
		Reasons: []zerocopy.ReasonStats{
			{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "*gzip.Reader", Copies: 2, Bytes: 300},
			{Reason: zerocopy.ReasonNotDescriptor, End: zerocopy.SourceEnd, Type: "*x.Reader", Copies: 1, Bytes: 200},
			{Reason: zerocopy.ReasonPlatform, Copies: 1, Bytes: 12},
		},
		Pipes: zerocopy.PipeStats{Open: 3, Idle: 1, Bytes: 3 << 20, Budget: 32 << 20, Created: 5, Discarded: 6, Refused: 9},
	}
}

// collect returns what a reader gets, one line an instrument and one a data point.
func collect(t *testing.T, reader sdk.Reader) (instruments []metricdata.Metrics, text string) {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, scope := range data.ScopeMetrics {
		instruments = append(instruments, scope.Metrics...)
	}
	slices.SortFunc(instruments, func(a, b metricdata.Metrics) int { return strings.Compare(a.Name, b.Name) })
	for _, m := range instruments {
		kind, points := "gauge", []metricdata.DataPoint[int64](nil)
		switch d := m.Data.(type) {
		case metricdata.Gauge[int64]:
			points = d.DataPoints
		case metricdata.Sum[int64]:
			points = d.DataPoints
			if kind = "updowncounter"; d.IsMonotonic {
				kind = "counter"
			}
			if d.Temporality != metricdata.CumulativeTemporality {
				t.Errorf("%s is %v", m.Name, d.Temporality)
			}
		default:
			t.Errorf("%s is a %T", m.Name, d)
		}
		fmt.Fprintf(&b, "%s (%s, %s)\n", m.Name, m.Unit, kind)
		var lines []string
		for _, p := range points {
			line := " "
			for _, kv := range p.Attributes.ToSlice() {
				line += fmt.Sprintf(" %s=%s", kv.Key, kv.Value.String())
			}
			lines = append(lines, fmt.Sprintf("%s %d\n", line, p.Value))
		}
		slices.Sort(lines)
		b.WriteString(strings.Join(lines, ""))
	}
	return instruments, b.String()
}

// TestInstruments: names, units, kinds and attributes are API.
func TestInstruments(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	registration, err := zcotel.RegisterOf(sdk.NewMeterProvider(sdk.WithReader(reader)), some)
	if err != nil {
		t.Fatal(err)
	}
	instruments, got := collect(t, reader)
	const name = "testdata/instruments.txt"
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; see go test -update. It is\n%s", name, got)
	}

	// The rules of the semantic conventions' naming.md that can be looked at.
	lower := regexp.MustCompile(`^zerocopy(\.[a-z]+(_[a-z]+)*)+$`)
	for _, m := range instruments {
		sum, isSum := m.Data.(metricdata.Sum[int64])
		last := m.Name[strings.LastIndexByte(m.Name, '.')+1:]
		discrete := strings.HasPrefix(m.Unit, "{")
		switch {
		case !lower.MatchString(m.Name), m.Description == "", m.Unit == "":
			t.Errorf("%q, %q, %q", m.Name, m.Description, m.Unit)
		case strings.HasSuffix(m.Name, "total"):
			t.Errorf("%s: total is not to be in a name", m.Name)
		case isSum && strings.HasSuffix(last, "s") != (sum.IsMonotonic && discrete):
			t.Errorf("%s in %s: plural is for counters of what can be counted", m.Name, m.Unit)
		}
	}

	if err := registration.Unregister(); err != nil {
		t.Error(err)
	}
	if _, got := collect(t, reader); got != "" {
		t.Errorf("after Unregister:\n%s", got)
	}
}

// TestEmpty: before the first copy every mechanism is there, and no reason.
func TestEmpty(t *testing.T) {
	t.Parallel()
	reader := sdk.NewManualReader()
	if _, err := zcotel.RegisterOf(sdk.NewMeterProvider(sdk.WithReader(reader)), func() zerocopy.Stats { return zerocopy.Stats{} }); err != nil {
		t.Fatal(err)
	}
	_, got := collect(t, reader)
	for m := range zerocopy.MsgZerocopy + 1 {
		if n := strings.Count(got, "zerocopy.mechanism="+m.String()+" 0\n"); n != 4 {
			t.Errorf("%v is there %d times", m, n)
		}
	}
	if strings.Contains(got, "zerocopy.reason") {
		t.Errorf("there is a reason:\n%s", got)
	}
}

// failing is a MeterProvider whose meter makes no gauge.
type failing struct{ noop.MeterProvider }

type failingMeter struct{ noop.Meter }

var errGauge = errors.New("no gauges")

func (failing) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{} }

func (failingMeter) Int64ObservableGauge(string, ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return nil, errGauge
}

func (failingMeter) RegisterCallback(metric.Callback, ...metric.Observable) (metric.Registration, error) {
	panic("registered in spite of the error")
}

// TestError: an instrument that cannot be made is an error, and nothing is registered.
func TestError(t *testing.T) {
	t.Parallel()
	if r, err := zcotel.Register(failing{}); r != nil || !errors.Is(err, errGauge) {
		t.Errorf("%v, %v", r, err)
	}
}

// TestGlobal: without a MeterProvider it is the global one, which does nothing here.
func TestGlobal(t *testing.T) {
	t.Parallel()
	r, err := zcotel.Register(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Unregister(); err != nil {
		t.Error(err)
	}
}

// TestConcurrent: collections by two readers while copies run.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	readers := []*sdk.ManualReader{sdk.NewManualReader(), sdk.NewManualReader()}
	mp := sdk.NewMeterProvider(sdk.WithReader(readers[0]), sdk.WithReader(readers[1]))
	if _, err := zcotel.Register(mp); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var copies, collections sync.WaitGroup
	for _, reader := range readers {
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
		collections.Go(func() {
			var data metricdata.ResourceMetrics
			for range 50 {
				if err := reader.Collect(context.Background(), &data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	collections.Wait()
	close(stop)
	copies.Wait()
}

type (
	source struct{ io.Reader }
	sink   struct{ io.Writer }
)

func ExampleRegister() {
	reader := sdk.NewManualReader() // a program has a PeriodicReader with an exporter
	registration, err := zcotel.Register(sdk.NewMeterProvider(sdk.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}
	defer registration.Unregister()

	zerocopy.Copy(sink{io.Discard}, source{strings.NewReader("text")})
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		log.Fatal(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if m.Name == "zerocopy.copies" {
			fmt.Println(m.Description, m.Unit, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value > 0)
		}
	}
	// Output: Copies that have ended. {copy} true
}
