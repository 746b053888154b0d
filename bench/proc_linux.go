package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// usage is what a process has used so far.
type usage struct {
	cpu         float64 // seconds
	involuntary int64
}

// usageOf reads the usage of a process from /proc: to the nanosecond as the sum over
// its threads, where the kernel has that, else to a tick of 10 ms. Threads that have
// ended are missing from the sum; Go's do not end, and those of the C loop stay.
func usageOf(pid int) (u usage, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return u, fmt.Errorf("process %d is gone", pid)
	}
	exact := true
	for _, t := range tasks {
		var ran int64
		text, err := os.ReadFile(t + "/schedstat")
		if err != nil {
			exact = false
		}
		fmt.Sscan(string(text), &ran)
		u.cpu += float64(ran) / 1e9
		status, _ := os.ReadFile(t + "/status")
		u.involuntary += field(status, "nonvoluntary_ctxt_switches:")
	}
	if !exact {
		u.cpu, err = ticksOf(pid)
	}
	return u, err
}

// faultsOf is how many page faults a process has had that took no disk.
func faultsOf(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from field 3 on, see proc(5)
	if len(fields) < 8 {
		return 0
	}
	n, _ := strconv.ParseInt(fields[7], 10, 64)
	return n
}

// tick is how long a tick of /proc is: 10 ms on every architecture that Go has.
const tick = 0.01

// ticksOf is the CPU time of a process in whole ticks.
func ticksOf(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:])) // from field 3 on, see proc(5)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return float64(user+system) * tick, nil
}

// field returns the number behind a word of a file of /proc; 0 without it.
func field(text []byte, word string) (n int64) {
	if i := bytes.Index(text, []byte(word)); i >= 0 {
		fmt.Sscan(string(text[i+len(word):]), &n)
	}
	return n
}

// busyTime is how long all processors together have been busy, in seconds: all that
// the first line of /proc/stat counts other than idling and waiting for disks.
func busyTime() float64 {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	var sum int64
	for i, f := range strings.Fields(line) {
		n, _ := strconv.ParseInt(f, 10, 64)
		if i >= 1 && i <= 8 && i != 4 && i != 5 { // user nice system idle iowait irq softirq steal
			sum += n
		}
	}
	return float64(sum) * tick
}

// descriptorsOf counts the descriptors of a process, and those that are ends of pipes.
func descriptorsOf(pid int) (all, pipes int) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	d, err := os.Open(dir)
	if err != nil {
		return 0, 0
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, name := range names {
		if to, _ := os.Readlink(dir + "/" + name); strings.HasPrefix(to, "pipe:") {
			pipes++
		}
	}
	return len(names), pipes
}

// residentOf is the memory of a process in bytes.
func residentOf(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return field(text, "VmRSS:") << 10
}

// thisMachine describes where the program runs.
func thisMachine() machine {
	m := machine{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	release, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // what follows names a build
	m.Kernel = "Linux " + version
	load, _ := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(load)); len(f) >= 3 {
		m.Load = strings.Join(f[:3], " ")
	}
	return m
}

// fsNames are the magic numbers of statfs(2) for the filesystems one is likely to meet.
var fsNames = map[int64]string{0xef53: "ext4", 0x01021994: "tmpfs", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x794c7630: "overlayfs"}

// filesystemOf names the filesystem of a directory.
func filesystemOf(dir string) string {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return "unknown"
	}
	if name := fsNames[int64(s.Type)&0xffffffff]; name != "" {
		return name
	}
	return fmt.Sprintf("filesystem %#x", s.Type)
}
