package ztest

import (
	"os"
	"strings"
	"sync"
	"syscall"
)

// A Kind is a kind of endpoint that a copy can have at either end.
type Kind string

const (
	File     Kind = "file"     // regular file on the root filesystem
	Tmpfs    Kind = "tmpfs"    // regular file on tmpfs
	Append   Kind = "append"   // regular file on the root filesystem, O_RDWR|O_APPEND
	Proc     Kind = "proc"     // /proc file; its content is what the kernel says
	Zero     Kind = "zero"     // /dev/zero; no end
	Null     Kind = "null"     // /dev/null
	Pipe     Kind = "pipe"     // os.Pipe
	FIFO     Kind = "fifo"     // named pipe, opened by name
	PTY      Kind = "pty"      // pseudo terminal in raw mode
	Unix     Kind = "unix"     // *net.UnixConn, stream
	TCP4     Kind = "tcp4"     // *net.TCPConn over 127.0.0.1
	TCP6     Kind = "tcp6"     // *net.TCPConn over ::1
	MPTCP    Kind = "mptcp"    // *net.TCPConn over Multipath TCP
	SockFile Kind = "sockfile" // *os.File that is a unix stream socket
)

// SourceKinds and DestKinds are all kinds, in the order of the matrix. Not every
// machine has every kind: see Unavailable.
var (
	SourceKinds = []Kind{File, Tmpfs, Append, Proc, Zero, Null, Pipe, FIFO, PTY, Unix, TCP4, TCP6, MPTCP, SockFile}
	DestKinds   = []Kind{File, Tmpfs, Append, Proc, Zero, Null, Pipe, FIFO, PTY, Unix, TCP4, TCP6, MPTCP, SockFile}
)

// Stream reports whether the kind has a peer that can be slow, stalled or gone.
func (k Kind) Stream() bool {
	switch k {
	case File, Tmpfs, Append, Proc, Zero, Null:
		return false
	}
	return true
}

// Regular reports whether the kind is a regular file whose content is chosen.
func (k Kind) Regular() bool { return k == File || k == Tmpfs || k == Append }

// Conn reports whether the kind is a net.Conn.
func (k Kind) Conn() bool { return k == Unix || k.IP() }

// IP reports whether the kind is a *net.TCPConn.
func (k Kind) IP() bool { return k == TCP4 || k == TCP6 || k == MPTCP }

// Unavailable says why this machine does not have the kind, "" if it has. Only
// a lack that no installation mends counts: no IPv6, a kernel without MPTCP,
// /dev/shm that is not a tmpfs.
func Unavailable(k Kind) string {
	switch k {
	case Tmpfs:
		if fs := Filesystem(shmDir); fs != "tmpfs" {
			return shmDir + " is " + fs
		}
	case TCP6:
		return noIPv6()
	case MPTCP:
		return noMPTCP()
	}
	return ""
}

const shmDir = "/dev/shm"

var noIPv6 = sync.OnceValue(func() string {
	fd, err := syscall.Socket(syscall.AF_INET6, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "IPv6: " + err.Error()
	}
	defer syscall.Close(fd)
	loopback := &syscall.SockaddrInet6{Addr: [16]byte{15: 1}}
	if err := syscall.Bind(fd, loopback); err != nil {
		return "bind to ::1: " + err.Error()
	}
	return ""
})

var noMPTCP = sync.OnceValue(func() string {
	const ipprotoMPTCP = 262
	b, err := os.ReadFile("/proc/sys/net/mptcp/enabled")
	if err != nil {
		return "MPTCP: " + err.Error()
	}
	if s := strings.TrimSpace(string(b)); s != "1" {
		return "net.mptcp.enabled is " + s
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, ipprotoMPTCP)
	if err != nil {
		return "MPTCP: " + err.Error()
	}
	syscall.Close(fd)
	return ""
})

// rootDir is a directory for files on the root filesystem: the first of the
// candidates that is on the same device as "/".
var rootDir = sync.OnceValues(func() (string, error) {
	var root syscall.Stat_t
	if err := syscall.Stat("/", &root); err != nil {
		return "", &os.PathError{Op: "stat", Path: "/", Err: err}
	}
	candidates := []string{os.TempDir(), "/var/tmp", "/"}
	if wd, err := os.Getwd(); err == nil {
		candidates = append([]string{os.TempDir(), wd}, candidates[1:]...)
	}
	for _, dir := range candidates {
		var st syscall.Stat_t
		if syscall.Stat(dir, &st) == nil && st.Dev == root.Dev && syscall.Access(dir, 2 /* W_OK */) == nil {
			return dir, nil
		}
	}
	return "", os.ErrNotExist
})
