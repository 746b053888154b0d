package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Main is the first process of the machine: it prepares it, runs all programs and
// ends it.
func Main() {
	if err := runAll(); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
	}
	unix.Sync()
	// With -no-reboot the emulator ends. If it does not, so does this process, which
	// is a panic of the kernel.
	fmt.Fprintln(os.Stderr, "guest: reboot:", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART))
}

func runAll() error {
	for _, m := range []struct{ kind, at string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.kind, err)
		}
	}
	port, err := serialPort("/dev/ttyS1")
	if err != nil {
		return err
	}
	r := &results{out: port}
	if err := loadModules("/modules"); err != nil {
		return err
	}
	n, err := newNetwork()
	if err != nil {
		return err
	}
	for _, p := range Programs {
		if !run(p, n, r) {
			return fmt.Errorf("%s has not ended", p.Name)
		}
	}
	return drain(port)
}

// serialPort opens a serial port that passes bytes on as they are.
func serialPort(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	mode, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, os.NewSyscallError("ioctl TCGETS", err)
	}
	mode.Oflag &^= unix.OPOST
	mode.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	mode.Cflag = mode.Cflag&^unix.CBAUD | unix.B115200
	return f, os.NewSyscallError("ioctl TCSETS", unix.IoctlSetTermios(fd, unix.TCSETS, mode))
}

// drain waits until the port has sent everything.
func drain(port *os.File) error {
	return os.NewSyscallError("ioctl TCSBRK", unix.IoctlSetInt(int(port.Fd()), unix.TCSBRK, 1))
}

// loadModules loads all modules in a directory, in the order of their names.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("loading %s: %w", name, err)
		}
	}
	return nil
}
