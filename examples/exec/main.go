// Command exec runs a program for each TCP connection, its output spliced to the
// connection and, with -stdin, the connection to its input: an inetd that never sees the
// bytes.
//
//	go run ./examples/exec -listen 127.0.0.1:9000 -- tar c .
//	go run ./examples/exec -- tar c . --- zstd
//	go run ./examples/exec -stdin -- tr a-z A-Z
//	go run ./examples/exec -- ffmpeg -v error -re -f lavfi -i testsrc -f mpegts -
//
// An argument --- (or '|') ends one command and begins the next, which reads what the one
// before writes. The client's address is in the environment as REMOTE_ADDR.
//
// For each connection that has ended there is a line with its bytes, the mechanism that
// they went by and why not another, and how the commands have ended. SIGINT or SIGTERM
// stops it: it accepts no more, gives what runs the time of -grace, kills the rest and
// prints a summary. A second signal kills at once.
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
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stdout, os.Stderr))
}

const about = `Usage: go run ./examples/exec [flags] [--] command [argument …] [--- command [argument …]] …

Runs the command, or the pipeline of them, for each TCP connection.

`

// errUsage is wrong usage that the flags cannot know of.
var errUsage = errors.New("want a command, and one on each side of ---; -h shows all flags")

// options are the command line.
type options struct {
	listen      string
	commands    [][]string
	stdin, pass bool
	plain       bool
	most        int
	grace       time.Duration
}

// parse returns the options, or why there are none.
func parse(args []string, stderr io.Writer) (opt options, err error) {
	fs := flag.NewFlagSet("exec", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, in one line
	fs.StringVar(&opt.listen, "listen", "127.0.0.1:9000", "`address` to listen on; port 0 takes a free one. Whoever reaches it runs the command")
	fs.BoolVar(&opt.stdin, "stdin", false, "give what the client sends to the first command; else it is thrown away")
	fs.BoolVar(&opt.pass, "pass", false, "give the children the socket itself: then nobody counts, and nothing but their end\nor a kill stops them")
	fs.BoolVar(&opt.plain, "plain", false, "copy through user memory, as a comparison")
	fs.IntVar(&opt.most, "max", 64, "how `many` connections are served at a time; others wait")
	fs.DurationVar(&opt.grace, "grace", 5*time.Second, "how long commands may take to end after the first signal")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, about)
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return opt, err
	}
	opt.commands, err = split(fs.Args())
	switch {
	case err != nil:
	case opt.most < 1:
		err = fmt.Errorf("-max %d: want 1 or more", opt.most)
	case opt.grace < 0:
		err = fmt.Errorf("-grace %v: want 0 or more", opt.grace)
	case opt.pass && opt.plain:
		err = errors.New("-pass and -plain exclude each other")
	}
	return opt, err
}

// split returns the commands of a pipeline, each with its arguments.
func split(args []string) (commands [][]string, err error) {
	begin := 0
	for i := 0; i <= len(args); i++ {
		if i < len(args) && args[i] != "---" && args[i] != "|" {
			continue
		}
		if i == begin {
			return nil, errUsage
		}
		commands, begin = append(commands, args[begin:i]), i+1
	}
	return commands, nil
}

// run is the program without the process: it returns the exit status once all that it
// started has ended.
func run(args []string, signals <-chan os.Signal, stdout, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "exec:", err)
		return 2
	}
	for _, c := range opt.commands {
		if _, err := exec.LookPath(c[0]); err != nil {
			fmt.Fprintln(stderr, err) // begins with exec:
			return 2
		}
	}
	ln, err := net.Listen("tcp", opt.listen)
	if err != nil {
		fmt.Fprintln(stderr, "exec:", err)
		return 1
	}
	s := &server{options: opt, log: log.New(stdout, "", log.LstdFlags), stderr: stderr}
	s.log.Printf("listening on %v", ln.Addr())

	stop, stopping := context.WithCancel(context.Background()) // accept no more
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.serve(stop, ctx, ln)
	}()
	s.log.Printf("%v: no new connections, %v for the open ones", <-signals, opt.grace)
	stopping()
	select {
	case <-served:
	case <-signals:
	case <-time.After(opt.grace):
	}
	kill()
	<-served
	s.log.Print(s.summary())
	return 0
}
