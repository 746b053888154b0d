package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// A response has the header of a transport stream and then nothing but the stream.
func TestResponse(t *testing.T) {
	t.Parallel()
	r, publisher, _ := publish(t)
	for _, row := range []struct{ why, request string }{
		{"as players ask", "GET /live HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n"},
		{"HTTP/1.0 has no chunks either", "GET /live HTTP/1.0\r\n\r\n"},
		{"a request in the pipeline is not answered", "GET /live HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		conn := dial(t, r.http)
		send(t, conn, []byte(row.request))
		header := readHeader(t, conn)
		for _, want := range []string{"HTTP/1.1 200 OK\r\n", "\r\nContent-Type: video/mp2t\r\n", "\r\nConnection: close\r\n", "\r\nCache-Control: no-store\r\n"} {
			if !strings.Contains(header, want) {
				t.Errorf("%s: no %q in %q", row.why, want, header)
			}
		}
		for _, bad := range []string{"Content-Length", "Transfer-Encoding"} {
			if strings.Contains(header, bad) {
				t.Errorf("%s: %s in %q", row.why, bad, header)
			}
		}
		r.until("it is live", are("live", conn))
		piece := data(300 << 10)
		feed(t, publisher, piece, conn)
		if v := r.state("").of(conn); accelerated() && v.Mechanism != "tee" {
			t.Errorf("%s: by %s, %s", row.why, v.Mechanism, v.Why)
		}
		conn.Close()
		r.until("it has gone", are("ended", conn))
	}
}

// What is not a GET of the stream is answered as HTTP has it, and costs no viewer.
func TestRequests(t *testing.T) {
	t.Parallel()
	recorded, _, _ := publish(t)
	bare := start(t, "-source", "listen:127.0.0.1:0")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: enough}
	for _, row := range []struct {
		r            *running
		method, path string
		status       int
		header, body string
	}{
		{recorded, "HEAD", "/live", 200, "Content-Type: video/mp2t", ""},
		{recorded, "HEAD", "/live?from=start", 200, "Content-Type: video/mp2t", ""},
		{recorded, "POST", "/live", 405, "Allow: GET, HEAD", "Method Not Allowed"},
		{recorded, "GET", "/live?from=noon", 400, "", "want /live or"},
		{recorded, "GET", "/nothing", 404, "", "not found"},
		{bare, "GET", "/live?from=start", 404, "", "not recorded"},
		{bare, "GET", "/", 200, "Content-Type: text/html; charset=utf-8", "<!DOCTYPE html>"},
		{bare, "HEAD", "/", 200, "Content-Type: text/html; charset=utf-8", ""},
		{bare, "GET", "/status.json", 200, "Content-Type: application/json", `"phase":"waiting"`},
		{bare, "DELETE", "/status.json", 405, "Allow: GET, HEAD", "Method Not Allowed"},
	} {
		request, err := http.NewRequest(row.method, "http://"+row.r.http+row.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		var header bytes.Buffer
		answer.Header.Write(&header)
		if err != nil || answer.StatusCode != row.status || !strings.Contains(header.String(), row.header) || !strings.Contains(string(body), row.body) || row.body == "" && len(body) > 0 {
			t.Errorf("%s %s: %d, %q, %.200q, %v, want %d, %q, %q", row.method, row.path, answer.StatusCode, &header, body, err, row.status, row.header, row.body)
		}
	}
	for _, r := range []*running{recorded, bare} {
		if n := len(r.state("").Viewers); n > 0 {
			t.Errorf("there are %d viewers", n)
		}
	}
}

// Who comes before the stream waits for it, and may leave.
func TestBeforeTheStream(t *testing.T) {
	t.Parallel()
	r := start(t, "-source", "listen:127.0.0.1:0", "-record", t.TempDir()+"/recording")
	early, bare, gone := r.ask("/live?from=start"), dial(t, r.tcp), r.ask("/live")
	st := r.until("three viewers wait", func(st *status) bool { return len(st.Viewers) == 3 })
	for _, v := range st.Viewers {
		if v.State != "waiting" || strings.Trim(v.States, "w") != "" {
			t.Errorf("%+v", v)
		}
	}
	gone.Close()
	r.Await(t, fmt.Sprintf("http %v has gone before there was a stream", gone.LocalAddr()))
	publisher := r.publisher()
	readHeader(t, early)
	r.until("two viewers are live", are("live", early, bare))
	feed(t, publisher, data(1<<20), early, bare)
	publisher.Close()
	receiveEnd(t, early)
	receiveEnd(t, bare)
	early.Close()
	bare.Close()
	r.ended(0)
}

func TestPage(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"https://", "<link rel=\"stylesheet", "<script src", "@import", "url("} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("%q in the page, which shall need nothing else", bad)
		}
	}
}
