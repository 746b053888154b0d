//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// errUnsupported says that there is nothing to compare here.
var errUnsupported = errors.New("on " + runtime.GOOS + " every zerocopy.Copy is io.Copy's; there is nothing to compare but on Linux")

// roleVariable is not looked for: there are no children.
const roleVariable = ""

func playRole(string) int {
	fmt.Fprintln(os.Stderr, "compare:", errUnsupported)
	return 2
}

func terminalWidth(io.Writer) int { return 0 }

func newStage(context.Context, pair, *depot) (stage, error) { return nil, errUnsupported }
