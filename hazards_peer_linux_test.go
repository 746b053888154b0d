package zerocopy_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var peered = []ztest.Kind{ztest.TCP4, ztest.TCP6, ztest.MPTCP, ztest.Unix, ztest.SockFile, ztest.Pipe, ztest.FIFO, ztest.PTY}

// TestH30SourceReset: what was sent before the source's peer vanished is delivered,
// then the error is told. A socket tells it but once: whoever asks again is told of a
// clean end. The kinds that know no reset end.
func TestH30SourceReset(t *testing.T) {
	t.Parallel()
	few := ztest.NewFew(t)
	defer few.Wait()
	const size = 150_000
	content := ztest.Pattern(30).Bytes(size)
	for _, from := range peered {
		class := error(syscall.ECONNRESET)
		switch from {
		case ztest.Pipe, ztest.FIFO:
			class = nil
		case ztest.PTY:
			class = syscall.EIO
		}
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.SockFile, ztest.Pipe, ztest.File, ztest.Append, ztest.Null} {
			for _, off := range []zerocopy.MechanismSet{0, zerocopy.AllMechanisms} {
				few.Run(fmt.Sprintf("%s→%s/off=%s", from, to, off), func(t *testing.T) {
					src, dst := ztest.NewSource(t, from, content, ztest.NoEOF()), ztest.NewDest(t, to)
					c := track(t, nil)
					c.Disable = off
					copying := c.begin(t, nil, dst.Writer, src.Reader)
					ztest.Eventually(t, ztest.Patience, "all sent", func() bool { return src.Sent() == size })
					if to == ztest.Null {
						src.AwaitTaken()
					} else {
						awaitAt(t, dst, size)
					}
					copying.AwaitParked()
					src.Reset()
					copying.Wait()
					if copying.n != size {
						t.Errorf("n = %d", copying.n)
					}
					if class == nil {
						if copying.err != nil {
							t.Errorf("an end, and the error %v", copying.err)
						}
					} else {
						checkFailed(t, copying.err, failed{src.Reader, "read", class})
					}
					if to != ztest.Null {
						ztest.Equal(t, "received", dst.Finish(), content)
					}
				})
			}
		}
	}
}

// TestH30ResetBehindBytes: the reset comes together with the last bytes, before the
// copy has taken them.
func TestH30ResetBehindBytes(t *testing.T) {
	t.Parallel()
	for _, from := range []ztest.Kind{ztest.Unix, ztest.SockFile} { // TCP drops what is queued
		for _, to := range []ztest.Kind{ztest.TCP4, ztest.Pipe, ztest.File} {
			content := ztest.Pattern(31).Bytes(5000)
			src, dst := ztest.NewSource(t, from, content, ztest.NoEOF()), ztest.NewDest(t, to)
			src.AwaitQueued(5000)
			src.Reset()
			n, err := track(t, nil).within(t, dst.Writer, src.Reader)
			_, want := io.ReadAll(struct{ io.Reader }{src.Reader}) // who asks again
			if want != nil {
				t.Errorf("%s tells it twice: %v", from, want)
			}
			checkFailed(t, err, failed{src.Reader, "read", syscall.ECONNRESET})
			got := dst.Finish()
			if n != int64(len(got)) || !bytes.HasPrefix(content, got) {
				t.Errorf("%s→%s: n = %d of %d", from, to, n, len(got))
			}
		}
	}
}

// TestH30HalfClose: an end in one direction closes nothing in the other, and Copy
// itself closes and shuts down nothing.
func TestH30HalfClose(t *testing.T) {
	t.Parallel()
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.TCP6, ztest.MPTCP, ztest.Unix} {
		client, a := ztest.Pair(t, k)
		b, server := ztest.Pair(t, k)
		request, response := ztest.Pattern(1).Bytes(300_000), ztest.Pattern(2).Bytes(400_000)
		up := track(t, nil).begin(t, nil, b, a)
		down := track(t, nil).begin(t, nil, a, b)
		sent := ztest.Go(t, "request", func() {
			client.Write(request)
			closeWriteOf(client)
		})
		got := make([]byte, len(request))
		if _, err := io.ReadFull(server, got); err != nil {
			t.Error(err)
		}
		ztest.Equal(t, "request", got, request)
		up.Wait() // has seen the end
		if up.n != int64(len(request)) || up.err != nil {
			t.Errorf("%s: %d, %v", k, up.n, up.err)
		}
		b.Write([]byte("!"))
		if _, err := io.ReadFull(server, got[:1]); err != nil || got[0] != '!' {
			t.Errorf("%s: the end was passed on: %v", k, err)
		}
		// The other direction is alive, and ends as quietly.
		answered := ztest.Go(t, "response", func() {
			server.Write(response)
			closeWriteOf(server)
		})
		got = make([]byte, len(response))
		if _, err := io.ReadFull(client, got); err != nil {
			t.Error(err)
		}
		ztest.Equal(t, "response", got, response)
		down.Wait()
		if down.n != int64(len(response)) || down.err != nil {
			t.Errorf("%s: %d, %v", k, down.n, down.err)
		}
		sent.Wait()
		answered.Wait()
	}
}

func closeWriteOf(s ztest.Stream) { s.(interface{ CloseWrite() error }).CloseWrite() }

