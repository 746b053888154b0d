package kpipe

import (
	"os"
	"strconv"
	"strings"

	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// Limits are what a system allows a process to have in pipes.
type Limits struct {
	Budget  int64 // bytes in all pipes together
	MaxSize int   // bytes in one
}

const (
	// unbounded is the budget where the kernel has none, for a privileged process:
	// a gigabyte a second through each of 64 pipes of 1 MiB is more than any
	// machine moves, and twice that is what those pipes may use (Pool.fits).
	unbounded = 256 << 20
	// What the kernel has from birth (pipe(7)), where /proc cannot be read.
	defaultMaxSize = 1 << 20
	defaultPages   = 16384
)

// system reads the limits of pipe(7) for the user at hand. An unprivileged one gets
// half of its share: the kernel adds up the pipes of all processes of the user, and
// gives those that are made beyond it two pages each, which would hit the innocent.
func system() Limits {
	l := Limits{Budget: unbounded, MaxSize: number("/proc/sys/fs/pipe-max-size", defaultMaxSize)}
	if sys.PipePrivileged() && wholeUserNamespace() {
		l.MaxSize = max(l.MaxSize, Sizes[Largest]) // it binds only the unprivileged
		return l
	}
	for _, limit := range []struct {
		file string
		none int // where it cannot be read; 0 is no limit
	}{{"pipe-user-pages-soft", defaultPages}, {"pipe-user-pages-hard", 0}} {
		if pages := number("/proc/sys/fs/"+limit.file, limit.none); pages > 0 {
			l.Budget = min(l.Budget, int64(pages)*int64(os.Getpagesize())/2)
		}
	}
	return l
}

// wholeUserNamespace reports whether the process is in the first user namespace,
// where alone its capabilities count for pipes. Elsewhere uid_map maps a part.
func wholeUserNamespace() bool {
	b, err := os.ReadFile("/proc/self/uid_map")
	f := strings.Fields(string(b))
	return err == nil && len(f) == 3 && f[0] == "0" && f[1] == "0" && f[2] == "4294967295"
}

// number returns the number that a file holds, or other if it cannot be read.
func number(file string, other int) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return other
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 0 {
		return other
	}
	return n
}
