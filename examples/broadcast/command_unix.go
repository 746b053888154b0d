//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup has cmd and all that it starts be a process group: a signal reaches
// what a shell has started, and an interrupt typed at the terminal is for this
// program alone to act upon.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func terminate(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
func kill(cmd *exec.Cmd)      { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
