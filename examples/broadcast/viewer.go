package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/zerocopy-go/zerocopy/broadcast"
)

// A viewer is a connection that the stream is sent to. The station's mutex guards
// what changes.
type viewer struct {
	conn      *net.TCPConn
	kind      string // http or tcp
	name      string
	fromStart bool
	header    []byte // goes before the stream

	id     int
	since  time.Time // when it came
	sink   *broadcast.Sink
	joined bool                // has been reported
	stats  broadcast.SinkStats // as of the last sample or report
	fell   time.Time           // when it fell back to the recording, or began there
	left   time.Time
	why    string // why it left
	series series
}

func newViewer(conn *net.TCPConn, kind string, fromStart bool) *viewer {
	return &viewer{conn: conn, kind: kind, name: conn.RemoteAddr().String(), fromStart: fromStart, since: time.Now()}
}

// linger is how long a viewer may take to acknowledge the end of the stream.
const linger = 5 * time.Second

// serve has the viewer get the stream until that ends or the viewer goes.
func (s *station) serve(v *viewer) {
	defer v.conn.Close()
	if !s.enter(v) {
		v.refuse("the stream has ended")
		return
	}
	defer s.open.Done()
	if s.opt.sendBuffer > 0 {
		v.conn.SetWriteBuffer(int(s.opt.sendBuffer))
	}
	gone := v.watch()

	select {
	case <-s.begun:
	case <-gone:
		s.leave(v, "has gone before there was a stream")
		return
	case <-s.over:
		s.leave(v, "is sent away: there was no stream")
		v.refuse("there was no stream")
		return
	}
	sink, err := s.add(v)
	if err != nil {
		s.leave(v, "is sent away: "+err.Error())
		v.refuse(err.Error())
		return
	}
	select {
	case <-gone:
		sink.Close()
	case <-sink.Done():
	}
	if sink.Wait() != nil {
		v.conn.SetLinger(0) // Close resets: a stream that was cut off must not look complete
		return
	}
	v.conn.CloseWrite()
	select {
	case <-gone:
	case <-time.After(linger):
	case <-s.cut:
	}
}

// refuse says why there is no stream, where the protocol has words for that.
func (v *viewer) refuse(why string) {
	if v.kind == "http" {
		v.conn.SetWriteDeadline(time.Now().Add(linger))
		fmt.Fprintf(v.conn, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\n", why)
	}
}

// watch reads what the viewer sends, which nobody wants, and returns a channel that
// is closed once it has closed or broken the connection. A sink that waits, for the
// stream or for the viewer, does not notice that.
func (v *viewer) watch() <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		var buf [512]byte
		for {
			if _, err := v.conn.Read(buf[:]); err != nil {
				return
			}
		}
	}()
	return gone
}

// enter puts the viewer on the list. It reports false if it comes too late;
// otherwise s.open waits for it.
func (s *station) enter(v *viewer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != waiting && s.phase != live {
		return false
	}
	s.open.Add(1)
	s.lastID++
	v.id = s.lastID
	s.viewers = append(s.viewers, v)
	if s.phase == waiting {
		s.scr.printf("%s %s waits for the stream", v.kind, v.name)
	}
	return true
}

// add makes the viewer a sink of the stream. It is reported on once the mutex is free.
func (s *station) add(v *viewer) (sink *broadcast.Sink, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != live {
		return nil, broadcast.ErrEnded
	}
	o := broadcast.SinkOptions{
		Name: v.kind + " " + v.name, Policy: s.opt.policy, MaxLag: s.opt.maxLag, FromStart: v.fromStart, Prefix: v.header,
	}
	v.sink, err = s.stream.Add(v.conn, &o)
	if errors.Is(err, broadcast.ErrNoRecording) && !v.fromStart { // it has failed: the stream is still there
		o.Policy = broadcast.Detach
		v.sink, err = s.stream.Add(v.conn, &o)
	}
	if err == nil {
		v.stats = v.sink.Stats() // or it would be said to be buffered until the next sample
	}
	return v.sink, err
}

// report says what has happened to a viewer or to the recording.
func (s *station) report(sink *broadcast.Sink, st broadcast.SinkStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.viewers, func(v *viewer) bool { return v.sink == sink })
	if i < 0 {
		if st.Lag > 0 {
			s.scr.printf("the recording ends at byte %d: %v", st.Position, st.Err)
		}
		return
	}
	v, now := s.viewers[i], time.Now()
	v.stats = st
	switch {
	case st.State == broadcast.Ended:
		v.left, v.why = now, farewell(st.Err)
		if s.cutWhy != "" && st.Err != nil {
			v.why = "is cut off: " + s.cutWhy
		}
		s.meter.sent += v.written()
		s.scr.printf("%s %s; it was sent %s, up to byte %d, in %v", st.Name, v.why, size(v.written()), st.Position, v.age(now))
	case !v.joined:
		v.joined, v.fell = true, now
		from := "live"
		if st.State == broadcast.Recorded {
			from = "from the recording"
		}
		s.scr.printf("%s joins at byte %d, %s", st.Name, st.From, from)
	case st.State == broadcast.Recorded:
		v.fell = now
		s.scr.printf("%s falls back to the recording at byte %d, %s behind", st.Name, st.Position, size(st.Lag))
	default:
		s.scr.printf("%s has caught up at byte %d, after %v", st.Name, st.Position, now.Sub(v.fell).Round(time.Second/10))
	}
}

// farewell says why a sink ended.
func farewell(err error) string {
	var lag *broadcast.LagError
	switch {
	case err == nil:
		return "has got the stream to its end"
	case errors.As(err, &lag):
		return fmt.Sprintf("is detached: %s behind the stream, where %s are allowed", size(lag.Lag), size(lag.Max))
	case errors.Is(err, broadcast.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "has gone"
	}
	return "gets no more: " + err.Error()
}

// leave takes a viewer off the list that was no sink. The page shows it for a while.
func (s *station) leave(v *viewer, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v.left, v.why = time.Now(), why
	v.stats.State = broadcast.Ended
	s.scr.printf("%s %s %s", v.kind, v.name, why)
}

// written is how many bytes of the stream the viewer's socket has accepted.
func (v *viewer) written() int64 { return v.stats.Live + v.stats.Recorded }

func (v *viewer) age(now time.Time) time.Duration { return now.Sub(v.since).Round(time.Second / 10) }
