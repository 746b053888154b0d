//go:build !linux

package zchttp

import (
	"errors"
	"os"
)

// reopen is for Linux.
func reopen(*os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
