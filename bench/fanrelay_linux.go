package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// fanOut sends what conn brings to the sinks of the relay's fan. The source has the
// end back when all sinks that did not stop have said that they got theirs.
func (r *relay) fanOut(conn *net.TCPConn) {
	defer conn.Close()
	f := r.fan
	f.src = conn
	if err := r.openSinks(conn); err != nil {
		report(err)
		return
	}
	ends := make(chan error, len(f.sinks)+1)
	f.ended = func(i int, err error) {
		go func() { ends <- finish(f.sinks[i], err) }()
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.run(f); err != nil {
			ends <- err
		}
	})
	for left := len(f.sinks) - f.stopped; left > 0; {
		switch err := <-ends; {
		case err == nil:
			left--
		case !leftBehind(err):
			report(err)
			return
		}
	}
	conn.CloseWrite()
	running.Wait() // for a sink that stopped, until it has gone on
}

// openSinks opens the sinks, and the recording.
func (r *relay) openSinks(conn *net.TCPConn) (err error) {
	f := r.fan
	switch {
	case r.Mode == modeFanFile:
		file, err := os.Create(r.Path)
		if err != nil {
			return err
		}
		f.sinks = append(f.sinks, file)
	case r.Policy == policyDemote:
		if f.recording, err = os.Create(r.Path); err != nil {
			return err
		}
	}
	for range r.Sinks {
		c, err := net.Dial("tcp", r.Target)
		if err != nil {
			return err
		}
		if len(f.sinks) == 0 {
			r.pair.Store(&[2]*net.TCPConn{conn, c.(*net.TCPConn)})
		}
		f.sinks = append(f.sinks, c)
	}
	return nil
}

// finish ends a sink, and waits until its other side has had all.
func finish(w io.Writer, err error) error {
	c, ok := w.(*net.TCPConn)
	if !ok || err != nil {
		return errors.Join(err, w.(io.Closer).Close())
	}
	defer c.Close()
	if err := c.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}
