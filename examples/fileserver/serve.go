package main

import (
	"fmt"
	"log"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

// A server serves files and says how they went.
type server struct {
	options
	files *zchttp.FileHandler
	log   *log.Logger

	requests, bytes, kernel atomic.Int64
}

func newServer(opt options, logger *log.Logger) (*server, error) {
	o := &zchttp.FileServerOptions{
		Precompressed: []string{"zstd", "br", "gzip"},
		CacheBytes:    opt.cache,
		IdleTimeout:   opt.idle,
		HideDotfiles:  !opt.dotfiles,
		ErrorLog:      logger,
	}
	if opt.cache > 0 {
		o.CacheFiles = 256 // of 1024 descriptors that a process often may have
	}
	if opt.spa {
		o.Fallback = "index.html"
	}
	if opt.plain {
		zerocopy.SetDefault(&zerocopy.Copier{Disable: zerocopy.AllMechanisms})
	}
	s := &server{options: opt, log: logger}
	o.Report = s.report
	files, err := zchttp.OpenFileServer(opt.dir, o)
	s.files = files
	return s, err
}

// summary says what all requests have come to.
func (s *server) summary() string {
	return fmt.Sprintf("%d requests, %d bytes of files and lists, %d of them moved by the kernel alone",
		s.requests.Load(), s.bytes.Load(), s.kernel.Load())
}

// report is called for each request.
func (s *server) report(r *http.Request, f zchttp.FileReport) {
	s.requests.Add(1)
	s.bytes.Add(f.Written)
	for _, m := range []zerocopy.Mechanism{zerocopy.Sendfile, zerocopy.Splice} {
		s.kernel.Add(f.Copy.Bytes(m))
	}
	if s.quiet {
		return
	}
	aborted := ""
	if f.Aborted {
		aborted = ", cut off"
	}
	s.log.Printf("%s %q %q %d, %d bytes: %s%s", r.RemoteAddr, r.Method, r.URL.RequestURI(), f.Status, f.Written, how(f), aborted)
}

// how says how the body was sent: by the mechanism that most of it went by, and why not another.
func how(f zchttp.FileReport) string {
	var most zerocopy.Step
	for _, step := range f.Copy.Steps {
		if step.Bytes > most.Bytes {
			most = step
		}
	}
	switch {
	case f.Written == 0:
		return "no body"
	case most.Bytes == 0:
		return "written from memory"
	}
	return fmt.Sprintf("%v in %v", most, f.Copy.Elapsed.Round(10*time.Microsecond))
}
