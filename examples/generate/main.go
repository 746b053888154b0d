// Command generate makes a stream of data as fast as memory allows, and sends it to
// standard output, to a TCP address, or to everybody who connects:
//
//	go run ./examples/generate -format csv -n 1000000 | gzip > rows.csv.gz
//	go run ./examples/generate -format y4m | ffplay -
//	go run ./examples/generate -format csv -rate 1000 -listen 127.0.0.1:9000
//	go run ./examples/generate -format zeros -bytes 10G -to host:9000
//
// The stream depends on nothing but -format, -seed and what shapes a record: however
// it is sent, it is the same byte for byte. It is made in page memory, which a pipe
// or a connection is lent where that is safe and pays, see package pages and -lend;
// the last line on standard error says how much was, and why the rest was not.
//
// SIGINT or SIGTERM ends the stream behind a whole row or frame, which the reader has
// the time of -grace to take. A second signal cuts it off at once.
//
// The exit status is 0 if the stream has ended or was stopped, 1 if it could not be
// sent, 2 for wrong usage, 130 after a second signal, and 141 if the reader of
// standard output has closed it, of which nothing is said: generate | head.
//
// What to copy from here is stream.go, where a pages.Writer is filled, and lines.go,
// where nothing has to be.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

// Exit statuses besides 0.
const (
	failed = 1
	usage  = 2
	killed = 130 // as a shell has it for SIGINT
	unread = 141 // and for SIGPIPE
)

// A job is the sending of all streams.
type job interface {
	// run sends them. It returns when they have ended, which they do soon behind a
	// whole record once ctx is done.
	run(ctx context.Context) error
	// cut ends them where they are.
	cut()
	// status says in one line how far they are, and nothing before they have begun.
	status() string
}

// run is the program without the process: it returns the exit status once all that it
// started has ended, but for a write to a blocking standard output that was cut off.
func run(args []string, signals <-chan os.Signal, stdout *os.File, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "generate:", err)
		return usage
	}
	p := newProgress(stderr, opt.verbose)
	var j job
	switch {
	case opt.listen != "":
		j, err = newServer(opt, p)
	case opt.to != "":
		j = &toAddress{stream: stream{opt: opt}}
	default:
		j, err = newToStdout(opt, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "generate:", err)
		return failed
	}

	status := j.status
	if opt.constant() {
		status = func() string { return j.status() + ways() }
	}
	stop := p.every(time.Second, status)
	err = supervise(j, signals, opt.grace)
	stop()
	if errors.Is(err, errUnread) {
		return unread
	}
	if line := status(); line != "" {
		p.printf("%s", line)
	}
	if err != nil {
		p.printf("generate: %v", err)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errKilled):
		return killed
	default:
		return failed
	}
}

var (
	errUnread = errors.New("nobody reads standard output any more")
	errKilled = errors.New("the program was stopped: the last record may be incomplete")
	errGrace  = errors.New("the reader has not taken the rest in the time of -grace: the last record may be incomplete")
)

// supervise runs j until it has ended or signals cut it off.
func supervise(j job, signals <-chan os.Signal, grace time.Duration) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- j.run(ctx) }()

	select {
	case err := <-done:
		return err
	case <-signals:
	}
	stop()
	cause := errKilled
	select {
	case err := <-done:
		return err
	case <-signals:
	case <-time.After(grace):
		cause = errGrace
	}
	j.cut()
	select {
	case err := <-done:
		if errors.Is(err, os.ErrDeadlineExceeded) || err == nil && cause == errKilled {
			return cause
		}
		return err
	case <-time.After(2 * time.Second): // in a system call that nothing ends
		return cause
	}
}