// TestH31TheSideThatFailed: class, concrete type and the end that is named, beside
// what io.Copy makes of it. More of them are in TestFailures.
func TestH31TheSideThatFailed(t *testing.T) {
	t.Parallel()
	past := time.Unix(1, 0)
	for _, tt := range []struct {
		name     string
		src, dst ztest.Kind
		inflict  func(src, dst ztest.Stream)
		side     string
		op       string
		class    error
	}{
		{"read deadline", ztest.TCP4, ztest.TCP4, func(s, d ztest.Stream) { s.SetReadDeadline(past) }, "source", "read", os.ErrDeadlineExceeded},
		{"read deadline of a pipe", ztest.Pipe, ztest.TCP4, func(s, d ztest.Stream) { s.SetReadDeadline(past) }, "source", "read", os.ErrDeadlineExceeded},
		{"write deadline", ztest.TCP4, ztest.TCP4, func(s, d ztest.Stream) { d.SetWriteDeadline(past) }, "destination", "write", os.ErrDeadlineExceeded},
		{"write deadline, from a file", ztest.File, ztest.Unix, func(s, d ztest.Stream) { d.SetWriteDeadline(past) }, "destination", "write", os.ErrDeadlineExceeded},
		{"source closed", ztest.Unix, ztest.TCP4, func(s, d ztest.Stream) { s.Close() }, "source", "read", os.ErrClosed},
		{"source file closed", ztest.File, ztest.TCP4, func(s, d ztest.Stream) { s.Close() }, "source", "read", os.ErrClosed},
		{"destination closed", ztest.TCP4, ztest.Unix, func(s, d ztest.Stream) { d.Close() }, "destination", "write", os.ErrClosed},
		{"destination file closed", ztest.TCP4, ztest.File, func(s, d ztest.Stream) { d.Close() }, "destination", "write", os.ErrClosed},
		{"destination's reader gone", ztest.TCP4, ztest.Pipe, nil, "destination", "write", syscall.EPIPE},
	} {
		var errs [2]error
		var src *ztest.Source
		var dst *ztest.Dest
		for i, copy := range []func(io.Writer, io.Reader) (int64, error){io.Copy, zerocopy.Copy} {
			src, dst = ztest.NewSource(t, tt.src, ztest.Pattern(1).Bytes(100_000), ztest.NoEOF()), ztest.NewDest(t, tt.dst)
			src.AwaitQueued(1)
			if tt.inflict != nil {
				tt.inflict(src.Reader, dst.Writer)
			} else {
				dst.Reset()
			}
			ztest.Within(t, ztest.Patience, tt.name, func() { _, errs[i] = copy(dst.Writer, src.Reader) })
		}
		end := src.Reader
		if tt.side == "destination" {
			end = dst.Writer
		}
		class := tt.class
		if class == os.ErrClosed {
			class = closedClass(end)
		}
		checkFailed(t, errs[1], failed{end, tt.op, class})
		if errs[0] != nil && !errors.Is(errs[0], class) {
			t.Errorf("%s: io.Copy says %v", tt.name, errs[0])
		}
	}
}

// TestH32ConcurrentWriter: another goroutine still writes to the destination when the
// copy takes over, and while it runs. Neither loses a byte, and no byte of the copy
// lands inside one of the other's writes.
func TestH32ConcurrentWriter(t *testing.T) {
	t.Parallel()
	for _, r := range routes {
		if r.dst == ztest.File {
			continue // two positions
		}
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			besideAWriter(t, r.set(track(t, nil)), r, 3_000_000, 12)
		})
	}
}

// besideAWriter copies size dots over r while another goroutine writes records, and
// demands that all of both arrives and that no record is torn.
func besideAWriter(t *testing.T, c *tracked, r route, size, records int) {
	t.Helper()
	const record = 500_000 // 'R', its number, filler; more than fits
	src := ztest.NewSource(t, r.src, bytes.Repeat([]byte{'.'}, size), ztest.Pieces(9_999))
	dst := ztest.NewDest(t, r.dst, ztest.Buffers(small))
	b := bytes.Repeat([]byte{'R'}, record)
	write := func(i int) {
		binary.BigEndian.PutUint32(b[1:], uint32(i)|0x80000000) // never a '.'
		if n, err := dst.Writer.Write(b); n != record || err != nil {
			t.Errorf("Write: %d, %v", n, err)
		}
	}
	dst.Stall()
	handover := ztest.Go(t, "Write", func() { write(0) })
	handover.AwaitParked() // half of it is out
	copying := c.begin(t, nil, dst.Writer, r.reader(src))
	dst.Resume()
	handover.Wait()
	dst.AwaitReceived(record + 1) // the copy has begun
	for i := 1; i < records; i++ {
		write(i)
	}
	copying.Wait()
	if copying.n != int64(size) || copying.err != nil {
		t.Errorf("%d, %v", copying.n, copying.err)
	}
	got, dots, i := dst.Finish(), 0, 0
	for len(got) > 0 {
		if got[0] == '.' {
			dots++
			got = got[1:]
			continue
		}
		if len(got) < record || got[0] != 'R' || binary.BigEndian.Uint32(got[1:])&^0x80000000 != uint32(i) || bytes.Count(got[5:record], []byte{'R'}) != record-5 {
			t.Fatalf("record %d is torn", i)
		}
		got, i = got[record:], i+1
	}
	if dots != size || i != records {
		t.Errorf("%d bytes of the copy and %d records", dots, i)
	}
}
