package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// roleVariable in the environment makes this program a child with that role.
const roleVariable = "ZEROCOPY_COMPARE_ROLE"

const (
	roleWorker = "worker"
	roleFeeder = "feeder"
	roleSink   = "sink"
	roleTracer = "tracer"
)

// controlFD is the child's end of the socket over which it is told what to do.
const controlFD = 3

// messageSize bounds an order or an answer.
const messageSize = 64 << 10

// playRole is the main function of a child. It returns the exit status.
func playRole(role string) int {
	signal.Ignore(os.Interrupt) // from a terminal it reaches the parent too, which then ends us
	parts := map[string]func(order, []int) answer{roleWorker: work, roleFeeder: feedOrder, roleSink: drainOrder}
	if role == roleTracer {
		return traceMain(os.Args[1], os.Args[2])
	}
	do := parts[role]
	if do == nil {
		fmt.Fprintf(os.Stderr, "compare: no role %q\n", role)
		return 2
	}
	if err := serve(do); err != nil {
		fmt.Fprintf(os.Stderr, "compare: %s: %v\n", role, err)
		return 1
	}
	return 0
}

// serve takes orders one after the other. The process ends as soon as the other
// end of the control socket is closed, also in the middle of an order, so that
// no child outlives its parent however that ends.
func serve(do func(order, []int) answer) error {
	f := os.NewFile(controlFD, "control")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return err
	}
	conn := c.(*net.UnixConn)
	type message struct {
		order
		fds []int
	}
	orders := make(chan message)
	go func() {
		for {
			var m message
			text, oob := make([]byte, messageSize), make([]byte, 256)
			n, oobn, _, _, err := conn.ReadMsgUnix(text, oob)
			if err == nil && n > 0 {
				m.fds, err = descriptors(oob[:oobn])
			}
			if err != nil || n == 0 || json.Unmarshal(text[:n], &m.order) != nil {
				os.Exit(0)
			}
			orders <- m
		}
	}()
	for m := range orders {
		text, err := json.Marshal(do(m.order, m.fds))
		if err != nil {
			return err
		}
		if _, err := conn.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// descriptors returns those that came with a message.
func descriptors(oob []byte) (fds []int, err error) {
	msgs, err := syscall.ParseSocketControlMessage(oob)
	for _, m := range msgs {
		got, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		fds = append(fds, got...)
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	return fds, err
}

// work is the worker's part: one copy, with the CPU time of this process around
// it. Opening and closing are not counted; what the kernel does for a socket in
// the name of the process that sends is.
func work(o order, fds []int) (a answer) {
	p, ok := findPair(o.Pair)
	if !ok {
		return answer{Err: "no pair " + o.Pair}
	}
	r, closeSrc, err := openSource(p, o, &fds)
	if err != nil {
		return answer{Err: err.Error()}
	}
	defer closeSrc.Close()
	w, closeDst, err := openDestination(p, o, &fds)
	if err != nil {
		return answer{Err: err.Error()}
	}
	defer closeDst.Close()

	copyFunc := io.Copy
	if o.Job.Who == ours {
		copyFunc = zerocopy.Copy
		if o.Job.Report {
			c := &zerocopy.Copier{Report: func(r zerocopy.Report) { a.Steps = stepsOf(r) }}
			copyFunc = func(w io.Writer, r io.Reader) (int64, error) { return c.Copy(context.Background(), w, r) }
		}
	}
	runtime.GC() // so that neither contender pays for what came before
	a.Start = time.Now().UnixNano()
	before := cpuTime()
	a.N, err = copyFunc(w, r)
	if p.finish != nil && err == nil {
		err = p.finish(w)
	}
	a.CPU = cpuTime() - before
	err = errors.Join(err, closeDst.Close())
	a.End = time.Now().UnixNano()
	if err != nil {
		a.Err = err.Error()
	}
	return a
}

// cpuTime is what this process has used, in user and in kernel mode. The sum is
// exact to the scheduler's clock even where its two parts are sampled.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // cannot fail with a valid pointer
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// openSource opens what an order of p is read from, wrapped as p says. It takes
// the descriptor from fds if one came for it.
func openSource(p pair, o order, fds *[]int) (io.Reader, io.Closer, error) {
	var r io.Reader
	var c io.Closer
	var err error
	switch {
	case p.src == memory:
		var b bytes.Buffer
		b.Grow(int(o.Job.N))
		err = feed(&b, o.Job.N, o.Job.Verify)
		r, c = bytes.NewReader(b.Bytes()), io.NopCloser(nil)
	case o.Src != "":
		var f *os.File
		f, err = os.Open(o.Src)
		r, c = f, f
	default:
		var s stream
		s, err = openStream(p.src, fds)
		r, c = s, s
	}
	if err == nil && p.reader != nil {
		r = p.reader(r, o.Job.N)
	}
	return r, c, err
}

// openDestination opens what an order of p is written to, likewise.
func openDestination(p pair, o order, fds *[]int) (io.Writer, io.Closer, error) {
	var s stream
	var err error
	if o.Dst != "" {
		s, err = os.Create(o.Dst)
	} else {
		s, err = openStream(p.dst, fds)
	}
	if err == nil && p.writer != nil {
		return p.writer(s), s, nil
	}
	return s, s, err
}

type stream = io.ReadWriteCloser

// openStream makes the type that a program has for a descriptor of kind k.
func openStream(k kind, fds *[]int) (stream, error) {
	if len(*fds) == 0 {
		return nil, errors.New("a descriptor is missing")
	}
	fd := (*fds)[0]
	*fds = (*fds)[1:]
	f := os.NewFile(uintptr(fd), string(k)) // in nonblocking mode, so the poller takes it
	if k != aTCP && k != aUnix {
		return f, nil
	}
	defer f.Close()
	return net.FileConn(f)
}

// feedOrder is the feeder's part: it writes what the worker is to read.
func feedOrder(o order, fds []int) (a answer) {
	p, _ := findPair(o.Pair)
	f := os.NewFile(uintptr(fds[0]), "source")
	defer f.Close()
	if err := feed(f, o.Job.N-int64(p.prefix), o.Job.Verify); err != nil {
		a.Err = "feeder: " + err.Error()
	}
	return a
}

// drainOrder is the sink's part: it reads all that arrives.
func drainOrder(o order, fds []int) (a answer) {
	f := os.NewFile(uintptr(fds[0]), "destination")
	defer f.Close()
	var h hash.Hash
	if o.Job.Verify {
		h = sha256.New()
	}
	for {
		n, err := f.Read(sinkBuffer)
		a.N += int64(n)
		if h != nil {
			h.Write(sinkBuffer[:n])
		}
		if err == io.EOF {
			break
		} else if err != nil {
			a.Err = "sink: " + err.Error()
			break
		}
	}
	a.End = time.Now().UnixNano()
	if h != nil {
		a.Sum = hex.EncodeToString(h.Sum(nil))
	}
	return a
}

// sinkBuffer is where all that arrives goes, small enough for a second-level cache.
var sinkBuffer = make([]byte, blockSize)
