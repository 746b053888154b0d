package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The long way leads from a source through a line, which holds each frame for
// farDelay, to the contender, which has its sink beside it:
//
//	source            line               contender → sink
//	(far0)———(line0)————————(line1)———(near0)
//
// Each column is a network namespace and each ——— a pair of veth devices. (netem,
// which would delay in the kernel, is a module that many kernels do not have. A
// relay of TCP would not do: it would have windows of its own.)
const (
	farDelay = 50 * time.Millisecond // one way
	farHost  = "198.18.0.1"          // of the network for benchmarks, RFC 2544
	nearHost = "198.18.0.2"
	farMAC   = "02:00:c6:12:00:01"
	nearMAC  = "02:00:c6:12:00:02"
)

// Settings of the two hosts. The receiver's are the kernel's defaults, at which the
// window that it offers is what limits a path as long as this one: so whatever a
// contender does to it shows. The sender has more, and a way to open its own window
// that no jitter of the line stops.
var (
	nearSettings = [][2]string{{"tcp_rmem", "4096 131072 6291456"}, {"tcp_wmem", "4096 16384 4194304"}}
	farSettings  = [][2]string{{"tcp_wmem", "4096 16384 33554432"}, {"tcp_congestion_control", "reno"}}
)

// A far is a session whose source is at the end of a long way.
type far struct {
	session
	away, between *netns
}

// longWay returns the session's far, which is made when it is first asked for.
func (s *session) longWay(ctx context.Context) (*far, error) {
	if s.farther != nil || s.farMissing != nil {
		return s.farther, s.farMissing
	}
	f, err := s.newFar(ctx)
	if err != nil {
		f.close()
		if ctx.Err() == nil {
			s.farMissing = err
		}
		return nil, err
	}
	s.farther = f
	return f, nil
}

func (s *session) newFar(ctx context.Context) (f *far, err error) {
	f = &far{session: session{options: s.options, programs: s.programs, host: nearHost}}
	switch ip, err := exec.LookPath("ip"); {
	case s.client != "":
		return f, skip("its path is one of this host alone")
	case err != nil:
		return f, skip("ip (of iproute2) is not installed")
	case os.Geteuid() != 0:
		return f, skip("needs root, for network namespaces")
	default:
		for _, n := range []**netns{&f.away, &f.between, &f.place} {
			if *n, err = newNetns(); err != nil {
				return f, skip(err.Error())
			}
		}
		if err := f.connect(ctx, ip); err != nil {
			return f, err
		}
	}
	return f, f.startEnds(ctx)
}

// connect makes the devices, and has their addresses known on both sides.
func (f *far) connect(ctx context.Context, ip string) (err error) {
	between := strconv.Itoa(f.between.tid)
	for _, do := range []struct {
		in       *netns
		commands string
		settings [][2]string
	}{
		{f.away, "link add far0 address " + farMAC + " type veth peer name line0 netns " + between + ";link set lo up;link set far0 up;" +
			"addr add " + farHost + "/30 dev far0;neigh add " + nearHost + " lladdr " + nearMAC + " dev far0", farSettings},
		{f.place, "link add near0 address " + nearMAC + " type veth peer name line1 netns " + between + ";link set lo up;link set near0 up;" +
			"addr add " + nearHost + "/30 dev near0;neigh add " + farHost + " lladdr " + farMAC + " dev near0", nearSettings},
		{f.between, "link set line0 up;link set line1 up", nil},
	} {
		if s := f.congestion; s != "" && do.in == f.place {
			do.settings = append(slices.Clone(do.settings), [2]string{"tcp_congestion_control", s})
		}
		do.in.do(func() {
			for command := range strings.SplitSeq(do.commands, ";") {
				if out, e := exec.CommandContext(ctx, ip, strings.Fields(command)...).CombinedOutput(); e != nil && err == nil {
					err = fmt.Errorf("ip %s: %w: %s", command, e, bytes.TrimSpace(out))
				}
			}
			for _, set := range do.settings {
				if e := os.WriteFile("/proc/sys/net/ipv4/"+set[0], []byte(set[1]), 0o644); e != nil && err == nil {
					err = e
				}
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// startEnds starts the line, the source and the sink.
func (f *far) startEnds(ctx context.Context) error {
	for _, do := range []struct {
		in   *netns
		role string
		peer **rpc
	}{{f.between, roleLine, new(*rpc)}, {f.away, rolePeer, &f.source}, {f.place, rolePeer, &f.sink}} {
		var c *child
		var err error
		do.in.do(func() { c, err = startRole(do.role) })
		if err != nil {
			return err
		}
		f.children = append(f.children, c)
		*do.peer = c.rpc
		if do.role == roleLine {
			if _, err := c.call(ctx, request{Op: "hold", Links: [2]string{"line0", "line1"}, Delay: farDelay}); err != nil {
				return err
			}
		}
		if do.peer == &f.source {
			f.sourcePID = c.cmd.Process.Pid
		}
	}
	return nil
}

func (f *far) close() {
	if f == nil {
		return
	}
	f.session.close()
	for _, n := range []*netns{f.away, f.between} {
		n.close()
	}
}

// openTime is how long the windows of a path may take to open before the measuring
// begins: 30 round trips, where doubling takes ten or so.
const openTime = 3 * time.Second

// goodput measures what arrives at the sink a second, on one stream whose windows are open.
func (s *session) goodput(ctx context.Context, j job, r *running) (out sample, err error) {
	dialled, err := s.source.call(ctx, request{Op: "dial", Addr: r.addr, Streams: 1})
	if err != nil {
		return out, err
	}
	if _, err := s.sink.call(ctx, request{Op: "accepted", Streams: 1}); err != nil {
		return out, err
	}
	resent := resentBy(s.sourcePID)
	sent := make(chan error, 1)
	go func() {
		_, err := s.source.call(ctx, request{Op: "send", For: openTime + s.span(j)})
		sent <- err
	}()
	count := func(wait time.Duration) (a response) {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			if err == nil {
				a, err = s.sink.call(ctx, request{Op: "count"})
			}
		}
		return a
	}
	from := count(openTime)
	m, merr := startMeter(r.pid())
	to := count(s.span(j))
	if merr == nil {
		merr = m.read(&out)
	}
	for _, e := range []error{<-sent, err, merr, ctx.Err()} {
		if e != nil {
			return out, e
		}
	}
	out.Bytes, out.Seconds = to.Bytes-from.Bytes, (to.Elapsed - from.Elapsed).Seconds()
	again := resentBy(s.sourcePID) - resent
	out.Trip, out.Resent = dialled.Elapsed.Seconds(), &again
	return out, nil
}

// resentBy is how many segments TCP has sent again in the namespace of a process.
func resentBy(pid int) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/snmp", pid))
	return counterOf(string(text), "Tcp:", "RetransSegs")
}

// counterOf returns a counter of /proc/net/snmp, where a line of names comes before
// one of numbers; 0 without it.
func counterOf(text, protocol, name string) int64 {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] != protocol:
		case names == nil:
			names = words
		default:
			for i, word := range words {
				if i < len(names) && names[i] == name {
					n, _ := strconv.ParseInt(word, 10, 64)
					return n
				}
			}
		}
	}
	return 0
}
