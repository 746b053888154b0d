package main

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A relay is the process of a contender that is a copy function: for each
// connection on its listening socket it connects to the target and copies both
// ways, or does what else its mode says. It is told:
//
//	setup    what to be; it then accepts
//	settle   collect garbage and return what is free to the system
//	mallocs  how many allocations there were
//	micro    copy in memory or between files, for a time; see micro
//	watch    begin to watch itself, and
//	watched  what was seen; see watch
//	press    fill memory with pages of a file; see press
//	block    take O_NONBLOCK from an end of the copy under way,
//	collect  collect garbage again and again for a time, and
//	gap      the longest time between two ticks since; see block
//	dialled  the address from which the last stream was dialled, of a fan its first sink
//	behind   how many sinks of a fan could not keep up
//	produce  make a stream, for a time or so many bytes, and end it; see producer
type relay struct {
	request
	newCopy func() copyFunc
	fan     *fan                            // if that is the mode
	pair    atomic.Pointer[[2]*net.TCPConn] // of the last stream: accepted, dialled
	watch   *watch
	ticks   *ticks
	make    *producer // if that is the mode
}

func (r *relay) do(q request) response {
	switch q.Op {
	case "setup":
		return outcome(response{}, r.setup(q))
	case "settle":
		runtime.GC() // twice, for pools keep a generation
		runtime.GC()
		debug.FreeOSMemory()
		return response{}
	case "mallocs":
		return response{Mallocs: mallocs()}
	case "micro":
		return micro(r.newCopy(), q)
	case "watch":
		r.watch = startWatch()
		return response{}
	case "watched":
		return response{Watched: r.watch.end()}
	case "press":
		return outcome(response{}, press(q.Path, q.Bytes))
	case "block":
		return outcome(response{}, r.block(q.End))
	case "collect":
		for began := time.Now(); time.Since(began) < q.For; time.Sleep(collectEvery) {
			runtime.GC()
		}
		return response{}
	case "gap":
		return response{Gap: r.ticks.end()}
	case "dialled":
		return response{Addr: r.pair.Load()[1].LocalAddr().String()}
	case "produce":
		return r.make.run(q)
	case "behind":
		return response{Ops: int64(r.fan.behind())}
	}
	return response{Err: "unknown"}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func (r *relay) setup(q request) error {
	r.request = q
	var ok bool
	switch {
	case isMade(q.Mode):
		return r.prepare(q)
	case q.Sinks > 0:
		r.fan, ok = newFan(q.Variant, q.Stopped, q.Policy)
	default:
		r.newCopy, ok = variantNamed(q.Variant)
	}
	if !ok {
		return errors.New("no contender " + q.Variant)
	}
	if q.Target == "" && q.Mode != modeFile && q.Mode != modeServe {
		return nil // for micro
	}
	f := os.NewFile(listenerFD, "listener")
	ln, err := net.FileListener(f)
	f.Close()
	if err != nil {
		return err
	}
	if q.UID > 0 && os.Geteuid() == 0 {
		err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(q.UID), syscall.Setuid(q.UID))
		if err != nil {
			return os.NewSyscallError("setuid", err)
		}
	}
	go r.accept(ln)
	return nil
}

func (r *relay) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		conn := c.(*net.TCPConn)
		switch r.Mode {
		case modeFile:
			go r.toFile(conn)
		case modeServe:
			go r.serve(conn)
		case modeFan, modeFanFile:
			go r.fanOut(conn)
		default:
			go r.forward(conn)
		}
	}
}

// forward is a proxy's work.
func (r *relay) forward(a *net.TCPConn) {
	defer a.Close()
	c, err := net.Dial("tcp", r.Target)
	if err != nil {
		report(err)
		return
	}
	b := c.(*net.TCPConn)
	defer b.Close()
	r.pair.Store(&[2]*net.TCPConn{a, b})
	if r.Mode == modeExchange {
		r.exchange(a, b)
		return
	}
	if relay := relays[r.Variant]; relay != nil {
		relay(a, b)
		return
	}
	var other sync.WaitGroup
	other.Go(func() { r.direction(a, b) })
	r.direction(b, a)
	other.Wait()
}

func (r *relay) direction(dst, src *net.TCPConn) {
	r.newCopy()(present(dst, r.Mode), present(src, r.Mode)) // a stream that was cut shows in its length
	dst.CloseWrite()
}

// exchange carries messages of one size to and fro with a new copy for each, as a
// protocol does that has to look at what stands between them.
func (r *relay) exchange(a, b *net.TCPConn) {
	there, back := r.newCopy(), r.newCopy()
	for {
		n, err := there(b, io.LimitReader(a, int64(r.Size)))
		if err != nil || n < int64(r.Size) {
			return
		}
		n, err = back(a, io.LimitReader(b, int64(r.Size)))
		if err != nil || n < int64(r.Size) {
			return
		}
	}
}

// toFile writes what conn brings to a new file.
func (r *relay) toFile(conn *net.TCPConn) {
	defer conn.Close()
	f, err := os.Create(r.Path)
	if err != nil {
		report(err)
		return
	}
	defer f.Close()
	if _, err := r.newCopy()(f, conn); err != nil {
		report(err)
	}
}

// serve answers every byte with the file.
func (r *relay) serve(conn *net.TCPConn) {
	defer conn.Close()
	f, err := os.Open(r.Path)
	if err != nil {
		report(err)
		return
	}
	defer f.Close()
	ask, do := make([]byte, 1), r.newCopy()
	for {
		if _, err := conn.Read(ask); err != nil {
			return
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			report(err)
			return
		}
		if _, err := do(conn, f); err != nil {
			return
		}
	}
}

func report(err error) { os.Stderr.WriteString("bench: relay: " + err.Error() + "\n") }
