package ztest

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFilesystem(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/proc": "proc", "/no/such/file": "none"} {
		if got := Filesystem(path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	if Unavailable(Tmpfs) == "" && FSMagic(shmDir) != 0x01021994 {
		t.Errorf("%s: %#x", shmDir, FSMagic(shmDir))
	}
}

func TestKernel(t *testing.T) {
	t.Parallel()
	a, b := Kernel()
	if a < 3 || Uname() == "" {
		t.Errorf("%q is read as %d.%d", Uname(), a, b)
	}
	if !KernelAtLeast(a, b) || !KernelAtLeast(a-1, 99) || KernelAtLeast(a, b+1) || KernelAtLeast(a+1, 0) {
		t.Errorf("%d.%d is compared wrongly", a, b)
	}
}

func TestMountLoop(t *testing.T) {
	for fstype := range images {
		t.Run(fstype, func(t *testing.T) {
			dir := MountLoop(t, fstype)
			if err := os.WriteFile(filepath.Join(dir, "f"), Pattern(1).Bytes(1<<20), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
}
