package ztest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// images are the sizes of the filesystems that MountLoop makes: the least that
// each mkfs takes, and somewhat more. The images are sparse.
var images = map[string]int64{
	"ext4":  64 << 20,
	"xfs":   320 << 20, // mkfs.xfs refuses less than 300 MiB
	"btrfs": 128 << 20, // mkfs.btrfs refuses less than about 109 MiB
}

// MountLoop makes a filesystem of the type ("ext4", "xfs", "btrfs") in a file,
// mounts it and returns the directory. It is unmounted at the end of the test.
// Where that cannot be done the test is skipped, under CI failed: see Missing.
func MountLoop(tb testing.TB, fstype string) string {
	tb.Helper()
	size, ok := images[fstype]
	if !ok {
		tb.Fatalf("no size known for a %s image", fstype)
	}
	if os.Geteuid() != 0 {
		Missing(tb, "mounting %s needs root", fstype)
	}
	mkfs, err := exec.LookPath("mkfs." + fstype)
	if err != nil {
		Missing(tb, "%v", err)
	}
	dir := tb.TempDir()
	image, mnt := filepath.Join(dir, "image"), filepath.Join(dir, "mnt")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		tb.Fatal(err)
	}
	if err := os.Mkdir(mnt, 0o700); err != nil {
		tb.Fatal(err)
	}
	if out, err := exec.Command(mkfs, image).CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v\n%s", mkfs, err, out)
	}
	if out, err := exec.Command("mount", "-t", fstype, "-o", "loop", image, mnt).CombinedOutput(); err != nil {
		Missing(tb, "mount of %s: %v\n%s", fstype, err, strings.TrimSpace(string(out)))
	}
	tb.Cleanup(func() {
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			tb.Errorf("umount of %s: %v\n%s", fstype, err, out)
		}
	})
	if got := Filesystem(mnt); got != fstype {
		tb.Fatalf("mounted %s, found %s", fstype, got)
	}
	return mnt
}
