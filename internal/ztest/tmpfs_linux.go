package ztest

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// MountTmpfs mounts a tmpfs that holds at most size bytes and returns the
// directory. It is unmounted at the end of the test. See Missing.
func MountTmpfs(tb testing.TB, size int) string {
	tb.Helper()
	if os.Geteuid() != 0 {
		Missing(tb, "mounting tmpfs needs root")
	}
	dir := tb.TempDir()
	if err := syscall.Mount("ztest", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		Missing(tb, "mount of tmpfs: %v", err)
	}
	tb.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			tb.Errorf("umount of tmpfs: %v", err)
		}
	})
	return dir
}

// Arrived is the number of bytes that have reached the TCP socket c in order,
// whether read yet or not.
func Arrived(c syscall.Conn) (int64, error) { return received(c) }
