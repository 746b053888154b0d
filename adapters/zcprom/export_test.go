package zcprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerocopy-go/zerocopy"
)

// NewCollectorOf is NewCollector with counts of the test's own.
func NewCollectorOf(read func() zerocopy.Stats, opts ...Option) prometheus.Collector {
	c := NewCollector(opts...).(*collector)
	c.read = read
	return c
}
