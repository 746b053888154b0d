// Command fileserver serves a directory over HTTP, as sendfile does it: ranges, listings,
// precompressed sidecars, a line for each request that says which way its bytes went.
//
//	go run ./examples/fileserver .
//	go run ./examples/fileserver -listen :8080 -precompress -spa dist
//
// It serves nothing outside of the directory, wherever symbolic links lead. name.zst, name.br and
// name.gz are served in the place of name to clients that accept them; -precompress writes
// those of them that are missing or stale first (.zst and .gz), for text and the like, where that is
// smaller. With -spa a name without extension that does not exist is index.html, with status 200.
//
// SIGINT or SIGTERM stops it: it accepts no more, gives the transfers under way the time of -grace,
// and prints a summary. A second signal ends them at once.
//
// The exit status is 0 after a signal, 1 if it cannot serve, 2 for wrong usage.
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

	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

const about = `Usage: go run ./examples/fileserver [flags] DIR

Serves the files of the directory over HTTP.

`

// options are the command line.
type options struct {
	listen, dir      string
	spa, precompress bool
	dotfiles, plain  bool
	quiet            bool
	cache            int64
	idle, grace      time.Duration
}

// parse returns the options, or why there are none.
func parse(args []string, stderr io.Writer) (opt options, err error) {
	fs := flag.NewFlagSet("fileserver", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, in one line
	fs.StringVar(&opt.listen, "listen", "127.0.0.1:8000", "`address` to listen on; port 0 takes a free one")
	fs.BoolVar(&opt.spa, "spa", false, "serve index.html for what does not exist and has no extension")
	fs.BoolVar(&opt.precompress, "precompress", false, "write missing and stale sidecars first")
	fs.BoolVar(&opt.dotfiles, "dotfiles", false, "serve and list names that begin with a dot, too")
	fs.BoolVar(&opt.plain, "plain", false, "copy through user memory, as a comparison")
	fs.BoolVar(&opt.quiet, "quiet", false, "no line for each request")
	fs.Int64Var(&opt.cache, "cache", 64<<20, "`bytes` of small files that are kept in memory, with a few hundred larger ones kept open; 0 keeps none")
	fs.DurationVar(&opt.idle, "idle", time.Minute, "cut a client off that takes nothing for so long; 0 waits for ever")
	fs.DurationVar(&opt.grace, "grace", 5*time.Second, "how long transfers may take to end after the first signal")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, about)
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return opt, err
	}
	opt.dir = fs.Arg(0)
	switch {
	case fs.NArg() != 1:
		err = errors.New("want one directory; -h shows all flags")
	case opt.cache < 0:
		err = fmt.Errorf("-cache %d: want 0 or more", opt.cache)
	case opt.idle < 0 || opt.grace < 0:
		err = errors.New("-idle and -grace: want 0 or more")
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
		fmt.Fprintln(stderr, "fileserver:", err)
		return 2
	}
	logger := log.New(stdout, "", log.LstdFlags)
	if opt.precompress {
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- precompress(ctx, opt.dir, logger) }()
		select {
		case err = <-done:
		case <-signals:
			stop()
			<-done
			return 0
		}
		stop()
		if err != nil {
			fmt.Fprintln(stderr, "fileserver:", err)
			return 1
		}
	}
	s, err := newServer(opt, logger)
	if err != nil {
		fmt.Fprintln(stderr, "fileserver:", err)
		return 1
	}
	defer s.files.Close()
	ln, err := net.Listen("tcp", opt.listen)
	if err != nil {
		fmt.Fprintln(stderr, "fileserver:", err)
		return 1
	}
	logger.Printf("serving %s on http://%v/", opt.dir, ln.Addr())

	srv := &http.Server{Handler: s.files, ErrorLog: logger, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(zcnet.NewListener(ln)) }()
	select {
	case err := <-ended:
		fmt.Fprintln(stderr, "fileserver:", err)
		return 1
	case sig := <-signals:
		logger.Printf("%v: no new requests, %v for those under way", sig, opt.grace)
	}
	ctx, cancel := context.WithTimeout(context.Background(), opt.grace)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	if srv.Shutdown(ctx) != nil {
		srv.Close()
	}
	<-ended
	logger.Print(s.summary())
	return 0
}
