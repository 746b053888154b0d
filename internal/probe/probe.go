// Package probe remembers what this kernel cannot do. It learns only from calls
// that a copy makes anyway: a seccomp filter may kill instead of refusing, so
// nothing is tried for the sake of knowing.
package probe

import (
	"sync"
	"sync/atomic"
	"syscall"
)

// A Key is a mechanism between two kinds of descriptor on two kinds of filesystem.
type Key struct {
	Mechanism    uint8
	Src, Dst     uint8 // engine.Kind
	SrcFS, DstFS int64 // the f_type of fstatfs(2), 0 for what is not on a filesystem
	SameDev      bool  // both on the same filesystem
}

// maxKeys bounds the memory; there are a few dozen filesystem types.
const maxKeys = 256

// A Cache holds conclusive refusals. The zero value is ready, and safe for
// concurrent use.
type Cache struct {
	known atomic.Int32
	mu    sync.RWMutex
	no    map[Key]error
}

// Empty reports, for next to nothing, that no refusal is known.
func (c *Cache) Empty() bool { return c.known.Load() == 0 }

// Refused returns the errno by which the kernel refused k before, or nil.
func (c *Cache) Refused(k Key) error {
	if c.Empty() {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.no[k]
}

// Conclusive reports whether err speaks of the kernel and the filesystems and
// will be the same next time. EPERM and EINVAL are not: they speak of one file.
func Conclusive(err error) bool {
	return err == syscall.ENOSYS || err == syscall.EOPNOTSUPP || err == syscall.EXDEV
}

// Learn keeps err for k if it is conclusive.
func (c *Cache) Learn(k Key, err error) {
	if !Conclusive(err) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.no == nil {
		c.no = make(map[Key]error)
	}
	if len(c.no) < maxKeys {
		c.no[k] = err
		c.known.Store(int32(len(c.no)))
	}
}
