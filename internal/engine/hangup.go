package engine

import (
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// Hangup waits for the end of e, a connection that has been read to its end: until it is
// closed here, its peer resets it (TCP), or its read deadline passes, which is how to end
// the wait. It returns why.
//
// After the end of what it receives a socket is readable for good, so the poller wakes
// the waiting only when something else happens to it. A unix socket tells nothing more:
// its peer may have closed it at once, and still want to be read to the end.
func (e *End) Hangup(calls *sys.Calls) error {
	var errno error
	err := e.Raw.Read(func(fd uintptr) bool {
		if e.Kind != TCP {
			return false
		}
		ready, err := calls.Poll(int(fd))
		switch {
		case err != nil:
			errno = err
		case ready&sys.Hung != 0:
			errno = syscall.ECONNRESET
		}
		return errno != nil
	})
	if err == nil {
		err = errno
	}
	return e.Fail("read", "read", err)
}
