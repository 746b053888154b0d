package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	rolePeer  = "peer"  // source or sink, see peer
	roleRelay = "relay" // a contender, see relay
	roleLine  = "line"  // the long way between two network namespaces, see line
	roleWeb   = "web"   // a contender over HTTP, or the server behind one, see web
)

// Descriptors that a child finds open.
const (
	controlFD  = 3 // a stream of requests and responses
	listenerFD = 4 // of a relay; the destination of one that makes a stream, or what a peer is to take
)

// patience is how long a child may take for what it was told, besides the time
// that it was told to take.
const patience = 60 * time.Second

// A request tells a child what to do. Each Op uses some of the fields.
type request struct {
	Op string `json:"op"`

	// Of a peer.
	Mode    string        `json:"mode,omitempty"`
	Addr    string        `json:"addr,omitempty"`
	Streams int           `json:"streams,omitempty"`
	Bytes   int64         `json:"bytes,omitempty"`
	Reply   int           `json:"reply,omitempty"`
	For     time.Duration `json:"for,omitempty"`
	Hash    bool          `json:"hash,omitempty"`
	Keep    bool          `json:"keep,omitempty"` // leave the connections open, and without an end

	// Of a relay.
	Variant string `json:"variant,omitempty"`
	Target  string `json:"target,omitempty"`
	Path    string `json:"path,omitempty"`
	Size    int    `json:"size,omitempty"`
	UID     int    `json:"uid,omitempty"`
	End     string `json:"end,omitempty"`     // of a copy: endSource or endDestination
	Sinks   int    `json:"sinks,omitempty"`   // sockets of a fan
	Stopped int    `json:"stopped,omitempty"` // of these, the first so many
	Policy  string `json:"policy,omitempty"`  // towards those
	Way     string `json:"way,omitempty"`     // of making a stream
	Huge    bool   `json:"huge,omitempty"`    // with huge pages

	// Of a line.
	Links [2]string     `json:"links,omitzero"`
	Delay time.Duration `json:"delay,omitempty"`
}

// A response is the answer to a request.
type response struct {
	Err     string        `json:"err,omitempty"`
	Addr    string        `json:"addr,omitempty"`
	Bytes   int64         `json:"bytes,omitempty"`
	Streams []int64       `json:"streams,omitempty"` // bytes of each
	Ops     int64         `json:"ops,omitempty"`
	Elapsed time.Duration `json:"elapsed,omitempty"`
	P50     time.Duration `json:"p50,omitempty"`
	P99     time.Duration `json:"p99,omitempty"`
	P999    time.Duration `json:"p999,omitempty"`
	Sum     string        `json:"sum,omitempty"`
	Sums    []string      `json:"sums,omitempty"` // of each stream
	Mallocs uint64        `json:"mallocs,omitempty"`
	Lent    int64         `json:"lent,omitempty"` // bytes
	CPU     time.Duration `json:"cpu,omitempty"`
	Gap     time.Duration `json:"gap,omitempty"`
	Watched *Observed     `json:"watched,omitempty"`
}

// An rpc is the asking end of a control stream. Requests are answered one after
// the other.
type rpc struct {
	mu   sync.Mutex
	conn net.Conn
	dec  *json.Decoder
}

func newRPC(conn net.Conn) *rpc { return &rpc{conn: conn, dec: json.NewDecoder(conn)} }

// call sends q and waits for the answer. An error of the other side is an error.
// After an error of the stream, the end of ctx included, the rpc is of no more use.
func (r *rpc) call(ctx context.Context, q request) (a response, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return a, err
	}
	r.conn.SetDeadline(time.Now().Add(q.For + patience))
	defer context.AfterFunc(ctx, func() { r.conn.SetDeadline(time.Unix(1, 0)) })()
	text, err := json.Marshal(q)
	if err == nil {
		_, err = r.conn.Write(append(text, '\n'))
	}
	if err == nil {
		err = r.dec.Decode(&a)
	}
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case err != nil:
		return a, fmt.Errorf("%s: %w", q.Op, err)
	case a.Err != "":
		return a, fmt.Errorf("%s: %s", q.Op, a.Err)
	}
	return a, nil
}

