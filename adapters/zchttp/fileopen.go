package zchttp

import (
	"container/list"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"
)

// An openFiles keeps files open between requests. A file has one offset and one lock, so that it is
// of one response at a time: take takes it out, and closing the content gives it back. Nobody is
// in a kept file's way for long, deleted ones' blocks included: what nobody has taken for age
// is closed.
type openFiles struct {
	age   time.Duration
	most  int
	least int64 // smaller ones are not kept

	mu     sync.Mutex
	byName map[string][]*list.Element // the latest last
	idle   list.List                  // of *openFile, the latest in front
	timer  *time.Timer                // set while any is idle
	closed bool
}

// An openFile is an *os.File that nobody reads.
type openFile struct {
	name    string
	file    *os.File
	info    fs.FileInfo
	at      int64     // its offset
	checked time.Time // when name was last seen to be this file
	given   time.Time
}

func newOpenFiles(most int, least int64, age time.Duration) *openFiles {
	return &openFiles{age: age, most: most, least: least, byName: map[string][]*list.Element{}}
}

// open returns a file that is kept of name, as it is now, or opens one.
func (o *openFiles) open(fsys fs.FS, name string) (*content, error) {
	now := time.Now()
	for f := o.take(name); f != nil; f = o.take(name) {
		if now.Sub(f.checked) >= o.age {
			if info, err := fs.Stat(fsys, name); err != nil || !os.SameFile(info, f.info) {
				f.file.Close()
				continue
			}
			f.checked = now
		}
		info, err := f.file.Stat()                      // it may have been written to in place
		if err != nil || info.Mode() != f.info.Mode() { // perhaps it may not be read any more
			f.file.Close()
			continue
		}
		return &content{name: name, info: info, file: f.file, size: info.Size(), at: f.at, keeper: o, checked: f.checked}, nil
	}
	c, err := openFileOf(fsys, name)
	if err == nil {
		c.keeper, c.checked = o, now
	}
	return c, err
}

// take returns the file of name that was given back last, nil if none is kept.
func (o *openFiles) take(name string) *openFile {
	o.mu.Lock()
	defer o.mu.Unlock()
	if same := o.byName[name]; len(same) > 0 {
		return o.remove(same[len(same)-1])
	}
	return nil
}

// give keeps the file of c, and reports whether it does. It is c's to close if not.
func (o *openFiles) give(c *content) bool {
	file, ok := c.file.(*os.File)
	if !ok || c.failed || !c.info.Mode().IsRegular() || c.size < o.least {
		return false
	}
	var over *openFile
	o.mu.Lock()
	if o.closed {
		o.mu.Unlock()
		return false
	}
	f := &openFile{c.name, file, c.info, c.at, c.checked, time.Now()}
	o.byName[c.name] = append(o.byName[c.name], o.idle.PushFront(f))
	if o.idle.Len() > o.most {
		over = o.remove(o.idle.Back())
	}
	if o.timer == nil {
		o.timer = time.AfterFunc(o.age, o.expire)
	}
	o.mu.Unlock()
	if over != nil {
		over.file.Close()
	}
	return true
}

// remove is called with the lock held.
func (o *openFiles) remove(e *list.Element) *openFile {
	f := o.idle.Remove(e).(*openFile)
	rest := o.byName[f.name]
	i := slices.Index(rest, e)
	if rest = slices.Delete(rest, i, i+1); len(rest) > 0 {
		o.byName[f.name] = rest
	} else {
		delete(o.byName, f.name)
	}
	return f
}

// expire closes what was given back age ago, and sees to it that the others' turn comes.
func (o *openFiles) expire() { o.closeThose(false) }

// close closes all that are kept; none is any more.
func (o *openFiles) close() { o.closeThose(true) }

func (o *openFiles) closeThose(all bool) {
	var over []*openFile
	o.mu.Lock()
	o.closed = o.closed || all
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	for e := o.idle.Back(); e != nil; e = o.idle.Back() {
		if left := o.age - time.Since(e.Value.(*openFile).given); left > 0 && !o.closed {
			o.timer = time.AfterFunc(left, o.expire)
			break
		}
		over = append(over, o.remove(e))
	}
	o.mu.Unlock()
	for _, f := range over {
		f.file.Close()
	}
}
