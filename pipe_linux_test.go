package zerocopy_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestPipeSize: the kernel rounds up to a power of two pages.
func TestPipeSize(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	for _, tt := range []struct{ ask, want int }{
		{0, 16 * page}, // as it comes, see pipe(7)
		{1, page},
		{page, page},
		{page + 1, 2 * page},
		{3 * page, 4 * page},
		{256 << 10, 256 << 10},
		{1<<20 - 1, 1 << 20},
	} {
		p := newPipe(t, tt.ask)
		if got := p.Size(); got != tt.want {
			t.Errorf("NewPipe(%d) has %d bytes, want %d", tt.ask, got, tt.want)
		}
		if tt.ask == 0 {
			continue
		}
		p = newPipe(t, 0)
		if got, err := p.SetSize(tt.ask); got != tt.want || err != nil || p.Size() != tt.want {
			t.Errorf("SetSize(%d) is %d, %v; Size %d; want %d", tt.ask, got, err, p.Size(), tt.want)
		}
		p.CloseWrite()
		if got := p.Size(); got != tt.want {
			t.Errorf("after CloseWrite it has %d bytes, want %d", got, tt.want)
		}
	}
	p := newPipe(t, 0)
	for _, n := range []int{0, -1} {
		if got, err := p.SetSize(n); got != 0 || err == nil {
			t.Errorf("SetSize(%d) is %d, %v", n, got, err)
		}
	}
	if p, err := zerocopy.NewPipe(-1); p != nil || err == nil {
		t.Errorf("NewPipe(-1) is %v, %v", p, err)
	}
}

// checkFcntl holds err to what os says of a system call that failed on a file.
func checkFcntl(t *testing.T, what string, err error, errno syscall.Errno) {
	t.Helper()
	var path *fs.PathError
	var call *os.SyscallError
	if !errors.Is(err, errno) || !errors.As(err, &path) || !errors.As(err, &call) || call.Syscall != "fcntl" {
		t.Errorf("%s: %T %v, want %v", what, err, err, errno)
	}
}

// TestH10PipeBelowItsContents: EBUSY, and neither size nor contents have changed.
func TestH10PipeBelowItsContents(t *testing.T) {
	t.Parallel()
	p := newPipe(t, 64<<10)
	content := ztest.Pattern(1).Bytes(20_000)
	p.Write(content)
	_, err := p.SetSize(4096)
	checkFcntl(t, "below the contents", err, syscall.EBUSY)
	if p.Size() != 64<<10 || p.Buffered() != len(content) {
		t.Errorf("has %d bytes now, %d buffered", p.Size(), p.Buffered())
	}
	if n, err := p.SetSize(32 << 10); n != 32<<10 || err != nil {
		t.Errorf("above the contents: %d, %v", n, err)
	}
	p.CloseWrite()
	got, err := io.ReadAll(p)
	must(t, err)
	ztest.Equal(t, "contents", got, content)
}

// TestH10PipeAboveTheMaximum: EPERM for a user without privilege, whose NewPipe
// leaves no descriptor behind.
func TestH10PipeAboveTheMaximum(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	b, err := os.ReadFile("/proc/sys/fs/pipe-max-size")
	must(t, err)
	most, err := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, err)
	if os.Getuid() == 0 {
		must(t, syscall.Setuid(65534))
	}
	p := newPipe(t, most)
	_, err = p.SetSize(most + 1)
	checkFcntl(t, "SetSize", err, syscall.EPERM)
	if p.Size() != most {
		t.Errorf("has %d bytes now", p.Size())
	}
	q, err := zerocopy.NewPipe(2 * most)
	checkFcntl(t, "NewPipe", err, syscall.EPERM)
	if q != nil {
		t.Error("a Pipe together with an error")
	}
}

