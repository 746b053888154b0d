package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
)

// options are the flags as parsed.
type options struct {
	source, exec string // one of them
	record       string
	http, tcp    string
	policy       broadcast.Policy
	maxLag       int64
	sendBuffer   int64 // 0: the system's choice
	share        bool
	grace        time.Duration
}

const about = `Usage: go run ./examples/broadcast -source what [-record file] [-http address] [-tcp address]

Records a live stream and sends it to any number of viewers at once. With -http
there is a page at / that shows how each viewer does, its figures are at
/status.json, and the stream is at

  /live               from now on
  /live?from=start    from the start of the recording

SIGINT or SIGTERM ends the stream, a second one cuts the viewers off. Exit status:
0 if the stream has ended or was stopped, 1 if the source or the recording has
failed, 2 for wrong usage, 130 after a second signal.

`

// parse returns the options, or why there are none, which it leaves to the caller
// to print unless it is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (options, error) {
	var opt options
	fs := flag.NewFlagSet("broadcast", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, in one line
	fs.StringVar(&opt.source, "source", "", "where the stream comes from: - for standard input, tcp://`host:port` to connect to,\nlisten:host:port to accept one publisher on, or else the name of a file or FIFO")
	fs.StringVar(&opt.exec, "exec", "", "a shell `command` whose standard output is the stream, instead of -source;\nit is sent SIGTERM when the stream is stopped, and SIGKILL if that does not help")
	fs.StringVar(&opt.record, "record", "", "also write the stream to `file`, which is made, or emptied if it is there")
	fs.StringVar(&opt.http, "http", "", "serve viewers and the page on `address`; port 0 takes a free one")
	fs.StringVar(&opt.tcp, "tcp", "", "serve viewers that connect to `address` with nothing but the stream")
	policy := fs.String("policy", "", "what becomes of a viewer that lags by more than -max-lag: detach it, demote it to\nthe recording until it has caught up, or block all until it has read\n(default demote with -record, else detach)")
	maxLag := fs.String("max-lag", "4M", "how many `bytes` a viewer may lag behind, with an optional suffix K, M or G")
	sendBuffer := fs.String("send-buffer", "0", "`bytes` that a viewer's socket holds, which do not count as lag; 0 leaves it to the\nsystem, which lets it grow to megabytes")
	fs.BoolVar(&opt.share, "share", false, "send what comes from a pipe or a file by reference, too: right as long as nobody\nchanges the file, and unless the pipe's writer lends its memory by vmsplice(2)")
	fs.DurationVar(&opt.grace, "grace", 10*time.Second, "how long viewers may take to get the rest once the stream has ended")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, about)
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return opt, err
	}

	var err error
	if opt.policy, err = parsePolicy(*policy, opt.record != ""); err != nil {
		return opt, err
	}
	if opt.maxLag, err = parseSize(*maxLag); err != nil || opt.maxLag == 0 {
		return opt, fmt.Errorf("-max-lag %s: %w", *maxLag, errSize)
	}
	if opt.sendBuffer, err = parseSize(*sendBuffer); err != nil || opt.sendBuffer > 1<<30 {
		return opt, fmt.Errorf("-send-buffer %s: %w", *sendBuffer, errSize)
	}
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case opt.source == "" && opt.exec == "":
		err = errors.New("-source or -exec is required; -h shows all flags")
	case opt.source != "" && opt.exec != "":
		err = errors.New("-source and -exec exclude each other")
	case opt.record == "" && opt.http == "" && opt.tcp == "":
		err = errors.New("nothing to do without any of -record, -http and -tcp")
	case opt.policy == broadcast.Demote && opt.record == "":
		err = errors.New("-policy demote needs -record: that is where such a viewer is served from")
	case opt.grace < 0:
		err = fmt.Errorf("-grace %v: want 0 or more", opt.grace)
	}
	return opt, err
}

// origin says where the stream is to come from.
func (opt options) origin() string {
	if addr, ok := strings.CutPrefix(opt.source, "listen:"); ok {
		return "a publisher on " + addr
	}
	return cmp.Or(opt.source, opt.exec)
}

func parsePolicy(s string, recording bool) (broadcast.Policy, error) {
	switch {
	case s == "block":
		return broadcast.Block, nil
	case s == "demote", s == "" && recording:
		return broadcast.Demote, nil
	case s == "detach", s == "":
		return broadcast.Detach, nil
	}
	return 0, fmt.Errorf("-policy %s: want detach, demote or block", s)
}

var errSize = errors.New("want a number of bytes such as 65536, 512K or 4M")

// parseSize takes a number of bytes such as 65536, 512K or 4M, 0 included.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMG")
	shift, ok := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30}[s[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > 1<<40>>shift {
		return 0, errSize
	}
	return n << shift, nil
}

// size prints a number of bytes for people.
func size(n int64) string {
	switch f := float64(n); {
	case n < 1e4:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", f/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", f/1e6)
	default:
		return fmt.Sprintf("%.2f GB", f/1e9)
	}
}
