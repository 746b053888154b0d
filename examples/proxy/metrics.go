package main

import (
	"errors"
	"expvar"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zerocopy-go/zerocopy"
)

// publish makes the library's counts an expvar: it is one of the process.
var publish = sync.OnceFunc(func() {
	expvar.Publish("zerocopy", expvar.Func(func() any { return zerocopy.ReadStats() }))
})

// serveMetrics serves what is counted until stop is called.
func (p *proxy) serveMetrics(address string) (stop func(), err error) {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	publish()
	handler, err := p.metricsHandler()
	if err != nil {
		ln.Close()
		return nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			p.log.Print("metrics: ", err)
		}
	}()
	p.log.Printf("metrics on http://%v/metrics, /otel and /debug/vars", ln.Addr())
	return func() {
		server.Close()
		<-done
	}, nil
}

func (p *proxy) metricsHandler() (http.Handler, error) {
	otel, err := openTelemetry()
	if err != nil {
		return nil, err
	}
	r := prometheus.NewRegistry()
	r.MustRegister(flowCollector{&p.book}, library(), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.Handle("GET /otel", otel)
	mux.Handle("GET /debug/vars", expvar.Handler())
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "zerocopy example proxy\n\n/metrics     for Prometheus\n/otel        the library's counts as OpenTelemetry has them\n/debug/vars  expvar: the library's counts are under \"zerocopy\"\n\n")
	})
	return mux, nil
}

// A flowCollector is a collector of the proxy's own counts.
type flowCollector struct{ b *book }

var (
	openDesc  = prometheus.NewDesc("proxy_connections_open", "Connections that are open.", nil, nil)
	endedDesc = prometheus.NewDesc("proxy_connections_total",
		"Connections that have ended, by backend (empty: none was found) and by how: eof, error, idle, context, refused.", []string{"backend", "ending"}, nil)
	bytesDesc = prometheus.NewDesc("proxy_bytes_total",
		"Bytes that the backend (up) or the client (down) accepted, of open connections, too.", []string{"backend", "direction"}, nil)
)

// Describe implements prometheus.Collector.
func (c flowCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{openDesc, endedDesc, bytesDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c flowCollector) Collect(ch chan<- prometheus.Metric) {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	type sum struct{ up, down int64 }
	bytes := make(map[string]sum)
	for k, t := range c.b.totals {
		ch <- prometheus.MustNewConstMetric(endedDesc, prometheus.CounterValue, float64(t.flows), k.backend, k.ending)
		s := bytes[k.backend]
		bytes[k.backend] = sum{s.up + t.up, s.down + t.down}
	}
	for f := range c.b.flows {
		if backend, _ := f.route(); backend != "" {
			s := bytes[backend]
			bytes[backend] = sum{s.up + f.live.AToB.Bytes(), s.down + f.live.BToA.Bytes()}
		}
	}
	for backend, s := range bytes {
		if backend != "" {
			ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(s.up), backend, "up")
			ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(s.down), backend, "down")
		}
	}
	ch <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(len(c.b.flows)))
}
