package zcexec_test

import (
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

func isNonblocking(fd int) bool {
	flags, err := (*sys.Calls)(nil).Flags(fd)
	return err == nil && flags&syscall.O_NONBLOCK != 0
}

// modeOf reports whether the descriptor of c is nonblocking.
func modeOf(t *testing.T, c syscall.Conn) (nonblocking bool) {
	t.Helper()
	rc, err := c.SyscallConn()
	must(t, err)
	must(t, rc.Control(func(fd uintptr) { nonblocking = isNonblocking(int(fd)) }))
	return nonblocking
}

func pipeSize(fd int) int {
	n, _ := (*sys.Calls)(nil).PipeSize(fd)
	return n
}

// pipeHolds returns how many bytes are in a pipe.
func pipeHolds(fd int) int {
	n, _ := (*sys.Calls)(nil).Buffered(fd)
	return n
}
