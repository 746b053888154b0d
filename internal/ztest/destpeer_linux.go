package ztest

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"time"
)

// readSize is the most that a peer reads at a time if no Pieces are set.
const readSize = 64 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// collect is the peer.
func (d *Dest) collect() {
	b := readBuffers.Get().(*[readSize]byte)
	err := d.readAll(b[:])
	readBuffers.Put(b)
	d.mu.Lock()
	d.err = err
	close(d.done)
	d.changed.Broadcast()
	d.mu.Unlock()
}

func (d *Dest) readAll(buf []byte) error {
	for i := 0; ; i++ {
		if d.cfg.pause > 0 {
			select {
			case <-time.After(d.cfg.pause):
			case <-d.quit:
			}
		}
		most, ok := d.gate(d.cfg.pieceAt(i, len(buf)))
		if !ok {
			return nil
		}
		n, err := read(d.Kind, d.far, buf[:most])
		last, takeErr := d.take(buf[:n])
		switch {
		case takeErr != nil:
			return takeErr
		case last:
			return nil
		case err == nil, errors.Is(err, os.ErrDeadlineExceeded): // Stall
		case d.readEnd(err):
			return nil
		default:
			return err
		}
	}
}

// gate waits until the peer may read and returns how much, at most n. It
// returns false if the peer must stop.
func (d *Dest) gate(n int) (int, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.stopped && (d.stalled || d.allowed >= 0 && d.received >= d.allowed) {
		d.parked = true
		d.changed.Broadcast()
		d.changed.Wait()
	}
	d.parked = false
	if d.allowed >= 0 {
		n = int(min(int64(n), d.allowed-d.received))
	}
	return n, !d.stopped
}

// take keeps b or hands it on. last is true if the stream's mark has come.
func (d *Dest) take(b []byte) (last bool, err error) {
	if d.cfg.into != nil {
		if _, err := d.cfg.into.Write(b); err != nil {
			return false, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.received += int64(len(b))
	if d.cfg.into == nil {
		d.got.Write(b)
	}
	if d.marked && bytes.HasSuffix(d.got.Bytes(), endMark) {
		d.got.Truncate(d.got.Len() - len(endMark))
		d.received -= int64(len(endMark))
		return true, nil
	}
	return false, nil
}

// ended reports whether the peer has stopped.
func (d *Dest) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}
