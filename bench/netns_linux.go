package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// A netns is a network namespace with a thread of this process in it. It has no
// name, so that it is gone with the last process in it, however that ends.
type netns struct {
	tid  int
	work chan func()
}

func newNetns() (*netns, error) {
	n := &netns{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := os.NewSyscallError("unshare", syscall.Unshare(syscall.CLONE_NEWNET))
		n.tid = syscall.Gettid()
		made <- err
		if err != nil {
			runtime.UnlockOSThread()
			return
		}
		for f := range n.work {
			f()
		}
		select {}
	}()
	return n, <-made
}

// do runs f in the namespace: sockets that it makes and processes that it starts
// are there. Without a namespace it just runs f.
func (n *netns) do(f func()) {
	if n == nil {
		f()
		return
	}
	done := make(chan struct{})
	n.work <- func() { defer close(done); f() }
	<-done
}

// close ends the work in the namespace. The thread stays, and the namespace with it:
// a thread that ends takes along all processes that were ever started on it (see
// start), those that it started before it was the namespace's among them.
func (n *netns) close() {
	if n != nil && n.work != nil {
		close(n.work)
	}
}

// congestionControl is the sysctl of what TCP sends by.
const congestionControl = "/proc/sys/net/ipv4/tcp_congestion_control"

// newPlace returns a network namespace with a loopback device where TCP sends as
// it is told. A new namespace may only have what all users may, reno for one.
func newPlace(ctx context.Context, congestion string) (n *netns, err error) {
	ip, err := exec.LookPath("ip")
	switch {
	case err != nil:
		return nil, errors.New("ip (of iproute2) is not installed")
	case os.Geteuid() != 0:
		return nil, errors.New("needs root, for a network namespace")
	}
	if n, err = newNetns(); err != nil {
		return nil, err
	}
	n.do(func() {
		var out []byte
		if out, err = exec.CommandContext(ctx, ip, "link", "set", "lo", "up").CombinedOutput(); err != nil {
			err = fmt.Errorf("ip link: %w: %s", err, bytes.TrimSpace(out))
			return
		}
		err = os.WriteFile(congestionControl, []byte(congestion), 0o644)
	})
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// congestionIn is what TCP sends by in a namespace.
func congestionIn(n *netns) (name string) {
	n.do(func() {
		text, _ := os.ReadFile(congestionControl)
		name = strings.TrimSpace(string(text))
	})
	return name
}
