package main

import (
	"bytes"
	"net"
	"net/http"
)

// streamHeader are the fields of a response that carries the stream.
var streamHeader = http.Header{
	"Content-Type":                {"video/mp2t"},
	"Cache-Control":               {"no-store"},
	"Accept-Ranges":               {"none"},
	"Access-Control-Allow-Origin": {"*"}, // for players on other pages
	"X-Content-Type-Options":      {"nosniff"},
}

// serveLive makes the connection of a request a sink of the stream. The response has
// no length and no chunks: it lasts until the connection is closed, as HTTP/1.0 has
// it. So what the socket gets is the stream itself, and the kernel can put it there.
func (s *station) serveLive(w http.ResponseWriter, r *http.Request) {
	fromStart := false
	switch r.URL.Query().Get("from") {
	case "":
	case "start":
		fromStart = true
	default:
		http.Error(w, "want /live or /live?from=start", http.StatusBadRequest)
		return
	}
	if fromStart && s.opt.record == "" {
		http.Error(w, "the stream is not recorded", http.StatusNotFound)
		return
	}
	select {
	case <-s.over:
		w.Header().Set("Connection", "close") // there is nothing more to come
		http.Error(w, "the stream has ended", http.StatusServiceUnavailable)
		return
	default:
	}
	for name, values := range streamHeader {
		w.Header()[name] = values
	}
	if r.Method == http.MethodHead {
		return
	}

	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2, or a ResponseWriter that a middleware has wrapped
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok { // TLS: its bytes have to pass user memory, so a plain copy serves as well
		conn.Close()
		return
	}
	// The server may have read more than the request into the buffer that Hijack
	// has returned. It is dropped: a request in the pipeline gets no response, since
	// this one takes the rest of the connection. Nothing was written to its buffer.
	v := newViewer(tcp, "http", fromStart)
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\n")
	streamHeader.Write(&head)
	head.WriteString("\r\n")
	v.header = head.Bytes()
	s.serve(v)
}
