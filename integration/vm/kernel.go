// Package vm boots a kernel of Debian's with a program of one's own as its first
// process, in an emulator and without installing anything: the kernel is unpacked
// from its package into a cache directory, the root filesystem is an archive in memory.
package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// kernelPackage is the package that depends on Debian's newest kernel for virtual
// machines: it has the modules that are needed, and is the smallest with them.
const kernelPackage = "linux-image-cloud-amd64"

// A Kernel is an unpacked kernel package.
type Kernel struct {
	Image   string // path of vmlinuz
	Release string // as uname -r has it

	modules string // lib/modules/RELEASE
}

// DebianKernel returns the kernel in the user's cache directory, see
// os.UserCacheDir. If there is none, it is downloaded from where apt gets its
// packages and unpacked there. To have a newer one, remove zerocopy-vm in the
// cache directory.
func DebianKernel(ctx context.Context) (*Kernel, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	cache = filepath.Join(cache, "zerocopy-vm")
	dir := filepath.Join(cache, "kernel")
	if k, err := KernelIn(dir); err == nil {
		return k, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := download(ctx, work); err != nil {
		return nil, fmt.Errorf("getting the kernel's package: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		return nil, fmt.Errorf("apt-get download left %d packages", len(debs))
	}
	root := filepath.Join(work, "root")
	if _, err := run(ctx, work, "dpkg-deb", "-x", debs[0], root); err != nil {
		return nil, err
	}
	// Of two processes that do this at the same time one is the first.
	if err := os.Rename(root, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return KernelIn(dir)
}

// KernelIn returns the kernel in a directory with the files of a kernel package:
// boot/vmlinuz-RELEASE and lib/modules/RELEASE, or usr/lib/modules/RELEASE.
func KernelIn(dir string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	if len(images) != 1 {
		return nil, fmt.Errorf("%s has %d files boot/vmlinuz-*, want one", dir, len(images))
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	for _, lib := range []string{"lib", "usr/lib"} {
		modules := filepath.Join(dir, lib, "modules", release)
		if _, err := os.Stat(modules); err == nil {
			return &Kernel{Image: images[0], Release: release, modules: modules}, nil
		}
	}
	return nil, fmt.Errorf("%s has no modules of %s", dir, release)
}

// download puts the kernel's package into a directory. If the lists of packages
// of this machine are missing or out of date, new ones are read, into the same
// directory: the machine's stay as they are.
func download(ctx context.Context, dir string) error {
	for _, program := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("not a Debian machine: %w", err)
		}
	}
	first := downloadWith(ctx, dir)
	if first == nil {
		return nil
	}
	lists := filepath.Join(dir, "lists")
	own := []string{"-o", "Dir::State::Lists=" + lists, "-o", "Dir::Cache=" + filepath.Join(dir, "cache")}
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
		return err
	}
	if _, err := run(ctx, dir, "apt-get", append(own, "-q", "update")...); err != nil {
		return errors.Join(first, err)
	}
	return downloadWith(ctx, dir, own...)
}

func downloadWith(ctx context.Context, dir string, options ...string) error {
	out, err := run(ctx, dir, "apt-cache", append(options, "depends", kernelPackage)...)
	if err != nil {
		return err
	}
	name, err := dependency(out)
	if err != nil {
		return err
	}
	_, err = run(ctx, dir, "apt-get", append(options, "-q", "download", name)...)
	return err
}

// dependency returns the first package in what apt-cache depends prints.
func dependency(out string) (string, error) {
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			return name, nil
		}
	}
	return "", fmt.Errorf("apt-cache knows no dependency of %s: %q", kernelPackage, out)
}

// run runs a program in a directory and returns its standard output.
func run(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(problem.String()))
	}
	return string(out), nil
}
