package zerocopy

import (
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// What tests see of the inside.

const (
	SmallFile  = smallFile
	BufferSize = bufferSize
)

var ParseEnvironment = parseEnvironment

// SetCalls puts calls between c and the kernel, and gives c a pool of pipes of
// its own, so that no pipe is there without a call to pipe2.
func (c *Copier) SetCalls(calls *sys.Calls) *kpipe.Pool {
	c.calls, c.pool = calls, new(kpipe.Pool)
	return c.pool
}

// CloseIdlePipes closes the pipes that the process keeps, for leak checks.
func CloseIdlePipes() { kpipe.Shared.CloseIdle() }
