package ztest

import (
	"os"
	"syscall"
	"testing"
)

// procSource is a /proc file that holds more than a line and never changes.
const procSource = "/proc/version"

// procDest is a /proc file that takes any write of any length, has no effect
// that matters (the name of this process in ps) and cannot be spliced to.
const procDest = "/proc/self/comm"

// newFile makes a regular file of the kind that holds b, with the offset at its
// start, and opens it with the extra flags. Its name goes away at the end of
// the test, or earlier if remove is called.
func newFile(tb testing.TB, k Kind, b []byte) (f *os.File, remove func()) {
	tb.Helper()
	f, err := os.CreateTemp(Dir(tb, k), "ztest-*")
	if err != nil {
		tb.Fatal(err)
	}
	name := f.Name()
	remove = func() { os.Remove(name) }
	if len(b) > 0 {
		if _, err := f.WriteAt(b, 0); err != nil {
			f.Close()
			remove()
			tb.Fatal(err)
		}
	}
	if k == Append {
		f.Close()
		f, err = os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
		if err != nil {
			remove()
			tb.Fatal(err)
		}
	}
	return f, remove
}

// openDevice opens what has a fixed name.
func openDevice(tb testing.TB, name string, flag int) *os.File {
	tb.Helper()
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// position is the offset of f, -1 if it has none or v is not a file.
func position(v any) int64 {
	f, ok := v.(*os.File)
	if !ok {
		return -1
	}
	off, err := f.Seek(0, 1)
	if err != nil {
		return -1
	}
	return off
}

// sendByte queues one byte at the peer of the socket fd without waiting.
func sendByte(fd uintptr) error {
	return syscall.Sendto(int(fd), []byte{0}, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, nil)
}
