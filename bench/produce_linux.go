package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// prepare makes the relay a producer, whose destination is descriptor 4.
func (r *relay) prepare(q request) error {
	dst, err := destination(q)
	if err != nil {
		return err
	}
	p := &producer{recipe: recipe{q.Size, q.Way, q.Huge, q.Mode == modeSmall}, dst: dst, step: q.Size}
	for _, v := range producers {
		if v.name == q.Variant {
			r.make = p
			return v.new(p, dst)
		}
	}
	return errors.New("no contender " + q.Variant)
}

// destination is what a stream is made for. It is nonblocking, as the ends are that
// packages os and net make, except for one that shall not be.
func destination(q request) (io.WriteCloser, error) {
	if err := syscall.SetNonblock(listenerFD, q.Variant != byBlocking); err != nil {
		return nil, err
	}
	f := os.NewFile(listenerFD, "destination")
	if q.Mode != modeTCP {
		return f, nil
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// run makes the stream for the time given, or so many bytes of it, and ends it.
func (p *producer) run(q request) (a response) {
	var stop atomic.Bool
	if q.Bytes == 0 {
		defer time.AfterFunc(q.For, func() { stop.Store(true) }).Stop()
	}
	before := mallocs()
	var err error
	for err == nil && !stop.Load() && (q.Bytes == 0 || a.Bytes < q.Bytes) {
		n := p.step
		if q.Bytes > 0 {
			n = int(min(int64(n), q.Bytes-a.Bytes))
		}
		err = p.send(a.Bytes, n)
		a.Bytes += int64(n)
	}
	a.Mallocs, a.Ops = mallocs()-before, (a.Bytes+int64(p.piece)-1)/int64(p.piece)
	lent, ended := p.end()
	a.Lent = lent
	return outcome(a, errors.Join(err, ended, p.dst.Close()))
}

// take reads what descriptor 4 brings, with one read(2) after the other.
func take(q request) (a response) {
	f := os.NewFile(listenerFD, "source")
	defer f.Close()
	var h hash.Hash
	if q.Mode == sinkHash {
		h = sha256.New()
	}
	for buf := make([]byte, chunk); ; {
		n, err := f.Read(buf)
		if h != nil {
			h.Write(buf[:n])
		}
		a.Bytes += int64(n)
		if err == nil {
			continue
		}
		if h != nil {
			a.Sum = hex.EncodeToString(h.Sum(nil))
		}
		if err != io.EOF {
			return failed(err)
		}
		return a
	}
}

// An outlet is a destination for a contender, and who reads what arrives there.
type outlet struct {
	dst    *os.File // blocking; the contender's descriptor
	reader int      // process; 0 on another host
	all    func(context.Context) (response, error)
	close  func()
}

// outlet makes the destination of a job.
func (s *session) outlet(ctx context.Context, j job) (*outlet, error) {
	mode := sinkRead
	if j.verify {
		mode = sinkHash
	}
	if j.spec.Mode == modeTCP {
		return s.connection(ctx, mode)
	}
	return pipeOf(j.Pipe, mode)
}

// setPipeSize is F_SETPIPE_SZ of fcntl(2), which the syscall package does not have.
const setPipeSize = 1031

// pipeOf makes a pipe that holds so much, with a process that reads it.
func pipeOf(size int, mode string) (*outlet, error) {
	var p [2]int
	if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("pipe2", err)
	}
	src, dst := os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe")
	defer src.Close()
	room, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(p[1]), setPipeSize, uintptr(size))
	if e != 0 || int(room) != size {
		dst.Close()
		return nil, skip(fmt.Sprintf("a pipe of %d bytes is not to be had: %v", size, e))
	}
	c, err := startRole(rolePeer, src)
	if err != nil {
		dst.Close()
		return nil, err
	}
	return &outlet{
		dst: dst, reader: c.cmd.Process.Pid,
		all:   func(ctx context.Context) (response, error) { return c.call(ctx, request{Op: "take", Mode: mode}) },
		close: func() { dst.Close(); c.stop() },
	}, nil
}

