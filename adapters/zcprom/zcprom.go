// Package zcprom is a Prometheus collector of the counts of package zerocopy.
//
//	prometheus.MustRegister(zcprom.NewCollector())
//
// A scrape calls [zerocopy.ReadStats]; between scrapes it costs nothing. The counts are
// those of the process, so one collector a registry is enough. Bytes are bytes, and
// counters never go back while the process runs.
//
//	zerocopy_copies_total                             copies that have ended
//	zerocopy_copy_failures_total                      of them, with an error
//	zerocopy_copies_active                            copies under way
//	zerocopy_relays_active                            relays of package zcnet that run
//	zerocopy_handed_back_bytes_total                  bytes in a zerocopy.PartialError
//	zerocopy_bytes_total{mechanism}                   bytes moved, while copies run
//	zerocopy_system_calls_total{mechanism}            system calls that moved or asked for bytes
//	zerocopy_mechanism_copies_total{mechanism}        copies that took it; one may take several
//	zerocopy_mechanism_disabled{mechanism}            1 if it is switched off at present
//	zerocopy_unaccelerated_bytes_total{reason,end}    bytes not left to the kernel, at a copy's end
//	zerocopy_unaccelerated_copies_total{reason,end}   copies with such bytes
//	zerocopy_pipes_open                               private pipes, borrowed or idle
//	zerocopy_pipes_idle                               of them, waiting to be borrowed
//	zerocopy_pipe_size_bytes                          the sizes of the open ones added up
//	zerocopy_pipe_budget_bytes                        the most that may be; 0 before the first
//	zerocopy_pipes_created_total                      pipes made
//	zerocopy_pipes_discarded_total                    pipes closed with bytes in them
//	zerocopy_pipes_refused_total                      times that no pipe was to be had
//
// The labels mechanism, reason and end have the names of [zerocopy.Mechanism],
// [zerocopy.Reason] and [zerocopy.End]; end is empty where none stood in the way. Every
// series that can occur is there from the first scrape on, with 0: some 138 in all, and
// their number does not grow. [WithTypes] adds
//
//	zerocopy_unaccelerated_type_bytes_total{reason,end,type}
//
// What the numbers mean, and queries and alerts, are in docs/observability.md of the
// repository.
package zcprom

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerocopy-go/zerocopy"
)

// An Option is a setting of [NewCollector].
type Option func(*collector)

// WithTypes adds zerocopy_unaccelerated_type_bytes_total: the Go type that stood in the
// way, such as "*gzip.Reader". There are at most n series with a type of their own,
// those that scrapes find first, of one scrape those with the most bytes. Each keeps
// its series for good. All the other bytes are in type="other", one series for each
// reason and end, so a counter does not go back however the order changes. With n of 0
// or less there is no such metric. A type's name is cut at 100 bytes.
func WithTypes(n int) Option { return func(c *collector) { c.types = n } }

// NewCollector returns a collector of what [zerocopy.ReadStats] counts, see the package
// comment. It is safe for concurrent use, and may be registered with several
// registries.
func NewCollector(opts ...Option) prometheus.Collector {
	c := &collector{read: zerocopy.ReadStats, named: make(map[zerocopy.ReasonStats]bool)}
	for _, o := range opts {
		o(c)
	}
	return c
}

// A collector is what NewCollector returns.
type collector struct {
	read  func() zerocopy.Stats
	types int // how many types may have a series

	mu    sync.Mutex
	named map[zerocopy.ReasonStats]bool // those that have one, without their counts
}

var _ prometheus.Collector = (*collector)(nil)

// A single is a metric without labels.
type single struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*zerocopy.Stats) int64
}

