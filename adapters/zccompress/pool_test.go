package zccompress_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/adapters/zccompress"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// However a Reader ends, its codec is in use by nobody else, and is used again rightly: streams that are read,
// closed early, closed twice, cut off and wrong, beside each other.
func TestPool(t *testing.T) {
	t.Parallel()
	want := text(150_000)
	streams := map[zccompress.Format][]byte{}
	for _, f := range all {
		streams[f] = compress(t, f, want)
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 20 {
				f := all[(worker+i)%len(all)]
				stream := streams[f]
				switch (worker + i) % 4 {
				case 1: // closed early
					z := zccompress.NewReader(bytes.NewReader(stream), any_)
					io.ReadFull(z, make([]byte, 1000))
					z.Close()
					z.Close()
					if n, err := z.Read(make([]byte, 1)); n != 0 || !errors.Is(err, os.ErrClosed) {
						t.Errorf("%v: after Close: %d, %v", f, n, err)
					}
				case 2: // cut off
					z := zccompress.NewReader(bytes.NewReader(stream[:len(stream)/2]), any_)
					io.ReadAll(z)
					z.Close()
				case 3: // wrong
					bad := bytes.Clone(stream)
					bad[len(bad)/2] ^= 0xff
					io.ReadAll(zccompress.NewReader(bytes.NewReader(bad), any_))
				}
				z := zccompress.NewReader(bytes.NewReader(stream), any_)
				got, err := io.ReadAll(z)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%v: %d bytes, %v", f, len(got), err)
				}
				z.Close()
			}
		})
	}
	wg.Wait()
}

// Close during a Read does not wait for it, and the codec goes back only after it.
func TestCloseDuringRead(t *testing.T) {
	t.Parallel()
	for _, f := range all {
		stream := compress(t, f, text(50_000))
		r, w := io.Pipe()
		z := zccompress.NewReader(r, any_)
		read := make(chan error)
		go func() {
			_, err := io.ReadAll(bare{z})
			read <- err
		}()
		w.Write(stream[:len(stream)/2])
		z.Close()
		if _, err := z.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%v: beside it %v", f, err)
		}
		// Nobody may get its codec now.
		got, err := io.ReadAll(zccompress.NewReader(bytes.NewReader(stream), any_))
		must(t, err)
		ztest.Equal(t, f.String(), got, text(50_000))
		go w.Write(stream[len(stream)/2:])
		ztest.Within(t, ztest.Patience, "the Read", func() {
			if err := <-read; !errors.Is(err, os.ErrClosed) {
				t.Errorf("%v: %v", f, err)
			}
		})
		r.Close()
	}
}

// Two goroutines at a time are told so.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	z := zccompress.NewReader(r, nil)
	read := make(chan error)
	go func() {
		_, err := z.Read(make([]byte, 10))
		read <- err
	}()
	w.Write([]byte("\x1f")) // it has been taken, so the Read is under way
	if _, err := z.Sniff(); err == nil {
		t.Error("no error")
	}
	go w.Write([]byte("plain"))
	must(t, <-read)
	r.Close()
}

// A pooled codec does not keep a source alive. The test is not parallel: it takes two collections to
// empty a pool, and here there is one.
func TestSourceIsDropped(t *testing.T) {
	for _, f := range all {
		stream := compress(t, f, text(10_000))
		for _, whole := range []bool{true, false} {
			dropped := make(chan struct{})
			func() {
				src := bytes.NewReader(stream)
				runtime.AddCleanup(src, func(c chan struct{}) { close(c) }, dropped)
				z := zccompress.NewReader(bare{src}, any_)
				io.ReadFull(z, make([]byte, 100))
				if whole {
					io.ReadAll(z)
				}
				z.Close()
			}()
			runtime.GC()
			select {
			case <-dropped:
			case <-time.After(10 * time.Second):
				t.Errorf("%v, read whole %v: the source is not collected", f, whole)
			}
		}
	}
}

// A Reader of plain bytes has no codec.
func TestNoCodec(t *testing.T) {
	plain := strings.NewReader(strings.Repeat("plain", 100))
	p := make([]byte, 1)
	if n := testing.AllocsPerRun(100, func() {
		z := zccompress.NewReader(plain, nil)
		z.Sniff()
		z.Read(p)
		z.Close()
	}); n > 1 {
		t.Errorf("%v allocations for a plain stream", n)
	}
}
