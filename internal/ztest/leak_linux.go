package ztest

import (
	"os"
	"sync"
)

// openFDs lists the open descriptors as "number -> target".
func openFDs() map[string]bool {
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		panic("ztest: descriptors cannot be counted: " + err.Error())
	}
	m := make(map[string]bool, len(entries))
	for _, e := range entries {
		// The descriptor that ReadDir itself used is closed by now.
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			m[e.Name()+" -> "+target] = true
		}
	}
	return m
}

// warmPoller makes the runtime open the descriptors that it keeps (epoll and
// eventfd), so that they are there before anything is counted.
var warmPoller = sync.OnceFunc(func() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
})
