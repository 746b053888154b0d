package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
)

// A proxy forwards connections to the backends that its routes say.
type proxy struct {
	*options
	copier *zerocopy.Copier
	log    *log.Logger
	book
}

func newProxy(o *options, l *log.Logger) *proxy {
	p := &proxy{options: o, copier: new(zerocopy.Copier), log: l}
	if o.noZerocopy {
		p.copier.Disable = zerocopy.AllMechanisms
	}
	return p
}

// serve forwards what ln accepts until ln is closed, and returns when the last
// connection has ended. Cancelling ctx ends the connections.
func (p *proxy) serve(ctx context.Context, ln net.Listener) {
	var open sync.WaitGroup
	defer open.Wait()
	ln = zcnet.NewListener(ln)

	const shortest, longest = 5 * time.Millisecond, time.Second // as net/http waits
	for pause := shortest; ; {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			f := p.begin(conn.(zcnet.Conn))
			open.Go(func() { p.end(f, p.forward(ctx, f)) })
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

// forward connects a client with its backend until both directions are at their end
// or one of them has failed.
func (p *proxy) forward(ctx context.Context, f *flow) (err error) {
	client := f.client
	defer client.Close()
	if err := p.greet(ctx, f); err != nil {
		return err
	}
	dialer := zcnet.Dialer{Dialer: net.Dialer{Timeout: p.dialTimeout}}
	backend, err := dialer.DialContext(ctx, f.to.network, f.to.address)
	if err != nil {
		return err
	}
	defer backend.Close()
	if err := p.introduce(f, backend); err != nil {
		return err
	}

	o := &zcnet.RelayOptions{
		IdleTimeout:       p.idle,
		HalfClosedTimeout: p.halfClosed,
		Live:              &f.live,
		Copier:            p.copier,
	}
	if p.rate > 0 {
		o.PaceAToB, o.PaceBToA = limiter(p.rate), limiter(p.rate)
	}
	if p.explain {
		p.predict(f, backend, o)
	}
	f.stats, err = zcnet.Relay(ctx, client, backend, o)
	if err != nil {
		// Lest the peers take what they have for the whole.
		zcnet.Reset(client)
		zcnet.Reset(backend)
	}
	return err
}

// greet reads what the client begins with, as far as the route depends on it. The
// ClientHello stays in the connection: the relay begins with it. What has no name, or
// none that there is a route for, goes to the default backend if there is one; of a
// client that does not get as far as that in time there is nothing to be forwarded.
func (p *proxy) greet(ctx context.Context, f *flow) (err error) {
	if p.acceptProxy {
		if err := p.within(ctx, f.client, func() error { return p.acceptHeader(f) }); err != nil {
			return fmt.Errorf("refused: %w", err)
		}
	}
	var name string
	var nameless namelessError
	if len(p.routes.names) > 0 {
		err = p.within(ctx, f.client, func() (err error) { name, err = peekName(f.client); return err })
		switch {
		case err == nil:
		case !errors.As(err, &nameless):
			return fmt.Errorf("refused: no whole ClientHello: %w", err)
		case p.routes.fallback == nil:
			return fmt.Errorf("refused: %w", err)
		}
	}
	to, ok := p.routes.find(name)
	if !ok {
		f.client.Write(unrecognizedName)
		return fmt.Errorf("refused: no route for the name %q", name)
	}
	f.routed(name, to, err)
	return nil
}

// within runs read, which reads from c, for at most -first-timeout, and until ctx is done.
func (p *proxy) within(ctx context.Context, c net.Conn, read func() error) error {
	c.SetReadDeadline(time.Now().Add(p.firstTimeout))
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
	err := read()
	if !stop() {
		return context.Cause(ctx)
	}
	c.SetReadDeadline(time.Time{})
	return err
}

// introduce tells the backend who the client is.
func (p *proxy) introduce(f *flow, backend net.Conn) error {
	if p.sendProxy == 0 {
		return nil
	}
	header, err := formatHeader(p.sendProxy, f)
	if err == nil {
		// An empty socket takes it at once.
		_, err = backend.Write(header)
	}
	return err
}

// limiter returns the limit of one direction. A burst of a tenth of a second keeps the rate
// well (see zerocopy.Pace); below 16 KiB it would only cost system calls, and above 1 MiB,
// what the largest pipe holds, spare none.
func limiter(bytes int64) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(bytes), int(min(max(bytes/10, 16<<10), 1<<20)))
}
