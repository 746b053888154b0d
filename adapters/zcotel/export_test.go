package zcotel

import (
	"go.opentelemetry.io/otel/metric"

	"github.com/zerocopy-go/zerocopy"
)

// RegisterOf is Register with counts of the test's own.
func RegisterOf(mp metric.MeterProvider, read func() zerocopy.Stats) (metric.Registration, error) {
	return register(mp.Meter(scope), read)
}
