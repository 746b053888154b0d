package zerocopy

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"strings"
	"syscall"

	"github.com/zerocopy-go/zerocopy/internal/engine"
	"github.com/zerocopy-go/zerocopy/internal/stdtypes"
	"github.com/zerocopy-go/zerocopy/internal/sys"
)

// The pipeline moves a chain to a sink, a chunk a turn:
//
//	what is buffered in a layer  → written
//	what the descriptor has      → moved by the first of the ways that works, else read and written
//
// After each chunk the layers are told (account). Bytes taken and not accepted are
// residue of the Mover; they are delivered before anything else is taken, and on
// an error settle hands them back.

// pipeline copies t.from to t.to.
func (t *transfer) pipeline() error {
	t.m = engine.NewMover(t.c.calls, t.c.pipes())
	t.join()
	err := t.flow()
	err = t.settle(err)
	t.leave()
	t.endPipeline()
	return err
}

// errEnd is the end of a leaf. It is not io.EOF, which a Writer or a callback may
// well return as an error of its own.
var errEnd = errors.New("end of the source")

// sourceError is the error of reading the leaf.
func (t *transfer) sourceError(err error) error {
	if err == io.EOF {
		return errEnd
	}
	t.sourceFailed = err != nil
	return err
}

// destError is the error of writing to the destination.
func (t *transfer) destError(err error) error {
	t.destFailed = err != nil
	return err
}

// directError is the error of a mechanism without a pipe between: that of the end which it
// is named after.
func (t *transfer) directError(err error) error {
	var conn *net.OpError
	var file *fs.PathError
	if errors.As(err, &conn) && conn.Op == "write" || errors.As(err, &file) && file.Op == "write" {
		return t.destError(err)
	}
	return t.sourceError(err)
}

// flow runs until the source ends (nil) or something fails.
func (t *transfer) flow() error {
	if err := t.to.flush(); err != nil {
		return err
	}
	if err := t.to.tap.flush(); err != nil {
		return err
	}
	t.checked = 0
	if err := t.part(); err != nil {
		return err
	}
	for {
		at, room := t.from.ahead()
		if room == 0 {
			if more, err := t.nextPart(at); !more {
				return err
			}
			continue
		}
		if err := t.watch.err(); err != nil {
			return err
		}
		var err error
		if at >= t.checked && (at < len(t.from.layers) || t.from.end.Known()) {
			if err = t.refusing(at); err == nil {
				if t.checked = at + 1; !t.fanned {
					t.checked = math.MaxInt
				}
			}
		}
		switch {
		case err != nil:
		case at < len(t.from.layers):
			err = t.prefix(at, room)
		default:
			err = t.turn(room)
		}
		if err == errEnd {
			t.charge()
			if more, err := t.nextPart(len(t.from.layers)); !more {
				return err
			}
		} else if err != nil {
			return err
		}
	}
}

// part prepares for the leaf that the source has now.
func (t *transfer) part() error {
	t.branch()
	t.m.SetSrc(t.from.end)
	t.m.Dst = t.first(len(t.from.layers)).end
	if t.fanned {
		t.checked = 0
	}
	t.off = t.disabled()
	t.choose()
	t.zeros, t.plainly, t.clone = 0, false, engine.MaxChunk
	t.pace, t.asked = t.from.bodyPace(), false
	t.watch.over(t.watched(t.to.leaf), t.from.waits())
	for i := range t.from.layers {
		if err := t.from.layers[i].tap.flush(); err != nil {
			return err
		}
	}
	return nil
}

// choose asks for the ways from the leaf to the destination.
func (t *transfer) choose() {
	t.next, t.consumed = 0, false
	t.ways = t.waysFor(t.from.beyond())
}

// waysFor returns the ways of at most room bytes from the leaf to the destination.
func (t *transfer) waysFor(room int64) ways {
	if t.fanned {
		return t.chooseFan()
	}
	return t.c.choose(&t.to, &t.from, room, t.off)
}

