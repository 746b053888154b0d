// Command progress copies files, directories and TCP streams, with bars on the terminal and
// at a rate if wanted, and says at the end what moved the bytes:
//
//	go -C examples/progress run . ~/images /mnt/backup
//	go -C examples/progress run . -bar schollz -rate 20MiB big.iso tcp://host:9000
//	go -C examples/progress run . tcp://host:9000 big.iso
//
// It is a module of its own, so that the library requires none of what draws bars.
//
// A file is written under a name of its own beside its destination, and takes the
// destination's place, with the permission bits of the source, once it is complete. So
// after an error, SIGINT or SIGTERM an existing destination is as it was, and nothing is
// left of the partial file. A second signal ends the program at once, and leaves it there.
//
// Bars and errors go to standard error, the summary to standard output. Where standard
// error is no terminal there are no bars.
//
// The exit status is 0 if all was copied, 1 if not, 2 for wrong usage, 130 after a signal.
//
// What to copy from here is copy.go, for the wrappers, and bars.go, or the examples in
// example_test.go, for the bars.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"golang.org/x/time/rate"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal is not caught
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit statuses besides 0.
const (
	failed      = 1
	usage       = 2
	interrupted = 130 // as a shell has it for SIGINT
)

// options are the flags as parsed, and the arguments.
type options struct {
	bar     string
	rate    int64 // bytes a second of all copies together, 0: as fast as possible
	jobs    int
	verbose bool
	srcs    []string
	dst     string
}

const about = `Usage: go -C examples/progress run . [-bar mpb|schollz|none] [-rate size] SRC... DST

Copies files, directories with what is in them, and TCP streams (tcp://host:port, at
either end: it connects) and says what moved the bytes. A destination is replaced once
its copy is complete; a partial one is removed.

`

// parse returns the options, or why there are none, which it leaves to the caller to print
// unless it is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (opt options, err error) {
	fs := flag.NewFlagSet("progress", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&opt.bar, "bar", "mpb", "what draws bars on a terminal: mpb, one a file; schollz, one for all; none")
	limit := fs.String("rate", "", "move no more than `size` bytes a second, such as 500kB, 20MiB or 1GB, all copies together")
	fs.IntVar(&opt.jobs, "jobs", 4, "how `many` files are copied at a time")
	fs.BoolVar(&opt.verbose, "v", false, "a line for each file")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, about)
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return opt, err
	}
	if *limit != "" {
		if opt.rate, err = parseSize(*limit); err != nil || opt.rate == 0 {
			return opt, fmt.Errorf("-rate %s: %w, above 0", *limit, errSize)
		}
	}
	switch n := fs.NArg(); {
	case opt.bar != "mpb" && opt.bar != "schollz" && opt.bar != "none":
		return opt, fmt.Errorf("-bar %s: want mpb, schollz or none", opt.bar)
	case opt.jobs < 1:
		return opt, fmt.Errorf("-jobs %d: want 1 or more", opt.jobs)
	case n < 2:
		return opt, errors.New("want SRC... DST; -h shows all flags")
	default:
		opt.srcs, opt.dst = fs.Args()[:n-1], fs.Arg(n-1)
	}
	return opt, nil
}

// run is the program without the process: it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opt, err := parse(args, stderr)
	var all []job
	if err == nil {
		all, err = plan(opt.srcs, opt.dst)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "progress:", err)
		return usage
	}

	total := int64(0)
	for _, j := range all {
		total += max(j.size, 0)
	}
	b := newBars(opt.bar, stderr, len(all), total)
	if _, none := b.(noBars); !none {
		// The terminal echoes ^C, and bars are drawn from the column where the cursor stands.
		defer context.AfterFunc(ctx, func() { io.WriteString(stderr, "\r") })()
	}
	var sum summary
	began := time.Now()
	errs := copyAll(ctx, &opt, all, b, &sum)
	took := time.Since(began)
	b.wait(sum.files == len(all))

	if opt.verbose {
		sum.printFiles(stdout)
	}
	sum.print(stdout, took)
	for _, err := range errs {
		fmt.Fprintln(stderr, "progress:", err)
	}
	switch {
	case ctx.Err() != nil && (len(errs) > 0 || sum.files < len(all)):
		fmt.Fprintf(stderr, "progress: stopped: %d of %d files are complete, no partial file is left\n", sum.files, len(all))
		return interrupted
	case len(errs) > 0:
		return failed
	}
	return 0
}

// copyAll makes all copies, some at a time, and begins none once ctx is done. It returns the errors of
// those that have failed for another reason than that.
func copyAll(ctx context.Context, opt *options, all []job, b bars, sum *summary) (errs []error) {
	var limiter zerocopy.Limiter // what all copies share
	if opt.rate > 0 {
		limiter = newLimiter(opt.rate)
	}
	jobs := make(chan job)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range min(opt.jobs, len(all)) {
		workers.Go(func() {
			for j := range jobs {
				if ctx.Err() != nil {
					continue
				}
				err := j.copy(ctx, limiter, b, sum)
				if err != nil && (ctx.Err() == nil || !errors.Is(err, context.Cause(ctx))) {
					mu.Lock()
					errs = append(errs, fmt.Errorf("%s: %w", j.src, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, j := range all {
		jobs <- j
	}
	close(jobs)
	workers.Wait()
	return errs
}

// newLimiter returns a limiter with bursts of a tenth of a second.
func newLimiter(bytesPerSecond int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond/10, 1), 1<<30)))
}

// *rate.Limiter is what Pace asks for.
var _ zerocopy.Limiter = (*rate.Limiter)(nil)