// serve answers the requests that arrive on the control stream until it ends.
// Then the process does, also in the middle of a request, so that no child
// outlives its parent however that ends.
func serve(conn net.Conn, do func(request) response) {
	requests := make(chan request)
	go func() {
		dec := json.NewDecoder(conn)
		for {
			var q request
			if dec.Decode(&q) != nil {
				os.Exit(0)
			}
			requests <- q
		}
	}()
	enc := json.NewEncoder(conn)
	for q := range requests {
		if enc.Encode(do(q)) != nil {
			os.Exit(0)
		}
	}
}

// playRole is the main function of a child.
func playRole(role string) {
	if role == roleSpew {
		spew(os.Args[1])
	}
	signal.Ignore(os.Interrupt, syscall.SIGTERM) // the parent ends us
	f := os.NewFile(controlFD, "control")
	conn, err := net.FileConn(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: control:", err)
		os.Exit(1)
	}
	f.Close()
	switch role {
	case rolePeer:
		p := &peer{host: "127.0.0.1"}
		if a, ok := conn.LocalAddr().(*net.TCPAddr); ok {
			p.host = a.IP.String()
		}
		serve(conn, p.do)
	case roleRelay:
		serve(conn, new(relay).do)
	case roleLine:
		serve(conn, new(line).do)
	case roleWeb:
		serve(conn, new(web).do)
	}
	fmt.Fprintf(os.Stderr, "bench: no role %q\n", role)
	os.Exit(2)
}

// A child is a process that this one has started.
type child struct {
	*rpc  // nil for a program that is not this one
	cmd   *exec.Cmd
	alive *os.File // closed when it shall end, or nil
}

// start runs a program in a process group of its own, where a terminal's
// interrupt does not reach it, and which dies with this process. The extra files
// are its descriptors from 3 on.
func start(cmd *exec.Cmd, extra ...*os.File) (*child, error) {
	cmd.ExtraFiles = extra
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &child{cmd: cmd}, nil
}

// startRole runs this program again in a role, with a control stream.
func startRole(role string, extra ...*os.File) (*child, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer mine.Close()
	defer theirs.Close()
	conn, err := net.FileConn(mine)
	if err != nil {
		return nil, err
	}
	c, err := startRoleOn(role, theirs, extra...)
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.rpc = newRPC(conn)
	return c, nil
}

// startRoleOn is startRole with a control stream that is there already.
func startRoleOn(role string, control *os.File, extra ...*os.File) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return start(cmd, append([]*os.File{control}, extra...)...)
}

// stop ends the process and waits until it is gone.
func (c *child) stop() {
	if c.rpc != nil {
		c.conn.Close()
	}
	if c.alive != nil {
		c.alive.Close()
	}
	c.cmd.Process.Kill()
	c.cmd.Wait() // its status says nothing that its answers did not
}

// mayOpen is raiseFiles, once.
var mayOpen = sync.OnceValue(raiseFiles)

// enoughFiles is for 10,000 tunnels, of two descriptors each, and what there is besides.
const enoughFiles = 20_000 + 1_000

// raiseFiles raises the number of descriptors that this process and its children
// may have open as far as that is allowed, and returns it. (The net package does
// it too, but hands the former limit on to children.)
func raiseFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	wide := syscall.Rlimit{Cur: enoughFiles, Max: enoughFiles}
	if l.Max < wide.Max && syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wide) == nil { // as root
		return enoughFiles
	}
	l.Cur = l.Max
	syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l)
	return uint64(l.Cur)
}

// failed makes an error a response.
func failed(err error) response {
	if errors.Is(err, syscall.EMFILE) {
		return response{Err: err.Error() + " (raise ulimit -n)"}
	}
	return response{Err: err.Error()}
}
