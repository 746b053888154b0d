// Compare runs io.Copy and zerocopy.Copy side by side over real sockets, files
// and pipes of this machine and says what each costs.
//
//	go run ./examples/compare                    all rows, under a minute
//	go run ./examples/compare -rows 'tcp → tcp'  some rows
//	go run ./examples/compare -o page.html       also a page with heat maps and bars
//
// Every row is one pair of source and destination. Three processes take part in
// it, all of them this program run again: one that writes the source's bytes,
// one that reads what arrives, and between them the worker, which does nothing
// but the copies and whose CPU time alone is counted. A row goes like this:
//
//  1. Each contender copies a few MiB once, untimed, while its system calls are
//     traced; what arrives is compared with what was sent by SHA-256. The routes
//     in the table are those observed here, and for Copy those of its Report,
//     which must agree.
//  2. Each copies once, untimed, to warm up and to choose how many bytes a round
//     takes.
//  3. They take turns, ABBA, until the row's share of the time is used up.
//     Medians are printed, ± is half the distance of the quartiles.
//
// The figure to look at is CPU seconds a GB (1 GB = 1e9 bytes): throughput over
// loopback says little, since sender, copier and receiver share the cores and
// the caches. A row counts as cheaper or DEARER only if nine in ten of all pairs
// (one measurement of each contender) say so and the medians differ by 3 %; it
// is = otherwise. slower and faster are judged likewise, with 5 %.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(playRole(role))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags as parsed.
type options struct {
	rows   *regexp.Regexp
	rounds int           // copies of each contender a row; 0: as many as fit in time
	size   int64         // bytes a copy; 0: chosen a row
	time   time.Duration // for the whole run
	dir    string
	page   string
	json   bool
	list   bool
}

// run is the program without the process around it. It returns the exit status:
// 0, also if Copy loses in some row; 1 if a row failed or its bytes were wrong;
// 2 for wrong usage; 130 if ctx ended the run, after what was measured is printed.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2 // flag has said why
	}
	chosen := slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return !opt.rows.MatchString(p.name) })
	if len(chosen) == 0 {
		fmt.Fprintf(stderr, "compare: no row matches %q; -list shows them\n", opt.rows)
		return 2
	}
	if opt.list {
		for _, p := range chosen {
			fmt.Fprintln(stdout, p.name)
		}
		return 0
	}

	res, err := compare(ctx, chosen, opt, stderr)
	if err == nil {
		res.Command = command(args)
		err = emit(res, opt, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "compare:", err)
		return 1
	}
	switch {
	case res.Interrupted:
		return 130
	case slices.ContainsFunc(res.Rows, func(r row) bool { return r.Failed != "" }):
		return 1
	}
	return 0
}

// compare measures the chosen pairs. That ctx is done is no error.
func compare(ctx context.Context, chosen []pair, opt options, stderr io.Writer) (*results, error) {
	if opt.page != "" { // an error is better told before the work than after it
		f, err := os.OpenFile(opt.page, os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	tmp, err := os.MkdirTemp(opt.dir, "zerocopy-compare-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if tmp, err = filepath.EvalSymlinks(tmp); err != nil { // the kernel names files by their real path
		return nil, err
	}
	res := &results{Machine: lookAround(tmp), Planned: len(chosen)}
	start := time.Now()
	res.Rows, err = measureAll(ctx, chosen, opt, &depot{dir: tmp}, newProgress(stderr, len(chosen), start))
	res.Took = time.Since(start).Round(time.Second / 10).Seconds()
	if res.Interrupted = ctx.Err() != nil; res.Interrupted {
		err = nil
	}
	return res, err
}

// emit writes the results where the options want them.
func emit(res *results, opt options, stdout, stderr io.Writer) error {
	if opt.json {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(res); err != nil {
			return err
		}
	} else if err := writeTable(stdout, res, terminalWidth(stdout)); err != nil {
		return err
	}
	if opt.page == "" || len(res.Rows) == 0 {
		return nil
	}
	var page bytes.Buffer
	if err := writePage(&page, res); err != nil {
		return err
	}
	if err := os.WriteFile(opt.page, page.Bytes(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "wrote %s\n", opt.page)
	return nil
}

const usage = `Usage: go run ./examples/compare [flags]

Runs io.Copy and zerocopy.Copy side by side over sockets, files and pipes of this
machine and prints, for every pair of source and destination, the way the bytes
went, the throughput, and the CPU seconds a GB of the copying process.
Nothing leaves the machine. Exit status 1 means that a row failed or that its
bytes were wrong, never that Copy was slower.

`

func parse(args []string, stderr io.Writer) (options, error) {
	opt := options{rows: regexp.MustCompile("")}
	fs := flag.NewFlagSet("compare", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Func("rows", "run only the rows whose name matches `regexp`, such as '^tcp' or 'limit'", func(s string) (err error) {
		opt.rows, err = regexp.Compile(s)
		return err
	})
	fs.IntVar(&opt.rounds, "rounds", 0, "copies of each contender in a row, `n` ≥ 1; 0: as many as fit into the row's\nshare of the time, at least 6")
	fs.Func("size", "`bytes` a copy moves, with an optional suffix K, M or G (powers of 1024); by default\nchosen for each row, from 8M to 256M, so that a dozen copies of each fit into its time", func(s string) (err error) {
		opt.size, err = parseSize(s)
		return err
	})
	fs.DurationVar(&opt.time, "time", 45*time.Second, "`duration` the whole run may take; with -rounds it only bears on the size")
	fs.StringVar(&opt.dir, "dir", "", "put the files to copy into `directory`, which chooses the filesystem that is measured\n(up to 500 MB; default: the system's directory for temporary files)")
	fs.StringVar(&opt.page, "o", "", "also write a self-contained HTML page, with heat maps and bars, to `file`")
	fs.BoolVar(&opt.json, "json", false, "print JSON instead of the table: .machine, and in .rows one object a row")
	fs.BoolVar(&opt.list, "list", false, "print the names of the rows and do nothing")
	fs.Usage = func() {
		fmt.Fprint(stderr, usage)
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return opt, err
	}
	var err error
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case opt.rounds < 0:
		err = fmt.Errorf("-rounds %d: want 0 or more", opt.rounds)
	case opt.time <= 0:
		err = fmt.Errorf("-time %v: want more than 0", opt.time)
	}
	if err != nil {
		fmt.Fprintln(stderr, "compare:", err)
	}
	return opt, err
}

// parseSize takes a number of bytes such as 65536, 512K or 64M.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMG")
	shift, ok := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30}[s[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n > 1<<36>>shift || n<<shift < 1<<10 {
		return 0, errors.New("want a number of bytes from 1K to 64G, such as 65536, 512K or 64M")
	}
	return n << shift, nil
}

// command is the command line that was given, fit to be given again.
func command(args []string) string {
	words := []string{"go run ./examples/compare"}
	for _, a := range args {
		if strings.ContainsAny(a, " \t'\"\\$^*?()[]|→<>&;") || a == "" {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}
