//go:build !linux

package sys

import "syscall"

// Supported says that the calls of this package exist on this system.
const Supported = false

// The timeouts of a socket.
const (
	ReceiveTimeout = iota
	SendTimeout
)

func (s *Calls) Splice(in int, offIn *int64, out int, offOut *int64, n int) (int, error) {
	return 0, syscall.ENOSYS
}
func (s *Calls) Sendfile(out, in int, off *int64, n int) (int, error) { return 0, syscall.ENOSYS }
func (s *Calls) CopyFileRange(in int, offIn *int64, out int, n int) (int, error) {
	return 0, syscall.ENOSYS
}
func (s *Calls) Read(fd int, p []byte) (int, error)                 { return 0, syscall.ENOSYS }
func (s *Calls) Pread(fd int, p []byte, off int64) (int, error)     { return 0, syscall.ENOSYS }
func (s *Calls) Write(fd int, p []byte) (int, error)                { return 0, syscall.ENOSYS }
func (s *Calls) Tee(in, out, n int) (int, error)                    { return 0, syscall.ENOSYS }
func (s *Calls) RawSplice(in, out, n int) (int, error)              { return 0, syscall.ENOSYS }
func (s *Calls) Timeout(fd, option int) (int, error)                { return 0, syscall.ENOSYS }
func (s *Calls) SetTimeout(fd, option, seconds int) error           { return syscall.ENOSYS }
func (s *Calls) ReceiveLowWater(fd int) (int, error)                { return 0, syscall.ENOSYS }
func (s *Calls) SetReceiveLowWater(fd, n int) error                 { return syscall.ENOSYS }
func (s *Calls) ReceiveBuffer(fd int) (int, error)                  { return 0, syscall.ENOSYS }
func (s *Calls) Poll(fd int) (int, error)                           { return 0, syscall.ENOSYS }
func (s *Calls) Pipe() (r, w int, err error)                        { return -1, -1, syscall.ENOSYS }
func (s *Calls) SetPipeSize(fd, n int) (int, error)                 { return 0, syscall.ENOSYS }
func (s *Calls) PipeSize(fd int) (int, error)                       { return 0, syscall.ENOSYS }
func (s *Calls) Buffered(fd int) (int, error)                       { return 0, syscall.ENOSYS }
func (s *Calls) Outgoing(fd int) (int, error)                       { return 0, syscall.ENOSYS }
func (s *Calls) Flags(fd int) (int, error)                          { return 0, syscall.ENOSYS }
func (s *Calls) Fstat(fd int) (Stat, error)                         { return Stat{}, syscall.ENOSYS }
func (s *Calls) FSType(fd int) (int64, error)                       { return 0, syscall.ENOSYS }
func (s *Calls) Socket(fd int) (family, typ int, err error)         { return 0, 0, syscall.ENOSYS }
func (s *Calls) PeekEnd(fd int) (bool, error)                       { return false, syscall.ENOSYS }
func (s *Calls) Seek(fd int, by int64) error                        { return syscall.ENOSYS }
func (s *Calls) Vmsplice(out int, p []byte, wait bool) (int, error) { return 0, syscall.ENOSYS }
func (s *Calls) Unread(out int) (bool, error)                       { return false, syscall.ENOSYS }
func (s *Calls) VmspliceRead(in int, p []byte) (int, error)         { return 0, syscall.ENOSYS }
func (s *Calls) Send(out int, p []byte, lend bool) (int, error)     { return 0, syscall.ENOSYS }
func (s *Calls) Completion(fd int) (c Completion, ok bool, err error) {
	return c, false, syscall.ENOSYS
}
func (s *Calls) SendMemory(fd int) (most, queued int, err error) { return 0, 0, syscall.ENOSYS }
func (s *Calls) NotSentLowWater(fd int) (uint32, error)          { return 0, syscall.ENOSYS }
func (s *Calls) Zerocopy(fd int) (bool, error)                   { return false, syscall.ENOSYS }
func (s *Calls) SetZerocopy(fd int) error                        { return syscall.ENOSYS }
func (s *Calls) Cookie(fd int) (uint64, error)                   { return 0, syscall.ENOSYS }
func (s *Calls) Drop(p []byte) error                             { return syscall.ENOSYS }
func (s *Calls) Unchanging(fd int) bool                          { return false }

// Map returns memory of the Go heap: nothing is ever lent of it.
func (s *Calls) Map(n int, huge bool) (p, mapping []byte, err error) {
	return make([]byte, n), nil, nil
}

// Protect does nothing: what is never lent needs no protection.
func (s *Calls) Protect(p []byte, readOnly bool) error { return nil }

// Sealed has no descriptor: p is memory of the Go heap.
func (s *Calls) Sealed(name string, n int, fill func(p []byte) error) (fd int, p []byte, err error) {
	p = make([]byte, n)
	return -1, p, fill(p)
}

// PageFaults is 0.
func PageFaults() int64 { return 0 }

// Unmap does nothing.
func Unmap(mapping []byte) {}

// PipePrivileged is false: there are no pipes to be had.
func PipePrivileged() bool { return false }

// Close does nothing: there is no descriptor of ours to close.
func Close(fd int) {}
