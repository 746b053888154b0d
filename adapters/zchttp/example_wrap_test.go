package zchttp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// An access log, which leaves the fast path of what it logs as it is.
func ExampleWrapResponseWriter() {
	logged := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w, count := zchttp.WrapResponseWriter(w, zchttp.ResponseHooks{Request: r})
			next.ServeHTTP(w, r)
			fmt.Println(r.Method, r.URL.Path, count.Status(), count.Bytes())
		})
	}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	w := httptest.NewRecorder()
	logged(hello).ServeHTTP(w, httptest.NewRequest("GET", "/greeting", nil))
	// Output: GET /greeting 200 5
}

func ExampleNewFileRequest() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Println(r.ContentLength, string(body))
	}))
	defer srv.Close()
	f, err := os.CreateTemp("", "upload")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	io.Copy(f, strings.NewReader("some header, and what to send"))
	f.Seek(13, io.SeekStart)

	req, err := zchttp.NewFileRequest(context.Background(), "PUT", srv.URL, f)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	// Output: 16 and what to send
}

func ExampleCompressing() {
	var compress func(http.Handler) http.Handler // gzhttp.GzipHandler, middleware.Compress(5) of chi
	files := http.FileServer(http.Dir("."))
	if compress != nil {
		http.Handle("/", zchttp.Compressing(compress, files))
	}
}
