// Command proxy forwards TCP connections through the kernel and says of each
// how its bytes went:
//
//	go -C examples/proxy run . -listen 127.0.0.1:8080 -to 127.0.0.1:80
//	go -C examples/proxy run . -listen :443 -sni 'a.example.org=10.0.0.1:443' -sni '*.example.org=10.0.0.2:443'
//	go -C examples/proxy run . -listen :8080 -to unix:/run/app.sock -accept-proxy -trust 10.0.0.0/8 -send-proxy v2
//
// TLS is passed through untouched: -sni routes by the name in the ClientHello, which is
// peeked and not taken. The PROXY protocol is understood on both sides. A terminal
// shows a live table of the connections, -explain says what would keep bytes from
// the kernel, -no-zerocopy is the comparison, and -metrics serves Prometheus.
//
// SIGINT or SIGTERM stops it: it accepts no more, gives the connections that
// are open the time of -grace to end, cancels the rest and prints a summary. A
// second signal cancels at once.
//
// What to copy from here is proxy.go, the life of a connection; sni.go and
// proxyproto.go are what may come before its bytes are relayed.
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
	"sync"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

// errStopped is why a connection ended that was still open when the grace was over.
var errStopped = errors.New("the proxy was stopped")

// run is the program without the process: it returns the exit status once all
// that it started has ended.
func run(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "proxy:", err)
		return 2
	}
	listeners, err := listen(o.listen)
	if err != nil {
		fmt.Fprintln(stderr, "proxy:", err)
		return 1
	}
	defer closeAll(listeners)

	s := newScreen(stdout, o.showTable)
	p := newProxy(o, log.New(s, "", log.LstdFlags))
	if o.metrics != "" {
		stop, err := p.serveMetrics(o.metrics)
		if err != nil {
			fmt.Fprintln(stderr, "proxy:", err)
			return 1
		}
		defer stop()
	}
	for _, ln := range listeners {
		p.log.Printf("listening on %v, forwarding %v", ln.Addr(), o.routes)
	}
	p.log.Print(o.limits())
	stopTable := s.run(p.table)
	defer stopTable()

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		var all sync.WaitGroup
		for _, ln := range listeners {
			all.Go(func() { p.serve(ctx, ln) })
		}
		all.Wait()
	}()

	p.log.Printf("%v: no new connections, %v for the open ones", <-signals, o.grace)
	closeAll(listeners)
	select {
	case <-served:
	case <-signals:
	case <-time.After(o.grace):
	}
	cancel(errStopped)
	<-served
	stopTable()
	p.log.Print(p.summary())
	return 0
}

// listen listens on all of the addresses, or on none.
func listen(on []endpoint) (listeners []net.Listener, err error) {
	for _, e := range on {
		ln, err := net.Listen(e.network, e.address)
		if err != nil {
			closeAll(listeners)
			return nil, err
		}
		listeners = append(listeners, ln)
	}
	return listeners, nil
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}
