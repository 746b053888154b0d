package zchttp

import (
	"container/list"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	// smallFile is up to which size contents are kept. Opening a file costs a few microseconds,
	// little beside the sending of more than that; and it then goes by sendfile.
	smallFile = 64 << 10
	// keptCost is what an entry takes beside the contents: the name, a FileInfo, a list
	// element, a place in a map. It bounds how many empty files are kept.
	keptCost = 1 << 10
)

// A cache keeps contents of small files, those least recently asked for leave first. Larger ones are
// kept open by an openFiles.
type cache struct {
	age    time.Duration
	max    int64
	mu     sync.Mutex
	used   int64
	byName map[string]*list.Element
	order  list.List // of *kept, the latest in front
}

// A kept is a file with its contents. It is not changed.
type kept struct {
	name    string
	info    fs.FileInfo
	byte    []byte
	checked time.Time
}

func newCache(bytes int64, age time.Duration) *cache {
	return &cache{age: age, max: bytes, byName: map[string]*list.Element{}}
}

// open returns the kept contents of name if they are fresh, else it opens the file, and keeps
// it if it is small.
func (c *cache) open(h *FileHandler, name string) (*content, error) {
	now := time.Now()
	k := c.lookup(name)
	if k != nil && now.Sub(k.checked) >= c.age {
		k = c.recheck(h.fsys, k, now)
	}
	if k != nil {
		return k.content(), nil
	}
	f, err := h.openFile(name)
	if err != nil || !f.info.Mode().IsRegular() || f.size > smallFile || f.size+keptCost > c.max {
		return f, err
	}
	// What was written just now may be written again without another time of modification:
	// a file is kept once it has been left alone for a while.
	if now.Sub(f.info.ModTime()) < c.age {
		return f, nil
	}
	b := make([]byte, f.size)
	n, err := io.ReadFull(f, b)
	again, es := f.file.Stat() // it may be written to in place meanwhile
	if err == nil && es == nil && f.size == int64(n) && again.Size() == f.size && again.ModTime().Equal(f.info.ModTime()) {
		defer f.Close()
		k = &kept{name: name, info: f.info, byte: b, checked: now}
		c.keep(k)
		return k.content(), nil
	}
	f.off = 0
	return f, nil
}

// fresh returns what is kept of name and need not be asked about, or nil.
func (c *cache) fresh(name string) *kept {
	if k := c.lookup(name); k != nil && time.Since(k.checked) < c.age {
		return k
	}
	return nil
}

// recheck returns k as of now if its file is unchanged, else nil.
func (c *cache) recheck(fsys fs.FS, k *kept, now time.Time) *kept {
	info, err := fs.Stat(fsys, k.name)
	if err != nil || info.Size() != k.info.Size() || !info.ModTime().Equal(k.info.ModTime()) ||
		info.Mode() != k.info.Mode() || !sameFile(info, k.info) {
		c.drop(k.name)
		return nil
	}
	k = &kept{name: k.name, info: k.info, byte: k.byte, checked: now}
	c.keep(k)
	return k
}

// sameFile reports whether two files that look alike have the same inode, where there are such.
func sameFile(a, b fs.FileInfo) bool { return a.Sys() == nil || os.SameFile(a, b) }

func (k *kept) content() *content {
	return &content{name: k.name, info: k.info, byte: k.byte, size: int64(len(k.byte))}
}

func (k *kept) cost() int64 { return int64(len(k.byte)) + keptCost }

func (c *cache) lookup(name string) *kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byName[name]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*kept)
}

func (c *cache) keep(k *kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byName[k.name])
	c.byName[k.name] = c.order.PushFront(k)
	c.used += k.cost()
	for c.used > c.max {
		c.remove(c.order.Back())
	}
}

func (c *cache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(c.byName[name])
}

// remove is called with the lock held; e may be nil.
func (c *cache) remove(e *list.Element) {
	if e == nil {
		return
	}
	k := c.order.Remove(e).(*kept)
	delete(c.byName, k.name)
	c.used -= k.cost()
}
