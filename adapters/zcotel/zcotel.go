// Package zcotel has OpenTelemetry instruments of the counts of package zerocopy.
//
//	registration, err := zcotel.Register(nil) // with the global MeterProvider
//
// A collection calls [zerocopy.ReadStats]; between collections it costs nothing. The
// counts are those of the process since its start, whenever Register was called.
//
//	zerocopy.io                      By         counter         bytes moved, while copies run; by mechanism
//	zerocopy.system_calls            {call}     counter         system calls that moved or asked for bytes; by mechanism
//	zerocopy.mechanism.copies        {copy}     counter         copies that took it, one may take several; by mechanism
//	zerocopy.mechanism.disabled      1          gauge           1 if it is switched off at present; by mechanism
//	zerocopy.copies                  {copy}     counter         copies that have ended
//	zerocopy.copy.failures           {failure}  counter         of them, with an error
//	zerocopy.copy.active             {copy}     updowncounter   copies under way
//	zerocopy.copy.handed_back        By         counter         bytes in a zerocopy.PartialError
//	zerocopy.relay.active            {relay}    updowncounter   relays of package zcnet that run
//	zerocopy.unaccelerated.io        By         counter         bytes not left to the kernel, at a copy's end; by reason and end
//	zerocopy.unaccelerated.copies    {copy}     counter         copies with such bytes; by reason and end
//	zerocopy.pipe.count              {pipe}     updowncounter   private pipes that are open; by state
//	zerocopy.pipe.usage              By         updowncounter   the sizes of the open ones added up
//	zerocopy.pipe.limit              By         updowncounter   the most that may be; 0 before the first
//	zerocopy.pipe.creations          {pipe}     counter         pipes made
//	zerocopy.pipe.discards           {pipe}     counter         pipes closed with bytes in them
//	zerocopy.pipe.refusals           {refusal}  counter         times that no pipe was to be had
//
// The attributes are zerocopy.mechanism, zerocopy.reason and zerocopy.end with the names
// of [zerocopy.Mechanism], [zerocopy.Reason] and [zerocopy.End], the last left out where
// neither end stood in the way, and zerocopy.pipe.state, which is "idle" or "used". All
// mechanisms are there from the start; a reason is from its first copy on. There are at
// most some 115 combinations in all. The types that stood in the way are not among the
// attributes, since they are as many as the program makes: [zerocopy.Stats] has them.
//
// What the numbers mean is in docs/observability.md of the repository.
package zcotel

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/zerocopy-go/zerocopy"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/zerocopy-go/zerocopy/adapters/zcotel"

// Register makes the instruments, see the package comment, with a meter of mp, or of the
// global MeterProvider if mp is nil, and observes them at each collection until the
// Registration's Unregister is called. It is to be called once for a MeterProvider: what
// is observed twice is added up. It is safe for concurrent use. The error is that of mp,
// with which nothing stays registered.
func Register(mp metric.MeterProvider) (metric.Registration, error) {
	if mp == nil {
		mp = otel.GetMeterProvider()
	}
	return register(mp.Meter(scope), zerocopy.ReadStats)
}

// register is Register with a source of the counts.
func register(m metric.Meter, read func() zerocopy.Stats) (metric.Registration, error) {
	b := &builder{meter: m}
	in := newInstruments(b)
	if b.err != nil {
		return nil, b.err
	}
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		stats := read()
		in.observe(o, &stats)
		return nil
	}, b.all...)
}

// A builder makes instruments and keeps their errors.
type builder struct {
	meter metric.Meter
	all   []metric.Observable
	err   error
}

// made keeps what a method of the meter has returned.
func made[T metric.Observable](b *builder, t T, err error) T {
	b.err = errors.Join(b.err, err)
	b.all = append(b.all, t)
	return t
}

func (b *builder) counter(name, unit, description string) metric.Int64ObservableCounter {
	t, err := b.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(b, t, err)
}

func (b *builder) upDown(name, unit, description string) metric.Int64ObservableUpDownCounter {
	t, err := b.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(b, t, err)
}

func (b *builder) gauge(name, unit, description string) metric.Int64ObservableGauge {
	t, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	return made(b, t, err)
}

// instruments are all of them.
type instruments struct {
	io, calls, took                      metric.Int64ObservableCounter // by mechanism
	disabled                             metric.Int64ObservableGauge
	copies, failures, handedBack         metric.Int64ObservableCounter
	active, relays                       metric.Int64ObservableUpDownCounter
	reasonIO, reasonCopies               metric.Int64ObservableCounter
	pipes, pipeUsage, pipeLimit          metric.Int64ObservableUpDownCounter
	pipesMade, pipesDropped, pipeRefused metric.Int64ObservableCounter
}

