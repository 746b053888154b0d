package main

import (
	"context"
	"io"
	"net"

	"github.com/zerocopy-go/zerocopy"
)

// A copyFunc is what a contender copies with.
type copyFunc func(dst io.Writer, src io.Reader) (int64, error)

// Names of the contenders, as they appear in tables.
const (
	byIO       = "io.Copy"
	byLoop32   = "loop 32 KiB"
	byLoop256  = "loop 256 KiB"
	byZerocopy = "zerocopy"
	byAllOn    = "zerocopy, all on"
	byHAProxy  = "HAProxy"
	byHATuned  = "HAProxy, 1 MiB pipes"
	byHASplice = "HAProxy, splice at once"
	byLimit    = "C loop"
	byUring    = "C loop, io_uring"
	bySockmap  = "sockmap"
	byProxy    = "examples/proxy"
	// Of a tunnel
	byRelay     = "zcnet.Relay"
	byRelayFull = "zcnet.Relay, Conns, idle timeout, Report"
	// Of one stream to many sinks
	byMulti     = "io.MultiWriter"
	byOurMulti  = "zerocopy.MultiWriter"
	byBroadcast = "broadcast"
	byFanLimit  = "C loop, tee"
	// Of a stream that is made for a pipe or a connection
	byWrite      = "write"
	byBlocking   = "write, blocking"
	byBufio      = "bufio.Writer"
	byPages      = "pages"
	byConstant   = "pages.Constant"
	byPagesLimit = "C"
	// Of a copy under a wrapper, and of one that keeps a rate
	byProgress       = "Progress"
	byProgressWriter = "ProgressWriter"
	byPace           = "Pace"
	byPaceWriter     = "PaceWriter"
)

// A variant is a contender that is a copy function.
type variant struct {
	name string
	new  func() copyFunc
}

// variants are the contenders that are a copy function in a process of this
// program. new is called once a direction of a stream: what it returns is used by
// one goroutine. A further column is a further row here, and its name in the
// cases that shall have it.
var variants = append([]variant{
	{byIO, func() copyFunc { return io.Copy }},
	{byLoop32, func() copyFunc { return loop(32 << 10) }},
	{byLoop256, func() copyFunc { return loop(256 << 10) }},
	{byZerocopy, func() copyFunc { return zerocopy.Copy }},
	{byAllOn, func() copyFunc {
		return func(dst io.Writer, src io.Reader) (int64, error) {
			return allOn.Copy(context.Background(), dst, src)
		}
	}},
	{byRelay, func() copyFunc { return zerocopy.Copy }}, // but see relays
	{byRelayFull, func() copyFunc { return zerocopy.Copy }},
}, wrapVariants...)

// allOn has every field set that is sound for connections which the process has
// accepted or dialled itself and never shares. What is not on by default goes here.
var allOn = &zerocopy.Copier{RawCalls: true, LowWater: true}

// variantNamed returns the variant of that name; ok is false for the contenders
// that are programs of their own.
func variantNamed(name string) (newCopy func() copyFunc, ok bool) {
	for _, v := range variants {
		if v.name == name {
			return v.new, true
		}
	}
	return nil, false
}

// loop returns a copy by read and write through one buffer, which it keeps.
func loop(size int) copyFunc {
	buf := make([]byte, size)
	return func(dst io.Writer, src io.Reader) (n int64, err error) {
		for {
			r, er := src.Read(buf)
			if r > 0 {
				w, ew := dst.Write(buf[:r])
				n += int64(w)
				if ew != nil {
					return n, ew
				}
			}
			if er == io.EOF {
				return n, nil
			}
			if er != nil {
				return n, er
			}
		}
	}
}

// How the ends of a copy are presented to it.
const (
	modeBare        = "bare"        // *net.TCPConn
	modeTransparent = "transparent" // behind a wrapper that says it is one
	modeUnknown     = "unknown"     // behind a type that nobody knows
	modeFile        = "file"        // the destination is a new file
	modeExchange    = "exchange"    // a new copy for every message
	modeServe       = "serve"       // a file for every byte that arrives
	modeFan         = "fan"         // many sinks
	modeFanFile     = "fan-file"    // many sinks, the first is a new file
	modePipe        = "pipe"        // a stream is made for a pipe
	modeTCP         = "tcp"         // and for a connection
	modeSmall       = "small"       // and for a pipe in small pieces, which a Writer collects
)

// An unknown passes bytes on and says nothing about it.
type unknown struct{ c *net.TCPConn }

func (u unknown) Read(p []byte) (int, error)  { return u.c.Read(p) }
func (u unknown) Write(p []byte) (int, error) { return u.c.Write(p) }

// A counted is a transparent wrapper as an application would have it: it counts,
// and opts in. To io.Copy it is as unknown as any other type.
type counted struct {
	c    *net.TCPConn
	r, w int64
}

var (
	_ zerocopy.ReaderUnwrapper = (*counted)(nil)
	_ zerocopy.WriterUnwrapper = (*counted)(nil)
)

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.c.Read(p)
	c.r += int64(n)
	return n, err
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.c.Write(p)
	c.w += int64(n)
	return n, err
}

func (c *counted) UnwrapReader() (zerocopy.InnerReader, bool) {
	return zerocopy.InnerReader{Self: c, Reader: c.c, Moved: func(n int64) error { c.r += n; return nil }}, true
}

func (c *counted) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: c, Writer: c.c, Moved: func(n int64) error { c.w += n; return nil }}, true
}

// present returns the two ends of c as the mode has them.
func present(c *net.TCPConn, mode string) io.ReadWriter {
	switch mode {
	case modeTransparent:
		return &counted{c: c}
	case modeUnknown:
		return unknown{c}
	}
	return c
}
