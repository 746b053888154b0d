package zcnet

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// A watcher waits for the close or the reset of a connection that has been read to its
// end, on the goroutine that read it, until the copy to that connection has ended, too.
type watcher struct {
	mu       sync.Mutex
	watching bool
	stopped  bool
}

// aLongTimeAgo is a deadline in the past, as net/http has it.
var aLongTimeAgo = time.Unix(1, 0)

// watch returns why c is of no use any more, or nil when the watcher is stopped, and at
// once where c is not a connection that can be watched.
func (w *watcher) watch(c net.Conn) error {
	end, ok := engine.Inspect(nil, Inner(c), true)
	if !ok || !sys.Supported {
		return nil
	}
	w.mu.Lock()
	if w.stopped {
		w.mu.Unlock()
		return nil
	}
	w.watching = true
	w.mu.Unlock()
	err := end.Hangup(nil)

	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching = false
	if w.stopped {
		c.SetReadDeadline(time.Time{})
	}
	if w.stopped || errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// stop ends the watch over c, or keeps it from beginning.
func (w *watcher) stop(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.watching {
		c.SetReadDeadline(aLongTimeAgo)
	}
}
