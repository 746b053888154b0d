package ztest

import (
	"errors"
	"io"
	"os"
	"strconv"
	"syscall"
	"unsafe"
)

// pty opens a pseudo terminal whose both ends pass all bytes unchanged. Neither
// becomes a controlling terminal.
func pty() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	var number uint32
	err = control(master, func(fd uintptr) error {
		var unlock int32
		if err := ioctl(fd, tiocsptlck, unsafe.Pointer(&unlock)); err != nil {
			return err
		}
		return ioctl(fd, tiocgptn, unsafe.Pointer(&number))
	})
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.FormatUint(uint64(number), 10), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	if err := control(slave, raw); err != nil {
		master.Close()
		slave.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

// raw does to the terminal what cfmakeraw(3) describes.
func raw(fd uintptr) error {
	var t syscall.Termios
	if err := ioctl(fd, syscall.TCGETS, unsafe.Pointer(&t)); err != nil {
		return err
	}
	t.Iflag &^= syscall.IGNBRK | syscall.BRKINT | syscall.PARMRK | syscall.ISTRIP |
		syscall.INLCR | syscall.IGNCR | syscall.ICRNL | syscall.IXON
	t.Oflag &^= syscall.OPOST
	t.Lflag &^= syscall.ECHO | syscall.ECHONL | syscall.ICANON | syscall.ISIG | syscall.IEXTEN
	t.Cflag &^= syscall.CSIZE | syscall.PARENB
	t.Cflag |= syscall.CS8
	t.Cc[syscall.VMIN] = 1
	t.Cc[syscall.VTIME] = 0
	return ioctl(fd, syscall.TCSETS, unsafe.Pointer(&t))
}

// read is r.Read but for terminals. A master that is being read while the slave
// writes and closes can say EIO with the slave's last bytes still on their way:
// n_tty_read (Linux 6.18) looks for more before it looks whether the slave is
// closed, not after. A second read finds them, so that only two EIO in a row are
// the end.
func read(k Kind, r io.Reader, b []byte) (int, error) {
	n, err := r.Read(b)
	if k == PTY && n == 0 && errors.Is(err, syscall.EIO) {
		return r.Read(b)
	}
	return n, err
}

// endMark ends a stream over a terminal in the direction in which closing one
// end would throw away what the other has not read yet. It is longer than any
// accident.
var endMark = []byte("\x00<<ztest: end of stream>>\xff\x00\xf7\x1c\x8e\x53\xa9\x02\xd4")
