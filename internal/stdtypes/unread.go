package stdtypes

import (
	"bytes"
	"io"
	"os"
	"strings"
)

// Unread moves src back by the n bytes that were last read from it, and reports whether it could. It
// seeks only types whose Seek is known to count what their Read gives, also under one limit, io.NopCloser
// or what os hides its methods by: of others Seek may be promoted (H25).
func Unread(src io.Reader, n int64) bool {
	limit, _ := src.(*io.LimitedReader)
	if limit != nil {
		src = limit.R
	}
	if inner, ok := Hidden(src); ok {
		src, _ = inner.(io.Reader)
	}
	switch s := src.(type) {
	case *os.File, *io.SectionReader, *bytes.Reader, *strings.Reader:
		if _, err := s.(io.Seeker).Seek(-n, io.SeekCurrent); err != nil {
			return false
		}
	default:
		return false
	}
	if limit != nil {
		limit.N += n
	}
	return true
}
