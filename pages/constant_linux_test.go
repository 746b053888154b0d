package pages_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
	"github.com/zerocopy-go/zerocopy/pages"
	"github.com/zerocopy-go/zerocopy/zctest"
)

// constant makes a Constant of the first n bytes of a pattern.
func constant(t testing.TB, seed uint64, n int) *pages.Constant {
	t.Helper()
	c, err := pages.NewConstant(n, func(p []byte) error {
		if len(p) != n {
			t.Errorf("%d bytes are to be filled, want %d", len(p), n)
		}
		ztest.Pattern(seed).Fill(p, 0)
		return nil
	})
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// memfd is the descriptor of a Constant of that length, which nobody is meant to have.
func memfd(t *testing.T, n int) string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	for _, e := range entries {
		name := "/proc/self/fd/" + e.Name()
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, "/memfd:zerocopy constant") {
			if st, err := os.Stat(name); err == nil && st.Size() == int64(n) {
				return name
			}
		}
	}
	t.Fatal("there is no memfd")
	return ""
}

// TestConstantSealed: nobody can change a Constant, by whatever way.
func TestConstantSealed(t *testing.T) {
	t.Parallel()
	const n = 3*4096 + 77
	c := constant(t, 41, n)
	name := memfd(t, n)
	if f, err := os.OpenFile(name, os.O_RDWR, 0); err == nil {
		defer f.Close()
		if _, err := f.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EPERM) {
			t.Errorf("write: %v", err)
		}
		for _, size := range []int64{0, n - 1, n + 1, 1 << 20} {
			if err := f.Truncate(size); !errors.Is(err, syscall.EPERM) {
				t.Errorf("truncate to %d: %v", size, err)
			}
		}
		if p, err := syscall.Mmap(int(f.Fd()), 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED); err == nil {
			syscall.Munmap(p)
			t.Error("can be mapped to be written to")
		}
		const fallocFlPunchHole, fallocFlKeepSize = 2, 1
		if err := syscall.Fallocate(int(f.Fd()), fallocFlPunchHole|fallocFlKeepSize, 0, 4096); err == nil {
			t.Error("a hole can be punched")
		}
	} else {
		t.Errorf("open: %v", err)
	}
	if err := os.Truncate(name, 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("truncate: %v", err)
	}
	if c.Len() != n || len(c.Bytes()) != n {
		t.Errorf("%d, %d bytes", c.Len(), len(c.Bytes()))
	}
	ztest.Pattern(41).Check(t, c.Bytes(), 0)
}

// TestConstantMade: sizes and errors of NewConstant.
func TestConstantMade(t *testing.T) {
	t.Parallel()
	ztest.Pattern(1).Check(t, constant(t, 1, 1).Bytes(), 0)
	for _, n := range []int{0, -1, 1<<30 + 1} {
		if _, err := pages.NewConstant(n, func([]byte) error { return nil }); err == nil {
			t.Errorf("%d bytes", n)
		}
	}
	if _, err := pages.NewConstant(10, func([]byte) error { return errSink }); err != errSink {
		t.Errorf("an error of fill: %v", err)
	}
	c := constant(t, 1, 100)
	must(t, c.Close())
	if err := c.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Close again: %v", err)
	}
	if _, err := c.NewReader().Read(make([]byte, 1)); err == nil {
		t.Error("a closed Constant can be read")
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				t.Errorf("Repeat of a closed Constant: %v", p)
			}
		}()
		if n, err := c.Repeat(io.Discard, 10); n != 0 || !errors.Is(err, os.ErrClosed) {
			t.Errorf("Repeat of a closed Constant: %d, %v", n, err)
		}
	}()
	if n, err := c.WriteTo(io.Discard); n != 0 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("WriteTo of a closed Constant: %d, %v", n, err)
	}
}

// moved runs f and returns how many bytes were moved by m meanwhile. Not for parallel tests.
func moved(m zerocopy.Mechanism, f func()) int64 {
	before := zerocopy.ReadStats().Bytes(m)
	f()
	return zerocopy.ReadStats().Bytes(m) - before
}

