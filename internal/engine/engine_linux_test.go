package engine

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

func TestMain(m *testing.M) { ztest.Main(m, kpipe.Shared.CloseIdle) }

// Each kind of endpoint is told by fstat and SO_TYPE, whatever Go calls it.
func TestInspect(t *testing.T) {
	t.Parallel()
	for k, want := range map[ztest.Kind]struct {
		kind     Kind
		pollable bool
	}{
		ztest.File: {File, false}, ztest.Tmpfs: {File, false}, ztest.Append: {File, false}, ztest.Proc: {File, false},
		ztest.Zero: {Zero, false}, ztest.Null: {Null, false}, ztest.Pipe: {Pipe, true}, ztest.FIFO: {Pipe, true},
		ztest.PTY: {TTY, true}, ztest.Unix: {Unix, true}, ztest.SockFile: {Unix, true},
		ztest.TCP4: {TCP, true}, ztest.TCP6: {TCP, true}, ztest.MPTCP: {TCP, true},
	} {
		for name, v := range map[string]ztest.Stream{"source": ztest.NewSource(t, k, nil).Reader, "destination": ztest.NewDest(t, k).Writer} {
			e, ok := Inspect(nil, v, name == "source")
			if !ok || e.Kind != want.kind || e.Pollable() != want.pollable {
				t.Errorf("%s as the %s: %v, %v, pollable %v", k, name, e.Kind, ok, e.Pollable())
			}
			if _, isFile := v.(*os.File); (e.File != nil) != isFile || (e.Conn != nil) == isFile {
				t.Errorf("%s as the %s: file %v, connection %v", k, name, e.File, e.Conn)
			}
		}
	}
	if e, _ := Inspect(nil, ztest.NewDest(t, ztest.Append).Writer, false); e.Flags&sys.Append == 0 {
		t.Error("O_APPEND is not seen")
	}
	if e, _ := Inspect(nil, ztest.NewDest(t, ztest.Pipe, ztest.Blocking()).Writer, false); e.Pollable() {
		t.Error("a pipe in blocking mode is pollable")
	}
}

func sockets(t *testing.T, family, typ int) *os.File {
	t.Helper()
	fd, err := syscall.Socket(family, typ|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "socket")
	t.Cleanup(func() { f.Close() })
	return f
}

// What keeps the bounds of messages, or is no stream at all, is told apart.
func TestInspectOthers(t *testing.T) {
	t.Parallel()
	dir, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	datagram, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagram.Close()
	for name, tt := range map[string]struct {
		v    any
		kind Kind
	}{
		"directory":     {dir, Other},
		"unixgram":      {datagram, Message},
		"unixgram file": {sockets(t, syscall.AF_UNIX, syscall.SOCK_DGRAM), Message},
		"seqpacket":     {sockets(t, syscall.AF_UNIX, syscall.SOCK_SEQPACKET), Message},
		"UDP":           {sockets(t, syscall.AF_INET, syscall.SOCK_DGRAM), Message},
		"netlink":       {sockets(t, syscall.AF_NETLINK, syscall.SOCK_RAW), Message},
		"TCP6":          {sockets(t, syscall.AF_INET6, syscall.SOCK_STREAM), TCP},
	} {
		if e, ok := Inspect(nil, tt.v, false); !ok || e.Kind != tt.kind || tt.kind == Message && e.Pollable() {
			t.Errorf("%s: %v, %v", name, e.Kind, ok)
		}
	}
	for rdev, want := range map[uint64]Kind{
		1<<8 | 3: Null, 1<<8 | 5: Zero, 1<<8 | 7: Device /* full */, 1<<8 | 9: Device, /* urandom */
		4<<8 | 64: TTY, 5 << 8: TTY, 5<<8 | 2: TTY, 136<<8 | 7: TTY, 10<<8 | 229: Device, /* fuse */
		1<<8 | 3 | 1<<20: Device, 1<<8 | 3 | 1<<44: Device, // minor 259, major 4097
	} {
		if got := device(rdev); got != want {
			t.Errorf("device %#x: %v, want %v", rdev, got, want)
		}
	}
}

