package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"mime"
	"os"
	"path"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// worthwhile is the size from which a sidecar may save a packet.
const worthwhile = 1 << 10

// precompress writes the sidecars that are missing in dir, or older than their file.
func precompress(ctx context.Context, dir string, logger *log.Logger) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	p := &packer{ctx: ctx, root: root, log: logger, said: time.Now()}
	if err := fs.WalkDir(root.FS(), ".", p.visit); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	p.log.Printf("precompressed: %v", p)
	return nil
}

type packer struct {
	ctx  context.Context
	root *os.Root
	log  *log.Logger
	said time.Time

	files, fresh, written, larger int
	before, after                 int64
}

func (p *packer) String() string {
	return fmt.Sprintf("%d files that compress, %d sidecars written (%d bytes of %d), %d were fresh, %d would not be smaller",
		p.files, p.written, p.after, p.before, p.fresh, p.larger)
}

// visit is called for each name.
func (p *packer) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		p.log.Printf("precompress: %v", err)
		return nil
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if base := path.Base(name); strings.HasPrefix(base, ".") && name != "." {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if !d.Type().IsRegular() || !compresses(name) {
		return nil
	}
	info, err := d.Info()
	if err != nil || info.Size() < worthwhile {
		return nil
	}
	p.files++
	for suffix, encode := range encoders {
		side, err := p.root.Lstat(name + suffix)
		if err == nil && (!side.Mode().IsRegular() || !side.ModTime().Before(info.ModTime())) {
			p.fresh++ // or not ours to replace
			continue
		}
		if err := p.pack(name, suffix, info, encode); err != nil {
			p.log.Printf("precompress %s: %v", name+suffix, err)
		}
	}
	if now := time.Now(); now.Sub(p.said) >= time.Second {
		p.said = now
		p.log.Printf("precompressing, at %s: %v", name, p)
	}
	return nil
}

// compresses reports whether files of that name are of a type that compresses.
func compresses(name string) bool {
	typ, _, _ := strings.Cut(mime.TypeByExtension(path.Ext(name)), ";")
	if strings.HasPrefix(typ, "text/") || strings.HasSuffix(typ, "+xml") || strings.HasSuffix(typ, "+json") {
		return true
	}
	switch typ {
	case "application/json", "application/javascript", "application/xml", "application/wasm", "application/x-ndjson", "font/ttf", "font/otf":
		return true
	}
	return false
}

var encoders = map[string]func(io.Writer) (io.WriteCloser, error){
	".gz": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, gzip.BestCompression) },
	".zst": func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	},
}

// errChanged is of a file that somebody writes to.
var errChanged = errors.New("the file has changed meanwhile")

// pack writes one sidecar under another name, which no visitor gets to see, and renames it
// when it is whole.
func (p *packer) pack(name, suffix string, info fs.FileInfo, encode func(io.Writer) (io.WriteCloser, error)) (err error) {
	src, err := p.root.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	temp := path.Join(path.Dir(name), fmt.Sprintf(".%s%s.%d", path.Base(name), suffix, os.Getpid()))
	dst, err := p.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if err != nil || dst != nil {
			p.root.Remove(temp)
		}
	}()
	z, err := encode(dst)
	if err != nil {
		return errors.Join(err, dst.Close())
	}
	_, err = io.Copy(z, &cancellable{p.ctx, src})
	err = errors.Join(err, z.Close())
	size, es := dst.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, es, dst.Close()); err != nil {
		return err
	}
	if now, err := src.Stat(); err != nil || now.Size() != info.Size() || !now.ModTime().Equal(info.ModTime()) {
		return errors.Join(err, errChanged)
	}
	if size >= info.Size() {
		p.larger++
		return nil // the deferred Remove takes it away
	}
	if err := p.root.Chtimes(temp, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	if err := p.root.Rename(temp, name+suffix); err != nil {
		return err
	}
	dst = nil
	p.written++
	p.before += info.Size()
	p.after += size
	return nil
}

// A cancellable Reader fails once ctx is done.
type cancellable struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
