package zchttp_test

import (
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing/fstest"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// A directory, with files compressed beforehand, its small files kept in memory, and
// clients that stop reading cut off.
func ExampleOpenFileServer() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "hello.txt"), []byte("hello, client"), 0o600); err != nil {
		log.Fatal(err)
	}

	files, err := zchttp.OpenFileServer(dir, &zchttp.FileServerOptions{
		Precompressed: []string{"zstd", "br", "gzip"},
		CacheBytes:    64 << 20,
		IdleTimeout:   time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer files.Close()
	srv := httptest.NewServer(files) // or zchttp.ListenAndServe(&http.Server{Handler: files})
	defer srv.Close()

	res, err := http.Get(srv.URL + "/hello.txt")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Printf("%s %s %s\n", res.Status, res.Header.Get("Vary"), body)
	// Output: 200 OK Accept-Encoding hello, client
}

// Any fs.FS, with the page of an application for its routes, and no lists.
func ExampleFileServer() {
	site := fstest.MapFS{"index.html": {Data: []byte("<!doctype html>")}}
	h := zchttp.FileServer(site, &zchttp.FileServerOptions{
		NoListing: true,
		Fallback:  "index.html",
		CacheControl: func(name string, _ fs.FileInfo) string {
			if filepath.Ext(name) == ".html" {
				return "no-cache"
			}
			return "max-age=3600"
		},
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/users/7", nil))
	fmt.Println(w.Code, w.Header().Get("Cache-Control"), w.Body)
	// Output: 200 no-cache <!doctype html>
}
