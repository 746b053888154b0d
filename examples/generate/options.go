package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/zerocopy-go/zerocopy/pages"
)

// options are the flags as parsed.
type options struct {
	format        string
	line          string
	width, height int
	seed          uint64

	limit    quota // of one stream
	duration time.Duration
	rate     float64 // records a second, 0: as fast as possible

	to, listen string // one of them, or standard output
	force      bool
	pages      pages.Options
	grace      time.Duration
	verbose    bool
}

const about = `Usage: go run ./examples/generate [-format csv|y4m|lines|zeros] [-n records] [-to address | -listen address]

Makes a stream of data as fast as memory allows, on standard output if neither -to
nor -listen is there. The same -format and -seed make the same bytes:

  csv     a line with the names of the columns, then rows of a time, a number, a
          city and three measured values
  y4m     raw frames of a moving test picture, for ffplay - or ffmpeg -i -
  lines   the text of -line over and over, as yes(1) has it
  zeros   as /dev/zero has them

SIGINT or SIGTERM ends it behind a whole record, a second one at once. Exit status: 0
if it has ended or was stopped, 1 if it could not be sent, 2 for wrong usage, 130
after a second signal, 141 if the reader of standard output has closed it.

`

// parse returns the options, or why there are none, which it leaves to the caller to
// print unless it is flag.ErrHelp.
func parse(args []string, stderr io.Writer) (options, error) {
	var opt options
	fs := flag.NewFlagSet("generate", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors, in one line
	fs.StringVar(&opt.format, "format", "csv", "what to make: csv, y4m, lines or zeros")
	fs.StringVar(&opt.line, "line", "y", "the `text` of -format lines")
	frame := fs.String("frame", "1280x720", "`width x height` of -format y4m")
	fs.Uint64Var(&opt.seed, "seed", 0, "a `number` that the values of csv and the beginning of y4m depend on")
	fs.Int64Var(&opt.limit.records, "n", math.MaxInt64, "end after this `number` of rows, frames, lines or zeros")
	bytes := fs.String("bytes", "", "end with the record that reaches this `size`, such as 65536, 512K, 4M or 10G")
	fs.DurationVar(&opt.duration, "duration", 0, "end after this `time`, behind a whole record")
	fs.Float64Var(&opt.rate, "rate", 0, "how many records to make a second, 0 for as many as possible")
	fs.StringVar(&opt.to, "to", "", "connect to `host:port` and send the stream there")
	fs.StringVar(&opt.listen, "listen", "", "serve everybody who connects to `address` a stream from its beginning, until a\nsignal; port 0 takes a free one")
	fs.BoolVar(&opt.force, "force", false, "write to a terminal, too")
	fs.TextVar(&opt.pages.Lend, "lend", pages.Fastest, "how a pipe is lent memory: fastest, fresh-pages, never, or reader-copies, which is\nright if the reader calls read(2) and does not splice or tee what it finds, as cat(1)\nmay; a TCP connection is lent memory unless it is never")
	size := fs.String("size", "", "`size` of a buffer, 64K or a quarter of a large pipe if it is not there")
	fs.BoolVar(&opt.pages.Huge, "huge", false, "ask for huge pages")
	fs.BoolVar(&opt.pages.Check, "check", false, "write-protect what was sent: a fault shows who writes to it too early")
	fs.DurationVar(&opt.grace, "grace", 5*time.Second, "how long readers may take to get the rest after the first signal")
	fs.BoolVar(&opt.verbose, "v", false, "print progress every second, also where standard error is no terminal")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, about)
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return opt, err
	}

	opt.pages.Linger = -1 // a stream that has not failed waits as long as it takes
	opt.limit.bytes = math.MaxInt64
	var err error
	if *bytes != "" {
		if opt.limit.bytes, err = parseSize(*bytes); err != nil || opt.limit.bytes == 0 {
			return opt, fmt.Errorf("-bytes %s: %w", *bytes, errSize)
		}
	}
	if *size != "" {
		n, err := parseSize(*size)
		if err != nil || n == 0 || n > maxBuffer {
			return opt, fmt.Errorf("-size %s: %w, at most 256M", *size, errSize)
		}
		opt.pages.Size = int(n)
	}
	if opt.width, opt.height, err = parseFrame(*frame); err != nil {
		return opt, fmt.Errorf("-frame %s: %w", *frame, err)
	}
	switch {
	case fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q; -h shows all flags", fs.Arg(0))
	case unitOf[opt.format] == "":
		err = fmt.Errorf("-format %s: want csv, y4m, lines or zeros", opt.format)
	case opt.to != "" && opt.listen != "":
		err = errors.New("-to and -listen exclude each other")
	case opt.limit.records <= 0:
		err = fmt.Errorf("-n %d: want more than 0", opt.limit.records)
	case opt.duration < 0:
		err = fmt.Errorf("-duration %v: want 0 or more", opt.duration)
	case !(opt.rate >= 0 && opt.rate <= 1e12):
		err = fmt.Errorf("-rate %v: want 0 or more", opt.rate)
	case opt.grace < 0:
		err = fmt.Errorf("-grace %v: want 0 or more", opt.grace)
	case len(opt.line) > 1<<20:
		err = errors.New("-line: more than 1 MiB")
	}
	return opt, err
}

// maxBuffer is the most that pages.Options.Size can be.
const maxBuffer = 1 << 28

// unitOf says what a record of each format is called.
var unitOf = map[string]string{"csv": "rows", "y4m": "frames", "lines": "lines", "zeros": "zeros"}

var errFrame = errors.New("want even numbers up to 16384, such as 1280x720")

func parseFrame(s string) (width, height int, err error) {
	w, h, _ := strings.Cut(s, "x")
	width, werr := strconv.Atoi(w)
	height, herr := strconv.Atoi(h)
	if werr != nil || herr != nil || width <= 0 || height <= 0 || width > 16384 || height > 16384 || width%2+height%2 > 0 {
		return 0, 0, errFrame
	}
	return width, height, nil
}

var errSize = errors.New("want a number of bytes such as 65536, 512K or 4M")

// parseSize takes a number of bytes such as 65536, 512K or 4M, 0 included.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGT")
	shift, ok := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[s[len(digits):]]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || !ok || n < 0 || n > math.MaxInt64>>1>>shift {
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
