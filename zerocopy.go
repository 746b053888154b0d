// Package zerocopy is io.Copy with the bytes left in the kernel.
//
// Swap one call,
//
//	n, err := zerocopy.Copy(dst, src)  // was: io.Copy(dst, src)
//
// and every transfer whose two ends are descriptors (files, pipes, TCP and unix
// sockets, also under the standard library's transparent wrappers and under your
// own where they say so) is moved by sendfile(2), splice(2) or
// copy_file_range(2), and to several destinations by tee(2). Every other transfer is
// copied as io.Copy would copy it.
//
// The rules, in the order in which they are applied:
//
//  1. The bytes, their number and a nil error are io.Copy's.
//  2. On an error nothing is lost: the count is exactly what the destination
//     accepted, a seekable source stands right behind it, and what a stream gave
//     and the destination did not take is handed back in a [PartialError]. A
//     source of an unknown type fails as with io.Copy, whose errors it keeps.
//  3. Only exact types are looked into: *os.File, *net.TCPConn, *net.UnixConn,
//     the wrappers of io and bufio, [Reader] and [Writer], types that implement
//     [ReaderUnwrapper] or [WriterUnwrapper], and those that
//     [Copier.UnwrapReader] and [Copier.UnwrapWriter] name. A type that embeds a
//     connection or has a SyscallConn method is not one of them: its bytes go
//     through its own Read and Write.
//  4. What the kernel refuses is read and written. Whatever happens, [Explain]
//     says before and [Copier.Report] after which way the bytes went and why.
//
// The environment variable ZEROCOPY switches mechanisms off: "off" for all, or
// names, as in "splice=off,sendfile=off", and "httpbody=off" the bodies of net/http. On systems other than Linux every Copy
// is a plain copy.
//
// All functions are safe for concurrent use as far as their arguments are.
package zerocopy

