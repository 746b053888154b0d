//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup has cmd and all that it starts be a process group: an interrupt typed at the
// terminal is for this program alone to act upon, and a kill reaches what a shell has
// started.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