// TestConstantTo: a Constant goes to every destination by reference where there is a way,
// from any position, over and over.
func TestConstantTo(t *testing.T) { // not parallel: the counts are those of the process
	const size = 100_000
	c := constant(t, 42, size)
	all := bytes.Repeat(ztest.Pattern(42).Bytes(size), 10)
	pipe, err := zerocopy.NewPipe(0)
	must(t, err)
	defer pipe.Close()
	for _, tt := range []struct {
		name string
		d    *ztest.Dest
		by   zerocopy.Mechanism
	}{
		{"pipe", ztest.NewDest(t, ztest.Pipe), zerocopy.Vmsplice},
		{"small pipe", ztest.NewDest(t, ztest.Pipe, ztest.Buffers(1)), zerocopy.Vmsplice},
		{"large pipe", ztest.NewDest(t, ztest.Pipe, ztest.Buffers(1<<20)), zerocopy.Vmsplice},
		{"pipe in blocking mode", ztest.NewDest(t, ztest.Pipe, ztest.Blocking()), zerocopy.Vmsplice},
		{"FIFO", ztest.NewDest(t, ztest.FIFO), zerocopy.Vmsplice},
		{"TCP", ztest.NewDest(t, ztest.TCP4), zerocopy.Sendfile},
		{"unix", ztest.NewDest(t, ztest.Unix), zerocopy.Sendfile},
		{"socket file", ztest.NewDest(t, ztest.SockFile), zerocopy.Sendfile},
		{"file", ztest.NewDest(t, ztest.Tmpfs), zerocopy.Buffered}, // whichever way
		{"append", ztest.NewDest(t, ztest.Append), zerocopy.Buffered},
	} {
		var want int64
		repeat := func(n int64) {
			m, err := c.Repeat(tt.d.Writer, n)
			if m != n || err != nil {
				t.Errorf("%s: Repeat of %d: %d, %v", tt.name, n, m, err)
			}
			want += n
		}
		n := moved(tt.by, func() {
			repeat(0)
			repeat(1)
			want-- // begins from the start each time
			repeat(5 * size)
			m, err := c.WriteTo(tt.d.Writer)
			if m != size || err != nil {
				t.Errorf("%s: %d, %v", tt.name, m, err)
			}
		})
		if tt.by != zerocopy.Buffered && n < 6*size {
			t.Errorf("%s: %d bytes by %v", tt.name, n, tt.by)
		}
		got := tt.d.Finish()
		if len(got) != 6*size+1 {
			t.Fatalf("%s: %d bytes", tt.name, len(got))
		}
		ztest.Equal(t, tt.name, got[1:], all[:6*size])
	}

	var buf bytes.Buffer
	n, err := c.Repeat(&buf, 3*size-7)
	if n != 3*size-7 || err != nil {
		t.Error(n, err)
	}
	ztest.Equal(t, "an unknown Writer", buf.Bytes(), all[:3*size-7])

	go func() {
		c.Repeat(pipe, 2*size)
		pipe.CloseWrite()
	}()
	b, err := io.ReadAll(pipe)
	must(t, err)
	ztest.Equal(t, "*zerocopy.Pipe", b, all[:2*size])

	read, err := io.ReadAll(c.NewReader())
	must(t, err)
	ztest.Equal(t, "NewReader", read, all[:size])
}

// TestConstantEndless: Repeat without end goes on until an error, of which the count is exact.
func TestConstantEndless(t *testing.T) {
	t.Parallel()
	for _, k := range []ztest.Kind{ztest.Pipe, ztest.TCP4, ztest.Unix} {
		c := constant(t, 43, 70_000)
		d := ztest.NewDest(t, k, ztest.StallAfter(1_000_000))
		var n int64
		var err error
		task := ztest.Go(t, "Repeat", func() { n, err = c.Repeat(d.Writer, -1) })
		d.AwaitReceived(1_000_000)
		task.AwaitParkedToWrite()
		d.Writer.SetWriteDeadline(time.Unix(1, 0))
		task.Wait()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", k, err)
		}
		got := d.Finish()
		if int64(len(got)) != n {
			t.Errorf("%s: %d bytes have arrived, Repeat said %d", k, len(got), n)
		}
		ztest.Equal(t, string(k), got, bytes.Repeat(ztest.Pattern(43).Bytes(70_000), len(got)/70_000+1)[:len(got)])
	}
}

