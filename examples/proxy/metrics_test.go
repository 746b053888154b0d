package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// get returns what the metrics server of r has at path.
func (r *running) get(t *testing.T, path string) string {
	t.Helper()
	addr := r.Await(t, `metrics on http://([^/\s]+)/metrics`)[1]
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", path, res.Status, err)
	}
	return string(text)
}

// scrape waits until the metrics have each of the lines, and returns them.
func (r *running) scrape(t *testing.T, lines ...string) (text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		text = r.get(t, "/metrics")
		missing := false
		for _, line := range lines {
			missing = missing || !strings.Contains(text, line+"\n")
		}
		if !missing {
			return text
		}
	}
	t.Fatalf("not all of %q in\n%s", lines, text)
	return ""
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	p, client, server := pair(t, "-metrics", "127.0.0.1:0")
	to := server.LocalAddr().String()
	send(t, client, "12345")
	receive(t, server, "12345")
	send(t, server, "123")
	receive(t, client, "123")
	p.scrape(t, "proxy_connections_open 1",
		`proxy_bytes_total{backend="`+to+`",direction="up"} 5`,
		`proxy_bytes_total{backend="`+to+`",direction="down"} 3`)
	client.CloseWrite()
	server.CloseWrite()
	text := p.scrape(t, "proxy_connections_open 0",
		`proxy_bytes_total{backend="`+to+`",direction="up"} 5`,
		`proxy_connections_total{backend="`+to+`",ending="eof"} 1`)
	for _, name := range []string{`zerocopy_bytes_total{mechanism="splice"}`, "zerocopy_relays_active", "go_goroutines"} {
		if !strings.Contains(text, "\n"+name+" ") {
			t.Errorf("no %s in\n%s", name, text)
		}
	}
	if otel := p.get(t, "/otel"); !strings.Contains(otel, `zerocopy_io_bytes_total{`) || !strings.Contains(otel, `zerocopy_mechanism="buffered"`) {
		t.Errorf("OpenTelemetry:\n%s", otel)
	}
	var vars struct{ Zerocopy struct{ Copies int64 } }
	if err := json.Unmarshal([]byte(p.get(t, "/debug/vars")), &vars); err != nil || vars.Zerocopy.Copies < 2 {
		t.Errorf("expvar: %+v, %v", vars, err)
	}
	if index := p.get(t, "/"); !strings.Contains(index, "/metrics") {
		t.Errorf("index: %s", index)
	}
}