// singles are all of them.
var singles = []single{
	counter("copies_total", "Copies that have ended.", func(s *zerocopy.Stats) int64 { return s.Copies }),
	counter("copy_failures_total", "Copies that have ended with an error.", func(s *zerocopy.Stats) int64 { return s.Failed }),
	gauge("copies_active", "Copies under way.", func(s *zerocopy.Stats) int64 { return s.Active }),
	gauge("relays_active", "Relays that are running.", func(s *zerocopy.Stats) int64 { return s.Relays }),
	counter("handed_back_bytes_total", "Bytes taken from a stream, not accepted by the destination, and handed back in a PartialError.",
		func(s *zerocopy.Stats) int64 { return s.HandedBack }),
	gauge("pipes_open", "Private pipes that are open, borrowed or idle.", func(s *zerocopy.Stats) int64 { return s.Pipes.Open }),
	gauge("pipes_idle", "Private pipes that are open and wait to be borrowed.", func(s *zerocopy.Stats) int64 { return s.Pipes.Idle }),
	gauge("pipe_size_bytes", "The sizes of the open private pipes added up.", func(s *zerocopy.Stats) int64 { return s.Pipes.Bytes }),
	gauge("pipe_budget_bytes", "The most that zerocopy_pipe_size_bytes may be; 0 before the first pipe.", func(s *zerocopy.Stats) int64 { return s.Pipes.Budget }),
	counter("pipes_created_total", "Private pipes made.", func(s *zerocopy.Stats) int64 { return s.Pipes.Created }),
	counter("pipes_discarded_total", "Private pipes closed because a copy ended with bytes in them.", func(s *zerocopy.Stats) int64 { return s.Pipes.Discarded }),
	counter("pipes_refused_total", "Times that no private pipe was to be had, so that bytes were read and written.", func(s *zerocopy.Stats) int64 { return s.Pipes.Refused }),
}

var (
	bytesDesc       = describe("bytes_total", "Bytes moved, by mechanism.", "mechanism")
	callsDesc       = describe("system_calls_total", "System calls that moved or asked for bytes, by mechanism.", "mechanism")
	tookDesc        = describe("mechanism_copies_total", "Copies that took the mechanism for some of their bytes. A copy may take several.", "mechanism")
	disabledDesc    = describe("mechanism_disabled", "Whether the mechanism is switched off at present.", "mechanism")
	reasonBytesDesc = describe("unaccelerated_bytes_total", "Bytes that were not left to the kernel, by reason and the end of the copy that it lies in; counted when a copy ends.",
		"reason", "end")
	reasonCopiesDesc = describe("unaccelerated_copies_total", "Copies some bytes of which were not left to the kernel, by reason and the end that it lies in.",
		"reason", "end")
	typeBytesDesc = describe("unaccelerated_type_bytes_total", "Bytes that were not left to the kernel, by the Go type that stood in the way.",
		"reason", "end", "type")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("zerocopy_"+name, help, labels, nil)
}

func counter(name, help string, value func(*zerocopy.Stats) int64) single {
	return single{describe(name, help), prometheus.CounterValue, value}
}

func gauge(name, help string, value func(*zerocopy.Stats) int64) single {
	return single{describe(name, help), prometheus.GaugeValue, value}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, s := range singles {
		ch <- s.desc
	}
	for _, d := range []*prometheus.Desc{bytesDesc, callsDesc, tookDesc, disabledDesc, reasonBytesDesc, reasonCopiesDesc} {
		ch <- d
	}
	if c.types > 0 {
		ch <- typeBytesDesc
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	stats := c.read()
	for _, s := range singles {
		ch <- prometheus.MustNewConstMetric(s.desc, s.kind, float64(s.value(&stats)))
	}
	collectMechanisms(ch, &stats)
	collectReasons(ch, &stats)
	if c.types > 0 {
		c.collectTypes(ch, &stats)
	}
}

// collectMechanisms sends what is counted by mechanism, of all that there are.
func collectMechanisms(ch chan<- prometheus.Metric, stats *zerocopy.Stats) {
	rows := make(map[zerocopy.Mechanism]zerocopy.MechanismStats, len(stats.Mechanisms))
	for _, row := range stats.Mechanisms {
		rows[row.Mechanism] = row
	}
	off := zerocopy.Mechanisms(stats.Disabled...)
	all := zerocopy.AllMechanisms | zerocopy.Mechanisms(zerocopy.Buffered)
	for m := zerocopy.Mechanism(0); all.Has(m); m++ {
		row, name := rows[m], m.String()
		disabled := 0.0
		if off.Has(m) {
			disabled = 1
		}
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(row.Bytes), name)
		ch <- prometheus.MustNewConstMetric(callsDesc, prometheus.CounterValue, float64(row.Calls), name)
		ch <- prometheus.MustNewConstMetric(tookDesc, prometheus.CounterValue, float64(row.Copies), name)
		ch <- prometheus.MustNewConstMetric(disabledDesc, prometheus.GaugeValue, disabled, name)
	}
}
