package vm

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// Modes of an initramfs entry, as in stat(2).
const (
	modeDir  = 0o040755
	modeFile = 0o100755
	modeChar = 0o020600
)

// An Initramfs is a cpio archive in the format "newc" that the kernel unpacks as
// its first root filesystem. The zero value is empty. See the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst.
type Initramfs struct {
	out  bytes.Buffer
	ino  int
	made map[string]bool
}

// File adds a file that may be executed, with the directories it is in.
// The name is a path with or without a leading slash.
func (a *Initramfs) File(name string, contents []byte) {
	name = a.parents(name)
	a.entry(name, modeFile, 0, 0, contents)
}

// CharDevice adds the node of a character device, with the directories it is in.
func (a *Initramfs) CharDevice(name string, major, minor int) {
	name = a.parents(name)
	a.entry(name, modeChar, major, minor, nil)
}

// Dir adds an empty directory, with those it is in.
func (a *Initramfs) Dir(name string) { a.parents(name + "/.") }

// Bytes returns the archive. Nothing may be added after.
func (a *Initramfs) Bytes() []byte {
	a.ino = -1
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	return a.out.Bytes()
}

// parents adds the directories that name is in, those that are not yet there, and
// returns name as the archive has it.
func (a *Initramfs) parents(name string) string {
	name = strings.TrimPrefix(name, "/")
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if dir == "" {
		return base
	}
	if !a.made[dir] {
		a.parents(dir)
		a.entry(dir, modeDir, 0, 0, nil)
		if a.made == nil {
			a.made = make(map[string]bool)
		}
		a.made[dir] = true
	}
	return name
}

func (a *Initramfs) entry(name string, mode, major, minor int, contents []byte) {
	a.ino++
	links := 1
	if mode == modeDir {
		links = 2
	}
	fmt.Fprintf(&a.out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.ino, mode, 0, 0, links, 0, len(contents), 0, 0, major, minor, len(name)+1, 0)
	a.out.WriteString(name)
	a.out.WriteByte(0)
	a.align()
	a.out.Write(contents)
	a.align()
}

// align fills up to a multiple of four, where a name's contents and the next entry begin.
func (a *Initramfs) align() {
	for a.out.Len()%4 != 0 {
		a.out.WriteByte(0)
	}
}
