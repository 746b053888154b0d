package zchttp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// A culpritReader[T] is a type in the way, with a name that HTML has to escape or not.
type culpritReader[T any] struct{ io.Reader }

type culpritWriter struct{ io.Writer }

// TestDebug: a type that kept bytes in memory is named with them, to people and to programs.
func TestDebug(t *testing.T) {
	t.Parallel()
	const size, name = 123_456, "zchttp_test.culpritReader[map[string]<-chan int]"
	before := culprit(zchttp.DebugHandler(), name)
	_, err := zerocopy.Copy(culpritWriter{io.Discard}, culpritReader[map[string]<-chan int]{io.LimitReader(strings.NewReader(strings.Repeat("x", size)), size)})
	must(t, err)
	for _, tt := range []struct {
		reason string
		query  string
		accept string
		json   bool
	}{
		{"a browser", "", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false},
		{"curl", "", "*/*", false},
		{"asked for", "?format=json", "text/html", true},
		{"accepted", "", "application/json", true},
		{"preferred", "", "text/html;q=0.5, application/json", true},
		{"not preferred", "", "application/json;q=0.5, text/html", false},
		{"refused", "", "application/json;q=0", false},
		{"asked for otherwise", "?format=html", "application/json", false},
		{"nonsense", "?refresh=x", ";;,", false},
	} {
		r := httptest.NewRequest("GET", "/debug/zerocopy"+tt.query, nil)
		r.Header.Set("Accept", tt.accept)
		w := httptest.NewRecorder()
		zchttp.DebugHandler().ServeHTTP(w, r)
		if w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", tt.reason, w.Code, w.Header())
		}
		if !tt.json {
			body := w.Body.String()
			if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || !strings.Contains(body, strings.ReplaceAll(name, "<", "&lt;")) ||
				strings.Contains(body, name) || !strings.HasSuffix(body, "</html>\n") {
				t.Errorf("%s: %s", tt.reason, body)
			}
			continue
		}
		var report zchttp.DebugReport
		if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
			t.Fatalf("%s: %v", tt.reason, err)
		}
		got := find(report, name)
		if got.Bytes-before.Bytes != size || got.Copies-before.Copies != 1 || !slices.Contains(got.Reasons, zerocopy.ReasonNotDescriptor) {
			t.Errorf("%s: %+v", tt.reason, report.Culprits)
		}
		if !slices.IsSortedFunc(report.Culprits, func(a, b zchttp.Culprit) int { return int(b.Bytes - a.Bytes) }) {
			t.Errorf("%s: not sorted: %+v", tt.reason, report.Culprits)
		}
	}
	w := httptest.NewRecorder()
	zchttp.DebugHandler().ServeHTTP(w, httptest.NewRequest("POST", "/debug/zerocopy", nil))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
	w = httptest.NewRecorder()
	zchttp.DebugHandler().ServeHTTP(w, httptest.NewRequest("GET", "/debug/zerocopy?refresh=99999", nil))
	if !strings.Contains(w.Body.String(), `http-equiv="refresh" content="3600"`) {
		t.Error("no refresh")
	}
}

// culprit asks h for what it says of a type.
func culprit(h http.Handler, name string) zchttp.Culprit {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/?format=json", nil))
	var report zchttp.DebugReport
	json.Unmarshal(w.Body.Bytes(), &report)
	return find(report, name)
}

func find(report zchttp.DebugReport, name string) zchttp.Culprit {
	i := slices.IndexFunc(report.Culprits, func(c zchttp.Culprit) bool { return c.Type == name })
	if i < 0 {
		return zchttp.Culprit{}
	}
	return report.Culprits[i]
}

func ExampleDebugHandler() {
	mux := http.NewServeMux()
	mux.Handle("/debug/zerocopy", zchttp.DebugHandler())
	srv := httptest.NewServer(mux)
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/debug/zerocopy?format=json")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var report zchttp.DebugReport
	err = json.NewDecoder(resp.Body).Decode(&report)
	fmt.Println(resp.Status, err)
	// Output: 200 OK <nil>
}