// TestConstantEnds: Close and the death of the reader end Repeat.
func TestConstantEnds(t *testing.T) {
	t.Parallel()
	c := constant(t, 44, 1<<20)
	for _, k := range []ztest.Kind{ztest.Pipe, ztest.TCP4} {
		for name, end := range map[string]func(d *ztest.Dest){
			"Close": func(d *ztest.Dest) { d.Writer.Close() },
			"reset": func(d *ztest.Dest) { d.Reset() },
		} {
			d := ztest.NewDest(t, k, ztest.StallAfter(100_000))
			var err error
			task := ztest.Go(t, "Repeat", func() { _, err = c.Repeat(d.Writer, -1) })
			d.AwaitReceived(100_000)
			task.AwaitParkedToWrite()
			end(d)
			task.Wait()
			if err == nil {
				t.Errorf("%s, %s: no error", k, name)
			}
		}
	}
}

// TestConstantCopied: the pages of a Constant are lent by zerocopy.Copy wherever a destination
// takes file pages, whatever Copier.Pages says, since they cannot change.
func TestConstantCopied(t *testing.T) {
	t.Parallel()
	const size = 300_000
	c := constant(t, 45, size)
	for _, p := range []zerocopy.Pages{zerocopy.AsIOCopy, zerocopy.Stable, zerocopy.Share} {
		for k, m := range map[ztest.Kind]zerocopy.Mechanism{
			ztest.Pipe: zerocopy.Splice, ztest.FIFO: zerocopy.Splice, ztest.TCP4: zerocopy.Sendfile, ztest.Unix: zerocopy.Sendfile,
			ztest.SockFile: zerocopy.Sendfile,
		} {
			d := ztest.NewDest(t, k)
			copier := &zerocopy.Copier{Pages: p}
			if step := copier.Explain(d.Writer, c.NewReader()).Main(); step.Mechanism != m || step.Reason != zerocopy.ReasonNone {
				t.Errorf("Pages %v, to %s: %v", p, k, step)
			}
			if r := zctest.Require(t, copier, d.Writer, c.NewReader(), m); r.Bytes(m) != size {
				t.Errorf("Pages %v, to %s: %v", p, k, r)
			}
			got := d.Finish()
			if len(got) != size {
				t.Errorf("Pages %v, to %s: %d bytes", p, k, len(got))
			}
			ztest.Pattern(45).Check(t, got, 0)
		}
	}
}

// TestConstantUnsealed: a file that is not sealed is not lent to a pipe, though it is a memfd.
func TestConstantUnsealed(t *testing.T) {
	t.Parallel()
	const size = 300_001
	pipe, conn := ztest.NewDest(t, ztest.Pipe).Writer, ztest.NewDest(t, ztest.TCP4).Writer
	stable := &zerocopy.Copier{Pages: zerocopy.Stable}
	file := ztest.NewDest(t, ztest.Tmpfs).Writer.(*os.File)
	must(t, file.Truncate(size))
	if step := zerocopy.Explain(pipe, file).Main(); step.Mechanism != zerocopy.Buffered || step.Reason != zerocopy.ReasonPages {
		t.Errorf("a file: %v", step)
	}
	var memory *os.File
	c, err := pages.NewConstant(size, func([]byte) (err error) { // not sealed yet
		memory, err = os.Open(memfd(t, size))
		if step := zerocopy.Explain(pipe, memory).Main(); step.Mechanism != zerocopy.Buffered || step.Reason != zerocopy.ReasonPages {
			t.Errorf("a memfd: %v", step)
		}
		if step := stable.Explain(conn, memory).Main(); step.Mechanism != zerocopy.Buffered || step.Reason != zerocopy.ReasonStable {
			t.Errorf("a memfd, with Stable: %v", step)
		}
		return err
	})
	must(t, err)
	defer c.Close()
	defer memory.Close()
	if step := zerocopy.Explain(pipe, memory).Main(); step.Mechanism != zerocopy.Splice {
		t.Errorf("sealed: %v", step)
	}
	if step := stable.Explain(conn, memory).Main(); step.Mechanism != zerocopy.Sendfile {
		t.Errorf("sealed, with Stable: %v", step)
	}
}

