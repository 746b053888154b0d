// Command proxy forwards TCP connections through the kernel and says of each
// how its bytes went:
//
//	go run ./examples/proxy -listen 127.0.0.1:8080 -to 127.0.0.1:80
//
// SIGINT or SIGTERM stops it: it accepts no more, gives the connections that
// are open the time of -grace to end, cancels the rest and prints a summary. A
// second signal cancels at once.
//
// What to copy from here is proxy.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

// errStopped is why a copy ended that was still running when the grace was over.
var errStopped = errors.New("the proxy was stopped")

// run is the program without the process: it returns the exit status once all
// that it started has ended.
func run(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	listen := flags.String("listen", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	to := flags.String("to", "", "`address` to forward to (required)")
	grace := flags.Duration("grace", 5*time.Second, "how long open connections may take to end after the first signal")
	dialTimeout := flags.Duration("dial-timeout", 10*time.Second, "how long connecting to the -to address may take")
	plain := flags.Bool("plain", false, "copy through user memory, as a comparison")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *to == "" || flags.NArg() > 0:
		fmt.Fprintln(stderr, "proxy: -to is required, and there are no arguments besides the flags")
		flags.Usage()
		return 2
	}

	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		fmt.Fprintln(stderr, "proxy:", err)
		return 1
	}
	p := &proxy{to: *to, dialTimeout: *dialTimeout, log: log.New(stdout, "", log.LstdFlags)}
	if *plain {
		p.disable = zerocopy.AllMechanisms
	}
	p.log.Printf("listening on %v, forwarding to %s", ln.Addr(), *to)

	ctx, cancel := context.WithCancelCause(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		p.serve(ctx, ln)
	}()

	p.log.Printf("%v: no new connections, %v for the open ones", <-signals, *grace)
	ln.Close()
	select {
	case <-served:
	case <-signals:
	case <-time.After(*grace):
	}
	cancel(errStopped)
	<-served
	p.log.Print(p.summary())
	return 0
}
