package zerocopy

import "io"

// A ReaderUnwrapper is a Reader that passes its inner Reader's bytes through
// unchanged and says so: it may count, bound, pace, peek or watch the clock, and
// keeps the fast path. A Reader that alters, drops or adds a byte must not
// implement it.
//
// A copy asks UnwrapReader before it looks for a WriteTo method, and does not call
// WriteTo then. Asking must have no side effect: [Explain] asks too. ok == false
// means not at present; the Reader is then read as any other.
type ReaderUnwrapper interface {
	UnwrapReader() (inner InnerReader, ok bool)
}

// An InnerReader is what a [ReaderUnwrapper] says of itself. Its callbacks run on
// the copying goroutine, with no lock held and no pipe unless bytes are in it. They
// may set deadlines and close; they must not read, write or copy the same end.
//
// Of stacked wrappers the outermost Buffered goes first, the least Chunk counts,
// and Moved and Done are told from the inner to the outer.
type InnerReader struct {
	// Self is the receiver of UnwrapReader. The answer counts only if Self is a
	// pointer identical to the Reader that was asked: a type that embeds the
	// wrapper has its method, too, but perhaps a Read of its own.
	Self io.Reader
	// Reader is where the bytes come from.
	Reader io.Reader
	// Buffered is what was already taken from Reader and goes first. It is only
	// read, and must stay as it is until Moved has covered it.
	Buffered []byte
	// Limit, if Bounded, is how many bytes more there are at the most, Buffered
	// included.
	Bounded bool
	Limit   int64
	// Chunk, if not 0, is the most bytes between two calls of Moved.
	Chunk int
	// Before is called before each attempt that may wait for Reader: to arm a
	// read deadline, to ask a limiter. Its error ends the copy.
	Before func() error
	// Moved is called after each n bytes that the destination accepted, n > 0. It
	// may block. Its error ends the copy, which has written those n bytes.
	Moved func(n int64) error
	// Done is called once, at the end. err is nil at the end of Reader and at the
	// limit; unwritten is how many bytes were taken and not accepted. What Done
	// returns becomes the error of the copy: return err to leave it.
	Done func(unwritten int64, err error) error

	limiter Limiter // of Pace: asked after Moved, with the context of the copy
}

// A WriterUnwrapper is to a Writer what a [ReaderUnwrapper] is to a Reader.
type WriterUnwrapper interface {
	UnwrapWriter() (inner InnerWriter, ok bool)
}

// An InnerWriter is what a [WriterUnwrapper] says of itself. See [InnerReader]:
// fields of the same name mean the same.
type InnerWriter struct {
	// Self is the receiver of UnwrapWriter, Writer is where the bytes go.
	Self, Writer io.Writer
	// Chunk, if not 0, is the most bytes between two calls of Moved.
	Chunk int
	// Flush is called once, before the first byte: write what you hold back.
	Flush func() error
	// Before is called before each attempt that may wait for Writer.
	Before func() error
	// Moved is called after each n bytes that Writer accepted.
	Moved func(n int64) error
	// Done is called once, at the end, with what was not accepted.
	Done func(unwritten int64, err error) error

	limiter Limiter
}
