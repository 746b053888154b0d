package ztest

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// names are the filesystems that golden tables speak of, by f_type of
// statfs(2). Ext2, ext3 and ext4 share a number, and one driver.
var names = map[uint32]string{
	0xef53:     "ext4",
	0x01021994: "tmpfs",
	0x58465342: "xfs",
	0x9123683e: "btrfs",
	0x794c7630: "overlayfs",
	0x9fa0:     "proc",
	0x62656572: "sysfs",
	0x6969:     "nfs",
	0x65735546: "fuse",
	0x2fc12fc1: "zfs",
	0xf2f52010: "f2fs",
	0x858458f6: "ramfs",
	0x1cd1:     "devpts",
	0x01021997: "9p",
	0xca451a4e: "bcachefs",
}

// FSMagic is f_type of the filesystem that path is on, 0 if it cannot be asked.
func FSMagic(path string) uint32 {
	var st syscall.Statfs_t
	for {
		switch syscall.Statfs(path, &st) {
		case nil:
			return uint32(st.Type)
		case syscall.EINTR:
		default:
			return 0
		}
	}
}

// Filesystem names the filesystem that path is on: "ext4", "tmpfs", …, the
// f_type in hexadecimal if it has no name here, "none" if it cannot be asked.
func Filesystem(path string) string {
	m := FSMagic(path)
	if name, ok := names[m]; ok {
		return name
	}
	if m == 0 {
		return "none"
	}
	return fmt.Sprintf("%#x", m)
}

// Dir returns the directory in which files of the kind File (and Append) or
// Tmpfs are made, so that a table can be keyed by Filesystem(Dir(tb, File)).
func Dir(tb testing.TB, k Kind) string {
	tb.Helper()
	if k == Tmpfs {
		return shmDir
	}
	dir, err := rootDir()
	if err != nil {
		tb.Fatalf("no writable directory on the root filesystem: %v", err)
	}
	return dir
}

// Uname is the release of the running kernel as uname(2) has it ("6.18.4").
var Uname = sync.OnceValue(func() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
})

// Kernel is the version of the running kernel, 0.0 if unknown.
func Kernel() (major, minor int) {
	fmt.Sscanf(Uname(), "%d.%d", &major, &minor)
	return major, minor
}

// KernelAtLeast reports whether the running kernel is that version or newer.
func KernelAtLeast(major, minor int) bool {
	a, b := Kernel()
	return a > major || a == major && b >= minor
}