// nextPart goes on to what follows the layer at index depth, which has come to
// its end: the next part of an io.MultiReader around it. more is false where there
// is none. The layers of the part that ended are done.
func (t *transfer) nextPart(depth int) (more bool, err error) {
	ch := &t.from
	for i := ch.around(depth); i >= 0; i = ch.around(i) {
		for j := len(ch.layers) - 1; j > i; j-- {
			l := ch.layers[j]
			ch.layers = ch.layers[:j]
			err := l.done(0, nil)
			l.tap.release()
			if err != nil {
				return false, err
			}
		}
		parts := ch.layers[i].parts
		(*parts)[0] = stdtypes.AtEnd{}
		*parts = (*parts)[1:]
		ch.truncate(i + 1)
		if len(*parts) > 0 {
			t.c.detectReader(ch, (*parts)[0])
			err := t.part()
			return err == nil, err
		}
	}
	return false, nil
}

// refusing returns the error of a destination that can be told not to take bytes
// before one is taken from the source: closed, past its write deadline, or not open
// for writing. It is errEnd if nothing comes from the layer at index at, because
// that is the leaf and at its end: then nobody has to write.
func (t *transfer) refusing(at int) error {
	m := t.m
	first := t.first(at)
	err := first.dead
	if t.from.conn != nil && at == len(t.from.layers) {
		return nil // whether the body is at its end, only a Read of it tells
	}
	if m.Dst = first.end; m.Dst.Known() {
		if err = m.CheckDst(); err == nil && m.Dst.File != nil && m.Dst.Flags&sys.AccessMode == sys.ReadOnly {
			err = m.Dst.Fail("write", "write", syscall.EBADF)
		}
	}
	if err != nil && at == len(t.from.layers) && t.from.end.Known() && t.atEnd() {
		return errEnd
	}
	return t.destError(err)
}

// atEnd reports whether the leaf has nothing more to give, without waiting.
func (t *transfer) atEnd() bool {
	src := &t.m.Src
	if src.Kind != engine.File {
		return t.m.AtEnd()
	}
	off := src.Off
	if !src.Section {
		var err error
		if off, err = src.File.Seek(0, io.SeekCurrent); err != nil {
			return false
		}
	}
	var p [1]byte
	n, err := src.File.ReadAt(p[:], off)
	return n == 0 && err == io.EOF
}

// settle ends the copy: residue is handed back, the layers are told, and the error
// is made what the caller shall see.
func (t *transfer) settle(err error) error {
	m := t.m
	var unwritten []byte
	if err != nil {
		unwritten = t.residue()
		err = t.watch.instead(err)
	}
	cause := err
	for i := len(t.from.layers) - 1; i >= 0; i-- {
		if l := &t.from.layers[i]; l.limit != nil {
			// What is handed back has passed the limit: whoever writes it and
			// copies on gets as many bytes as the limit says.
			l.limit.N -= int64(len(unwritten))
		}
		err = t.from.layers[i].done(int64(len(unwritten)), err)
	}
	err = t.to.tap.done(int64(len(unwritten)), err)
	err = t.to.done(int64(len(unwritten)), err)
	m.Discard()
	if len(unwritten) == 0 {
		return err
	}
	// Done may replace the error, and not hide that bytes are left over.
	return &PartialError{Written: t.written, Unwritten: unwritten, Err: cmpErr(err, cause)}
}

// residue returns what was taken from a stream and not accepted, in memory of its
// own. A file's position is moved back instead.
func (t *transfer) residue() []byte {
	m := t.m
	if m.InPipe() > 0 {
		m.Unpipe()
	}
	left := m.Mem()
	if len(left) == 0 {
		left = m.Tail()
	}
	if len(left) == 0 || m.Src.Section || m.Src.Kind == engine.Zero {
		return nil
	}
	if m.Src.Kind == engine.File || m.Src.Kind == engine.Block {
		if _, err := m.Src.File.Seek(int64(-len(left)), io.SeekCurrent); err == nil {
			return nil
		}
	}
	switch src := t.from.leaf.(type) { // of an unknown type, but known to be
	case *bytes.Reader:
		src.Seek(int64(-len(left)), io.SeekCurrent)
		return nil
	case *strings.Reader:
		src.Seek(int64(-len(left)), io.SeekCurrent)
		return nil
	}
	return bytes.Clone(left)
}
