package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"sync"
)

// runAll runs the cases one after the other into res and returns how many
// contenders have failed. It stops at the end of ctx, with what is there by then.
func (s *session) runAll(ctx context.Context, chosen []spec, res *result, show *progress) (failures int) {
	for _, c := range chosen {
		if ctx.Err() != nil {
			break
		}
		r := s.runCase(ctx, c, show)
		for _, who := range r.Contenders {
			if who.failed {
				failures++
			}
		}
		if ctx.Err() != nil && len(r.Contenders[0].Samples) == 0 {
			break
		}
		res.Cases = append(res.Cases, r)
		for _, b := range c.Bounds {
			v := b.judge(&r)
			res.Verdicts = append(res.Verdicts, v)
		}
	}
	show.done()
	return failures
}

// runCase verifies each contender, where bytes arrive that can be verified, and
// then runs them all, round after round, there and back again. One that fails is
// out of the case: its samples until then stay in the result, with the reason.
func (s *session) runCase(ctx context.Context, c spec, show *progress) caseResult {
	r := caseResult{Name: c.Name, Group: c.Group, X: c.X, About: s.about(c), Note: c.Note, Show: c.Show}
	for _, who := range c.Contenders {
		r.Contenders = append(r.Contenders, contenderResult{Name: who.Name, Samples: []sample{}})
	}
	try := func(i int, verify bool) {
		out := &r.Contenders[i]
		if out.Skipped != "" || ctx.Err() != nil {
			return
		}
		show.step(c.Name, out.Name, len(out.Samples)+1)
		x, err := s.run(ctx, job{spec: c, contender: c.Contenders[i], verify: verify})
		var why skip
		switch {
		case ctx.Err() != nil:
		case errors.As(err, &why):
			out.Skipped = string(why)
		case err != nil:
			out.Skipped, out.failed = "failed: "+err.Error(), true
		case verify && c.Kind == kindHTTP:
			out.Verified = x.Bytes
		case verify:
			out.Verified = verifyBytes
		default:
			out.Samples = append(out.Samples, x)
		}
	}
	if c.verified() {
		for i := range r.Contenders {
			try(i, true)
		}
	}
	for round := range s.rounds {
		for _, i := range order(round, len(r.Contenders)) {
			try(i, false)
		}
	}
	for i := range r.Contenders {
		r.Contenders[i].sum()
	}
	return r
}

// about says what a case is, with the filesystem and the limit if it has one.
func (s *session) about(c spec) string {
	switch c.Dir {
	case dirDisk:
		c.About += " (" + filesystemOf(s.disk) + ")"
	case dirMemory:
		c.About += " (" + filesystemOf(s.memory) + ")"
	}
	if c.Limit != "" {
		c.About += " (" + limitAbout(c.Limit) + ")"
	}
	return c.About
}

// hashOf returns the size of a file and, if asked for, its hash.
func hashOf(path string, sum bool) (a response, err error) {
	fi, err := os.Stat(path)
	if err != nil || !sum {
		if err == nil {
			a.Bytes = fi.Size()
		}
		return a, err
	}
	f, err := os.Open(path)
	if err != nil {
		return a, err
	}
	defer f.Close()
	var h hash.Hash = sha256.New()
	a.Bytes, err = io.Copy(h, f)
	a.Sum = hex.EncodeToString(h.Sum(nil))
	return a, err
}

// serveClients makes a peer of every connection on addr until ctx ends. A client
// has two: its source and its sink.
func serveClients(ctx context.Context, addr string, stderr io.Writer) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { ln.Close() })()
	fmt.Fprintf(stderr, "bench: on the other host: bench -client %v\n", ln.Addr())
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		f, err := conn.(*net.TCPConn).File()
		if err == nil {
			var c *child
			if c, err = startRoleOn(rolePeer, f); err == nil {
				all.Go(func() {
					defer context.AfterFunc(ctx, func() { c.cmd.Process.Kill() })()
					c.cmd.Wait()
				})
			}
			f.Close()
		}
		conn.Close()
		if err != nil {
			fmt.Fprintln(stderr, "bench:", err)
		}
	}
}
