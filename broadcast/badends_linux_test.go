package broadcast_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestBadRecording: what cannot be a recording is refused, by New, and costs nothing.
func TestBadRecording(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, nil, 0o600))
	open := func(name string, flag int) *os.File {
		t.Helper()
		f, err := os.OpenFile(name, flag, 0)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	shut := open(name, os.O_RDWR)
	shut.Close()
	_, pipe := ztest.FilePair(t, ztest.Pipe)
	same := open(name, os.O_RDWR)
	for _, tt := range []struct {
		why, text string
		src       io.Reader
		file      *os.File
	}{
		{"O_APPEND", "O_APPEND", nil, open(name, os.O_RDWR|os.O_APPEND)},
		{"write-only", "os.O_RDWR", nil, open(name, os.O_WRONLY)},
		{"read-only", "os.O_RDWR", nil, open(name, os.O_RDONLY)},
		{"closed", "closed", nil, shut},
		{"a pipe", "regular", nil, pipe},
		{"a device", "regular", nil, open(os.DevNull, os.O_RDWR)},
		{"a directory", "regular", nil, open(filepath.Dir(name), os.O_RDONLY)},
		{"the source", "source", same, same},
		{"the source by another name", "source", open("/proc/self/fd/"+fdOf(t, same), os.O_RDONLY), same},
	} {
		t.Run(tt.why, func(t *testing.T) {
			pool := new(kpipe.Pool)
			src := tt.src
			if src == nil {
				src = strings.NewReader("")
			}
			_, err := broadcast.NewWith(src, &broadcast.Options{Recording: tt.file}, nil, pool)
			if err == nil || !strings.Contains(err.Error(), tt.text) || (tt.src != nil) != (err == broadcast.ErrSource) {
				t.Errorf("New: %v, want an error that speaks of %q", err, tt.text)
			}
			if st := pool.Stats(); st.Open != st.Idle {
				t.Errorf("pipes: %+v", st)
			}
			pool.CloseIdle()
		})
	}
}

func fdOf(t *testing.T, f *os.File) (s string) {
	onFD(t, f, func(fd int) error {
		s = strconv.Itoa(fd)
		return nil
	})
	return s
}

// TestBadSinks: what Add refuses, with which error. The stream and the other sinks do not
// notice.
func TestBadSinks(t *testing.T) {
	t.Parallel()
	file := ztest.NewDest(t, ztest.Tmpfs)
	src, feed := ztest.FilePair(t, ztest.Pipe)
	s := &show{t: t, pattern: 50, calls: make(map[string]int), src: src, in: feed}
	s.open(src, recordedTo(file), func(_ *show, o *broadcast.Options) { o.Pages = zerocopy.Share })
	plain := newShow(t, ztest.TCP4)
	a := s.view(ztest.TCP4, nil)
	out := s.view(ztest.File, nil)
	pipe := s.view(ztest.Pipe, nil)
	var dups []*os.File
	dup := func(f io.Writer) *os.File {
		t.Helper()
		var again *os.File
		onFD(t, f.(syscall.Conn), func(fd int) error {
			fd, err := syscall.Dup(fd)
			again = os.NewFile(uintptr(fd), "again")
			return err
		})
		dups = append(dups, again)
		return again
	}
	reopened, err := os.OpenFile(out.Dest.Name(), os.O_WRONLY, 0)
	must(t, err)
	defer reopened.Close()
	w := ztest.NewDest(t, ztest.TCP4).Writer
	uncomparable := struct {
		io.Writer
		tag any
	}{io.Discard, []byte("tag")}
	for range 2 { // nobody can tell that it is the same
		_, err := s.b.Add(uncomparable, nil)
		must(t, err)
	}
	for _, tt := range []struct {
		why  string
		b    *broadcast.Broadcast
		w    io.Writer
		o    *broadcast.SinkOptions
		want error // nil is any
	}{
		{"nil", s.b, nil, nil, nil},
		{"a nil file", s.b, (*os.File)(nil), nil, nil},
		{"a nil connection", s.b, (*net.TCPConn)(nil), nil, nil},
		{"a nil buffer", s.b, (*bytes.Buffer)(nil), nil, nil},
		{"an unknown policy", s.b, w, &broadcast.SinkOptions{Policy: 3}, nil},
		{"a negative lag", s.b, w, &broadcast.SinkOptions{MaxLag: -1}, nil},
		{"Demote without a recording", plain.b, w, &broadcast.SinkOptions{Policy: broadcast.Demote}, broadcast.ErrNoRecording},
		{"FromStart without a recording", plain.b, w, &broadcast.SinkOptions{FromStart: true}, broadcast.ErrNoRecording},
		{"a sink", s.b, a.Writer, nil, broadcast.ErrTwice},
		{"a sink's file", s.b, dup(out.Writer), nil, broadcast.ErrTwice},
		{"a sink's file, opened again", s.b, reopened, nil, broadcast.ErrTwice},
		{"a sink's pipe", s.b, dup(pipe.Writer), nil, broadcast.ErrTwice},
		{"the source", plain.b, plain.src, nil, broadcast.ErrSource},
		{"the source's pipe", s.b, dup(feed), nil, broadcast.ErrSource},
		{"the recording", s.b, file.Writer, nil, broadcast.ErrSource},
		{"the recording's file", s.b, dup(file.Writer), nil, broadcast.ErrSource},
	} {
		sink, err := tt.b.Add(tt.w, tt.o)
		if sink != nil || err == nil || tt.want != nil && err != tt.want {
			t.Errorf("%s: %v, want %v", tt.why, err, tt.want)
		}
	}
	for _, f := range dups {
		f.Close() // one is the writing end of the source
	}
	s.run(t.Context())
	s.feed(100_000)
	a.await(s.fed)
	// Who has left may come again.
	a.close()
	must(t, a.Writer.SetDeadline(time.Time{}))
	again, err := s.b.Add(a.Writer, nil)
	must(t, err)
	s.feed(50_000)
	s.end()
	if err := again.Wait(); err != nil || s.err != nil {
		t.Error(err, s.err)
	}
	a.Finish()
	if n, diff := a.got.has(); n != s.fed || diff != "" {
		t.Errorf("%d bytes: %s", n, diff)
	}
	out.whole()
	pipe.whole()
	out.requireTee()
	pipe.requireTee()
	plain.run(t.Context())
	plain.finish()
}

