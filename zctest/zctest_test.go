package zctest_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/zctest"
)

// recorder is a testing.TB that remembers Fatalf instead of ending the test.
type recorder struct {
	testing.TB
	failed string
}

func (r *recorder) Helper() {}
func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	panic(r)
}

func failure(t *testing.T, f func(testing.TB)) (text string) {
	r := &recorder{TB: t}
	defer func() {
		if v := recover(); v != nil && v != any(r) {
			panic(v)
		}
		text = r.failed
	}()
	f(r)
	return
}

func source(t *testing.T, n int) *os.File {
	f, err := os.Create(t.TempDir() + "/source")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	f.Write(bytes.Repeat([]byte("z"), n))
	f.Seek(0, io.SeekStart)
	return f
}

func sink(t *testing.T) net.Conn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept() // before the listener is closed, which resets what it has not accepted
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(io.Discard, peer)
		peer.Close()
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c
}

func TestRequireMechanism(t *testing.T) {
	const size = 1 << 20
	if text := failure(t, func(tb testing.TB) {
		zctest.RequireMechanism(tb, sink(t), source(t, size), zerocopy.Sendfile)
	}); text != "" {
		t.Errorf("file to TCP: %s", text)
	}
	for _, tt := range []struct {
		name, want string
		run        func(testing.TB)
	}{
		{"a wrapper that hides the descriptor", "struct { net.Conn } is not a descriptor", func(tb testing.TB) {
			zctest.RequireMechanism(tb, struct{ net.Conn }{sink(t)}, source(t, size), zerocopy.Sendfile)
		}},
		{"nothing to copy", "no byte was copied", func(tb testing.TB) {
			zctest.RequireMechanism(tb, sink(t), source(t, 0), zerocopy.Sendfile)
		}},
		{"a copy that fails", "the copy failed", func(tb testing.TB) {
			c := sink(t)
			c.Close()
			zctest.RequireMechanism(tb, c, source(t, size), zerocopy.Sendfile)
		}},
		{"a mechanism that is off", "switched off", func(tb testing.TB) {
			c := &zerocopy.Copier{Disable: zerocopy.AllMechanisms}
			zctest.Require(tb, c, sink(t), source(t, size), zerocopy.Sendfile)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if text := failure(t, tt.run); !strings.Contains(text, tt.want) {
				t.Errorf("got %q, want it to say %q", text, tt.want)
			}
		})
	}
}

func ExampleRequireMechanism() {
	test := func(t *testing.T) {
		f, _ := os.Open("testdata/large-file")
		conn, _ := net.Dial("tcp", "127.0.0.1:8080")
		// Fails if somebody puts a wrapper between that hides the descriptor.
		zctest.RequireMechanism(t, conn, f, zerocopy.Sendfile)
	}
	_ = test
}

func ExampleRequire() {
	test := func(t *testing.T, conn net.Conn, f *os.File) {
		stable := &zerocopy.Copier{Pages: zerocopy.Stable}
		zctest.Require(t, stable, conn, f, zerocopy.Buffered)
	}
	_ = test
}

func ExampleCheck() {
	test := func(t *testing.T, serve func(*zerocopy.Copier)) {
		// The copy is made somewhere inside of what is tested.
		serve(&zerocopy.Copier{Report: func(r zerocopy.Report) { zctest.Check(t, r, zerocopy.Sendfile) }})
	}
	_ = test
}
