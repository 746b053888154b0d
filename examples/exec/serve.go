package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcexec"
)

const (
	// waitDelay is how long a process that a command has left behind may keep the
	// connection, and a client that does not read may keep what was killed.
	waitDelay = time.Second
	// leaving is how long a client may take to close when it has got everything.
	leaving = 2 * time.Second
)

// A server runs the commands for each connection.
type server struct {
	options
	log    *log.Logger
	stderr io.Writer // of the commands

	mu            sync.Mutex
	conns, failed int
	in, out       int64 // bytes
}

// serve serves what ln accepts until stop is done, and returns when the last connection
// has ended. The end of ctx kills the commands.
func (s *server) serve(stop, ctx context.Context, ln net.Listener) {
	defer context.AfterFunc(stop, func() { ln.Close() })()
	var open sync.WaitGroup
	defer open.Wait()
	slots := make(chan struct{}, s.most)

	const shortest, longest = 5 * time.Millisecond, time.Second // as net/http waits
	for pause := shortest; ; {
		select {
		case slots <- struct{}{}:
		case <-stop.Done():
			return
		}
		conn, err := ln.Accept()
		if err == nil {
			open.Go(func() {
				defer func() { <-slots }()
				s.handle(ctx, conn.(*net.TCPConn))
			})
			pause = shortest
			continue
		}
		<-slots
		if errors.Is(err, net.ErrClosed) {
			return
		}
		// Out of descriptors, most likely; that passes when connections end.
		s.log.Printf("%v; next try in %v", err, pause)
		select {
		case <-time.After(pause):
		case <-stop.Done():
			return
		}
		pause = min(2*pause, longest)
	}
}

// handle runs the commands for conn.
func (s *server) handle(ctx context.Context, conn *net.TCPConn) {
	defer conn.Close()
	start := time.Now()
	p := s.pipeline(ctx, conn)
	run := s.splice
	if s.pass {
		run = s.passed
	}
	line, err := run(conn, p)
	s.ended(conn, start, line, p, err)
	if err != nil && slices.ContainsFunc(p, func(c *exec.Cmd) bool { return c.ProcessState == nil }) {
		conn.SetLinger(0) // nothing was started: the client shall not take it for an empty output
		return
	}
	leave(ctx, conn)
}

// pipeline returns the commands, which are to be started.
func (s *server) pipeline(ctx context.Context, conn *net.TCPConn) (p zcexec.Pipeline) {
	for _, args := range s.commands {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "REMOTE_ADDR="+conn.RemoteAddr().String())
		cmd.Stderr = s.stderr
		cmd.WaitDelay = waitDelay
		ownGroup(cmd)
		p = append(p, cmd)
	}
	return p
}

// splice runs p with the bytes spliced, and says how they went.
func (s *server) splice(conn *net.TCPConn, p zcexec.Pipeline) (line string, err error) {
	var off zerocopy.MechanismSet
	if s.plain {
		off = zerocopy.AllMechanisms
	}
	var in *zcexec.Input
	var came, went zerocopy.Report
	if s.stdin {
		in = zcexec.Stdin(p[0], conn)
		in.Copier = copier(off, &came)
	}
	out := zcexec.Stdout(p[len(p)-1], conn)
	out.Copier = copier(off, &went)

	err = p.Run()
	line = "out " + went.Summary()
	if in != nil {
		line += "; in " + came.Summary()
		if n := len(in.Unread()); n > 0 {
			line += fmt.Sprintf(", of which %d were not read", n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out += out.Written()
	if in != nil {
		s.in += in.Consumed()
	}
	return line, err
}

// copier returns the default with some mechanisms off, which reports to report.
func copier(off zerocopy.MechanismSet, report *zerocopy.Report) *zerocopy.Copier {
	c := zerocopy.Default().Clone()
	c.Disable |= off
	c.Report = func(r zerocopy.Report) { *report = r }
	return c
}

// passed runs p with the socket in the children's hands. While they have it, this
// process leaves it alone.
func (s *server) passed(conn *net.TCPConn, p zcexec.Pipeline) (line string, err error) {
	socket, err := zcexec.Pass(conn)
	if err != nil {
		return "", err
	}
	if s.stdin {
		p[0].Stdin = socket.File()
	}
	p[len(p)-1].Stdout = socket.File()
	err = p.Run()
	return "the socket was passed", cmp.Or(err, socket.Release())
}

// leave has the client see the end of its stream: bytes of it that were not read would
// make of Close a reset, which can overtake what was sent.
func leave(ctx context.Context, conn *net.TCPConn) {
	conn.CloseWrite()
	conn.SetReadDeadline(time.Now().Add(leaving))
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })()
	zerocopy.Copy(io.Discard, conn)
}

// ended prints the line of a connection and adds it to the summary.
func (s *server) ended(conn net.Conn, start time.Time, line string, p zcexec.Pipeline, err error) {
	var states []string
	for _, cmd := range p {
		state := "not started"
		if cmd.ProcessState != nil {
			state = cmd.ProcessState.String()
		}
		states = append(states, cmd.Args[0]+": "+state)
	}
	text := fmt.Sprintf("%v in %v: ", conn.RemoteAddr(), time.Since(start).Round(time.Millisecond))
	if line != "" {
		text += line + "; "
	}
	text += strings.Join(states, ", ")
	if err != nil {
		text += "; error: " + err.Error()
	}
	s.log.Print(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns++
	if err != nil {
		s.failed++
	}
}

// summary says what there was in all.
func (s *server) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("%d connections, %d with an error", s.conns, s.failed)
	if !s.pass {
		text += fmt.Sprintf("; %d bytes out, %d in", s.out, s.in)
	}
	return text
}
