package zerocopy

import (
	"errors"
	"fmt"
	"time"
)

// A PartialError is the error of a copy that had taken bytes from a stream which
// the destination did not accept. io.Copy loses them; here they are handed back.
// Written + len(Unwritten) bytes were consumed from the source: writing Unwritten
// elsewhere and copying on completes the stream.
//
// A copy whose source is seekable moves its position back instead, and an error
// that leaves nothing over is not wrapped.
type PartialError struct {
	// Written is the count that the copy returned.
	Written int64
	// Unwritten is what follows those bytes in the stream, at most one pipe
	// (1 MiB) or one buffer. It belongs to the caller.
	Unwritten []byte
	// Err is the error that ended the copy, as errors.Is and errors.As find it.
	Err error
}

// Error says what ended the copy and how many bytes are handed back.
func (e *PartialError) Error() string {
	return fmt.Sprintf("%v (%d bytes taken from the source were not written: see PartialError.Unwritten)", e.Err, len(e.Unwritten))
}

// Unwrap returns Err.
func (e *PartialError) Unwrap() error { return e.Err }

// Timeout reports whether Err is a timeout, as net.Error has it.
func (e *PartialError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary reports what Err's own Temporary does, as net.Error has it.
func (e *PartialError) Temporary() bool {
	var t interface{ Temporary() bool }
	return errors.As(e.Err, &t) && t.Temporary()
}

// errInvalidWrite is io.Copy's: a Write returned a count that cannot be.
var errInvalidWrite = errors.New("invalid write result")

// aLongTimeAgo is a deadline in the past, as net/http has it.
var aLongTimeAgo = time.Unix(1, 0)
