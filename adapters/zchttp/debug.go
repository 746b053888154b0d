package zchttp

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/zerocopy-go/zerocopy"
)

//go:embed debug.html
var debugPage string

// A Culprit is a type that kept bytes from the kernel, and how many.
type Culprit struct {
	// Type is its name, as of [zerocopy.ReasonStats].
	Type string
	// Bytes is how many bytes were read and written for its sake, in how many Copies, since the
	// process began; of copies that have ended.
	Bytes, Copies int64
	// Reasons are why, most bytes first.
	Reasons []zerocopy.Reason
}

// A DebugReport is what [DebugHandler] serves as JSON.
type DebugReport struct {
	// Stats are those of [zerocopy.ReadStats].
	Stats zerocopy.Stats
	// Culprits has a row for each type, most bytes first. What was left to the own method of a
	// type is not among them: where those bytes went is not known, and mostly they are counted once
	// more as what that method did with them.
	Culprits []Culprit
}

// DebugHandler returns a page about what package zerocopy does in this process, for people and, as
// JSON, for programs: how many copies are under way, what went by which mechanism, and which types
// of the program kept how many bytes from the kernel.
//
//	mux.Handle("/debug/zerocopy", zchttp.DebugHandler())
//
// JSON, a [DebugReport], is what ?format=json gets and what a request gets that accepts
// application/json and not text/html. With ?refresh=5 a browser asks again every 5 seconds. The page has no
// JavaScript.
//
// It tells names of types, so it belongs behind whatever guards /debug/pprof. Copies under way are a
// number: a list of them would cost each copy an entry.
func DebugHandler() http.Handler {
	// Parsed here and not at start: who has no such handler does not pay for html/template.
	page := template.Must(template.New("debug").Funcs(template.FuncMap{
		"bytes": binaryBytes, "count": grouped, "share": share, "names": names,
	}).Parse(debugPage))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Add("Vary", "Accept")
		report := debugReport()
		if wantsJSON(r) {
			h.Set("Content-Type", "application/json")
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			e.Encode(report)
			return
		}
		var out bytes.Buffer
		if err := page.Execute(&out, newDebugView(report, r)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		w.Write(out.Bytes())
	})
}

// wantsJSON reports whether r asks for JSON.
func wantsJSON(r *http.Request) bool {
	if f := r.FormValue("format"); f != "" {
		return f == "json"
	}
	json, html := 0.0, 0.0
	for _, accepted := range strings.Split(strings.Join(r.Header.Values("Accept"), ","), ",") {
		kind, params, err := mime.ParseMediaType(accepted)
		if err != nil {
			continue
		}
		q := 1.0
		if s, ok := params["q"]; ok {
			q, _ = strconv.ParseFloat(s, 64)
		}
		switch kind {
		case "application/json":
			json = q
		case "text/html":
			html = q
		}
	}
	return json > html
}

// debugReport returns the report of this moment.
func debugReport() DebugReport {
	report := DebugReport{Stats: zerocopy.ReadStats(), Culprits: []Culprit{}}
	at := map[string]int{}
	for _, row := range report.Stats.Reasons { // most bytes first
		if row.Type == "" || row.Reason == zerocopy.ReasonOwnMethod || row.Bytes == 0 {
			continue
		}
		i, ok := at[row.Type]
		if !ok {
			i = len(report.Culprits)
			at[row.Type] = i
			report.Culprits = append(report.Culprits, Culprit{Type: row.Type})
		}
		c := &report.Culprits[i]
		c.Bytes += row.Bytes
		c.Copies += row.Copies
		if !slices.Contains(c.Reasons, row.Reason) {
			c.Reasons = append(c.Reasons, row.Reason)
		}
	}
	slices.SortStableFunc(report.Culprits, func(a, b Culprit) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return report
}

// maxRows is how many rows of culprits and reasons the page has; JSON has all.
const maxRows = 64

// A debugView is what the page is made of.
type debugView struct {
	DebugReport
	Reasons        []zerocopy.ReasonStats // those that name no type
	Total          int64                  // bytes, by any mechanism but Delegated
	Kernel         int64                  // of them, not Buffered
	Culprit        int64                  // bytes of all culprits
	Hidden         int                    // culprits that the page does not show
	Refresh        int                    // seconds, or 0
	RefreshChoices []int
}

func newDebugView(report DebugReport, r *http.Request) debugView {
	v := debugView{DebugReport: report, RefreshChoices: []int{2, 10, 60}}
	for _, m := range report.Stats.Mechanisms {
		switch m.Mechanism {
		case zerocopy.Delegated:
			continue
		case zerocopy.Buffered:
		default:
			v.Kernel += m.Bytes
		}
		v.Total += m.Bytes
	}
	for _, row := range report.Stats.Reasons {
		if row.Type == "" && len(v.Reasons) < maxRows {
			v.Reasons = append(v.Reasons, row)
		}
	}
	for _, c := range report.Culprits {
		v.Culprit += c.Bytes
	}
	if over := len(v.Culprits) - maxRows; over > 0 {
		v.Culprits, v.Hidden = v.Culprits[:maxRows], over
	}
	if n, err := strconv.Atoi(r.FormValue("refresh")); err == nil && n > 0 {
		v.Refresh = min(n, 3600)
	}
	return v
}

// binaryBytes is n bytes for people.
func binaryBytes(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for ; v >= 1023.95 && i < len(units)-1; i++ {
		v /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// grouped is n with its digits in groups of three.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// share is part of total in percent.
func share(part, total int64) string {
	if total <= 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(total))
}

// names are reasons or mechanisms by their names.
func names(list any) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(list), "[]"), " ", ", ")
}