// What is nil, closed or of another type is not a descriptor, nor is one of which
// nothing can be found out.
func TestInspectRefuses(t *testing.T) {
	t.Parallel()
	closed := ztest.NewDest(t, ztest.Pipe).Writer
	closed.Close()
	conn := ztest.NewDest(t, ztest.TCP4).Writer
	conn.Close()
	open := ztest.NewDest(t, ztest.SockFile).Writer
	for name, v := range map[string]any{
		"nil": nil, "nil file": (*os.File)(nil), "nil TCPConn": (*net.TCPConn)(nil), "nil UnixConn": (*net.UnixConn)(nil),
		"zero TCPConn": new(net.TCPConn), "zero UnixConn": new(net.UnixConn), "closed file": closed, "closed conn": conn,
		"embedded": struct{ ztest.Stream }{open}, "a reader": strings.NewReader(""),
	} {
		if e, ok := Inspect(nil, v, false); ok || e.Known() {
			t.Errorf("%s is a %v", name, e.Kind)
		}
	}
	for _, name := range []string{"fstat", "F_GETFL", "SO_DOMAIN", "SO_TYPE"} {
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) { return 0, syscall.EPERM, c.Name == name }}
		if e, ok := Inspect(calls, open, false); ok {
			t.Errorf("%s refused: a %v", name, e.Kind)
		}
	}
}

