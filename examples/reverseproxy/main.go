// Command reverseproxy is an HTTP reverse proxy whose large bodies, both ways, and tunnels
// (websockets) the kernel moves.
//
//	go run ./examples/reverseproxy -listen 127.0.0.1:8080 http://127.0.0.1:9001 http://127.0.0.1:9002
//	go run ./examples/reverseproxy http://127.0.0.1:9001 /api=http://127.0.0.1:9002
//	go run ./examples/reverseproxy -debug 127.0.0.1:6060 http://127.0.0.1:9001
//
// Requests go to the upstreams of the longest prefix of their path, in turn. An upstream
// that cannot be dialled is left out for the time of -down, unless there is no other.
//
// For each request there is a line with the client, what was asked, the upstream, the status,
// bytes and time, and the mechanism that the body went by or why not another. With -debug
// there is a page on /debug/zerocopy at an address of its own. SIGINT or SIGTERM stops it:
// it accepts no more, gives requests and tunnels the time of -grace, cuts off the rest and
// prints a summary. A second signal cuts off at once.
//
// The exit status is 0 after a signal, 1 if it cannot listen, 2 for wrong usage.
//
// What to copy from here is serve.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zchttp"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

const about = `Usage: go run ./examples/reverseproxy [flags] [/prefix=]http://host[:port] …

Passes HTTP requests on to the upstreams of the longest prefix of their path.

`

// options are the command line.
type options struct {
	listen, debug     string
	buffered          bool
	idle, down, grace time.Duration
	routes            []*route
}

// parse returns the options, or why there are none.
func parse(args []string, stderr io.Writer) (opt options, err error) {
	fs := flag.NewFlagSet("reverseproxy", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, in one line
	fs.StringVar(&opt.listen, "listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	fs.StringVar(&opt.debug, "debug", "", "`address` of the page /debug/zerocopy, for localhost alone; none if empty")
	fs.BoolVar(&opt.buffered, "buffered", false, "serve by httputil.ReverseProxy as it is, as a comparison")
	fs.DurationVar(&opt.idle, "idle", time.Hour, "how long a tunnel may be silent; 0 is without limit, which -buffered always is")
	fs.DurationVar(&opt.down, "down", 5*time.Second, "how long an upstream is left out that could not be dialled")
	fs.DurationVar(&opt.grace, "grace", 5*time.Second, "how long requests and tunnels may take to end after the first signal")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, about)
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return opt, err
	}
	if opt.routes, err = parseRoutes(fs.Args()); err != nil {
		return opt, err
	}
	if opt.idle < 0 || opt.down < 0 || opt.grace < 0 {
		err = errors.New("-idle, -down and -grace: want 0 or more")
	}
	return opt, err
}

// run is the program without the process: it returns the exit status once all that it
// started has ended.
func run(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "reverseproxy:", err)
		return 2
	}
	ln, err := net.Listen("tcp", opt.listen)
	if err != nil {
		fmt.Fprintln(stderr, "reverseproxy:", err)
		return 1
	}
	defer ln.Close()
	logger := log.New(stdout, "", log.LstdFlags)
	if opt.debug != "" {
		dln, err := net.Listen("tcp", opt.debug)
		if err != nil {
			fmt.Fprintln(stderr, "reverseproxy: -debug:", err)
			return 1
		}
		mux := http.NewServeMux()
		mux.Handle("/debug/zerocopy", zchttp.DebugHandler())
		page := &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
		ended := make(chan struct{})
		go func() { defer close(ended); page.Serve(dln) }()
		defer func() { page.Close(); <-ended }()
		logger.Printf("debug page: http://%v/debug/zerocopy", dln.Addr())
	}

	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	s := newServer(opt, logger)
	defer s.close()
	if !opt.buffered {
		if err := zchttp.SpliceBodies(true); err != nil {
			logger.Print(err) // bodies are copied as ever
		}
	}
	srv, served := s.start(ctx, ln)
	logger.Printf("listening on %v", ln.Addr())
	status := 0
	select {
	case sig := <-signals:
		logger.Printf("%v: no new connections, %v for the open ones", sig, opt.grace)
		s.stop(srv, signals)
	case err := <-served:
		fmt.Fprintln(stderr, "reverseproxy:", err)
		status = 1
	}
	kill()
	srv.Close()
	s.open.Wait()
	logger.Print(s.summary())
	return status
}
