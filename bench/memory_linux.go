package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// watchMemory looks again and again how much memory a process has; the function it
// returns ends that and adds the most that it saw to a sample.
func watchMemory(pid int) func(*sample) {
	const often = 100 * time.Millisecond // and with a look of a millisecond, nothing
	var rss []int64
	var pipes int64
	look := func() {
		rss = append(rss, residentOf(pid))
		pipes = max(pipes, pipeRoom(pid))
	}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		t := time.NewTicker(often)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				look()
			}
		}
	})
	return func(to *sample) {
		close(stop)
		watching.Wait()
		look()
		to.RSS, to.PipeMem = slices.Max(rss), pipes
		if half := len(rss) / 2; half > 0 {
			growth := float64(slices.Max(rss[half:]) - slices.Max(rss[:half]))
			to.Growth = &growth
		}
	}
}

// getPipeSize is F_GETPIPE_SZ of fcntl(2), which the syscall package does not have.
const getPipeSize = 1032

// pipeRoom is how many bytes the pipes of a process have room for, all together:
// what is in them is the kernel's memory, which the resident size leaves out. A pipe
// that is closed at this moment is left out, and so are all to a user who may not
// open them.
func pipeRoom(pid int) (sum int64) {
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	d, err := os.Open(dir)
	if err != nil {
		return 0
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	seen := make(map[string]bool)
	for _, name := range names {
		to, _ := os.Readlink(dir + name)
		if !strings.HasPrefix(to, "pipe:") || seen[to] {
			continue
		}
		seen[to] = true
		fd, err := syscall.Open(dir+name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		if size, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), getPipeSize, 0); e == 0 {
			sum += int64(size)
		}
		syscall.Close(fd)
	}
	return sum
}
