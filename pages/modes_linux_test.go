package pages_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
)

// both opens a FIFO for reading and writing, by one descriptor.
func both(t *testing.T) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "fifo")
	must(t, syscall.Mkfifo(name, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	must(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// TestReadWriteReader: by an end that is open for writing, too, vmsplice would write what is
// to be read into; so it is read.
func TestReadWriteReader(t *testing.T) {
	t.Parallel()
	f := both(t)
	_, err := f.WriteString("hello")
	must(t, err)
	r := pages.NewReader(f)
	if r.SetSplice(true) {
		t.Error("it is taken for a pipe that can be spliced from")
	}
	p := make([]byte, 100)
	if n, err := r.Read(p); n != 5 || err != nil || string(p[:n]) != "hello" {
		t.Errorf("%d, %v: %q", n, err, p[:n])
	}
}

// TestReadWriteWriter: an end that is open for reading, too, is readable, and its reader has
// not gone.
func TestReadWriteWriter(t *testing.T) {
	t.Parallel()
	f := both(t)
	w, err := pages.NewWriter(f, &pages.Options{Lend: pages.ReaderCopies})
	must(t, err)
	for range 50 {
		b, err := w.Next()
		must(t, err)
		must(t, w.Commit(len(b)))
		waited := ztest.Go(t, "Wait", func() {
			if err := w.Wait(); err != nil {
				t.Error(err)
			}
		})
		p := make([]byte, len(b))
		if n, err := f.Read(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
		waited.Wait()
	}
	if s := w.Stats(); s.Abandoned != 0 || s.Lent != s.Bytes {
		t.Error(s)
	}
	must(t, w.Close())
}

// TestTCPLendRefused: a send that is refused to be lent, and would not be if it were plain, is
// made plainly.
func TestTCPLendRefused(t *testing.T) {
	t.Parallel()
	for _, errno := range []syscall.Errno{syscall.EOPNOTSUPP, syscall.EPERM, syscall.EINVAL} {
		d := ztest.NewDest(t, ztest.TCP4)
		f := open(t, refuse("send zerocopy", errno), d.Writer, nil, 31)
		f.whole(1 << 20)
		f.given()
		if s := f.finish(d, nil); s.Lent != 0 || s.Mechanism != zerocopy.Buffered || s.Reason != zerocopy.ReasonRefused || s.Err != errno {
			t.Errorf("%v: %+v", errno, s)
		}
	}
}

// TestTCPOptionCleared: without SO_ZEROCOPY there would be no completions, for which a second
// Writer would wait for ever.
func TestTCPOptionCleared(t *testing.T) {
	t.Parallel()
	d, dev := dialed(t)
	f := open(t, dev.calls(), d.Writer, nil, 32)
	f.whole(1 << 20)
	f.given()
	must(t, f.w.Close())
	const soZerocopy = 60
	must(t, sockOpt(d.Writer, soZerocopy, 0))
	w, err := pages.NewWriter(d.Writer, nil)
	must(t, err)
	if s := w.Stats(); s.Reason != zerocopy.ReasonLentElsewhere {
		t.Error(s)
	}
	must(t, w.Close())
}

// TestWaitError: the error of a deadline is that of package net, not one around it.
func TestWaitError(t *testing.T) {
	t.Parallel()
	d, dev := dialed(t, ztest.StallAfter(0))
	dev.stop()
	w, err := pages.NewWriterWith(dev.calls(), d.Writer, &pages.Options{Linger: -1})
	must(t, err)
	b, err := w.Next()
	must(t, err)
	must(t, w.Commit(len(b)))
	d.Writer.SetWriteDeadline(time.Unix(1, 0))
	if err, ok := w.Wait().(net.Error); !ok || !err.Timeout() {
		t.Errorf("%T", err)
	}
	w.Close()
}
