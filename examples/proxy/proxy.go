package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zerocopy-go/zerocopy"
)

// A proxy forwards TCP connections to one address.
type proxy struct {
	to          string
	dialTimeout time.Duration
	disable     zerocopy.MechanismSet
	log         *log.Logger

	mu            sync.Mutex
	conns, failed int
	bytes         map[zerocopy.Mechanism]int64
}

// serve forwards what ln accepts until ln is closed, and returns when the last
// connection has ended. Cancelling ctx ends the connections.
func (p *proxy) serve(ctx context.Context, ln net.Listener) {
	var open sync.WaitGroup
	defer open.Wait()

	const shortest, longest = 5 * time.Millisecond, time.Second // as net/http waits
	for pause := shortest; ; {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			open.Go(func() { p.forward(ctx, conn.(*net.TCPConn)) })
			pause = shortest
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of descriptors, most likely; that passes when connections end.
			p.log.Printf("%v; next try in %v", err, pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			pause = min(2*pause, longest)
		}
	}
}

// forward connects client with a backend of its own until both directions are
// at their end or one of them has failed.
func (p *proxy) forward(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	start := time.Now()

	dialer := net.Dialer{Timeout: p.dialTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", p.to)
	if err != nil {
		p.ended(client, start, zerocopy.Report{}, zerocopy.Report{}, err)
		return
	}
	defer conn.Close()
	backend := conn.(*net.TCPConn)

	// A failure is the cause by which the other direction is cancelled, and so
	// the error of both.
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var up, down zerocopy.Report
	var both sync.WaitGroup
	both.Go(func() { up = p.stream(ctx, fail, backend, client) })
	both.Go(func() { down = p.stream(ctx, fail, client, backend) })
	both.Wait()
	p.ended(client, start, up, down, cmp.Or(up.Err, down.Err))
}

// stream copies one direction. The end of src is passed on as the end of what
// dst receives and of nothing else: the other direction may have far to go.
func (p *proxy) stream(ctx context.Context, fail context.CancelCauseFunc, dst, src *net.TCPConn) (report zerocopy.Report) {
	c := zerocopy.Copier{Disable: p.disable, Report: func(r zerocopy.Report) { report = r }}
	_, err := c.Copy(ctx, dst, src)
	if err == nil {
		err = dst.CloseWrite()
	}
	if report.Err = err; err != nil {
		fail(err)
		// Close shall reset dst, lest its peer take what it has for the whole.
		dst.SetLinger(0)
	}
	return report
}

// ended prints the line of a connection and adds it to the summary.
func (p *proxy) ended(client net.Conn, start time.Time, up, down zerocopy.Report, err error) {
	line := fmt.Sprintf("%v in %v: up %s; down %s",
		client.RemoteAddr(), time.Since(start).Round(time.Millisecond), describe(up), describe(down))

	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns++
	if err != nil {
		p.failed++
		line += "; error: " + err.Error()
	}
	if p.bytes == nil {
		p.bytes = make(map[zerocopy.Mechanism]int64)
	}
	for _, step := range slices.Concat(up.Steps, down.Steps) {
		p.bytes[step.Mechanism] += step.Bytes
	}
	p.log.Print(line)
}

// describe says how the bytes of one direction went, and for those that did not
// stay in the kernel why: "81 bytes (splice tcp→pipe→tcp)".
func describe(r zerocopy.Report) string {
	var ways []string
	for _, step := range r.Steps {
		switch step.Bytes {
		case 0:
		case r.Written:
			ways = append(ways, step.String())
		default:
			ways = append(ways, fmt.Sprintf("%d by %v", step.Bytes, step))
		}
	}
	text := fmt.Sprintf("%d bytes", r.Written)
	if len(ways) > 0 {
		text += " (" + strings.Join(ways, ", ") + ")"
	}
	return text
}

// summary says what has gone through the proxy in all.
func (p *proxy) summary() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("%d connections, %d failed; bytes:", p.conns, p.failed)
	for _, m := range slices.Sorted(maps.Keys(p.bytes)) {
		text += fmt.Sprintf(" %v %d", m, p.bytes[m])
	}
	return text
}
