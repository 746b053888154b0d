package zchttp

import (
	"container/list"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
)

// A fileCache keeps contents of small files, and which files are not there. It holds no
// descriptor: for files of this size the memory is cheaper than the calls that a descriptor
// would still take.
//
// What is kept is true for the time of CacheFor after it was looked at. Then the next request asks the
// file system whether it is still the same file, of the same size and time.
type fileCache struct {
	fsys fs.FS
	most int64 // bytes
	age  time.Duration

	mu    sync.Mutex
	bytes int64
	files map[string]*list.Element // of *keptFile
	used  list.List                // the least recently used last
}

type keptFile struct {
	name    string
	info    fs.FileInfo
	content []byte
	err     error // there is no such file
	looked  time.Time
}

const (
	// keptMost is the size up to which a file is kept: beyond it the calls that are saved are few to
	// the bytes.
	keptMost = 64 << 10
	// keptCost is what a file takes besides its content and name, about.
	keptCost = 512
	// keptFor is CacheFor if that is not set.
	keptFor = time.Second
)

func newFileCache(fsys fs.FS, most int64, age time.Duration) *fileCache {
	if age <= 0 {
		age = keptFor
	}
	return &fileCache{fsys: fsys, most: most, age: age, files: map[string]*list.Element{}}
}

// open returns the file from the cache, or opens it and keeps it if it is small.
func (c *fileCache) open(name string) (servedFile, error) {
	now := time.Now()
	c.mu.Lock()
	e := c.files[name]
	var k *keptFile
	if e != nil {
		c.used.MoveToFront(e)
		k = e.Value.(*keptFile)
	}
	c.mu.Unlock()
	if k != nil && now.Sub(k.looked) < c.age {
		return servedFile{info: k.info, content: k.content}, k.err
	}
	if k != nil && k.err == nil {
		if info, err := fs.Stat(c.fsys, name); err == nil && unchanged(k.info, info) {
			again := *k
			again.looked = now
			c.keep(&again)
			return servedFile{info: k.info, content: k.content}, nil
		}
	}
	f, err := openFile(c.fsys, name)
	if err != nil {
		if k != nil {
			c.drop(name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			c.keep(&keptFile{name: name, err: err, looked: now})
		}
		return f, err
	}
	if !f.info.Mode().IsRegular() || f.info.Size() > keptMost || f.info.Size() == 0 {
		if k != nil {
			c.drop(name)
		}
		return f, nil
	}
	content := make([]byte, f.info.Size())
	if _, err := io.ReadFull(f.file, content); err != nil {
		f.Close()
		f, err := openFile(c.fsys, name) // it is being changed
		return f, err
	}
	// A change after this moment is seen when it is looked at again: by its time, or by the file's.
	if info, err := f.file.Stat(); err == nil && unchanged(f.info, info) {
		c.keep(&keptFile{name: name, info: f.info, content: content, looked: now})
	}
	f.Close()
	return servedFile{info: f.info, content: content}, nil
}

// unchanged reports whether two looks at a name found the same.
func unchanged(a, b fs.FileInfo) bool {
	if a.Size() != b.Size() || !a.ModTime().Equal(b.ModTime()) || a.Mode() != b.Mode() {
		return false
	}
	// Of other file systems than the operating system's, this is false of any two.
	return os.SameFile(a, b) || a.Sys() == nil
}

// cost is what k counts for.
func (k *keptFile) cost() int64 { return int64(len(k.content) + len(k.name) + keptCost) }

// keep puts k into the cache, in the place of what was there of that name.
func (c *fileCache) keep(k *keptFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[k.name]; e != nil {
		c.bytes -= e.Value.(*keptFile).cost()
		e.Value = k
	} else {
		c.files[k.name] = c.used.PushFront(k)
	}
	for c.bytes += k.cost(); c.bytes > c.most && c.used.Len() > 0; {
		c.remove(c.used.Back())
	}
}

// drop takes what is kept of name out.
func (c *fileCache) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[name]; e != nil {
		c.remove(e)
	}
}

func (c *fileCache) remove(e *list.Element) {
	k := e.Value.(*keptFile)
	c.used.Remove(e)
	delete(c.files, k.name)
	c.bytes -= k.cost()
}
