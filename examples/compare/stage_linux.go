package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

var errUnsupported = errors.New("not supported") // never on Linux

// patience is how long one copy may take before its row is given up.
const patience = 30 * time.Second

// processes is the stage of one pair: a feeder, a sink and a worker, started
// when first needed. No end outlives a run in this process, for only then does
// the end of a stream reach its reader.
type processes struct {
	ctx                  context.Context
	pair                 pair
	depot                *depot
	feeder, sink, worker *child
	untraceable          bool
}

func newStage(ctx context.Context, p pair, d *depot) (stage, error) {
	return &processes{ctx: ctx, pair: p, depot: d}, nil
}

func (s *processes) close() {
	for _, c := range []*child{s.feeder, s.sink, s.worker} {
		if c != nil {
			c.stop()
		}
	}
}

// need starts the process for role into *c unless it runs.
func (s *processes) need(c **child, role string) (err error) {
	if *c == nil {
		*c, err = start(s.ctx, role)
	}
	return err
}

func (s *processes) run(j job) (outcome, error) {
	e, err := s.open(j)
	if err != nil {
		return outcome{}, err
	}
	defer e.close()
	if err := errors.Join(s.need(&s.feeder, roleFeeder), s.need(&s.sink, roleSink)); err != nil {
		return outcome{}, err
	}
	if j.Trace && !s.untraceable {
		o, err := s.traced(j, e)
		if !errors.Is(err, errUntraceable) {
			return o, err
		}
		s.untraceable = true
	}
	if err := s.need(&s.worker, roleWorker); err != nil {
		return outcome{}, err
	}
	return s.perform(j, e, s.worker)
}

// errUntraceable says that a traced worker could not even be started, so that
// the ends are as they were.
var errUntraceable = errors.New("tracing is not permitted")

// traced runs j in a worker of its own, under a tracer.
func (s *processes) traced(j job, e *ends) (outcome, error) {
	w, err := start(s.ctx, roleTracer, e.src.name(), e.dst.name())
	if err != nil {
		return outcome{}, err
	}
	// A tracer that may not trace says so before anything is handed to it.
	if a, err := w.receive(); err != nil || a.Err != "" {
		w.stop()
		return outcome{}, errUntraceable
	}
	o, err := s.perform(j, e, w)
	w.stop()
	if err != nil {
		return o, err
	}
	var t tally
	if err := json.Unmarshal(w.stdout.Bytes(), &t); err == nil && t.Err == "" {
		o.Seen = &t
	}
	return o, nil
}

// perform hands the ends to their processes, closes them here, and waits until
// all is copied.
func (s *processes) perform(j job, e *ends, worker *child) (o outcome, err error) {
	ord := order{Job: j, Pair: s.pair.name, Src: e.src.path, Dst: e.dst.path}
	var fed, read, copied answer
	err = errors.Join(
		s.sink.sendIf(e.out != nil, ord, e.out),
		worker.send(ord, e.src, e.dst),
		s.feeder.sendIf(e.in != nil, ord, e.in),
	)
	e.close()
	if err != nil {
		return o, err
	}
	if copied, err = worker.receive(); err != nil {
		return o, fmt.Errorf("worker: %w", err)
	}
	end := copied.End
	if e.out != nil {
		if read, err = s.sink.receive(); err != nil {
			return o, fmt.Errorf("sink: %w", err)
		}
		end = read.End
	} else if j.Verify {
		read.N, read.Sum, err = hashFile(e.dst.path)
	} else {
		read.N, err = fileSize(e.dst.path)
	}
	if err != nil {
		return o, err
	}
	if e.in != nil {
		if fed, err = s.feeder.receive(); err != nil {
			return o, fmt.Errorf("feeder: %w", err)
		}
	}
	switch {
	case copied.Err != "":
		return o, errors.New(copied.Err)
	case fed.Err != "" || read.Err != "":
		return o, fmt.Errorf("beside the copy: %s%s", fed.Err, read.Err)
	case copied.N != j.N || read.N != j.N:
		return o, fmt.Errorf("%d bytes were sent, the copy says %d, %d arrived", j.N, copied.N, read.N)
	}
	return outcome{CPU: copied.CPU, Wall: time.Duration(end - copied.Start), Steps: copied.Steps, Sum: read.Sum}, nil
}

func fileSize(path string) (int64, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// An end is a descriptor to hand over, or the path of a file to open.
type end struct {
	fd   syscall.Conn
	path string
}

// name returns what /proc/PID/fd shows for the end, in any process.
func (e *end) name() string {
	name := e.path // which has no symbolic link in it, see run
	if e.fd != nil {
		e.withFD(func(fd int) { name, _ = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd)) })
	}
	return name
}

func (e *end) withFD(f func(int)) error {
	rc, err := e.fd.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(func(fd uintptr) { f(int(fd)) })
}

