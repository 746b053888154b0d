package main

import (
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"

	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
)

// spew is the main function of a child with roleSpew. It writes so many bytes to standard
// output: what was filled once, again and again.
func spew(bytes string) {
	n, err := strconv.ParseInt(bytes, 10, 64)
	p := make([]byte, onceBytes)
	fill(p, 0)
	for off := 0; n > 0 && err == nil; off = (off + execPieces) % onceBytes {
		var k int
		k, err = os.Stdout.Write(p[off:][:min(n, execPieces)])
		n -= int64(k)
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

// Of a child, see control_linux.go.
const (
	// roleVariable in the environment makes this program a child with that role.
	roleVariable = "ZEROCOPY_BENCH_ROLE"
	roleSpew     = "spew" // writes as many bytes as its argument says, see spew
)

// childTo returns a producer's new: children write the stream, one after the other, and
// connect says how each one's output gets to dst.
func childTo(connect func(cmd *exec.Cmd, dst io.Writer) (after func() error, err error)) func(*producer, io.Writer) error {
	return func(p *producer, dst io.Writer) error {
		exe, err := os.Executable()
		if err != nil {
			return err
		}
		p.step = execSpan
		p.send = func(_ int64, n int) error {
			cmd := exec.Command(exe, strconv.Itoa(n))
			cmd.Env = append(os.Environ(), roleVariable+"="+roleSpew)
			after, err := connect(cmd, dst)
			if err != nil {
				return err
			}
			err = cmd.Run()
			if e := after(); err == nil {
				err = e
			}
			return err
		}
		p.end = func() (int64, error) { return 0, nil }
		return nil
	}
}

func nothing() error { return nil }

var (
	execTo = childTo(func(cmd *exec.Cmd, dst io.Writer) (func() error, error) {
		cmd.Stdout = dst
		return nothing, nil
	})
	zcexecTo = childTo(func(cmd *exec.Cmd, dst io.Writer) (func() error, error) {
		zcexec.Stdout(cmd, dst)
		return nothing, nil
	})
	passedTo = childTo(func(cmd *exec.Cmd, dst io.Writer) (func() error, error) {
		s, err := zcexec.Pass(dst.(net.Conn))
		if err != nil {
			return nil, err
		}
		cmd.Stdout = s.File()
		return s.Release, nil
	})
)
