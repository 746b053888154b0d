package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Emulator is the program that Boot runs.
const Emulator = "qemu-system-x86_64"

// A Machine is what Boot boots.
type Machine struct {
	Kernel    *Kernel
	Initramfs []byte   // unpacked as the root filesystem; has /init
	NICs      []string // models of network devices as qemu names them; all are on one hub
	MemoryMB  int
	CPUs      int
}

// A Guest is a machine that runs.
type Guest struct {
	// Results is what the guest writes to its second serial port, /dev/ttyS1. It
	// ends with the guest.
	Results io.Reader

	results *os.File
	cmd     *exec.Cmd
	console console
	dir     string
	done    chan struct{}
	err     error
}

// Boot starts a machine. It is ended by Close, or with the context.
//
// It is emulated, not virtualized, so that it runs the same everywhere. The guest
// ends the emulator by a reboot.
func Boot(ctx context.Context, m Machine) (g *Guest, err error) {
	path, err := exec.LookPath(Emulator)
	if err != nil {
		return nil, fmt.Errorf("%w (Debian's package is qemu-system-x86)", err)
	}
	g = &Guest{done: make(chan struct{})}
	if g.dir, err = os.MkdirTemp("", "zerocopy-vm-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(g.dir)
		}
	}()
	initramfs := filepath.Join(g.dir, "initramfs")
	if err := os.WriteFile(initramfs, m.Initramfs, 0o600); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	g.Results, g.results = r, r
	g.cmd = exec.CommandContext(ctx, path, m.arguments(initramfs)...)
	g.cmd.Stdout, g.cmd.Stderr = &g.console, &g.console
	g.cmd.ExtraFiles = []*os.File{w} // descriptor 3
	g.cmd.WaitDelay = time.Second
	err = g.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		g.err = g.cmd.Wait()
		close(g.done)
	}()
	return g, nil
}

func (m *Machine) arguments(initramfs string) []string {
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", "q35", "-accel", "tcg", "-cpu", "max",
		"-m", strconv.Itoa(m.MemoryMB), "-smp", strconv.Itoa(m.CPUs),
		"-kernel", m.Kernel.Image, "-initrd", initramfs,
		// A panic is a reboot at once, and a reboot ends the emulator.
		"-append", "console=ttyS0 panic=-1 loglevel=4 mitigations=off random.trust_cpu=on",
		"-serial", "stdio",
		"-serial", "file:/dev/fd/3",
	}
	for i, model := range m.NICs {
		port := fmt.Sprintf("port%d", i)
		args = append(args,
			"-netdev", "hubport,hubid=0,id="+port,
			"-device", model+",netdev="+port+",mac="+MAC(i)+",romfile=")
	}
	return args
}

// MAC returns the address of the i-th network device of a machine, i < 256.
func MAC(i int) string { return fmt.Sprintf("52:54:00:00:00:%02x", i) }

// Wait waits until the guest has ended by itself.
func (g *Guest) Wait() error {
	<-g.done
	return g.err
}

// Close ends the guest if it still runs, and waits for that.
func (g *Guest) Close() error {
	g.cmd.Process.Kill()
	<-g.done
	return errors.Join(g.results.Close(), os.RemoveAll(g.dir))
}

// Console returns what has come from the console so far: what the kernel prints,
// and the standard output and error of /init.
func (g *Guest) Console() string { return g.console.String() }

// A console collects output.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
