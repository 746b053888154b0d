package main

import (
	"errors"
	"net"
	"net/http"
	"time"
)

// listen serves viewers where the options say. The function that it returns
// closes the listeners.
func (s *station) listen() (closeAll func(), err error) {
	var closers []func() error
	closeAll = func() {
		for _, c := range closers {
			c()
		}
	}
	if s.opt.http != "" {
		ln, err := net.Listen("tcp", s.opt.http)
		if err != nil {
			return nil, err
		}
		server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ErrorLog: s.scr.logger()}
		closers = append(closers, server.Close)
		s.open.Go(func() { server.Serve(ln) })
		s.scr.printf("the page is http://%v/, the stream http://%[1]v/live", ln.Addr())
	}
	if s.opt.tcp != "" {
		ln, err := net.Listen("tcp", s.opt.tcp)
		if err != nil {
			closeAll()
			return nil, err
		}
		closers = append(closers, ln.Close)
		s.open.Go(func() { s.acceptViewers(ln) })
		s.scr.printf("viewers may connect to %v", ln.Addr())
	}
	return closeAll, nil
}

// acceptViewers sends the stream to whoever connects to ln.
func (s *station) acceptViewers(ln net.Listener) {
	const shortest, longest = 5 * time.Millisecond, time.Second // as net/http waits
	for pause := shortest; ; {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			go s.serve(newViewer(conn.(*net.TCPConn), "tcp", false))
			pause = shortest
		case errors.Is(err, net.ErrClosed):
			return
		default:
			// Out of descriptors, most likely; that passes when viewers leave.
			s.scr.printf("%v; next try in %v", err, pause)
			select {
			case <-time.After(pause):
			case <-s.over:
				return
			}
			pause = min(2*pause, longest)
		}
	}
}
