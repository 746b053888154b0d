package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"
)

// patience is how long a command may take to end after SIGTERM.
const patience = 3 * time.Second

// startCommand has a shell run line and returns its standard output. What it
// writes to standard error goes to scr.
func startCommand(line string, scr *screen) (*source, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Stdout = w
	cmd.Stderr = scr
	cmd.WaitDelay = patience // for what the command leaves behind with its standard error
	ownGroup(cmd)
	err = cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}

	ended := make(chan struct{})
	var endErr error
	go func() {
		defer close(ended)
		endErr = cmd.Wait()
	}()
	// Once the pipe is closed nobody can write to it, but a command may go on without.
	stopped := false
	src := newSource(r, "the command")
	src.stop = func() time.Duration {
		select {
		case <-ended: // what it has left in the pipe is still to come
		default:
			stopped = true
			terminate(cmd)
		}
		return patience
	}
	src.close = func() error {
		r.Close()
		if !stopped {
			select {
			case <-ended: // the usual case: the end of its output was its own
			case <-time.After(patience):
				stopped = true
				terminate(cmd)
			}
		}
		select {
		case <-ended:
		case <-time.After(patience):
			kill(cmd)
			<-ended
		}
		if endErr != nil && !stopped {
			return fmt.Errorf("the command of -exec: %w", endErr)
		}
		return nil
	}
	return src, nil
}
