package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/zerocopy-go/zerocopy/adapters/zcotel"
	"github.com/zerocopy-go/zerocopy/adapters/zcprom"
)

// library collects the counts of package zerocopy.
func library() prometheus.Collector { return zcprom.NewCollector(zcprom.WithTypes(20)) }

// openTelemetry serves the same counts as OpenTelemetry's instruments, in the text that its
// exporter for Prometheus makes of them. A program that has a collector to send them to has
// another exporter here, and nothing else differs.
func openTelemetry() (http.Handler, error) {
	r := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(r))
	if err != nil {
		return nil, err
	}
	if _, err := zcotel.Register(metric.NewMeterProvider(metric.WithReader(exporter))); err != nil {
		return nil, err
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{}), nil
}
