package zerocopy

import (
	"sync/atomic"

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

// Force has f decide, instead of the stream's pace, whether the next chunk of a
// socket is spliced or read and written.
func (c *Copier) Force(f func(written int64) bool) { c.force = f }

// AtOnce splices from the first byte on.
func AtOnce(int64) bool { return true }

// Alternate splices every other chunk, the first one not.
func Alternate() func(int64) bool {
	var turns atomic.Int64
	return func(int64) bool { return turns.Add(1)%2 == 0 }
}

// CloseIdlePipes closes the pipes that the process keeps, for leak checks.
func CloseIdlePipes() { kpipe.Shared.CloseIdle() }