// connection opens a connection to the session's sink.
func (s *session) connection(ctx context.Context, mode string) (*outlet, error) {
	a, err := s.sink.call(ctx, request{Op: "listen", Mode: mode})
	if err != nil {
		return nil, err
	}
	var f *os.File
	s.place.do(func() {
		var d net.Dialer
		var c net.Conn
		if c, err = d.DialContext(ctx, "tcp", a.Addr); err == nil {
			f, err = c.(*net.TCPConn).File()
			c.Close()
		}
	})
	if err == nil {
		err = syscall.SetNonblock(int(f.Fd()), false)
	}
	o := &outlet{
		dst: f,
		all: func(ctx context.Context) (response, error) {
			return s.sink.call(ctx, request{Op: "collect", Streams: 1})
		},
		close: func() { f.Close(); s.sink.call(ctx, request{Op: "close"}) },
	}
	if s.client == "" {
		o.reader = s.children[1].cmd.Process.Pid
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

// produce has a contender make a stream and waits until all has arrived.
func (s *session) produce(ctx context.Context, j job, q request) (out sample, err error) {
	if why := s.missing[j.Variant]; why != "" {
		return out, skip(why)
	}
	o, err := s.outlet(ctx, j)
	if err != nil {
		return out, err
	}
	defer o.close()
	q.Bytes, q.For = s.sending(j).Bytes, s.sending(j).For
	r, err := s.startProducer(ctx, o.dst, q)
	if err != nil {
		return out, err
	}
	defer r.stop()
	o.dst.Close() // the contender's is the only one
	time.Sleep(settleTime)

	type arrival struct {
		response
		err error
		at  time.Time
	}
	arrived := make(chan arrival, 1)
	go func() {
		a, err := o.all(ctx)
		arrived <- arrival{a, err, time.Now()}
	}()
	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	faults := faultsOf(r.pid())
	var reader usage
	if o.reader != 0 {
		if reader, err = usageOf(o.reader); err != nil {
			return out, err
		}
	}
	held := holdingsOf(r.pid(), min(s.span(j)/2, 100*time.Millisecond))
	began := time.Now()
	made, err := r.make(ctx, q)
	got := <-arrived
	held(&out)
	if err := cmp.Or(err, got.err, m.read(&out)); err != nil {
		return out, err
	}
	faults = faultsOf(r.pid()) - faults
	out.Faults, out.Bytes, out.Seconds = &faults, got.Bytes, got.at.Sub(began).Seconds()
	if o.reader != 0 {
		u, err := usageOf(o.reader)
		if err != nil {
			return out, err
		}
		out.Reader = u.cpu - reader.cpu
	}
	if made != nil {
		if made.Bytes != got.Bytes {
			return out, fmt.Errorf("%d of %d bytes arrived", got.Bytes, made.Bytes)
		}
		allocs := float64(made.Mallocs) / float64(made.Ops)
		out.Allocs = &allocs
		if j.Variant == byPages {
			part := float64(made.Lent) / float64(made.Bytes)
			out.Lent = &part
		}
	} else if j.Way == wayZerocopy || j.Way == waySame {
		if out.Lent, err = r.uncopied(); err != nil {
			return out, err
		}
	}
	switch {
	case q.Bytes > 0 && got.Bytes != q.Bytes:
		return out, fmt.Errorf("%d of %d bytes arrived", got.Bytes, q.Bytes)
	case j.verify && got.Sum != sumOf(got.Bytes, isOnce(j.contender)):
		return out, errors.New("other bytes arrived than were made")
	}
	return out, nil
}

// isOnce reports whether the stream of a contender repeats what was filled once.
func isOnce(c contender) bool {
	return c.Variant == byConstant || c.Way == wayChild || c.Variant == byPagesLimit && (c.Way == wayConstant || c.Way == waySame)
}

// A making is a contender that makes a stream.
type making struct {
	*running
	// make has it do so; what it answers is nil for a program in C, which may have said
	// something instead.
	make func(ctx context.Context, q request) (*response, error)
	said *words
}

// uncopied returns the part of the sends with MSG_ZEROCOPY that the kernel did not
// copy. The program says so before it ends the stream.
func (m *making) uncopied() (*float64, error) {
	for began := time.Now(); time.Since(began) < patience; time.Sleep(time.Millisecond) {
		var sends, copied float64
		if n, _ := fmt.Sscanf(m.said.String(), "%f sends, %f copied\n", &sends, &copied); n == 2 {
			part := 1 - copied/sends
			return &part, nil
		}
	}
	return nil, errors.New("it does not say how much was copied")
}

// startProducer starts the contender, with dst as its destination.
func (s *session) startProducer(ctx context.Context, dst *os.File, q request) (*making, error) {
	if q.Variant == byPagesLimit {
		return startPagesLimit(s.limits[q.Variant], dst, q)
	}
	c, err := startRole(roleRelay, dst)
	if err != nil {
		return nil, err
	}
	q.Op = "setup"
	if _, err := c.call(ctx, q); err != nil {
		c.stop()
		return nil, err
	}
	return &making{running: &running{child: c}, make: func(ctx context.Context, q request) (*response, error) {
		q.Op = "produce"
		a, err := c.call(ctx, q)
		return &a, err
	}}, nil
}

// startPagesLimit starts limit/pages.c. A byte has it begin, and a second one end.
func startPagesLimit(path string, dst *os.File, q request) (*making, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	huge := 0
	if q.Huge {
		huge = 1
	}
	cmd, said := exec.Command(path, q.Way, fmt.Sprint(q.Size), fmt.Sprint(huge), fmt.Sprint(q.Bytes)), new(words)
	cmd.Stdout = said
	c, err := start(cmd, dst, r)
	if err != nil {
		w.Close()
		return nil, err
	}
	c.alive = w
	return &making{said: said, running: &running{child: c}, make: func(ctx context.Context, q request) (*response, error) {
		_, err := w.Write([]byte{0})
		if err != nil || q.Bytes > 0 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(q.For):
		}
		_, err = w.Write([]byte{0})
		return nil, err
	}}, nil
}
