package main

import (
	_ "embed"
	"net/http"
)

// page shows what /status.json says. It needs no other resource.
//
//go:embed page.html
var page []byte

func (s *station) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", s.serveLive)
	mux.HandleFunc("GET /status.json", s.serveStatus)
	mux.HandleFunc("GET /{$}", servePage)
	return mux
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'")
	w.Write(page)
}
