package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"

	"github.com/zerocopy-go/zerocopy/pages"
)

// onceBytes is the size of memory that is filled once, as in limit/pages.c.
const onceBytes = 1 << 20

// fill makes the bytes of a stream from pos on, a multiple of 8: each word of it is its
// own position, so that memory which is used again too early does not go unnoticed. It
// is unrolled to cost what the compiler makes of the loop in limit/pages.c.
func fill(p []byte, pos int64) {
	x := uint64(pos)
	for ; len(p) >= 64; p, x = p[64:], x+64 {
		q := (*[64]byte)(p)
		binary.LittleEndian.PutUint64(q[0:], x)
		binary.LittleEndian.PutUint64(q[8:], x+8)
		binary.LittleEndian.PutUint64(q[16:], x+16)
		binary.LittleEndian.PutUint64(q[24:], x+24)
		binary.LittleEndian.PutUint64(q[32:], x+32)
		binary.LittleEndian.PutUint64(q[40:], x+40)
		binary.LittleEndian.PutUint64(q[48:], x+48)
		binary.LittleEndian.PutUint64(q[56:], x+56)
	}
	for ; len(p) > 0; p, x = p[min(8, len(p)):], x+8 {
		var w [8]byte
		binary.LittleEndian.PutUint64(w[:], x)
		copy(p, w[:])
	}
}

// sumOf is the hash of n bytes of a stream whose memory was filled over and over, or of
// one that repeats what was filled once.
func sumOf(n int64, once bool) string {
	h := sha256.New()
	p := make([]byte, onceBytes)
	for pos := int64(0); pos < n; pos += onceBytes {
		if pos == 0 || !once {
			fill(p, pos)
		}
		h.Write(p[:min(onceBytes, n-pos)])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A recipe says how a stream is made.
type recipe struct {
	piece int    // bytes that are filled at once
	way   string // of a pages.Writer
	huge  bool   // its memory has huge pages
	small bool   // pieces are collected by its Write
}

// A producer makes a stream and sends it.
type producer struct {
	recipe
	dst  io.Closer
	step int // after how many bytes it looks whether it shall go on
	// send makes n bytes of the stream from pos on, and sends them.
	send func(pos int64, n int) error
	// end sends what was collected, and returns how many bytes were lent to the kernel.
	end func() (lent int64, err error)
}

// producers are the contenders that make a stream in a process of this program. new
// completes one whose stream goes to dst.
var producers = []struct {
	name string
	new  func(p *producer, dst io.Writer) error
}{
	{byWrite, func(p *producer, dst io.Writer) error { p.writeTo(dst); return nil }},
	{byBlocking, func(p *producer, dst io.Writer) error { p.writeTo(dst); return nil }},
	{byBufio, func(p *producer, dst io.Writer) error {
		w := bufio.NewWriterSize(dst, 64<<10)
		p.writeTo(w)
		p.end = func() (int64, error) { return 0, w.Flush() }
		return nil
	}},
	{byPages, pagesTo},
	{byConstant, constantTo},
	{byExec, execTo},
	{byZcexec, zcexecTo},
	{byPassed, passedTo},
}

// writeTo has p write a buffer that it fills.
func (p *producer) writeTo(w io.Writer) {
	buf := make([]byte, p.piece)
	p.send = func(pos int64, n int) error {
		fill(buf[:n], pos)
		_, err := w.Write(buf[:n])
		return err
	}
	p.end = func() (int64, error) { return 0, nil }
}

// pagesTo has p fill the buffers of a pages.Writer, or write to one that collects.
func pagesTo(p *producer, dst io.Writer) error {
	o := pages.Options{Size: p.piece, Huge: p.huge}
	if err := o.Lend.UnmarshalText([]byte(p.way)); err != nil {
		return err
	}
	if p.small {
		o.Size = 64 << 10
	}
	w, err := pages.NewWriter(dst, &o)
	if err != nil {
		return err
	}
	if p.small {
		p.writeTo(w)
	} else {
		p.send = func(pos int64, n int) error {
			buf, err := w.Next()
			if err != nil {
				return err
			}
			fill(buf[:n], pos)
			return w.Commit(n)
		}
	}
	p.end = func() (int64, error) {
		if err := w.Flush(); err != nil {
			return 0, err
		}
		err := w.Close()
		return w.Stats().Lent, err
	}
	return nil
}

// constantTo has p send a pages.Constant again and again.
func constantTo(p *producer, dst io.Writer) error {
	c, err := pages.NewConstant(onceBytes, func(p []byte) error { fill(p, 0); return nil })
	if err != nil {
		return err
	}
	p.step = 32 * onceBytes // each call begins with the content's first byte
	p.send = func(_ int64, n int) error {
		_, err := c.Repeat(dst, int64(n))
		return err
	}
	p.end = func() (int64, error) { return 0, c.Close() }
	return nil
}
