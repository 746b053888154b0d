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
func (s *Calls) Read(fd int, p []byte) (int, error)             { return 0, syscall.ENOSYS }
func (s *Calls) Pread(fd int, p []byte, off int64) (int, error) { return 0, syscall.ENOSYS }
func (s *Calls) Write(fd int, p []byte) (int, error)            { return 0, syscall.ENOSYS }
func (s *Calls) Tee(in, out, n int) (int, error)                { return 0, syscall.ENOSYS }
func (s *Calls) RawSplice(in, out, n int) (int, error)          { return 0, syscall.ENOSYS }
func (s *Calls) Timeout(fd, option int) (int, error)            { return 0, syscall.ENOSYS }
func (s *Calls) SetTimeout(fd, option, seconds int) error       { return syscall.ENOSYS }
func (s *Calls) ReceiveLowWater(fd int) (int, error)            { return 0, syscall.ENOSYS }
func (s *Calls) SetReceiveLowWater(fd, n int) error             { return syscall.ENOSYS }
func (s *Calls) ReceiveBuffer(fd int) (int, error)              { return 0, syscall.ENOSYS }
func (s *Calls) Poll(fd int) (int, error)                       { return 0, syscall.ENOSYS }
func (s *Calls) Pipe() (r, w int, err error)                    { return -1, -1, syscall.ENOSYS }
func (s *Calls) SetPipeSize(fd, n int) (int, error)             { return 0, syscall.ENOSYS }
func (s *Calls) PipeSize(fd int) (int, error)                   { return 0, syscall.ENOSYS }
func (s *Calls) Buffered(fd int) (int, error)                   { return 0, syscall.ENOSYS }
func (s *Calls) Flags(fd int) (int, error)                      { return 0, syscall.ENOSYS }
func (s *Calls) Fstat(fd int) (Stat, error)                     { return Stat{}, syscall.ENOSYS }
func (s *Calls) FSType(fd int) (int64, error)                   { return 0, syscall.ENOSYS }
func (s *Calls) Socket(fd int) (family, typ int, err error)     { return 0, 0, syscall.ENOSYS }
func (s *Calls) PeekEnd(fd int) (bool, error)                   { return false, syscall.ENOSYS }
func (s *Calls) Seek(fd int, by int64) error                    { return syscall.ENOSYS }

// PipePrivileged is false: there are no pipes to be had.
func PipePrivileged() bool { return false }

// Close does nothing: there is no descriptor of ours to close.
func Close(fd int) {}
