package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy"
)

// copy makes the copy, with a bar of b's, no faster than the limiter if there is one.
func (j *job) copy(ctx context.Context, limiter zerocopy.Limiter, b bars, sum *summary) (err error) {
	src, err := openSource(ctx, j.src)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := j.openDestination(ctx, src)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.end(err == nil)) }()

	m := b.add(filepath.Base(j.dst), j.size)
	defer func() { m.done(err == nil) }()

	// The two lines that the library is here for: both wrappers keep the fast path.
	from := zerocopy.Progress(src, m.moved)
	if limiter != nil {
		from = zerocopy.Pace(from, limiter)
	}
	c := &zerocopy.Copier{Report: func(r zerocopy.Report) { sum.add(j, r) }}
	_, err = c.Copy(ctx, dst, from)
	return err
}

// openSource opens a file or connects. What is returned is a descriptor, not a wrapper, so
// that the kernel can copy from it.
func openSource(ctx context.Context, name string) (io.ReadCloser, error) {
	if isTCP(name) {
		return dial(ctx, name)
	}
	return os.Open(name)
}

func dial(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", strings.TrimPrefix(name, tcp))
}

// A destination is where a copy goes. To the library it is the descriptor in it: it says so
// itself, since it passes all bytes through.
type destination struct {
	io.WriteCloser             // *os.File or *net.TCPConn
	temp, name     string      // of a file that takes the place of another once it is complete
	mode           fs.FileMode // that it gets then
}

func (d *destination) UnwrapWriter() (zerocopy.InnerWriter, bool) {
	return zerocopy.InnerWriter{Self: d, Writer: d.WriteCloser}, true
}

// openDestination opens what the copy is written to.
func (j *job) openDestination(ctx context.Context, src io.Reader) (*destination, error) {
	if isTCP(j.dst) {
		c, err := dial(ctx, j.dst)
		if err != nil {
			return nil, err
		}
		return &destination{WriteCloser: c}, nil
	}
	name := j.dst
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target // as cp has it: the link stays
	}
	if info, err := os.Stat(name); err == nil {
		if f, ok := src.(*os.File); ok {
			from, err := f.Stat()
			if err != nil {
				return nil, err
			}
			if os.SameFile(from, info) {
				return nil, fmt.Errorf("%s is the same file", j.dst)
			}
		}
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory", j.dst)
		}
		if !info.Mode().IsRegular() { // a device or a FIFO is not replaced
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				return nil, err
			}
			return &destination{WriteCloser: f}, nil
		}
	}
	perm := fs.FileMode(0o666)
	if j.mode != 0 {
		perm = j.mode&0o700 | 0o200 // nobody else sees the partial file
	}
	temp := filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%d-%d", filepath.Base(name), os.Getpid(), temps.Add(1)))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return nil, err
	}
	return &destination{f, temp, name, j.mode}, nil
}

// temps makes names of temporary files differ.
var temps atomic.Int64

// end ends the destination: a file takes its place if it is complete, and is removed if not.
func (d *destination) end(complete bool) error {
	var err error
	if f, ok := d.WriteCloser.(*os.File); ok && d.mode != 0 && complete {
		err = f.Chmod(d.mode)
	}
	err = errors.Join(err, d.Close())
	if d.temp == "" {
		return err
	}
	if complete && err == nil {
		err = os.Rename(d.temp, d.name)
	}
	if !complete || err != nil {
		err = errors.Join(err, os.Remove(d.temp))
	}
	return err
}
