//go:build !unix

package zcexec

import "os"

// These are for unix.
func diedOfPipe(error) bool      { return false }
func nonblocking(*os.File) bool  { return false }
func setNonblock(*os.File) error { return nil }
