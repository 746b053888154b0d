//go:build !linux

package zcexec

import (
	"context"
	"io"
	"os"
)

// untilClosed, untilUnread, leftIn and setPipeSize are for Linux.
func untilClosed(io.Reader) (ctx context.Context, end func() bool) { return background() }
func untilUnread(io.Writer) (ctx context.Context, end func() bool) { return background() }
func leftIn(*os.File) []byte                                       { return nil }
func setPipeSize(io.Reader, int) bool                              { return false }
