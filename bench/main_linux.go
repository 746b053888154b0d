// Command bench compares copies: io.Copy, loops of read and write, zerocopy,
// HAProxy, and as the limit a loop in C. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		playRole(role)
	}
	signal.Ignore(syscall.SIGPIPE) // a reader of the table who leaves early shall not keep us from tidying up
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// flags are what the command line says, the part that a session does not need.
type flags struct {
	options
	cases, json, html, server string
	list, install             bool
}

func parse(args []string, stderr io.Writer) (f flags, err error) {
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.cases, "cases", "", "run only the cases whose name matches the `regexp`")
	set.IntVar(&f.rounds, "rounds", 10, "how many `times` each contender of a case runs")
	set.Float64Var(&f.seconds, "seconds", 1, "how `long` a bulk stream or a series of round trips runs; some cases take a part of it")
	set.Int64Var(&f.bytes, "bytes", 0, "how `many` bytes a round of bulk moves, instead of -seconds")
	set.StringVar(&f.json, "json", "", "write all that was measured to this `file`")
	set.StringVar(&f.html, "html", "", "write a page with plots to this `file`")
	set.BoolVar(&f.list, "list", false, "print the cases and end")
	set.BoolVar(&f.install, "install", false, "install HAProxy by apt-get if it is missing (needs root)")
	set.StringVar(&f.server, "server", "", "be source and sink for a -client, at this `address`; for a network that you trust")
	set.StringVar(&f.client, "client", "", "take source and sink from the -server at this `address`")
	set.StringVar(&f.congestion, "congestion", "", "have TCP send by this `algorithm`, in a network namespace (needs root); reno for instance")
	set.StringVar(&f.disk, "dir", os.TempDir(), "`directory` for files on a disk")
	set.StringVar(&f.memory, "memdir", "/dev/shm", "`directory` for files in memory")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	switch {
	case set.NArg() > 0:
		err = errors.New("there are no arguments besides the flags")
	case f.rounds < 1 || f.seconds <= 0 || f.bytes < 0:
		err = errors.New("-rounds and -seconds must be above 0, -bytes must not be below")
	case f.server != "" && f.client != "":
		err = errors.New("-server and -client are for two hosts")
	case f.congestion != "" && (f.server != "" || f.client != ""):
		err = errors.New("-congestion is for one host")
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
	}
	return f, err
}

// run is the program without the process. It returns the exit status: 0 also if
// bounds were missed, 1 if a contender failed, 2 for wrong usage, 130 if ctx ended.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	mayOpen()
	fail := func(err error) int {
		if ctx.Err() != nil {
			return 130
		}
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	if f.server != "" {
		if err := serveClients(ctx, f.server, stderr); err != nil {
			return fail(err)
		}
		return 0
	}
	only, err := regexp.Compile(f.cases)
	if err != nil {
		fmt.Fprintln(stderr, "bench: -cases:", err)
		return 2
	}
	var chosen []spec
	for _, c := range cases() {
		if only.MatchString(c.Name) {
			chosen = append(chosen, c)
		}
	}
	if f.list || len(chosen) == 0 {
		printList(stdout, chosen)
		return 0
	}
	if f.install {
		if err := installHAProxy(ctx); err != nil {
			return fail(err)
		}
	}
	s, err := newSession(ctx, f.options, func(name string) bool { return wanted(chosen, name) })
	if err != nil {
		return fail(err)
	}
	defer s.close()
	res := result{
		Began: time.Now().Format(time.RFC3339), Command: "bench " + strings.Join(args, " "), Machine: thisMachine(),
		Rounds: f.rounds, Seconds: f.seconds, Bytes: f.bytes, Remote: f.client,
	}
	res.Machine.HAProxy, res.Machine.CC, res.Machine.Congestion = s.haproxyVersion, s.cc, congestionIn(s.place)
	failures := s.runAll(ctx, chosen, &res, newProgress(stderr, chosen, f.options))
	res.Interrupted = ctx.Err() != nil
	printResult(stdout, &res)
	if err := writeFiles(f, &res); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	switch {
	case res.Interrupted:
		return 130
	case failures > 0:
		return 1
	}
	return 0
}

// wanted reports whether a variant has a part in one of the cases.
func wanted(cs []spec, variant string) bool {
	for _, c := range cs {
		if variant == byLoad && c.Kind == kindHTTP {
			return true
		}
		for _, who := range c.Contenders {
			if who.Variant == variant {
				return true
			}
		}
	}
	return false
}

// writeFiles writes the files that were asked for.
func writeFiles(f flags, res *result) error {
	for path, write := range map[string]func(io.Writer, *result) error{f.json: writeJSON, f.html: writePage} {
		if path == "" {
			continue
		}
		file, err := os.Create(path)
		if err == nil {
			err = errors.Join(write(file, res), file.Close())
		}
		if err != nil {
			return err
		}
	}
	return nil
}
