package zcexec_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// What a connection is like after a copy that this package has ended.

// TestStdinLeavesNoDeadline: a command that ends before its silent source leaves a
// connection that can be read, whatever stands around it.
func TestStdinLeavesNoDeadline(t *testing.T) {
	t.Parallel()
	for name, around := range map[string]func(net.Conn) io.Reader{
		"bare":        func(c net.Conn) io.Reader { return c },
		"bufio":       func(c net.Conn) io.Reader { return bufio.NewReader(c) },
		"Progress":    func(c net.Conn) io.Reader { return zerocopy.Progress(c, func(int64) {}) },
		"MultiReader": func(c net.Conn) io.Reader { return io.MultiReader(c) },
		"zcnet.Conn":  func(c net.Conn) io.Reader { return zcnet.NewConn(c) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := ztest.TCPPair(t, ztest.TCP4)
			cmd := exec.Command("true")
			zcexec.Stdin(cmd, around(a))
			must(t, cmd.Start())
			must(t, ended(t, cmd))
			b.Write([]byte("after"))
			p := make([]byte, 5)
			if n, err := io.ReadFull(a, p); n != 5 || err != nil {
				t.Error(n, err)
			}
		})
	}
}

// TestStdinKeepsDeadline: a zcnet.Conn has again the deadline that its user has set.
func TestStdinKeepsDeadline(t *testing.T) {
	t.Parallel()
	a, _ := ztest.TCPPair(t, ztest.TCP4)
	c := zcnet.NewConn(a)
	for left := long; ; left *= 2 {
		c.SetReadDeadline(time.Now().Add(left))
		cmd := exec.Command("true")
		zcexec.Stdin(cmd, c)
		must(t, cmd.Start())
		err := ended(t, cmd)
		if left < ztest.Patience && errors.Is(err, os.ErrDeadlineExceeded) {
			continue // the command has taken longer
		}
		must(t, err)
		break
	}
	ztest.Within(t, ztest.Patience, "the user's deadline", func() {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestStdoutLeavesNoDeadline: nor does a WaitDelay leave one behind.
func TestStdoutLeavesNoDeadline(t *testing.T) {
	t.Parallel()
	for name, around := range map[string]func(net.Conn) io.Writer{
		"bare":     func(c net.Conn) io.Writer { return c },
		"Progress": func(c net.Conn) io.Writer { return zerocopy.ProgressWriter(c, func(int64) {}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := ztest.TCPPair(t, ztest.TCP4)
			cmd := exec.Command("sh", "-c", "yes & exit 0")
			cmd.WaitDelay = soon
			zcexec.Stdout(cmd, around(a))
			must(t, cmd.Start())
			if err := ended(t, cmd); !errors.Is(err, exec.ErrWaitDelay) {
				t.Error(err)
			}
			arriving := readAll(b)
			if _, err := a.Write([]byte("after")); err != nil {
				t.Error(err)
			}
			a.Close()
			arriving.all(t)
		})
	}
}

// TestSharedByHand: a field that is set to the destination behind the back of this package would
// have two goroutines write there at once, where os/exec has one. That is an error.
func TestSharedByHand(t *testing.T) {
	t.Parallel()
	var both bytes.Buffer
	cmd := exec.Command("echo", "text")
	zcexec.Stdout(cmd, &both)
	cmd.Stderr = &both
	must(t, cmd.Start())
	if err := ended(t, cmd); err == nil || !strings.Contains(err.Error(), "one destination") || both.Len() > 0 {
		t.Errorf("%v, %q", err, &both)
	}
}

// TestPassNil: a connection that is none is an error.
func TestPassNil(t *testing.T) {
	t.Parallel()
	for _, c := range []net.Conn{nil, (*net.TCPConn)(nil), (*net.UnixConn)(nil)} {
		if _, err := zcexec.Pass(c); !errors.Is(err, zcexec.ErrNotSocket) {
			t.Errorf("%T: %v", c, err)
		}
	}
}

// TestPipelineStartIsNotHeldUp: a process that a command has left behind with its output does not
// hold up a Start that fails.
func TestPipelineStartIsNotHeldUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	last := exec.Command("sh", "-c", "sleep 100 & echo $! > "+dir+"/pid; echo > "+dir+"/ready; cat")
	last.Stdout = new(bytes.Buffer)
	// It is started after the last one has left its process behind.
	first := exec.Command("true")
	first.Dir = dir + "/none"
	wait := exec.Command("sh", "-c", "true")
	p := zcexec.Pipeline{first}
	for range 100 { // time for the last one
		p = append(p, exec.Command("cat"))
	}
	p = append(p, wait, last)
	ztest.Within(t, 50*time.Second, "Start", func() {
		if err := p.Start(); err == nil {
			t.Error("it was started")
		}
	})
	if pid, err := os.ReadFile(dir + "/pid"); err == nil {
		exec.Command("kill", strings.TrimSpace(string(pid))).Run()
	} else {
		t.Log("the last command was killed before it left a process behind")
	}
}
