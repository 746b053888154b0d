//go:build !linux

package zcexec

import (
	"context"
	"io"
	"os"
)

// untilClosed, untilUnread, unreadable, leftIn and setPipeSize are for Linux.
func untilClosed(io.Reader) (ctx context.Context, end func()) { return background() }
func untilUnread(io.Writer) (ctx context.Context, end func()) { return background() }
func unreadable(*os.File) bool                                { return true }
func leftIn(*os.File) []byte                                  { return nil }
func setPipeSize(io.Reader, int) bool                         { return false }
