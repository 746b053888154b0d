package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A server is the job of -listen: a stream for each connection.
type server struct {
	opt   options
	ln    net.Listener
	p     *progress
	start time.Time

	mu    sync.Mutex
	open  map[*net.TCPConn]*stream
	ended int   // connections
	sent  int64 // bytes to them
}

func newServer(opt options, p *progress) (*server, error) {
	ln, err := net.Listen("tcp", opt.listen)
	if err != nil {
		return nil, err
	}
	p.printf("listening on %v", ln.Addr())
	return &server{opt: opt, ln: ln, p: p, start: time.Now(), open: make(map[*net.TCPConn]*stream)}, nil
}

// run serves until ctx is done, and returns when the last connection has ended.
func (s *server) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { s.ln.Close() })()
	var all sync.WaitGroup
	defer all.Wait()

	const shortest, longest = 5 * time.Millisecond, time.Second // as net/http waits
	for pause := shortest; ; {
		conn, err := s.ln.Accept()
		switch {
		case err == nil:
			all.Go(func() { s.serve(ctx, conn.(*net.TCPConn)) })
			pause = shortest
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			// Out of descriptors, most likely; that passes when receivers leave.
			s.p.printf("%v; next try in %v", err, pause)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, longest)
		}
	}
}

func (s *server) serve(ctx context.Context, conn *net.TCPConn) {
	st := &stream{opt: s.opt}
	s.mu.Lock()
	s.open[conn] = st
	s.mu.Unlock()

	err := st.sendTCP(ctx, conn)
	line := fmt.Sprintf("%v: %s", conn.RemoteAddr(), st.status())
	switch {
	case gone(err):
		line += "; it has left"
	case err != nil:
		line += "; " + err.Error()
	}
	s.p.printf("%s", line)

	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, conn)
	s.ended++
	s.sent += st.bytes()
}

func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		conn.SetWriteDeadline(past)
	}
}

func (s *server) status() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.sent
	for _, st := range s.open {
		n += st.bytes()
	}
	return fmt.Sprintf("%d receivers, %d have ended; %s", len(s.open), s.ended, rate(n, time.Since(s.start)))
}
