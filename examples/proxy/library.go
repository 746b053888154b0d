package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/zerocopy-go/zerocopy/adapters/zcprom"
)

// library collects the counts of package zerocopy.
func library() prometheus.Collector { return zcprom.NewCollector(zcprom.WithTypes(20)) }