// TestPipeNoDescriptors: NewPipe with no two descriptors left.
func TestPipeNoDescriptors(t *testing.T) {
	if !ztest.Isolated(t) {
		return
	}
	var taken []*os.File
	defer func() {
		for _, f := range taken {
			f.Close()
		}
	}()
	limit := syscall.Rlimit{Cur: 100, Max: 100}
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	for {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		taken = append(taken, f)
	}
	for free := range 2 {
		if p, err := zerocopy.NewPipe(0); p != nil || !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%d descriptors free: %v, %v", free, p, err)
		}
		taken[len(taken)-1].Close()
		taken = taken[:len(taken)-1]
	}
	for range 3 { // each Close frees them again, and a NewPipe that fails has none
		if p, err := zerocopy.NewPipe(-1); p != nil || err == nil {
			t.Errorf("NewPipe(-1) is %v, %v", p, err)
		}
		p, err := zerocopy.NewPipe(0)
		if err != nil {
			t.Fatal("2 descriptors free:", err)
		}
		must(t, p.Close())
	}
}

// contentsOf takes all out of p, which nobody writes to.
func contentsOf(t *testing.T, p *zerocopy.Pipe) []byte {
	t.Helper()
	b := make([]byte, p.Buffered())
	_, err := io.ReadFull(p, b)
	must(t, err)
	return b
}

// TestPipeTee: duplicates are the first bytes of p, which keeps them.
func TestPipeTee(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(50_000)
	p, dst := newPipe(t, 0), newPipe(t, 0)
	p.Write(content)
	for _, n := range []int64{1, 4095, 4097, 50_000, 50_001, 1 << 40} {
		want := content[:min(n, 50_000)]
		for range 2 { // the same bytes again
			if got, err := p.Tee(dst, n); got != int64(len(want)) || err != nil {
				t.Errorf("Tee of %d: %d, %v", n, got, err)
			}
			ztest.Equal(t, "duplicate", contentsOf(t, dst), want)
		}
	}
	for _, n := range []int64{0, -1, -1 << 40} {
		if got, err := p.Tee(dst, n); got != 0 || err != nil {
			t.Errorf("Tee of %d: %d, %v", n, got, err)
		}
	}
	if n, err := p.Tee(p, 10); n != 0 || err == nil {
		t.Errorf("Tee into itself: %d, %v", n, err)
	}
	if p.Buffered() != len(content) || dst.Buffered() != 0 {
		t.Errorf("%d bytes in p, %d in dst", p.Buffered(), dst.Buffered())
	}
	p.CloseWrite()
	if got, err := p.Tee(dst, 1<<20); got != 50_000 || err != nil {
		t.Errorf("after CloseWrite: %d, %v", got, err)
	}
	ztest.Equal(t, "the original", contentsOf(t, p), content)
	ztest.Equal(t, "the duplicate", contentsOf(t, dst), content)
	if n, err := p.Tee(dst, 1<<20); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
}

// TestH11PartialTee: what finds no slot is not duplicated, and what is duplicated is
// the first of p; an empty dst that is as large takes all.
func TestH11PartialTee(t *testing.T) {
	t.Parallel()
	p, dst := newPipe(t, 64<<10), newPipe(t, 64<<10)
	p.Write(ztest.Pattern(3).Bytes(64 << 10))
	dst.Write(make([]byte, 60<<10)) // one page is left
	n, err := p.Tee(dst, 64<<10)
	if n != 4096 || err != nil {
		t.Errorf("into one slot: %d, %v", n, err)
	}
	got := contentsOf(t, dst)[60<<10:]
	ztest.Pattern(3).Check(t, got, 0)
	if n, err := p.Tee(dst, 64<<10); n != 64<<10 || err != nil {
		t.Errorf("into an empty pipe: %d, %v", n, err)
	}
	ztest.Pattern(3).Check(t, contentsOf(t, dst), 0)
	if p.Buffered() != 64<<10 {
		t.Errorf("%d bytes are left in p", p.Buffered())
	}
}

// TestH02TeeTakesSlots: a duplicate takes a slot, however small it is.
func TestH02TeeTakesSlots(t *testing.T) {
	t.Parallel()
	p, dst := newPipe(t, 0), newPipe(t, 0)
	p.Write([]byte("ab"))
	slots := dst.Size() / os.Getpagesize()
	for range slots {
		if n, err := p.Tee(dst, 1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
	}
	dst.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := p.Tee(dst, 1); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("into a pipe without slots: %d, %v", n, err)
	}
	if n, err := dst.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Write into a pipe without slots: %d, %v", n, err)
	}
	ztest.Equal(t, "duplicates", contentsOf(t, dst), bytes.Repeat([]byte("a"), slots))
}
