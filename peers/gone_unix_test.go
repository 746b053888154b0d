//go:build unix

package peers_test

import "syscall"

// goneErrors are what is read from or written to a peer that has gone, and what shutdown(2)
// says after a reset.
var goneErrors = []error{syscall.ECONNRESET, syscall.EPIPE, syscall.ENOTCONN}
