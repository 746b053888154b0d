package zchttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// An upload is spliced from the client's connection into the file.
func ExampleSpliceBodies() {
	if err := zchttp.SpliceBodies(true); err != nil {
		log.Print(err) // everything works as before
	}
	f, err := os.CreateTemp("", "upload")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	addrs := make(chan net.Addr, 1)
	srv := &http.Server{
		Addr: "127.0.0.1:0",
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := zerocopy.Copy(f, http.MaxBytesReader(w, r.Body, 1<<30))
			fmt.Fprintln(w, n, err)
		}),
		BaseContext: func(l net.Listener) context.Context { addrs <- l.Addr(); return context.Background() },
	}
	go zchttp.ListenAndServe(srv)
	defer srv.Close()

	resp, err := http.Post(fmt.Sprint("http://", <-addrs), "", strings.NewReader(strings.Repeat("zero copy ", 100_000)))
	if err != nil {
		log.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
	// Output: 1000000 <nil>
}

// A download is spliced from the server's connection into the file.
func ExampleTransport() {
	zchttp.SpliceBodies(true)
	client := &http.Client{Transport: zchttp.Transport(nil)}

	download := func(url, name string) (err error) {
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		f, err := os.Create(name)
		if err != nil {
			return err
		}
		_, err = zerocopy.Copy(f, resp.Body)
		return errors.Join(err, f.Close())
	}
	_ = download
}

func ExampleListenAndServe() {
	srv := &http.Server{Addr: "127.0.0.1:8080", Handler: http.FileServer(http.Dir("."))}
	log.Fatal(zchttp.ListenAndServe(srv))
}
