package zcprom

import (
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerocopy-go/zerocopy"
)

// endsOf are the ends that a reason is counted at, where it is not at both. Package pages
// counts everything at the destination, and packages without a kernel to ask at none.
var endsOf = map[zerocopy.Reason]zerocopy.End{
	zerocopy.ReasonSmall:         zerocopy.SourceEnd,
	zerocopy.ReasonPages:         zerocopy.SourceEnd,
	zerocopy.ReasonStable:        zerocopy.SourceEnd,
	zerocopy.ReasonAppend:        zerocopy.DestinationEnd,
	zerocopy.ReasonSame:          zerocopy.SourceEnd,
	zerocopy.ReasonNoPipe:        zerocopy.SourceEnd,
	zerocopy.ReasonNoLoan:        zerocopy.DestinationEnd,
	zerocopy.ReasonCopied:        zerocopy.DestinationEnd,
	zerocopy.ReasonLentElsewhere: zerocopy.DestinationEnd,
	zerocopy.ReasonLocked:        zerocopy.DestinationEnd,
	zerocopy.ReasonMeasured:      zerocopy.DestinationEnd,
}

// An obstacle is what a series of bytes not left to the kernel has as labels.
type obstacle struct {
	reason zerocopy.Reason
	end    zerocopy.End
}

// A count is what of them there is.
type count struct{ copies, bytes int64 }

// obstacles returns a zero for every reason and end that can occur, those of later
// releases of package zerocopy included.
func obstacles() map[obstacle]count {
	all := make(map[obstacle]count)
	for r, known := zerocopy.ReasonNone+1, zerocopy.ReasonNone; known.UnmarshalText([]byte(r.String())) == nil; r++ {
		if end, one := endsOf[r]; one {
			all[obstacle{r, end}] = count{}
			continue
		}
		if r == zerocopy.ReasonPlatform {
			all[obstacle{r, zerocopy.NoEnd}] = count{}
		} else {
			all[obstacle{r, zerocopy.SourceEnd}] = count{}
		}
		all[obstacle{r, zerocopy.DestinationEnd}] = count{}
	}
	return all
}

// collectReasons sends what is counted by reason and end, all types added up.
func collectReasons(ch chan<- prometheus.Metric, stats *zerocopy.Stats) {
	all := obstacles()
	for _, row := range stats.Reasons {
		at := obstacle{row.Reason, row.End}
		n := all[at]
		all[at] = count{n.copies + row.Copies, n.bytes + row.Bytes}
	}
	for at, n := range all {
		reason, end := at.reason.String(), at.end.String()
		ch <- prometheus.MustNewConstMetric(reasonBytesDesc, prometheus.CounterValue, float64(n.bytes), reason, end)
		ch <- prometheus.MustNewConstMetric(reasonCopiesDesc, prometheus.CounterValue, float64(n.copies), reason, end)
	}
}

// maxType is the most bytes of a type's name in a label: that of a struct without a
// name has all its fields, that of a generic one the import paths of its arguments.
const maxType = 100

// other is the type of the bytes whose own has no series.
const other = "other"

// typeLabel returns a type's name as it may be in a label.
func typeLabel(name string) string {
	name = strings.ToValidUTF8(name, "\uFFFD")
	if len(name) <= maxType {
		return name
	}
	cut := maxType
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "…"
}

// collectTypes sends the bytes by type. A type that once was added up in other never
// gets a series of its own, since then other would go back: there is room for it at
// once or, rooms being never given back, never.
func (c *collector) collectTypes(ch chan<- prometheus.Metric, stats *zerocopy.Stats) {
	sums := make(map[zerocopy.ReasonStats]int64) // by a row without its counts
	c.mu.Lock()
	for _, row := range stats.Reasons {
		if row.Bytes == 0 {
			continue
		}
		series := zerocopy.ReasonStats{Reason: row.Reason, End: row.End, Type: typeLabel(row.Type)}
		if !c.named[series] {
			if row.Type != "" && len(c.named) < c.types {
				c.named[series] = true
			} else {
				series.Type = other
			}
		}
		sums[series] += row.Bytes
	}
	c.mu.Unlock()
	for series, n := range sums {
		ch <- prometheus.MustNewConstMetric(typeBytesDesc, prometheus.CounterValue, float64(n),
			series.Reason.String(), series.End.String(), series.Type)
	}
}
