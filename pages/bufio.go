package pages

import (
	"errors"
	"io"
)

// What makes a Writer fit where a bufio.Writer stood.

// Write collects p, and sends each buffer that is full. It returns how many bytes of p were
// taken, which is less than len(p) only with an error.
func (b *Writer) Write(p []byte) (n int, err error) { return collect(b, p) }

// WriteString is Write of a string.
func (b *Writer) WriteString(s string) (n int, err error) { return collect(b, s) }

func collect[T []byte | string](b *Writer, p T) (n int, err error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	for {
		room, err := b.room()
		if err != nil {
			return n, err
		}
		k := copy(room, p[n:])
		b.fill += k
		if n += k; n == len(p) {
			return n, nil
		}
		if err := b.flush(); err != nil {
			return n, err
		}
	}
}

// WriteByte is Write of one byte.
func (b *Writer) WriteByte(c byte) error {
	if err := b.enter(); err != nil {
		return err
	}
	defer b.leave()
	room, err := b.room()
	if err != nil {
		return err
	}
	room[0] = c
	b.fill++
	return nil
}

// ReadFrom reads r to its end straight into page memory, and sends each buffer that is
// full. It returns how many bytes were read. Where r is a file, a pipe or a connection,
// zerocopy.Copy after a Flush does without any user memory.
func (b *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	if err := b.enter(); err != nil {
		return 0, err
	}
	defer b.leave()
	const patience = 100 // as bufio has it
	for empty := 0; ; {
		room, err := b.room()
		if err != nil {
			return n, err
		}
		k, err := r.Read(room)
		if k < 0 || k > len(room) {
			return n, errors.New("pages: the source's Read returned an invalid count")
		}
		b.fill += k
		n += int64(k)
		if b.fill == len(b.buf) {
			if ferr := b.flush(); ferr != nil {
				return n, ferr
			}
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, err
		case k > 0:
			empty = 0
		default:
			if empty++; empty == patience {
				return n, io.ErrNoProgress
			}
		}
	}
}

// room returns the free part of the buffer, which is not empty.
func (b *Writer) room() ([]byte, error) {
	switch {
	case b.out:
		return nil, ErrLent
	case b.err != nil:
		return nil, b.err
	}
	if b.buf != nil && b.fill == len(b.buf) || b.off > 0 || b.kept { // a deadline has kept it from being sent
		if err := b.flush(); err != nil {
			return nil, err
		}
	}
	if err := b.buffer(); err != nil {
		return nil, err
	}
	return b.buf[b.fill:], nil
}

// AvailableBuffer returns an empty buffer with Available capacity, to be appended to and
// given to Write at once, as bufio.Writer's. Like Write it may have to wait; it is nil after
// an error, which the next Write returns.
func (b *Writer) AvailableBuffer() []byte {
	if b.enter() != nil {
		return nil
	}
	defer b.leave()
	room, err := b.room()
	if err != nil {
		return nil
	}
	return room[:0]
}

// Size returns how many bytes a buffer has.
func (b *Writer) Size() int { return b.o.Size }

// Buffered returns how many bytes were collected and not sent.
func (b *Writer) Buffered() int {
	if b.enter() != nil {
		return 0
	}
	defer b.leave()
	if b.out {
		return 0
	}
	return b.fill - b.off
}

// Available returns how many bytes can be written before a buffer is sent.
func (b *Writer) Available() int {
	if b.enter() != nil {
		return 0
	}
	defer b.leave()
	if b.buf == nil {
		return b.o.Size
	}
	return len(b.buf) - b.fill
}