func newInstruments(b *builder) *instruments {
	return &instruments{
		io:           b.counter("zerocopy.io", "By", "Bytes moved, by mechanism."),
		calls:        b.counter("zerocopy.system_calls", "{call}", "System calls that moved or asked for bytes, by mechanism."),
		took:         b.counter("zerocopy.mechanism.copies", "{copy}", "Copies that took the mechanism for some of their bytes. A copy may take several."),
		disabled:     b.gauge("zerocopy.mechanism.disabled", "1", "Whether the mechanism is switched off at present."),
		copies:       b.counter("zerocopy.copies", "{copy}", "Copies that have ended."),
		failures:     b.counter("zerocopy.copy.failures", "{failure}", "Copies that have ended with an error."),
		handedBack:   b.counter("zerocopy.copy.handed_back", "By", "Bytes taken from a stream, not accepted by the destination, and handed back in a PartialError."),
		active:       b.upDown("zerocopy.copy.active", "{copy}", "Copies under way."),
		relays:       b.upDown("zerocopy.relay.active", "{relay}", "Relays that are running."),
		reasonIO:     b.counter("zerocopy.unaccelerated.io", "By", "Bytes that were not left to the kernel, by reason and the end of the copy that it lies in; counted when a copy ends."),
		reasonCopies: b.counter("zerocopy.unaccelerated.copies", "{copy}", "Copies some bytes of which were not left to the kernel, by reason and the end that it lies in."),
		pipes:        b.upDown("zerocopy.pipe.count", "{pipe}", "Private pipes that are open, by state."),
		pipeUsage:    b.upDown("zerocopy.pipe.usage", "By", "The sizes of the open private pipes added up."),
		pipeLimit:    b.upDown("zerocopy.pipe.limit", "By", "The most that zerocopy.pipe.usage may be; 0 before the first pipe."),
		pipesMade:    b.counter("zerocopy.pipe.creations", "{pipe}", "Private pipes made."),
		pipesDropped: b.counter("zerocopy.pipe.discards", "{pipe}", "Private pipes closed because a copy ended with bytes in them."),
		pipeRefused:  b.counter("zerocopy.pipe.refusals", "{refusal}", "Times that no private pipe was to be had, so that bytes were read and written."),
	}
}

// The attributes.
const (
	mechanismKey = attribute.Key("zerocopy.mechanism")
	reasonKey    = attribute.Key("zerocopy.reason")
	endKey       = attribute.Key("zerocopy.end")
	stateKey     = attribute.Key("zerocopy.pipe.state")
)

// with returns attributes for an observation.
func with(kv ...attribute.KeyValue) metric.ObserveOption {
	return metric.WithAttributeSet(attribute.NewSet(kv...))
}

// observe observes the counts.
func (in *instruments) observe(o metric.Observer, s *zerocopy.Stats) {
	o.ObserveInt64(in.copies, s.Copies)
	o.ObserveInt64(in.failures, s.Failed)
	o.ObserveInt64(in.handedBack, s.HandedBack)
	o.ObserveInt64(in.active, s.Active)
	o.ObserveInt64(in.relays, s.Relays)
	in.observeMechanisms(o, s)
	in.observeReasons(o, s)
	in.observePipes(o, &s.Pipes)
}

// observeMechanisms observes all that there are.
func (in *instruments) observeMechanisms(o metric.Observer, s *zerocopy.Stats) {
	rows := make(map[zerocopy.Mechanism]zerocopy.MechanismStats, len(s.Mechanisms))
	for _, row := range s.Mechanisms {
		rows[row.Mechanism] = row
	}
	off := zerocopy.Mechanisms(s.Disabled...)
	all := zerocopy.AllMechanisms | zerocopy.Mechanisms(zerocopy.Buffered)
	for m := zerocopy.Mechanism(0); all.Has(m); m++ {
		row, by := rows[m], with(mechanismKey.String(m.String()))
		var disabled int64
		if off.Has(m) {
			disabled = 1
		}
		o.ObserveInt64(in.io, row.Bytes, by)
		o.ObserveInt64(in.calls, row.Calls, by)
		o.ObserveInt64(in.took, row.Copies, by)
		o.ObserveInt64(in.disabled, disabled, by)
	}
}

// observeReasons observes the reasons that there were, all types added up: what is
// observed twice with the same attributes would be for the SDK to make sense of.
func (in *instruments) observeReasons(o metric.Observer, s *zerocopy.Stats) {
	type count struct{ copies, bytes int64 }
	sums := make(map[zerocopy.ReasonStats]count) // by a row with reason and end alone
	for _, row := range s.Reasons {
		at := zerocopy.ReasonStats{Reason: row.Reason, End: row.End}
		n := sums[at]
		sums[at] = count{n.copies + row.Copies, n.bytes + row.Bytes}
	}
	for at, n := range sums {
		kv := []attribute.KeyValue{reasonKey.String(at.Reason.String())}
		if at.End != zerocopy.NoEnd {
			kv = append(kv, endKey.String(at.End.String()))
		}
		why := with(kv...)
		o.ObserveInt64(in.reasonIO, n.bytes, why)
		o.ObserveInt64(in.reasonCopies, n.copies, why)
	}
}

func (in *instruments) observePipes(o metric.Observer, p *zerocopy.PipeStats) {
	o.ObserveInt64(in.pipes, p.Idle, with(stateKey.String("idle")))
	o.ObserveInt64(in.pipes, p.Open-p.Idle, with(stateKey.String("used")))
	o.ObserveInt64(in.pipeUsage, p.Bytes)
	o.ObserveInt64(in.pipeLimit, p.Budget)
	o.ObserveInt64(in.pipesMade, p.Created)
	o.ObserveInt64(in.pipesDropped, p.Discarded)
	o.ObserveInt64(in.pipeRefused, p.Refused)
}
