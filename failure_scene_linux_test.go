package zerocopy_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// A failed says what the error of a copy has to tell: which end failed, in which
// direction ("read" or "write"), and of what class the error is.
type failed struct {
	end   ztest.Stream
	op    string
	class error
}

// checkFailed holds err to contract 1: its class by errors.Is, its concrete type,
// the end that it names, and Timeout, also through a PartialError.
func checkFailed(t testing.TB, err error, want failed) {
	t.Helper()
	if !errors.Is(err, want.class) {
		t.Errorf("error %v is not %v", err, want.class)
		return
	}
	inner := err
	if partial, ok := err.(*zerocopy.PartialError); ok {
		inner = partial.Err
	}
	switch end := want.end.(type) {
	case *os.File:
		if e, ok := inner.(*fs.PathError); !ok || e.Op != want.op || e.Path != end.Name() {
			t.Errorf("error %T %v, want a *fs.PathError %q of %s", inner, inner, want.op, end.Name())
		}
	case net.Conn:
		e, ok := inner.(*net.OpError)
		if !ok || e.Op != want.op || !strings.HasPrefix(e.Net, end.LocalAddr().Network()) || e.Source != end.LocalAddr() || e.Addr != end.RemoteAddr() {
			t.Errorf("error %T %v, want a *net.OpError %q of %v->%v", inner, inner, want.op, end.LocalAddr(), end.RemoteAddr())
		}
	}
	var timeout net.Error
	late := want.class == os.ErrDeadlineExceeded || want.class == syscall.EAGAIN
	if is := errors.As(err, &timeout) && timeout.Timeout(); is != late {
		t.Errorf("Timeout() is %v of %v", is, err)
	}
}
