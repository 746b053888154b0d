package zccompress

import (
	"errors"
	"fmt"
	"os"
)

// ErrTooLarge is in each [*LimitError], for errors.Is.
var ErrTooLarge = errors.New("zccompress: too large")

// ErrFormat is the error of a stream that is in none of the formats which are accepted, where
// [Plain] is not one of them.
var ErrFormat = errors.New("zccompress: not in an accepted format")

// A LimitError says that a stream wants more than one of the [Options] lets it have. The stream may
// be a decompression bomb, or larger than was thought.
type LimitError struct {
	Format Format
	Option string // the name of the field of Options: "MaxBytes" or "MaxWindow"
	Limit  int64  // and its value, in bytes
}

// Error implements error.
func (e *LimitError) Error() string {
	if e.Option == "MaxWindow" {
		return fmt.Sprintf("zccompress: a %v frame wants a window of more than %d bytes (MaxWindow)", e.Format, e.Limit)
	}
	return fmt.Sprintf("zccompress: the %v stream is more than %d bytes when decompressed (MaxBytes)", e.Format, e.Limit)
}

// Unwrap returns [ErrTooLarge].
func (e *LimitError) Unwrap() error { return ErrTooLarge }

var (
	errClosed     = fmt.Errorf("zccompress: use of a closed Reader: %w", os.ErrClosed)
	errConcurrent = errors.New("zccompress: a Reader is used by two goroutines at a time")
)