// TestBrokenSinks: sinks that do not work from the start end with the error that a Write
// would have had, and the others go on.
func TestBrokenSinks(t *testing.T) {
	t.Parallel()
	s := newShow(t, ztest.TCP4)
	closed := ztest.NewDest(t, ztest.TCP4).Writer
	closed.Close()
	shut := ztest.NewDest(t, ztest.File).Writer
	shut.Close()
	gone := ztest.NewDest(t, ztest.TCP4)
	gone.Reset()
	readOnly, err := os.Open("/dev/zero")
	must(t, err)
	defer readOnly.Close()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	must(t, err)
	defer full.Close()
	readEnd, _ := ztest.FilePair(t, ztest.Pipe)
	udp, err := net.Dial("udp", "127.0.0.1:9")
	must(t, err)
	defer udp.Close()
	type row struct {
		why  string
		w    io.Writer
		want []error
		sink *broadcast.Sink
	}
	rows := []*row{
		{"a closed connection", closed, []error{net.ErrClosed}, nil},
		{"a closed file", shut, []error{os.ErrClosed}, nil},
		{"a peer that is gone", gone.Writer, []error{syscall.EPIPE, syscall.ECONNRESET}, nil},
		{"a read-only device", readOnly, []error{syscall.EBADF}, nil},
		{"a full device", full, []error{syscall.ENOSPC}, nil},
		{"the read end of a pipe", readEnd, []error{syscall.EBADF}, nil},
		{"messages of 64 KiB", udp, []error{syscall.EMSGSIZE}, nil},
	}
	a := s.view(ztest.TCP4, nil)
	for _, r := range rows {
		r.sink, err = s.b.Add(r.w, nil)
		must(t, err)
	}
	s.run(t.Context())
	s.feed(3<<20, 1<<20)
	s.finish()
	a.requireTee()
	for _, r := range rows {
		err := r.sink.Wait()
		ok := false
		for _, want := range r.want {
			ok = ok || errors.Is(err, want)
		}
		if st := r.sink.Stats(); !ok || st.Position == s.fed || st.Pipes != 0 {
			t.Errorf("%s: %v, want %v: %v", r.why, err, r.want, st)
		}
	}
}
