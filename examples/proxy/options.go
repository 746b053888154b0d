package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// The options are what the command line says.
type options struct {
	listen []endpoint
	routes routes

	acceptProxy bool
	trust       []netip.Prefix
	sendProxy   byte // the version, or 0

	dialTimeout, firstTimeout, idle, halfClosed, grace time.Duration
	rate                                               int64 // bytes a second, or 0

	explain, noZerocopy bool
	showTable, metrics  string
}

const usageHead = `Usage: proxy [flags] -to address
       proxy [flags] -sni name=address … [-to address]

An address is host:port, or unix:/path of a socket.

`

// parse returns the options that args ask for. What is wrong it returns, and prints the
// usage only for those who ask for it.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("proxy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	flags.Func("listen", "`address` to listen on, may be repeated; port 0 takes a free one (default 127.0.0.1:8080)", func(s string) error {
		e, err := parseEndpoint(s)
		o.listen = append(o.listen, e)
		return err
	})
	flags.Func("to", "`address` to forward to what no -sni is for", func(s string) error {
		e, err := parseEndpoint(s)
		o.routes.fallback = &e
		return err
	})
	flags.Func("sni", "`name=address` to forward TLS connections for name to, or for all names below example.org if it is *.example.org; may be repeated", o.routes.add)
	flags.BoolVar(&o.acceptProxy, "accept-proxy", false, "connections begin with a PROXY protocol header, v1 or v2")
	flags.Func("trust", "`network` that -accept-proxy takes connections from, as 10.0.0.0/8; may be repeated (default loopback)", func(s string) error {
		n, err := netip.ParsePrefix(s)
		o.trust = append(o.trust, n)
		return err
	})
	flags.Func("send-proxy", "send the backend a PROXY protocol header of `version` v1 or v2", func(s string) error {
		switch s {
		case "v1", "v2":
			o.sendProxy = s[1] - '0'
			return nil
		}
		return errors.New("neither v1 nor v2")
	})
	flags.DurationVar(&o.dialTimeout, "dial-timeout", 10*time.Second, "how long connecting to a backend may take")
	flags.DurationVar(&o.firstTimeout, "first-timeout", 10*time.Second, "how long a client may take for its PROXY header, and for its ClientHello")
	// nginx's proxy_timeout has this default, too.
	flags.DurationVar(&o.idle, "idle", 10*time.Minute, "how long a connection may be silent in both directions; 0 is for ever")
	flags.DurationVar(&o.halfClosed, "half-closed", 0, "the same once one side has ended; 0 is as -idle")
	flags.DurationVar(&o.grace, "grace", 5*time.Second, "how long open connections may take to end after the first signal")
	flags.Func("rate", "most `bytes` a second for each direction of a connection, as 500K, 10M or 1G (default no limit)", func(s string) (err error) {
		o.rate, err = parseBytes(s)
		return err
	})
	flags.BoolVar(&o.explain, "explain", false, "say of each connection how its bytes will go, and which did not go by the kernel and why")
	flags.BoolVar(&o.noZerocopy, "no-zerocopy", false, "copy through user memory, as a comparison")
	flags.StringVar(&o.showTable, "table", "auto", "show a live table: `when` is auto (on a terminal), on or off")
	flags.StringVar(&o.metrics, "metrics", "", "`address` to serve metrics on by HTTP")

	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stderr, usageHead)
		flags.SetOutput(stderr)
		flags.PrintDefaults()
		return nil, err
	}
	if err == nil {
		err = o.check(flags.NArg())
	}
	if err != nil {
		return nil, fmt.Errorf("%w (-h lists the flags)", err)
	}
	if o.listen == nil {
		o.listen = []endpoint{{"tcp", "127.0.0.1:8080"}}
	}
	if o.trust == nil {
		o.trust = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	return o, nil
}

// check says what is wrong with flags that are right one by one.
func (o *options) check(args int) error {
	switch {
	case args > 0:
		return errors.New("there are no arguments besides the flags")
	case o.routes.fallback == nil && len(o.routes.names) == 0:
		return errors.New("-to is required, or -sni")
	case o.trust != nil && !o.acceptProxy:
		return errors.New("-trust is for -accept-proxy")
	case o.showTable != "auto" && o.showTable != "on" && o.showTable != "off":
		return fmt.Errorf("-table %s is neither auto nor on nor off", o.showTable)
	case min(o.dialTimeout, o.firstTimeout) <= 0 || min(o.idle, o.halfClosed, o.grace) < 0:
		return errors.New("a time is negative, or no time at all")
	}
	return nil
}

// limits says what a connection has to keep to.
func (o *options) limits() string {
	orNone := func(d time.Duration, none string) string {
		if d == 0 {
			return none
		}
		return d.String()
	}
	text := fmt.Sprintf("limits: dial %v, idle %s, half-closed %s", o.dialTimeout, orNone(o.idle, "none"), orNone(o.halfClosed, "as idle"))
	if o.acceptProxy || len(o.routes.names) > 0 {
		text += fmt.Sprintf(", first bytes %v", o.firstTimeout)
	}
	if len(o.routes.names) > 0 {
		text += fmt.Sprintf(", ClientHello %d KiB", maxHello>>10)
	}
	if o.rate > 0 {
		text += fmt.Sprintf(", %s/s each way", size(o.rate))
	}
	if o.acceptProxy {
		var nets []string
		for _, n := range o.trust {
			nets = append(nets, n.String())
		}
		text += "; PROXY header expected, from " + strings.Join(nets, ", ")
	}
	if o.sendProxy > 0 {
		text += fmt.Sprintf("; PROXY v%d header to the backend", o.sendProxy)
	}
	if o.noZerocopy {
		text += "; through user memory"
	}
	return text
}

// An endpoint is where to listen, or to connect.
type endpoint struct{ network, address string }

// String returns e as parseEndpoint takes it.
func (e endpoint) String() string {
	if e.network == "unix" {
		return "unix:" + e.address
	}
	return e.address
}

func parseEndpoint(s string) (endpoint, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return endpoint{}, errors.New("no path")
		}
		return endpoint{"unix", path}, nil
	}
	_, _, err := net.SplitHostPort(s)
	return endpoint{"tcp", s}, err
}

// parseBytes returns a positive number of bytes: 1K is 1024.
func parseBytes(s string) (int64, error) {
	shift := 0
	if s != "" {
		shift = 10 * (1 + strings.IndexByte("KMGT", s[len(s)-1]))
	}
	if shift > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n <= 0 || n<<shift>>shift != n {
		return 0, errors.New("not a number of bytes")
	}
	return n << shift, nil
}

// size is n bytes in at most four characters and a half: 999, 1.2K, 35M.
func size(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	f, unit := float64(n), 0
	for ; f >= 999.5; unit++ {
		f /= 1024
	}
	if f < 9.95 {
		return fmt.Sprintf("%.1f%c", f, "KMGTPE"[unit-1])
	}
	return fmt.Sprintf("%.0f%c", f, "KMGTPE"[unit-1])
}

// smartTerminal reports whether the terminal is said to understand more than lines.
func smartTerminal() bool { return os.Getenv("TERM") != "dumb" }
