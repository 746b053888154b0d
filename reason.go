package zerocopy

import (
	"fmt"
	"strconv"
)

// A Reason says why a step is [Buffered] or [Delegated] and not done by the
// kernel alone. It is a small closed enumeration, fit to be a metric's label.
type Reason uint8

// The reasons. Where a type stood in the way, [Step.Type] names it.
const (
	// ReasonNone: the step is not in want of a reason.
	ReasonNone Reason = iota
	// ReasonNotDescriptor: an end is of a type that is not known to be a
	// descriptor or a transparent wrapper of one. A type of your own that passes
	// bytes through unchanged can say so: see ReaderUnwrapper, WriterUnwrapper.
	ReasonNotDescriptor
	// ReasonOwnMethod: an end of an unknown type brings its own WriteTo or
	// ReadFrom, which was called in io.Copy's order.
	ReasonOwnMethod
	// ReasonPrefix: these bytes were in user memory before the copy began, in a
	// bufio.Reader or a wrapper's buffer, or had to go into a bufio.Writer's.
	ReasonPrefix
	// ReasonSmall: the file is so small that read and write cost less.
	ReasonSmall
	// ReasonStart: a stream from a socket is read and written until it has proved
	// to be bulk, and again when it turns interactive: small messages cost less so.
	ReasonStart
	// ReasonPages: pages of a file are lent to a pipe, and to a socket that is an
	// *os.File, only with Copier.Pages set to Share: later changes of the file
	// would be seen through them, where with io.Copy they are not.
	ReasonPages
	// ReasonStable: Copier.Pages is Stable, so no page goes by reference.
	ReasonStable
	// ReasonDisabled: the mechanism is switched off, by Copier.Disable or by
	// ZEROCOPY in the environment.
	ReasonDisabled
	// ReasonAppend: splice and copy_file_range refuse a destination that is
	// open with O_APPEND.
	ReasonAppend
	// ReasonBlocking: the descriptor is in blocking mode (O_NONBLOCK is clear),
	// so a call on it could neither be interrupted by Close nor by a deadline.
	ReasonBlocking
	// ReasonMessages: a datagram or seqpacket socket, whose message boundaries
	// splice would not keep.
	ReasonMessages
	// ReasonDevice: a character device, which may block or not splice at all.
	ReasonDevice
	// ReasonSame: the same file or the same pipe is at both ends.
	ReasonSame
	// ReasonAccess: an end is closed, a directory, or not open for this
	// direction. The error of the copy says which.
	ReasonAccess
	// ReasonNoPipe: no pipe was to be had (descriptors, or the user's share of
	// pipe memory, see pipe(7)).
	ReasonNoPipe
	// ReasonRefused: the kernel refused; [Step.Err] is its answer.
	ReasonRefused
	// ReasonCheck: the kernel moved nothing where a plain read found bytes, at
	// the mark of urgent data for instance.
	ReasonCheck
	// ReasonNested: the wrapper's own method or a pending error comes first, so
	// the wrapper was read as any other Reader.
	ReasonNested
	// ReasonLayout: the inside of a standard type is not as it was verified to
	// be for the supported Go releases.
	ReasonLayout
	// ReasonPlatform: not Linux.
	ReasonPlatform
	// ReasonNoLoan: user memory is lent to pipes and TCP connections only.
	ReasonNoLoan
	// ReasonCopied: the network device copies the user memory that it is lent, as
	// loopback and veth do, so that a plain write costs less. See package pages.
	ReasonCopied
	// ReasonLentElsewhere: somebody else lends user memory to the same socket, and the
	// kernel's counts of what it gives back cannot be told apart.
	ReasonLentElsewhere
	// ReasonLocked: the limits RLIMIT_MEMLOCK or net.core.optmem_max allow no loan of
	// user memory.
	ReasonLocked
	// ReasonMeasured: a plain write has been measured to be faster on this kernel.
	ReasonMeasured
	// ReasonEncrypted: a *tls.Conn, whose bytes are not those of the connection under it.
	ReasonEncrypted
	// ReasonBodiesOff: a body of net/http, which is not spliced as long as
	// zchttp.SpliceBodies has not switched that on, or once ZEROCOPY=httpbody=off.
	ReasonBodiesOff
	// ReasonForeignConn: a body of net/http whose connection is not of package zcnet: see
	// zchttp.ListenAndServe, zchttp.Transport and zcnet.NewListener.
	ReasonForeignConn
	// ReasonUnverified: a body of net/http, whose inside is not known for this Go release.
	ReasonUnverified

	reasons // how many there are
)

var reasonNames = [reasons]string{
	"", "not-descriptor", "own-method", "prefix", "small", "start", "file-pages", "stable", "disabled", "append", "blocking",
	"messages", "device", "same-file", "access", "no-pipe", "refused", "check", "nested", "layout", "platform",
	"no-loan", "copied", "lent-elsewhere", "locked", "measured", "encrypted",
	"bodies-off", "foreign-conn", "unverified",
}

var reasonTexts = [reasons]string{
	ReasonNone:          "",
	ReasonNotDescriptor: "is not a descriptor",
	ReasonOwnMethod:     "brings its own method",
	ReasonPrefix:        "already in user memory",
	ReasonSmall:         "is too small for a system call of its own to pay",
	ReasonStart:         "has not proved to be bulk",
	ReasonPages:         "has pages that io.Copy would not lend here (Pages: Share does)",
	ReasonStable:        "has pages that Pages: Stable does not send by reference",
	ReasonDisabled:      "could be moved by a mechanism that is switched off",
	ReasonAppend:        "is open with O_APPEND",
	ReasonBlocking:      "is in blocking mode",
	ReasonMessages:      "is a socket with message boundaries",
	ReasonDevice:        "is a character device",
	ReasonSame:          "is the same file or pipe as the other end",
	ReasonAccess:        "is closed, or not open for this direction",
	ReasonNoPipe:        "would need a pipe and none was to be had",
	ReasonRefused:       "could be moved by a call that the kernel refused",
	ReasonCheck:         "had bytes that only a plain read sees",
	ReasonNested:        "is read through its own methods",
	ReasonLayout:        "has a layout that is not verified for this Go release",
	ReasonPlatform:      "is on a system without these calls",
	ReasonNoLoan:        "is of a kind that takes no loan of user memory",
	ReasonCopied:        "is reached through a device that copies what it is lent",
	ReasonLentElsewhere: "is lent memory by somebody else, too",
	ReasonLocked:        "could be lent memory if RLIMIT_MEMLOCK and net.core.optmem_max allowed it",
	ReasonMeasured:      "is written to faster than lent to on this kernel",
	ReasonEncrypted:     "encrypts its bytes in user memory",
	ReasonBodiesOff:     "is a body of net/http, and zchttp.SpliceBodies is off",
	ReasonForeignConn:   "is a body from a connection that is not of package zcnet",
	ReasonUnverified:    "is a body of net/http, whose inside is unverified for this Go version",
}

// String returns the reason's short name, for logs and labels; "" for ReasonNone.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "Reason(" + strconv.Itoa(int(r)) + ")"
}

// MarshalText implements [encoding.TextMarshaler]. It never fails.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes the names that
// [Reason.String] returns and refuses any other.
func (r *Reason) UnmarshalText(text []byte) error {
	for i, name := range reasonNames {
		if name == string(text) {
			*r = Reason(i)
			return nil
		}
	}
	return fmt.Errorf("zerocopy: unknown reason %q", text)
}
