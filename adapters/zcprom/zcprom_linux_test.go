package zcprom_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcprom"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestMain counts descriptors and goroutines before and after all tests.
func TestMain(m *testing.M) { ztest.Main(m, kpipe.Shared.CloseIdle) }

// full accepts nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

// TestScrape: copies between sockets and files, and what a scrape over HTTP says of them.
func TestScrape(t *testing.T) {
	if !ztest.Isolated(t) { // the counts are the process's
		return
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(zcprom.NewCollector(zcprom.WithTypes(5)))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}))
	defer server.Close()
	scrape := func() map[string]float64 {
		t.Helper()
		r, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		text, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v: %s", r.Status, err, text)
		}
		return series(t, string(text))
	}
	const size = 4 << 20
	content := ztest.Pattern(5).Bytes(size)
	tcp := func() io.Reader { return ztest.NewSource(t, ztest.TCP4, content).Reader }
	file := func() io.Reader { return ztest.NewSource(t, ztest.File, content).Reader }
	for _, row := range []struct {
		name  string
		src   io.Reader
		dst   ztest.Kind // none: full
		want  map[string]float64
		least map[string]float64
	}{
		{name: "file to TCP", src: file(), dst: ztest.TCP4,
			want: map[string]float64{
				`zerocopy_copies_total`:                                        1,
				`zerocopy_bytes_total{mechanism="sendfile"}`:                   size,
				`zerocopy_mechanism_copies_total{mechanism="sendfile"}`:        1,
				`zerocopy_copy_failures_total`:                                 0,
				`zerocopy_bytes_total{mechanism="buffered"}`:                   0,
				`zerocopy_unaccelerated_bytes_total{end="",reason="platform"}`: 0,
			},
			least: map[string]float64{`zerocopy_system_calls_total{mechanism="sendfile"}`: 1}},
		{name: "TCP to TCP, the start of which is read", src: tcp(), dst: ztest.TCP4,
			want: map[string]float64{
				`zerocopy_copies_total`:                                                  1,
				`zerocopy_mechanism_copies_total{mechanism="splice"}`:                    1,
				`zerocopy_mechanism_copies_total{mechanism="buffered"}`:                  1,
				`zerocopy_unaccelerated_copies_total{end="source",reason="start"}`:       1,
				`zerocopy_unaccelerated_copies_total{end="destination",reason="append"}`: 0,
			},
			least: map[string]float64{
				`zerocopy_bytes_total{mechanism="splice"}`:                                                 size / 2,
				`zerocopy_bytes_total{mechanism="buffered"}`:                                               1,
				`zerocopy_unaccelerated_bytes_total{end="source",reason="start"}`:                          1,
				`zerocopy_unaccelerated_type_bytes_total{end="source",reason="start",type="*net.TCPConn"}`: 1,
				`zerocopy_pipes_created_total`:                                                             1,
				`zerocopy_pipes_open`:                                                                      1,
				`zerocopy_pipe_size_bytes`:                                                                 64 << 10,
				`zerocopy_pipe_budget_bytes`:                                                               64 << 10,
			}},
		{name: "a type that nobody knows", src: source{tcp()}, dst: ztest.TCP4,
			want: map[string]float64{
				`zerocopy_bytes_total{mechanism="buffered"}`:                                                              size,
				`zerocopy_unaccelerated_bytes_total{end="source",reason="not-descriptor"}`:                                size,
				`zerocopy_unaccelerated_type_bytes_total{end="source",reason="not-descriptor",type="zcprom_test.source"}`: size,
			}},
		{name: "a destination that fails", src: tcp(),
			want:  map[string]float64{`zerocopy_copies_total`: 1, `zerocopy_copy_failures_total`: 1, `zerocopy_copies_active`: 0},
			least: map[string]float64{`zerocopy_handed_back_bytes_total`: 1}},
	} {
		var dst io.Writer = full{}
		finish := func() {}
		if row.dst != "" {
			d := ztest.NewDest(t, row.dst)
			dst, finish = d.Writer, func() { d.Finish() }
		}
		before := scrape()
		_, err := zerocopy.Default().Copy(context.Background(), dst, row.src)
		if (err != nil) != (row.want[`zerocopy_copy_failures_total`] == 1) {
			t.Errorf("%s: %v", row.name, err)
		}
		finish()
		after := scrape()
		for name, want := range row.want {
			if _, ok := after[name]; !ok {
				t.Errorf("%s: there is no %s", row.name, name)
			}
			if got := after[name] - before[name]; got != want {
				t.Errorf("%s: %s grew by %v, want %v", row.name, name, got, want)
			}
		}
		for name, least := range row.least {
			if got := after[name] - before[name]; got < least {
				t.Errorf("%s: %s grew by %v, want at least %v", row.name, name, got, least)
			}
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
