package zchttp

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"time"
)

// A content is an open file, or the bytes of one that the cache keeps. http.ServeContent takes it
// for an io.ReadSeeker; it makes no system call for a Seek, and the offset is used when
// a response is sent.
type content struct {
	name string
	info fs.FileInfo
	file fs.File // nil if bytes has it all
	byte []byte
	size int64
	off  int64
	at   int64 // offset of file, if it is known to be another than off
	// ahead is what was read of a file that cannot seek, and comes before the rest of it.
	ahead []byte

	keeper  *openFiles // may want the file when it is closed; nil if there is none
	checked time.Time  // when name was last seen to be the file
	failed  bool       // file's offset is no longer known
}

var (
	errSeek   = errors.New("zchttp: seek before the beginning of a file")
	errNoSeek = errors.New("zchttp: file without a Seek method")
)

func (c *content) Close() error {
	if c.file == nil || c.keeper != nil && c.keeper.give(c) {
		return nil
	}
	return c.file.Close()
}

func (c *content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.off
	case io.SeekEnd:
		offset += c.size
	}
	if offset < 0 {
		return 0, errSeek
	}
	c.off = offset
	return offset, nil
}

func (c *content) Read(p []byte) (int, error) {
	if c.file == nil {
		if c.off >= int64(len(c.byte)) {
			return 0, io.EOF
		}
		n := copy(p, c.byte[c.off:])
		c.off += int64(n)
		return n, nil
	}
	if err := c.seek(); err != nil {
		return 0, err
	}
	var n int
	var err error
	if len(c.ahead) > 0 {
		n = copy(p, c.ahead)
		c.ahead = c.ahead[n:]
	} else {
		n, err = c.file.Read(p)
		c.failed = c.failed || err != nil && err != io.EOF
	}
	c.moved(int64(n))
	return n, err
}

// seekable reports whether parts of it can be had.
func (c *content) seekable() bool {
	_, ok := c.file.(io.Seeker)
	return ok || c.file == nil
}

// seek brings the file to off.
func (c *content) seek() error {
	if c.at == c.off {
		return nil
	}
	s, ok := c.file.(io.Seeker)
	if !ok {
		return errNoSeek
	}
	if _, err := s.Seek(c.off, io.SeekStart); err != nil {
		c.failed = true
		return err
	}
	c.at = c.off
	return nil
}

func (c *content) moved(n int64) { c.off += n; c.at += n }

// writeTo writes the next n bytes to w, by its ReadFrom if there is one. The source that it hands on
// is an *os.File wherever the file is one: package net takes no other for sendfile. around, if not
// nil, is put around that for a connection that sees through it.
func (c *content) writeTo(w io.Writer, n int64, around func(io.Reader) io.Reader) (int64, error) {
	if c.file == nil {
		end := min(c.off+n, int64(len(c.byte)))
		if c.off >= end {
			return 0, nil
		}
		m, err := writeAtOnce(w, c.byte[c.off:end], c.off == 0 && end == c.size)
		c.off += int64(m)
		return int64(m), err
	}
	if err := c.seek(); err != nil {
		return 0, err
	}
	var src io.Reader = &io.LimitedReader{R: c.file, N: n}
	if len(c.ahead) > 0 {
		src = &io.LimitedReader{R: io.MultiReader(bytes.NewReader(c.ahead), c.file), N: n}
		c.ahead = nil // by a whole response: there are no parts of such a file
	}
	if around != nil {
		src = around(src)
	}
	m, err := io.Copy(w, src)
	c.moved(m)
	c.failed = c.failed || err != nil
	return m, err
}

// leastGathered is about what does not go with its header into net/http's buffer of 4 KiB, which
// then takes two calls of the kernel.
const leastGathered = 3 << 10

// A gatherer is a connection of package zcnet: what is written between Gather and Release leaves
// in one call.
type gatherer interface {
	Gather()
	Release() error
}

// writeAtOnce writes p, if it is all of a body of known length together with the header.
func writeAtOnce(w io.Writer, p []byte, all bool) (int, error) {
	if all && len(p) >= leastGathered {
		if rw, ok := w.(http.ResponseWriter); ok {
			if c, ok := connOf(rw); ok {
				if conn, ok := c.(gatherer); ok {
					conn.Gather()
					n, err := w.Write(p)
					flushed := http.NewResponseController(rw).Flush()
					return n, cmp.Or(conn.Release(), err, flushed)
				}
			}
		}
	}
	return w.Write(p)
}

// head reads the first n bytes, or fewer, for a look at them.
func (c *content) head(n int) []byte {
	if c.file == nil {
		return c.byte[:min(n, len(c.byte))]
	}
	p := make([]byte, n)
	if r, ok := c.file.(io.ReaderAt); ok {
		n, _ := r.ReadAt(p, 0)
		return p[:n]
	}
	n, _ = io.ReadFull(c.file, p)
	if s, ok := c.file.(io.Seeker); ok {
		s.Seek(0, io.SeekStart)
	} else {
		c.ahead = append(c.ahead, p[:n]...)
	}
	return p[:n]
}

// tail reads the last n bytes; nil if that cannot be done without moving.
func (c *content) tail(n int) []byte {
	if c.file == nil {
		return c.byte[max(0, len(c.byte)-n):]
	}
	p := make([]byte, n)
	if r, ok := c.file.(io.ReaderAt); ok {
		if _, err := r.ReadAt(p, c.size-int64(n)); err == nil {
			return p
		}
	}
	return nil
}

// open opens name, from the cache if there is one. A directory is opened, too.
func (h *FileHandler) open(name string) (*content, error) {
	if h.cache != nil {
		return h.cache.open(h, name)
	}
	return h.openFile(name)
}

// openFile opens name, or takes it from those that are kept open.
func (h *FileHandler) openFile(name string) (*content, error) {
	if h.files != nil {
		return h.files.open(h.fsys, name)
	}
	return openFileOf(h.fsys, name)
}

// stat asks about name, the cache if that has it.
func (h *FileHandler) stat(name string) (fs.FileInfo, error) {
	if h.cache != nil {
		if k := h.cache.fresh(name); k != nil {
			return k.info, nil
		}
	}
	return fs.Stat(h.fsys, name)
}

func openFileOf(fsys fs.FS, name string) (*content, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &content{name: name, info: info, file: f, size: info.Size()}, nil
}
