package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// groupMemory is about twice what a contender with 256 streams holds, and
	// pressBytes is what it then has to read over and over: more than there is room for.
	groupMemory = 128 << 20
	pressBytes  = 192 << 20
	// groupCPU is a quarter of one processor: less than a contender uses that has 256
	// streams and half of a machine with two, so that it is stopped in most periods.
	groupCPU       = 25_000
	groupCPUPeriod = 100_000
)

// A knob sets a limit: the files with what is written to them, in this order, and
// where the kernel counts how often the group ran into it.
type knob struct {
	name    string // of the file that says it
	set     [][2]string
	count   string // file
	counted string // word before the number
}

// knobs are those of the two versions of control groups. Version 1 has no
// memory.high, at which a process is slowed and its memory taken back. Its limit
// takes memory back likewise, but does not slow and does not count what sockets hold.
var knobs = map[string]struct{ v1, v2 knob }{
	limitMemory: {
		v1: knob{"memory.limit_in_bytes", [][2]string{{"memory.limit_in_bytes", strconv.Itoa(groupMemory)}}, "memory.failcnt", ""},
		v2: knob{"memory.high", [][2]string{{"memory.high", strconv.Itoa(groupMemory)}}, "memory.events", "high "},
	},
	limitCPU: {
		v1: knob{"cpu.cfs_quota_us", [][2]string{
			{"cpu.cfs_period_us", strconv.Itoa(groupCPUPeriod)}, {"cpu.cfs_quota_us", strconv.Itoa(groupCPU)},
		}, "cpu.stat", "nr_throttled "},
		v2: knob{"cpu.max", [][2]string{{"cpu.max", fmt.Sprintf("%d %d", groupCPU, groupCPUPeriod)}}, "cpu.stat", "nr_throttled "},
	},
}

// A hierarchy is where groups with a controller can be made.
type hierarchy struct {
	dir string
	v2  bool
	// instead says why it is version 1: what the mounted version 2 has to offer.
	instead string
}

// mounts are the hierarchies of control groups that /proc/PID/mountinfo shows.
type mounts struct {
	v1 map[string]string // the directory of each controller
	v2 []string
}

func parseMounts(mountinfo string) mounts {
	m := mounts{v1: make(map[string]string)}
	for line := range strings.Lines(mountinfo) {
		place, kind, _ := strings.Cut(line, " - ") // see proc_pid_mountinfo(5)
		before, after := strings.Fields(place), strings.Fields(kind)
		if len(before) < 5 || len(after) < 3 {
			continue
		}
		switch after[0] {
		case "cgroup":
			for option := range strings.SplitSeq(after[2], ",") {
				m.v1[option] = before[4] // the others are no names of controllers
			}
		case "cgroup2":
			m.v2 = append(m.v2, before[4])
		}
	}
	return m
}

// find returns where groups with a controller can be made. A controller is in one
// hierarchy at a time. The error says where it was looked for.
func (m mounts) find(controller string) (hierarchy, error) {
	var seen []string
	for _, dir := range m.v2 {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
		if err == nil && slices.Contains(strings.Fields(string(text)), controller) {
			return hierarchy{dir: dir, v2: true}, nil
		}
		seen = append(seen, fmt.Sprintf("%s/cgroup.controllers has %q", dir, strings.TrimSpace(string(text))))
	}
	if len(seen) == 0 {
		seen = append(seen, "no cgroup2 is mounted")
	}
	if dir := m.v1[controller]; dir != "" {
		return hierarchy{dir: dir, instead: strings.Join(seen, "; ")}, nil
	}
	return hierarchy{}, fmt.Errorf("no controller %s: %s, and no cgroup of version 1 has it", controller, strings.Join(seen, "; "))
}

// hierarchyOf is find for this machine. Where no cgroup2 is mounted it mounts one.
func hierarchyOf(controller string) (hierarchy, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return hierarchy{}, err
	}
	m := parseMounts(string(text))
	if len(m.v2) == 0 && m.v1[controller] == "" {
		dir, err := mountGroups()
		if err != nil {
			return hierarchy{}, err
		}
		m.v2 = append(m.v2, dir)
	}
	return m.find(controller)
}

// mountGroups mounts a cgroup2 where nobody else sees it, and which is gone with this
// process, however that ends: it is detached at once and reached by a descriptor,
// which stays open.
func mountGroups() (string, error) {
	dir, err := os.MkdirTemp("", "zerocopy-bench-")
	if err != nil {
		return "", err
	}
	defer os.Remove(dir)
	if err := syscall.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		return "", os.NewSyscallError("mount cgroup2", err)
	}
	fd, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if e := syscall.Unmount(dir, syscall.MNT_DETACH); e != nil || err != nil {
		return "", errors.Join(err, e)
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
}

// groupPrefix and the process's id are a group's name, so that one which was left
// behind by a process that was killed can be told from one in use.
const groupPrefix = "zerocopy-bench-"

// A group is a control group with a limit.
type group struct {
	dir  string
	knob knob
	// undo takes back what was set in the group above.
	undo func()
}

// newGroup makes one with a limit in a hierarchy that has it.
func newGroup(h hierarchy, limit string) (g *group, err error) {
	sweepGroups(h.dir)
	g = &group{dir: filepath.Join(h.dir, groupPrefix+strconv.Itoa(os.Getpid())), knob: knobs[limit].v1, undo: func() {}}
	if h.v2 {
		g.knob = knobs[limit].v2
		if err := g.allow(h.dir, limit); err != nil {
			return nil, err
		}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		g.undo()
		return nil, err
	}
	for _, set := range g.knob.set {
		if err := os.WriteFile(filepath.Join(g.dir, set[0]), []byte(set[1]), 0o644); err != nil {
			g.remove()
			return nil, err
		}
	}
	return g, nil
}

// allow lets the groups in dir, of version 2, have a controller.
func (g *group) allow(dir, controller string) error {
	control := filepath.Join(dir, "cgroup.subtree_control")
	text, err := os.ReadFile(control)
	if err != nil || slices.Contains(strings.Fields(string(text)), controller) {
		return err
	}
	if err := os.WriteFile(control, []byte("+"+controller), 0o644); err != nil {
		return err
	}
	g.undo = func() { os.WriteFile(control, []byte("-"+controller), 0o644) }
	return nil
}

// join puts a process with all its threads into the group. What memory it has by
// then stays another's.
func (g *group) join(pid int) error {
	return os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644)
}

// hits is how often the group has run into its limit.
func (g *group) hits() int64 {
	text, _ := os.ReadFile(filepath.Join(g.dir, g.knob.count))
	return field(text, g.knob.counted)
}

// remove removes the group, whose processes have ended. That they have is seen in
// the group a moment later.
func (g *group) remove() error {
	defer g.undo()
	for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := syscall.Rmdir(g.dir)
		if err != syscall.EBUSY || time.Now().After(deadline) {
			return os.NewSyscallError("rmdir "+g.dir, err)
		}
	}
}

// sweepGroups removes the groups of processes that are no more. A group that is
// still in use cannot be removed.
func sweepGroups(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, groupPrefix+"*"))
	for _, path := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), groupPrefix))
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			syscall.Rmdir(path)
		}
	}
}

// limitAbout says which file sets the limit here, and why if it is not version 2's.
func limitAbout(limit string) string {
	h, err := hierarchyOf(limit)
	switch {
	case err != nil:
		return err.Error()
	case h.v2:
		return knobs[limit].v2.name
	}
	return fmt.Sprintf("%s of version 1; %s is not to be had, for %s", knobs[limit].v1.name, knobs[limit].v2.name, h.instead)
}
