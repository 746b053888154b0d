package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
)

// options are what the command line says.
type options struct {
	rounds     int
	seconds    float64
	bytes      int64  // a round, instead of seconds
	client     string // address of the server, if source and sink are there
	congestion string // what TCP sends by; the machine's default if not set
	disk       string // directories for files
	memory     string
}

// A session is a run: the two peers, and what the contenders need.
type session struct {
	options
	*programs
	source, sink *rpc
	host         string // where contenders listen
	children     []*child
	temp         []string

	place      *netns         // where contenders run; nil for here
	farther    *far           // made when it is needed, see longWay
	farMissing error          // why it cannot be
	sourcePID  int            // of the session of a far
	webDirs    map[int]string // files that are served, by their size
}

// newSession starts the peers here, or asks the server for them.
func newSession(ctx context.Context, o options, want func(string) bool) (*session, error) {
	s := &session{options: o, host: "127.0.0.1"}
	dir, err := s.tempDir("")
	if err != nil {
		return nil, err
	}
	s.programs = findPrograms(ctx, dir, want)
	if o.congestion != "" {
		if s.place, err = newPlace(ctx, o.congestion); err != nil {
			s.close()
			return nil, fmt.Errorf("-congestion %s: %w", o.congestion, err)
		}
	}
	if err := s.startPeers(ctx); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) startPeers(ctx context.Context) error {
	for _, peer := range []**rpc{&s.source, &s.sink} {
		if s.client == "" {
			var c *child
			var err error
			s.place.do(func() { c, err = startRole(rolePeer) })
			if err != nil {
				return err
			}
			s.children = append(s.children, c)
			*peer = c.rpc
			continue
		}
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", s.client)
		if err != nil {
			return err
		}
		s.host = conn.LocalAddr().(*net.TCPAddr).IP.String()
		*peer = newRPC(conn)
	}
	return nil
}

// tempDir makes a directory that close removes. Everybody may enter it, for some
// contenders become another user.
func (s *session) tempDir(in string) (string, error) {
	dir, err := os.MkdirTemp(in, "zerocopy-bench-")
	if err != nil {
		return "", err
	}
	s.temp = append(s.temp, dir)
	return dir, os.Chmod(dir, 0o755)
}

func (s *session) close() {
	s.farther.close()
	for _, peer := range []*rpc{s.source, s.sink} {
		if peer != nil {
			peer.conn.Close()
		}
	}
	for _, c := range s.children {
		c.stop()
	}
	for _, dir := range s.temp {
		os.RemoveAll(dir)
	}
	s.place.close()
}

// A job is one run of one contender.
type job struct {
	spec
	contender
	verify bool // moves verifyBytes with a hash, and is not timed
}

// verifyBytes is how much is checked by hash, for each contender of a bulk case.
const verifyBytes = 32 << 20

// run runs a job with processes that live as long as it does.
func (s *session) run(ctx context.Context, j job) (out sample, err error) {
	if why := mayBecome(j.UID); why != "" {
		return sample{}, skip(why)
	}
	if j.Kind == kindFar && s.sourcePID == 0 { // this is not the session of the far
		f, err := s.longWay(ctx)
		if err != nil {
			return sample{}, err
		}
		s = &f.session
	}
	q := request{
		Mode: j.spec.Mode, Size: j.Size, UID: j.UID, Stopped: j.Stopped, Policy: j.Policy,
		Variant: j.Variant, Way: j.Way, Huge: j.Huge,
	}
	if j.Sinks > 0 {
		q.Sinks = j.Sinks - j.Fewer
	}
	if j.contender.Mode != "" {
		q.Mode = j.contender.Mode
	}
	if j.Dir != "" {
		dir := s.disk
		if j.Dir == dirMemory {
			dir = s.memory
		}
		if dir == "" {
			return sample{}, skip("no such directory")
		}
		dir, err := s.tempDir(dir)
		if err != nil {
			return sample{}, err
		}
		defer os.RemoveAll(dir)
		q.Path = filepath.Join(dir, "file")
	}
	switch j.Kind {
	case kindMicro:
		return s.micro(ctx, j, q)
	case kindPages:
		return s.produce(ctx, j, q)
	case kindHTTP:
		return s.http(ctx, j, q)
	}
	if j.Kind == kindServe {
		if err := os.WriteFile(q.Path, slices.Repeat(block(), j.Size/chunk+1)[:j.Size], 0o644); err != nil {
			return sample{}, err
		}
	}
	mode := sinkRead
	switch {
	case j.Kind == kindTrips, j.Warm > 0:
		mode = sinkEcho
	case j.verify:
		mode = sinkHash
	case j.Discard:
		mode = sinkDiscard
	}
	a, err := s.sink.call(ctx, request{Op: "listen", Mode: mode, Size: max(j.Size, int(j.Warm))})
	if err != nil {
		return sample{}, err
	}
	q.Target = a.Addr
	var g *group
	if j.Limit != "" {
		h, err := hierarchyOf(j.Limit)
		if err == nil {
			g, err = newGroup(h, j.Limit)
		}
		if err != nil {
			return sample{}, skip(err.Error())
		}
		defer func() { // after the contender has ended
			if e := g.remove(); e != nil && err == nil {
				err = e
			}
		}()
	}
	var r *running
	s.place.do(func() { r, err = s.startContender(ctx, s.host, j.contender, q) })
	if err != nil {
		return sample{}, err
	}
	defer func() {
		r.stop()
		s.source.call(ctx, request{Op: "close"})
		s.sink.call(ctx, request{Op: "close"})
	}()
	if g != nil {
		if err := s.squeeze(ctx, j, r, g, q.Path); err != nil {
			return sample{}, err
		}
		before := g.hits() // of what making the file was
		defer func() {
			hits := g.hits() - before
			out.Hits = &hits
		}()
	}
	switch j.Kind {
	case kindTunnels:
		return s.tunnels(ctx, j, r)
	case kindTrips, kindServe:
		return s.trips(ctx, j, r)
	case kindFan:
		return s.fan(ctx, j, r, q)
	case kindBlocking:
		return s.blocking(ctx, j, r)
	case kindFar:
		if !j.verify {
			return s.goodput(ctx, j, r)
		}
	}
	return s.bulk(ctx, j, r, q)
}

// squeeze puts a contender into a group, and has it use up the memory there.
func (s *session) squeeze(ctx context.Context, j job, r *running, g *group, path string) error {
	if err := g.join(r.pid()); err != nil || j.Limit != limitMemory {
		return err
	}
	if filesystemOf(s.disk) == "tmpfs" {
		return skip("needs -dir on a disk: the pages of tmpfs cannot be taken back")
	}
	_, err := r.call(ctx, request{Op: "press", Path: path, Bytes: pressBytes})
	return err
}
