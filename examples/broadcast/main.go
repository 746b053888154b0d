// Command broadcast records a live stream, such as an MPEG transport stream, and
// sends it to any number of viewers at once, over HTTP or bare TCP:
//
//	go run ./examples/broadcast -source listen:127.0.0.1:9000 -record live.ts -http 127.0.0.1:8080
//	ffmpeg -re -i film.mp4 -c copy -f mpegts tcp://127.0.0.1:9000
//	ffplay 'http://127.0.0.1:8080/live?from=start'
//
// The bytes of a socket are in no user memory on their way: each is taken into a
// pipe once and duplicated for every viewer by tee(2). http://127.0.0.1:8080/ shows
// what is going on: a viewer that does not keep up is served from the recording,
// and from the stream again when it has caught up.
//
// SIGINT or SIGTERM ends the stream: no more is taken from the source, and what was
// taken goes to the recording and to the viewers, for the time of -grace. A second
// signal cuts them off at once.
//
// The exit status is 0 if the stream has ended or was stopped, 1 if the source,
// the command of -exec or the recording has failed or an address cannot be listened
// on, 2 for wrong usage and 130 after a second signal. What becomes of a viewer
// does not matter to it.
//
// What to copy from here is live.go, where an HTTP response becomes a sink, and
// viewer.go, the life of a sink.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], signals, os.Stderr))
}

// Exit statuses besides 0.
const (
	failed = 1
	usage  = 2
	killed = 130 // as a shell has it for SIGINT
)

// run is the program without the process: it returns the exit status once all
// that it started has ended.
func run(args []string, signals <-chan os.Signal, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "broadcast:", err)
		return usage
	}
	s := newStation(opt, newScreen(stderr))
	status, err := s.run(signals)
	if err != nil {
		fmt.Fprintln(stderr, "broadcast:", err)
	}
	return status
}