import (
	"context"
	"io"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/probe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// Copy copies from src to dst until src ends or an error occurs, as [io.Copy]
// does, and returns how many bytes dst accepted. See the package comment for the
// rules. It is Default().Copy with a context that is never cancelled.
//
// Errors satisfy errors.Is and errors.As as io.Copy's do; a failed connection
// gives a *net.OpError and a failed file an *fs.PathError, named after the end
// that failed. If bytes were taken from a stream that dst did not accept, the
// error is a *[PartialError] around that.
func Copy(dst io.Writer, src io.Reader) (written int64, err error) {
	return Default().copy(context.Background(), dst, src, nil)
}

// CopyN copies n bytes, as [io.CopyN] does: on return written == n if and only
// if err == nil, and a source that ends early gives io.EOF.
func CopyN(dst io.Writer, src io.Reader, n int64) (written int64, err error) {
	return Default().CopyN(dst, src, n)
}

// CopyBuffer is Copy through buf where bytes have to pass user memory, as
// [io.CopyBuffer] does: an unknown reader is read with exactly buf. A nil buf is
// Copy; a buf of length 0 panics.
func CopyBuffer(dst io.Writer, src io.Reader, buf []byte) (written int64, err error) {
	return Default().CopyBuffer(dst, src, buf)
}

// CopyContext is Copy until ctx is done. Then the read deadline of src and the
// write deadline of dst are set to the past, where they have deadlines, and are
// left there; ends without are looked at between chunks. The error is
// context.Cause(ctx), in a [PartialError] if there is something to hand back. A
// copy that ended before is not touched by a later cancellation.
//
// A read from a file on a filesystem that hangs cannot be interrupted.
func CopyContext(ctx context.Context, dst io.Writer, src io.Reader) (written int64, err error) {
	return Default().copy(ctx, dst, src, nil)
}

// Pages says when pages of a file may be sent by reference. What is sent so is
// not a snapshot: a later change of the file can still be seen by the receiver,
// as long as the kernel has not copied or dropped the page.
type Pages uint8

const (
	// AsIOCopy lends pages only where io.Copy of the same two ends does: from a
	// file to a TCP or unix socket.
	AsIOCopy Pages = iota
	// Stable lends no page: what the receiver gets is what the file held while
	// the copy ran. Files go to sockets by read and write, and to files by
	// copy_file_range, which copies. What someone else lent to a pipe before is
	// outside of this promise.
	Stable
	// Share lends wherever possible: files to pipes, too.
	Share
)

// String returns "as-io-copy", "stable" or "share".
func (p Pages) String() string {
	return [...]string{"as-io-copy", "stable", "share", "invalid"}[min(p, 3)]
}

// A BufferPool is where buffers come from and go back to. It has the methods of
// httputil.BufferPool, and must be safe for concurrent use.
type BufferPool interface {
	Get() []byte
	Put([]byte)
}

// A Copier copies as its fields say. The zero value copies as [Copy] does. Its
// methods are safe for concurrent use; its fields must not be changed after its
// first use, nor may it be copied.
type Copier struct {
	// Pages says when pages of a file may be sent by reference.
	Pages Pages
	// Disable holds the mechanisms that are off for this Copier, besides those
	// that ZEROCOPY in the environment names. With Sendfile, Splice or
	// CopyFileRange off no foreign ReadFrom or WriteTo is shown a file or
	// connection that it could use them on.
	Disable MechanismSet
	// BufferPool gives the buffers for bytes that pass user memory. The length
	// of what Get returns is used; if it is 0, a buffer of the package's own is.
	// Each Get is followed by one Put, also when a Reader panics. If nil, a pool
	// of 32 KiB buffers is used, and a stream that fills them gets 256 KiB.
	BufferPool BufferPool
	// RawCalls makes the splices of a bulk stream between sockets of net without
	// telling the Go scheduler, which saves CPU and costs goroutines of other work
	// latency while many streams run: see docs/performance.md, "Raw calls". While a
	// copy is under way its sockets have a SO_RCVTIMEO or SO_SNDTIMEO of a day if
	// they had none, which only a process that shares them in blocking mode could
	// notice (signal(7), "Interruption of system calls"). It has no effect with
	// GODEBUG=asyncpreemptoff=1.
	RawCalls bool
	// LowWater lets a bulk stream from a TCP connection of net sleep until a good part
	// of a pipe has arrived (SO_RCVLOWAT), and not wake for every few segments. What is
	// less is let through after 2 ms at the latest. It is left off where other readers
	// share the socket, in this process or another: the mark holds them back, too. See
	// docs/performance.md, "Low-water marks".
	LowWater bool
	// UnwrapReader and UnwrapWriter vouch for foreign wrappers, by exact type:
	// "the bytes that this type gives are those of its inner Reader". The
	// functions must have no side effect, Explain calls them too. Self is not
	// looked at. ok == false means not at present.
	UnwrapReader map[reflect.Type]func(io.Reader) (inner InnerReader, ok bool)
	UnwrapWriter map[reflect.Type]func(io.Writer) (inner InnerWriter, ok bool)
	// Report, if not nil, is called once a copy, on the copying goroutine,
	// before the copy returns.
	Report func(Report)
	// Meter, if not nil, counts the bytes of the copies while they run.
	Meter *Meter

	like     *Copier // whom a Clone is a clone of: it shares the refusals
	follows  bool    // it is a Clone of what was the default
	refusals probe.Cache
	calls    *sys.Calls  // nil is the kernel; tests replace it
	pool     *kpipe.Pool // nil is the process's; tests replace it
	// force, if not nil, decides instead of the pace whether the next chunk of a
	// socket is spliced, by the number of bytes written so far. For tests.
	force func(written int64) bool
}

var (
	zero     Copier
	standard atomic.Pointer[Copier]
)

// Default returns the Copier that the functions of the package use.
func Default() *Copier {
	if c := standard.Load(); c != nil {
		return c
	}
	return &zero
}

// orDefault returns c, or the default where c is nil.
func orDefault(c *Copier) *Copier {
	if c == nil {
		return Default()
	}
	return c
}

// SetDefault makes c the Copier that the functions of the package use, and
// [Reader] and [Writer] with them; nil is the zero value. Copies under way that
// began with another default obey c.Disable from their next chunk on, and c's
// other fields not at all: it is the switch of a running program.
func SetDefault(c *Copier) { standard.Store(c) }

// Clone returns a Copier with the settings of c, to be changed before its first use: a
// Report or a Meter of one copy's own, for instance. A clone of what is the default now goes
// on to obey what any later default switches off, and a clone shares with c what the kernel
// was seen to refuse.
func (c *Copier) Clone() *Copier {
	return &Copier{
		Pages: c.Pages, Disable: c.Disable, BufferPool: c.BufferPool, RawCalls: c.RawCalls, LowWater: c.LowWater,
		UnwrapReader: c.UnwrapReader, UnwrapWriter: c.UnwrapWriter, Report: c.Report, Meter: c.Meter,
		like: c.origin(), follows: c.follows || c == Default(), calls: c.calls, pool: c.pool, force: c.force,
	}
}

// origin returns the Copier that c is a clone of, c itself if it is none.
func (c *Copier) origin() *Copier {
	if c.like != nil {
		return c.like
	}
	return c
}

// Copy is the package's [Copy] and [CopyContext] with the settings of c. A nil
// ctx is never cancelled.
func (c *Copier) Copy(ctx context.Context, dst io.Writer, src io.Reader) (written int64, err error) {
	return c.copy(ctx, dst, src, nil)
}

// CopyN is the package's [CopyN] with the settings of c.
func (c *Copier) CopyN(dst io.Writer, src io.Reader, n int64) (written int64, err error) {
	written, err = c.copy(context.Background(), dst, io.LimitReader(src, n), nil)
	if written == n {
		return n, nil
	}
	if written < n && err == nil {
		err = io.EOF // src stopped early; must have been EOF
	}
	return written, err
}

// CopyBuffer is the package's [CopyBuffer] with the settings of c.
func (c *Copier) CopyBuffer(dst io.Writer, src io.Reader, buf []byte) (written int64, err error) {
	if buf != nil && len(buf) == 0 {
		panic("empty buffer in CopyBuffer")
	}
	return c.copy(context.Background(), dst, src, buf)
}

// copy is what all of them do.
func (c *Copier) copy(ctx context.Context, dst io.Writer, src io.Reader, buf []byte) (written int64, err error) {
	switch s := src.(type) {
	case *Reader:
		if s != nil && s.c != nil && c == Default() {
			// Whoever copies says nothing, as a ReadFrom does, and the Reader does.
			c, src = s.c, s.r
		}
	case *io.LimitedReader: // which the ReadFrom of net/http puts around it since Go 1.27
		if r, ok := s.R.(*Reader); ok && r != nil && r.c != nil && c == Default() {
			c = r.c
		}
	}
	if c.Report == nil && c.Meter == nil && (ctx == nil || ctx.Done() == nil) {
		if n, err, ok := c.fromMemory(dst, src); ok {
			return n, err
		}
	}
	t := newTransfer(c, ctx, buf)
	counters.began.Add(1)
	defer t.end()
	return t.copy(dst, src)
}

// Disabled returns the mechanisms that are off now: those of Default().Disable and those
// that ZEROCOPY in the environment names.
func Disabled() MechanismSet { return Default().disabled() }

// disabled returns what is off for a copy that began with c.
func (c *Copier) disabled() MechanismSet { return c.Disable | environment() }

// environment is what ZEROCOPY switches off. It is read once.
var environment = sync.OnceValue(func() MechanismSet { return parseEnvironment(os.Getenv("ZEROCOPY")) })

// parseEnvironment reads "off" or a list of mechanism=off. What it does not know
// it passes over: a newer release may know it.
func parseEnvironment(text string) (off MechanismSet) {
	for item := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		switch {
		case name == "off" && value == "":
			off |= AllMechanisms
		case value == "off":
			var m Mechanism
			if m.UnmarshalText([]byte(name)) == nil {
				off |= Mechanisms(m) & AllMechanisms
			}
		}
	}
	return off
}

// switchedOff reports whether text, that of ZEROCOPY, has name=off.
func switchedOff(text, name string) bool {
	for item := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(item) == name+"=off" {
			return true
		}
	}
	return false
}