// ends are those of one copy: what the feeder writes and the worker reads, what
// the worker writes and the sink reads. in and out are nil where no process is
// needed there.
type ends struct{ in, src, dst, out *end }

func (e *ends) close() {
	for _, x := range []*end{e.in, e.src, e.dst, e.out} {
		if x != nil && x.fd != nil {
			x.fd.(io.Closer).Close()
		}
	}
}

// open makes the ends for a job.
func (s *processes) open(j job) (e *ends, err error) {
	e = new(ends)
	switch s.pair.src {
	case aFile, aGzip:
		path, err := s.depot.source(s.pair.src, j.N, j.Verify)
		if err != nil {
			return nil, err
		}
		e.src = &end{path: path}
	case aZero:
		e.src = &end{path: "/dev/zero"}
	case memory:
		e.src = &end{}
	default:
		if e.src, e.in, err = open(s.pair.src); err != nil {
			return nil, err
		}
	}
	if s.pair.dst == aFile {
		e.dst = &end{path: s.depot.destination()}
	} else if e.out, e.dst, err = open(s.pair.dst); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// open makes a stream of kind k. All descriptors are in nonblocking mode, as
// those of os and net are.
func open(k kind) (r, w *end, err error) {
	switch k {
	case aPipe:
		pr, pw, err := os.Pipe()
		if err != nil {
			return nil, nil, err
		}
		return &end{fd: pr}, &end{fd: pw}, nil
	case aUnix:
		fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, nil, os.NewSyscallError("socketpair", err)
		}
		return &end{fd: os.NewFile(uintptr(fds[0]), "unix")}, &end{fd: os.NewFile(uintptr(fds[1]), "unix")}, nil
	case aTCP, aSocket:
		return openTCP()
	}
	return nil, nil, fmt.Errorf("no stream of kind %s", k)
}

func openTCP() (r, w *end, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	a, err := l.Accept()
	if err != nil {
		c.Close()
		return nil, nil, err
	}
	return &end{fd: a.(*net.TCPConn)}, &end{fd: c.(*net.TCPConn)}, nil
}

// A child is this program, run again in a role, with one end of a socket that
// keeps the bounds of messages as descriptor 3. It exits when that is closed, as
// it is by the end of the context, too.
type child struct {
	ctx    context.Context
	cmd    *exec.Cmd
	conn   *net.UnixConn
	stdout bytes.Buffer // complete after stop
}

func start(ctx context.Context, role string, args ...string) (*child, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer theirs.Close()
	conn, err := net.FileConn(mine)
	mine.Close()
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		conn.Close()
		return nil, err
	}
	c := &child{ctx: ctx, cmd: exec.CommandContext(ctx, exe, args...), conn: conn.(*net.UnixConn)}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	c.cmd.ExtraFiles = []*os.File{theirs}
	c.cmd.Stdout = &c.stdout
	c.cmd.Stderr = os.Stderr
	c.cmd.Cancel = c.conn.Close // which ends it; killing a tracer could leave its worker stopped for ever
	c.cmd.WaitDelay = 2 * time.Second
	if err := c.cmd.Start(); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// stop ends the process and waits until it is gone.
func (c *child) stop() {
	c.conn.Close()
	defer time.AfterFunc(2*time.Second, func() { c.cmd.Process.Kill() }).Stop()
	c.cmd.Wait() // its status says nothing that its answers did not
}

// An order is a job as it is told to a child.
type order struct {
	Job      job
	Pair     string
	Src, Dst string // paths; descriptors come with the message
}

// An answer is what a child says when its part of an order is done.
type answer struct {
	N          int64
	CPU        time.Duration
	Start, End int64 // UnixNano, of one clock in all processes
	Sum        string
	Steps      []step
	Err        string
}

// send tells c an order and hands it the ends that have a descriptor.
func (c *child) send(o order, ends ...*end) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	var fds []int
	for _, e := range ends {
		if e.fd != nil {
			// The number stays valid: nobody but perform closes an end, later.
			if err := e.withFD(func(fd int) { fds = append(fds, fd) }); err != nil {
				return err
			}
		}
	}
	_, _, err = c.conn.WriteMsgUnix(text, syscall.UnixRights(fds...), nil)
	return err
}

func (c *child) sendIf(ok bool, o order, ends ...*end) error {
	if !ok {
		return nil
	}
	return c.send(o, ends...)
}

// receive waits for c's answer, with patience, and no longer than the context.
func (c *child) receive() (a answer, err error) {
	c.conn.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, messageSize)
	n, err := c.conn.Read(buf)
	if c.ctx.Err() != nil {
		return a, c.ctx.Err()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return a, fmt.Errorf("nothing came back within %v", patience)
	}
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(buf[:n], &a)
}