func TestSame(t *testing.T) {
	t.Parallel()
	end := func(v any) *End { e, _ := Inspect(nil, v, false); return &e }
	f := ztest.NewDest(t, ztest.File).Writer.(*os.File)
	again, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	r, w := ztest.Pair(t, ztest.Pipe)
	a, b := ztest.Pair(t, ztest.SockFile)
	other := ztest.NewDest(t, ztest.File).Writer
	for _, tt := range []struct {
		name string
		x, y any
		same bool
	}{
		{"one file", f, f, true}, {"one file, opened twice", f, again, true}, {"two files", f, other, false},
		{"the ends of a pipe", r, w, true}, {"a file and a pipe", f, r, false},
		{"a socket, which is two streams", a, a, false}, {"its peer", a, b, false},
	} {
		if got := Same(end(tt.x), end(tt.y)); got != tt.same {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Errors are dressed as os and net would have them.
func TestFail(t *testing.T) {
	t.Parallel()
	file, conn := ztest.NewDest(t, ztest.Pipe).Writer, ztest.NewDest(t, ztest.TCP4).Writer
	f, _ := Inspect(nil, file, false)
	c, _ := Inspect(nil, conn, false)
	unknown := errors.New("waiting for unsupported file type")
	for _, tt := range []struct {
		name string
		end  *End
		err  error
		want error
		text string // the end of the message
	}{
		{"errno of a file", &f, syscall.EIO, syscall.EIO, ": splice: input/output error"},
		{"deadline of a file", &f, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded, ": i/o timeout"},
		{"a file that cannot be waited for", &f, unknown, syscall.EAGAIN, ": splice: resource temporarily unavailable"},
		{"errno of a connection", &c, syscall.ECONNRESET, syscall.ECONNRESET, ": splice: connection reset by peer"},
		{"RawConn's own", &c, &net.OpError{Op: "raw-write", Net: "tcp", Source: conn.(net.Conn).LocalAddr(), Addr: conn.(net.Conn).RemoteAddr(), Err: os.ErrDeadlineExceeded}, os.ErrDeadlineExceeded, ": i/o timeout"},
	} {
		err := tt.end.Fail("write", "splice", tt.err)
		if !errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "write ") || !strings.HasSuffix(err.Error(), tt.text) {
			t.Errorf("%s: %v", tt.name, err)
		}
		_, isPath := err.(*fs.PathError)
		_, isOp := err.(*net.OpError)
		if isPath != (tt.end == &f) || isOp != (tt.end == &c) {
			t.Errorf("%s: a %T", tt.name, err)
		}
	}
	file.Close()
	if err := f.Fail("read", "read", unknown); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// limits are those of pools whose counts are compared.
func limits() kpipe.Limits { return kpipe.Limits{Budget: 1 << 20, MaxSize: 1 << 20} }

// What is in the private pipe is handed out, or goes with its pipe; the pipe is
// borrowed no longer than bytes are in it.
func TestResidue(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(1).Bytes(50_000)
	for _, then := range []string{"Unpipe", "Release", "Pump"} {
		pool := kpipe.Pool{Limits: limits}
		src, dst := ztest.NewSource(t, ztest.Unix, content, ztest.NoEOF()), ztest.NewDest(t, ztest.TCP4)
		src.AwaitQueued(len(content))
		m := NewMover(nil, &pool)
		m.Src, _ = Inspect(nil, src.Reader, true)
		m.Dst, _ = Inspect(nil, dst.Writer, false)
		n, handled, err := m.Drain(40_000)
		if n != 40_000 || !handled || err != nil || m.InPipe() != n || pool.Stats().Idle != 0 {
			t.Fatalf("Drain: %d, %v, %v, %d in the pipe, %+v", n, handled, err, m.InPipe(), pool.Stats())
		}
		switch then {
		case "Unpipe":
			if err := m.Unpipe(); err != nil || m.InPipe() != 0 {
				t.Errorf("Unpipe: %v", err)
			}
			ztest.Equal(t, "residue", m.Mem(), content[:n])
			m.TakeMem(30_000)
			ztest.Equal(t, "residue", m.Mem(), content[30_000:n])
		case "Pump":
			for m.InPipe() > 0 {
				if _, handled, err := m.Pump(m.InPipe()); !handled || err != nil {
					t.Fatal(handled, err)
				}
			}
			ztest.Equal(t, "received", dst.Finish(), content[:n])
		}
		m.Release()
		want := kpipe.Stats{Open: 1, Idle: 1, Bytes: 64 << 10, Budget: 1 << 20, Created: 1}
		if then == "Release" {
			want = kpipe.Stats{Budget: 1 << 20, Created: 1, Discarded: 1}
		}
		if got := pool.Stats(); got != want {
			t.Errorf("%s: %+v, want %+v", then, got, want)
		}
		pool.CloseIdle()
	}
}

// A read that has nothing says so at once; a wait holds no pipe, and ends.
func TestWaiting(t *testing.T) {
	t.Parallel()
	var pool kpipe.Pool
	defer pool.CloseIdle()
	for _, k := range []ztest.Kind{ztest.TCP4, ztest.Unix, ztest.SockFile, ztest.Pipe} {
		src := ztest.NewSource(t, k, nil, ztest.Manual())
		m := NewMover(nil, &pool)
		m.Src, _ = Inspect(nil, src.Reader, true)
		if n, again, err := m.Read(make([]byte, 10), nil); n != 0 || !again || err != nil {
			t.Errorf("%s: Read: %d, %v, %v", k, n, again, err)
		}
		if m.AtEnd() {
			t.Errorf("%s: at its end, but open", k)
		}
		drain := ztest.Go(t, "Drain", func() {
			if n, _, err := m.Drain(100); n != 4 || err != nil {
				t.Errorf("%s: %d, %v", k, n, err)
			}
		})
		drain.AwaitParked()
		if s := pool.Stats(); s.Open != s.Idle {
			t.Errorf("%s: a pipe is held while waiting: %+v", k, s)
		}
		src.Feed([]byte("more"))
		drain.Wait()
		src.Reader.SetReadDeadline(time.Unix(1, 0))
		if _, handled, err := m.Drain(100); !handled || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: past its deadline: %v, %v", k, handled, err)
		}
		src.Reader.SetReadDeadline(time.Time{})
		src.End()
		ztest.Eventually(t, ztest.Patience, "end", m.AtEnd)
		if _, _, err := m.Read(make([]byte, 10), nil); err != io.EOF {
			t.Errorf("%s: %v at the end", k, err)
		}
		m.Release()
	}
}

// The pipe has the size that was asked for, and Filled tells when half of it was
// not enough.
func TestClass(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(2).Bytes(100_000)
	for class, size := range kpipe.Sizes {
		pool := kpipe.Pool{Limits: func() kpipe.Limits { return kpipe.Limits{Budget: 1 << 30, MaxSize: 1 << 20} }}
		// Of a pipe, whose pages are full, so that bytes and slots are the same.
		src := ztest.NewSource(t, ztest.Pipe, content, ztest.Buffers(256<<10), ztest.NoEOF())
		src.AwaitQueued(len(content))
		m := NewMover(nil, &pool)
		m.Src, _ = Inspect(nil, src.Reader, true)
		m.Class = class
		n, handled, err := m.Drain(90_000)
		if want := min(90_000, size); n != want || !handled || err != nil {
			t.Errorf("class %d: %d, %v, %v, want %d", class, n, handled, err, want)
		}
		if got := pool.Stats().Bytes; got != int64(size) || m.Filled() != (n > size/2) {
			t.Errorf("class %d: a pipe of %d bytes, %d in it, filled: %v", class, got, n, m.Filled())
		}
		m.Release()
		pool.CloseIdle()
	}
}

// Where no pipe is to be had nothing is taken, NoPipe says so and the error why; the
// next Drain asks again.
func TestNoPipe(t *testing.T) {
	t.Parallel()
	content := ztest.Pattern(3).Bytes(5000)
	pool := kpipe.Pool{Limits: limits}
	var errno error = syscall.EMFILE
	calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
		return 0, errno, c.Name == "pipe2" && errno != nil
	}}
	src := ztest.NewSource(t, ztest.TCP4, content, ztest.NoEOF())
	src.AwaitQueued(len(content))
	m := NewMover(calls, &pool)
	m.Src, _ = Inspect(nil, src.Reader, true)
	for range 3 {
		if n, handled, err := m.Drain(len(content)); n != 0 || handled || err != syscall.EMFILE || !m.NoPipe || m.InPipe() > 0 || len(m.Mem()) > 0 {
			t.Errorf("%d, %v, %v, NoPipe %v", n, handled, err, m.NoPipe)
		}
	}
	if queued, err := ztest.Queued(src.Reader); queued != len(content) || err != nil || m.Syscalls != 0 {
		t.Errorf("%d of %d bytes are left, %v, after %d calls", queued, len(content), err, m.Syscalls)
	}
	errno = nil
	if n, _, err := m.Drain(len(content)); n != len(content) || err != nil || m.NoPipe || pool.Stats().Refused != 3 {
		t.Errorf("with pipes: %d, %v, NoPipe %v, %+v", n, err, m.NoPipe, pool.Stats())
	}
	m.Release()
	pool.CloseIdle()
}

