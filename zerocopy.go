// Package zerocopy is io.Copy with the bytes left in the kernel. (skeleton)
package zerocopy

import (
	"context"
	"io"
	"reflect"
)

type Pages uint8

const (
	AsIOCopy Pages = iota
	Stable
	Share
)

type BufferPool interface {
	Get() []byte
	Put([]byte)
}

type InnerReader struct {
	Self     io.Reader
	Reader   io.Reader
	Buffered []byte
	Bounded  bool
	Limit    int64
	Chunk    int
	Before   func() error
	Moved    func(n int64) error
	Done     func(unwritten int64, err error) error
}
type ReaderUnwrapper interface {
	UnwrapReader() (inner InnerReader, ok bool)
}
type InnerWriter struct {
	Self, Writer  io.Writer
	Chunk         int
	Flush, Before func() error
	Moved         func(int64) error
	Done          func(int64, error) error
}
type WriterUnwrapper interface {
	UnwrapWriter() (inner InnerWriter, ok bool)
}

type Copier struct {
	Pages        Pages
	Disable      MechanismSet
	BufferPool   BufferPool
	UnwrapReader map[reflect.Type]func(io.Reader) (InnerReader, bool)
	UnwrapWriter map[reflect.Type]func(io.Writer) (InnerWriter, bool)
	Report       func(Report)
}

func (c *Copier) Copy(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	n, err := io.Copy(dst, src)
	if c.Report != nil {
		c.Report(Report{Written: n, Err: err})
	}
	return n, err
}
func (c *Copier) Explain(dst io.Writer, src io.Reader) Plan { return Plan{} }
func Default() *Copier                                      { return &Copier{} }
func SetDefault(c *Copier)                                  {}
func Copy(dst io.Writer, src io.Reader) (int64, error) {
	return Default().Copy(context.Background(), dst, src)
}
func CopyContext(ctx context.Context, dst io.Writer, src io.Reader) (int64, error) {
	return Default().Copy(ctx, dst, src)
}
