package zcexec

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A Pipeline is commands of which each reads what the one before it writes, as in a
// shell. The pipes connect the children with each other; nothing passes this process.
//
// The first command's Stdin, the last one's Stdout and everybody's Stderr may be set as
// one likes, by [Stdin], [Stdout] and [Stderr], too; what is between is set by Start.
// Each command keeps its own context, Cancel and WaitDelay: commands that shall end
// together are made with the same context.
//
// As with an exec.Cmd, a Pipeline is started once, and waited for once.
type Pipeline []*exec.Cmd

// A PipelineError says which commands of a [Pipeline] have failed. [errors.Is] and
// [errors.As] look at all errors, the first command's first.
type PipelineError struct {
	// Errs has an entry for each command, in their order, which is nil where the
	// command has succeeded or was not started.
	Errs []error

	cmds Pipeline
}

// Error names the commands and their errors.
func (e *PipelineError) Error() string {
	var parts []string
	for i, err := range e.Errs {
		if err != nil {
			parts = append(parts, fmt.Sprintf("command %d (%s): %v", i+1, e.cmds.name(i), err))
		}
	}
	return strings.Join(parts, "; ")
}

// Unwrap returns the errors that are not nil.
func (e *PipelineError) Unwrap() []error {
	var errs []error
	for _, err := range e.Errs {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// name is how the command at index i was called.
func (p Pipeline) name(i int) string {
	switch c := p[i]; {
	case c == nil:
		return "nil"
	case len(c.Args) > 0:
		return c.Args[0]
	default:
		return c.Path
	}
}

// failed returns the error of the command at index i alone.
func (p Pipeline) failed(i int, err error) error {
	e := &PipelineError{Errs: make([]error, len(p)), cmds: p}
	e.Errs[i] = err
	return e
}

var (
	errEmpty     = errors.New("zcexec: a Pipeline without commands")
	errNil       = errors.New("zcexec: nil command")
	errTwice     = errors.New("zcexec: the same command twice")
	errStdinSet  = errors.New("zcexec: Stdin already set")
	errStdoutSet = errors.New("zcexec: Stdout already set")
)

// Run is Start and Wait.
func (p Pipeline) Run() error {
	if err := p.Start(); err != nil {
		return err
	}
	return p.Wait()
}

// Start starts all commands, or none: if one cannot be started, those that were are
// killed and waited for, and the error is a *[PipelineError] with that one's alone. (Where a
// process that one of them has left behind keeps an output open, the end of that copy is not
// waited for longer than a second.)
//
// The last is started first. So, when another cannot be, none has been given a byte of
// the first one's Stdin.
func (p Pipeline) Start() error {
	if err := p.check(); err != nil {
		return err
	}
	var w *os.File // to the command that was started before
	for i := len(p) - 1; i >= 0; i-- {
		var err error
		if w, err = p.start(i, w); err != nil {
			p.kill(i + 1)
			return p.failed(i, err)
		}
	}
	return nil
}

// check reports what can be known to be wrong before anything is started.
func (p Pipeline) check() error {
	if len(p) == 0 {
		return errEmpty
	}
	seen := make(map[*exec.Cmd]bool, len(p))
	for i, c := range p {
		switch {
		case c == nil:
			return p.failed(i, errNil)
		case seen[c]:
			return p.failed(i, errTwice)
		case i > 0 && c.Stdin != nil:
			return p.failed(i, errStdinSet)
		case i < len(p)-1 && c.Stdout != nil:
			return p.failed(i, errStdoutSet)
		case c.Err != nil:
			return p.failed(i, c.Err)
		}
		seen[c] = true
	}
	return nil
}

// start starts the command at index i, whose output is w unless it is the last, and
// returns what the one before it is to write to. It closes w, and leaves nothing open
// when it fails.
func (p Pipeline) start(i int, w *os.File) (before *os.File, err error) {
	c := p[i]
	if w != nil {
		defer w.Close() // the child has its own
		c.Stdout = w
	}
	if i > 0 {
		var r *os.File
		if r, before, err = os.Pipe(); err != nil {
			return nil, err
		}
		defer r.Close()
		c.Stdin = r
	}
	if err = c.Start(); err != nil && before != nil {
		before.Close()
		before = nil
	}
	return before, err
}

// kill ends the commands from index i on, which were started, and waits for them. But a process
// that one of them has left behind may hold its output open for as long as it likes: the
// end of that copy is then left to a goroutine of its own.
func (p Pipeline) kill(i int) {
	for _, c := range p[i:] {
		c.Process.Kill()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.wait(i)
	}()
	select {
	case <-ended:
	case <-time.After(killDelay):
	}
}

// killDelay is for what is in the pipes of killed commands to be copied.
const killDelay = time.Second

// Wait waits for all commands, as each one's own Wait does, and closes what they have
// open here. It returns nil if all have succeeded, else a *[PipelineError]: as with a
// shell's pipefail, no failure is overlooked.
//
// But for one that is none: a command other than the last which SIGPIPE has ended has
// only seen that its reader wanted no more, as yes has in "yes | head". If there was
// more to it, the reader's own error says so. ProcessState of the command has the signal
// still.
func (p Pipeline) Wait() error {
	if len(p) == 0 {
		return errEmpty
	}
	errs := p.wait(0)
	failed := false
	for i, err := range errs {
		if i < len(p)-1 && diedOfPipe(err) {
			errs[i] = nil
		}
		failed = failed || errs[i] != nil
	}
	if failed {
		return &PipelineError{Errs: errs, cmds: p}
	}
	return nil
}

// wait waits for the commands at index from and behind it, all at once: each one's WaitDelay begins
// with its own end.
func (p Pipeline) wait(from int) []error {
	errs := make([]error, len(p))
	var all sync.WaitGroup
	for i := from; i < len(p); i++ {
		all.Go(func() {
			if p[i] == nil {
				errs[i] = errNil
				return
			}
			errs[i] = p[i].Wait()
		})
	}
	all.Wait()
	return errs
}