// TestConstantTee: one Constant to several destinations at a time, by reference, as often as
// wanted and by any number of goroutines.
func TestConstantTee(t *testing.T) {
	t.Parallel()
	const size, times = 200_000, 5
	c := constant(t, 47, size)
	var all sync.WaitGroup
	for i := range 4 {
		dests := []*ztest.Dest{ztest.NewDest(t, ztest.Pipe), ztest.NewDest(t, ztest.TCP4), ztest.NewDest(t, ztest.Unix), ztest.NewDest(t, ztest.Pipe)}
		all.Go(func() {
			w := zerocopy.MultiWriter(dests[0].Writer, dests[1].Writer, dests[2].Writer, dests[3].Writer)
			for range times {
				var report zerocopy.Report
				copier := &zerocopy.Copier{Report: func(r zerocopy.Report) { report = r }}
				n, err := copier.Copy(t.Context(), w, c.NewReader())
				if n != size || err != nil || report.Bytes(zerocopy.Tee) != size {
					t.Errorf("%d: %d, %v: %v", i, n, err, report)
				}
			}
		})
		t.Cleanup(func() {
			for _, d := range dests {
				ztest.Equal(t, fmt.Sprint(i, d.Kind), d.Finish(), bytes.Repeat(ztest.Pattern(47).Bytes(size), times))
			}
		})
	}
	all.Wait()

	d := ztest.NewDest(t, ztest.Pipe)
	w := zerocopy.MultiWriter(d.Writer, ztest.NewDest(t, ztest.TCP4).Writer)
	if step := zerocopy.Explain(w, c.NewReader()).Main(); step.Mechanism != zerocopy.Tee {
		t.Errorf("%v", step)
	}
}

// TestConstantOff: with vmsplice switched off a Constant is spliced, and with everything off
// it is written.
func TestConstantOff(t *testing.T) { // not parallel: the switch is that of the process
	defer zerocopy.SetDefault(nil)
	c := constant(t, 48, 100_000)
	for _, tt := range []struct {
		off zerocopy.MechanismSet
		by  zerocopy.Mechanism
	}{
		{0, zerocopy.Vmsplice}, {zerocopy.Mechanisms(zerocopy.Vmsplice), zerocopy.Splice}, {zerocopy.AllMechanisms, zerocopy.Buffered},
	} {
		zerocopy.SetDefault(&zerocopy.Copier{Disable: tt.off})
		d := ztest.NewDest(t, ztest.Pipe)
		n := moved(tt.by, func() { c.Repeat(d.Writer, 250_000) })
		if got := d.Finish(); len(got) != 250_000 || n != 250_000 || ztest.Pattern(48).Diff(got[100_000:200_000], 0) != "" {
			t.Errorf("off %v: %d bytes, %d by %v", tt.off, len(got), n, tt.by)
		}
	}
}

// TestConstantLives: whoever was lent a Constant keeps what he has when it is closed.
func TestConstantLives(t *testing.T) {
	t.Parallel()
	d := ztest.NewDest(t, ztest.Pipe, ztest.StallAfter(0))
	c := constant(t, 49, 60_000)
	_, err := c.WriteTo(d.Writer)
	must(t, err)
	must(t, c.Close())
	for i := range 4 {
		constant(t, 50+uint64(i), 60_000)
	}
	got := d.Finish()
	ztest.Pattern(49).Check(t, got, 0)
	if len(got) != 60_000 {
		t.Errorf("%d bytes", len(got))
	}
}
