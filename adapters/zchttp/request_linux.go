package zchttp

import (
	"os"
	"strconv"
)

// reopen opens the file that f is once more, with a position of its own. It fails where there is no
// /proc, and where the file may not be opened any more; it is copied then.
func reopen(f *os.File) (own *os.File, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	// Not Fd, which would make it blocking; and within Control, while it is surely still open.
	if cerr := raw.Control(func(fd uintptr) {
		own, err = os.Open("/proc/self/fd/" + strconv.Itoa(int(fd)))
	}); cerr != nil {
		return nil, cerr
	}
	return own, err
}