// A splice that finds nothing where poll(2) finds something is made once more, for
// the bytes may have come in between; then a plain read tells, and what that says
// twice is final. The pipe is not held in the wait.
func TestContradiction(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		eagain        map[string]int // calls that find nothing
		splices, read int            // calls until there are bytes
	}{
		{"bytes came in between", map[string]int{"splice": 1}, 2, 0},
		{"only a read finds them", map[string]int{"splice": 9}, 2, 1},
		{"only a read that no signal disturbs", map[string]int{"splice": 9, "read": 1}, 2, 2},
	} {
		pool := kpipe.Pool{Limits: limits}
		seen := map[string]int{}
		calls := &sys.Calls{Intercept: func(c *sys.Call) (int, error, bool) {
			seen[c.Name]++
			return 0, syscall.EAGAIN, seen[c.Name] <= tt.eagain[c.Name]
		}}
		content := ztest.Pattern(4).Bytes(2000)
		src := ztest.NewSource(t, ztest.TCP4, content, ztest.NoEOF())
		src.AwaitQueued(len(content))
		m := NewMover(calls, &pool)
		m.Src, _ = Inspect(nil, src.Reader, true)
		n, handled, err := m.Drain(len(content))
		if !handled || err != nil || n == 0 || seen["splice"] != tt.splices || seen["read"] != tt.read {
			t.Errorf("%s: %d, %v, %v after %v", tt.name, n, handled, err, seen)
		}
		if tt.read > 0 {
			ztest.Equal(t, tt.name, m.Mem(), content[:n])
			if s := pool.Stats(); s.Open != s.Idle {
				t.Errorf("%s: a pipe is held: %+v", tt.name, s)
			}
		} else if m.InPipe() != n {
			t.Errorf("%s: %d bytes, %d in the pipe", tt.name, n, m.InPipe())
		}
		m.Release()
		pool.CloseIdle()
	}
}

// Read calls idle before it waits, and does not touch the buffer after it.
func TestReadIsIdle(t *testing.T) {
	t.Parallel()
	src := ztest.NewSource(t, ztest.TCP4, nil, ztest.Manual())
	m := NewMover(nil, &kpipe.Pool{Limits: limits})
	defer m.Release()
	m.Src, _ = Inspect(nil, src.Reader, true)
	buf := make([]byte, 100)
	idle := make(chan bool, 10) // more than are sent
	read := ztest.Go(t, "Read", func() {
		if n, again, err := m.Read(buf, func() { idle <- true }); n != 0 || !again || err != nil {
			t.Errorf("%d, %v, %v", n, again, err)
		}
	})
	read.AwaitParked()
	if len(idle) != 1 {
		t.Errorf("idle was called %d times", len(idle))
	}
	src.Feed([]byte("later"))
	read.Wait()
	if buf[0] != 0 || len(idle) != 1 {
		t.Errorf("the buffer was used after idle: %q; %d calls", buf[:5], len(idle))
	}
}
