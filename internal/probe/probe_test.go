package probe_test

import (
	"sync"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy/internal/probe"
)

// Only what speaks of the kernel and its filesystems is kept.
func TestConclusive(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		keep   bool
		reason string
	}{
		{syscall.ENOSYS, true, "the kernel, or its seccomp filter, has no such call"},
		{syscall.EOPNOTSUPP, true, "the filesystem has not"},
		{syscall.EXDEV, true, "not between these two filesystems"},
		{syscall.EINVAL, false, "this descriptor, or its mode"},
		{syscall.EPERM, false, "this file: immutable, sealed"},
		{syscall.EBADF, false, "how this file was opened"},
		{syscall.EIO, false, "a disk"},
		{syscall.ENOMEM, false, "this moment"},
		{syscall.EAGAIN, false, "this moment"},
		{nil, false, "no refusal"},
	} {
		if got := probe.Conclusive(tt.err); got != tt.keep {
			t.Errorf("%v (%s): %v", tt.err, tt.reason, got)
		}
		var c probe.Cache
		k := probe.Key{Mechanism: 1, Src: 2, Dst: 3, SrcFS: 0xef53}
		c.Learn(k, tt.err)
		if got := c.Refused(k); (got != nil) != tt.keep || got != nil && got != tt.err {
			t.Errorf("%v: kept %v", tt.err, got)
		}
		if c.Empty() == tt.keep {
			t.Errorf("%v: Empty is %v", tt.err, c.Empty())
		}
	}
}

// A refusal is that of its key alone.
func TestKeys(t *testing.T) {
	t.Parallel()
	var c probe.Cache
	k := probe.Key{Mechanism: 1, Src: 2, Dst: 3, SrcFS: 4, DstFS: 5, SameDev: true}
	if c.Refused(k) != nil || !c.Empty() {
		t.Error("a new cache knows something")
	}
	c.Learn(k, syscall.EXDEV)
	if c.Refused(k) != syscall.EXDEV {
		t.Error("not kept")
	}
	for _, other := range []probe.Key{
		{9, 2, 3, 4, 5, true}, {1, 9, 3, 4, 5, true}, {1, 2, 9, 4, 5, true}, {1, 2, 3, 9, 5, true}, {1, 2, 3, 4, 9, true}, {1, 2, 3, 4, 5, false}, {},
	} {
		if err := c.Refused(other); err != nil {
			t.Errorf("%+v: %v", other, err)
		}
	}
}

// It is bounded, and may be used by many.
func TestBounded(t *testing.T) {
	t.Parallel()
	var c probe.Cache
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 1000 {
				k := probe.Key{Src: uint8(i), SrcFS: int64(j)}
				c.Learn(k, syscall.ENOSYS)
				c.Refused(k)
			}
		})
	}
	wg.Wait()
	kept := 0
	for i := range 4 {
		for j := range 1000 {
			if c.Refused(probe.Key{Src: uint8(i), SrcFS: int64(j)}) != nil {
				kept++
			}
		}
	}
	if kept != 256 {
		t.Errorf("%d kept", kept)
	}
}
