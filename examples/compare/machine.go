package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A machine is where and when something was measured. What cannot be found out
// is "".
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	System string `json:"system"`
	Go     string `json:"go"`
	Date   string `json:"date"`
	// Files is the type of the filesystem that the files were on.
	Files string `json:"files"`
	// Load is how many processes wanted to run during the minute before.
	Load string `json:"load"`
	// Switch is ZEROCOPY of the environment, which turns mechanisms off.
	Switch string `json:"zerocopy,omitempty"`
}

// lookAround describes this machine, on which files are kept in dir.
func lookAround(dir string) machine {
	m := machine{
		Cores:  runtime.NumCPU(),
		System: runtime.GOOS + "/" + runtime.GOARCH,
		Go:     runtime.Version(),
		Date:   time.Now().Format("2006-01-02 15:04 -0700"),
		Kernel: strings.TrimSpace(slurp("/proc/sys/kernel/osrelease")),
		Files:  filesystem(slurp("/proc/self/mountinfo"), dir),
		Switch: os.Getenv("ZEROCOPY"),
	}
	for line := range strings.Lines(slurp("/proc/cpuinfo")) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	if f := strings.Fields(slurp("/proc/loadavg")); len(f) > 0 {
		m.Load = f[0]
	}
	return m
}

// filesystem returns the type of the filesystem that dir is on, by the text of
// /proc/self/mountinfo, see proc_pid_mountinfo(5). Of equal mount points the
// last is on top.
func filesystem(mountinfo, dir string) (fstype string) {
	best := ""
	for line := range strings.Lines(mountinfo) {
		left, right, _ := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if len(l) < 5 || len(r) < 1 {
			continue
		}
		at := l[4]
		if rel, err := filepath.Rel(at, dir); err == nil && !strings.HasPrefix(rel, "..") && len(at) >= len(best) {
			best, fstype = at, r[0]
		}
	}
	return fstype
}

func slurp(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}
