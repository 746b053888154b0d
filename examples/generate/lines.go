package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/pages"
)

// lines are the same record over and over.
type lines struct {
	line []byte
	off  int // in line
}

// text is the record of the formats that have only one.
func (opt *options) text() []byte {
	if opt.format == "zeros" {
		return []byte{0}
	}
	return []byte(opt.line + "\n")
}

// fits returns how many more records of size bytes may begin, at most some.
func (q *quota) fits(size, most int64) int64 {
	if q.spent() {
		return 0
	}
	return min(most, q.records, 1+(q.bytes-1)/size)
}

func (l *lines) fill(p []byte, q *quota) (n int, records int64, whole bool) {
	size := len(l.line)
	if l.off > 0 {
		k := copy(p, l.line[l.off:])
		n += k
		if l.off += k; l.off < size {
			return n, 0, false
		}
		l.off, records = 0, 1
	}
	begun := q.fits(int64(size), int64((len(p)-n+size-1)/size))
	q.take(begun, int64(size))
	want := int(min(int64(len(p)-n), begun*int64(size)))
	repeat(p[n:n+want], l.line)
	l.off = want % size
	return n + want, records + int64(want/size), l.off == 0
}

// repeat fills p with line over and over.
func repeat(p, line []byte) {
	for n := copy(p, line); n < len(p); {
		n += copy(p[n:], p[:n])
	}
}

// constant reports whether the stream needs no Writer: what never changes can be lent
// to anybody, without a promise and without a wait.
func (opt *options) constant() bool {
	return (opt.format == "lines" || opt.format == "zeros") && opt.pages.Lend == pages.Fastest
}

// repeat sends a Constant over and over.
func (s *stream) repeat(ctx context.Context, dst destination) error {
	text := s.opt.text()
	size := int64(len(text))
	most := max(1, int64(cmp.Or(s.opt.pages.Size, 1<<20))/size) // records
	c, err := pages.NewConstant(int(most*size), func(p []byte) error {
		copy(p, bytes.Repeat(text, int(most)))
		return nil
	})
	if err != nil {
		return err
	}
	defer c.Close()
	pace := newPace(s.opt.rate)
	for left := s.opt.limit; !left.spent() && ctx.Err() == nil; {
		n := left.fits(size, min(most, pace.due(ctx)))
		written, err := c.Repeat(dst, n*size)
		left.take(n, size)
		pace.begun += n
		s.sent.Add(written)
		s.records.Add(written / size)
		if err != nil {
			return err
		}
	}
	return nil
}

// ways says how the bytes of all Constants have gone.
func ways() (text string) {
	for _, m := range zerocopy.ReadStats().Mechanisms {
		text += fmt.Sprintf(", %d bytes by %v", m.Bytes, m.Mechanism)
	}
	return text
}
