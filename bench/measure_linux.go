package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// span is how long a round of the job takes, unless it is measured by bytes.
func (s *session) span(j job) time.Duration {
	return time.Duration(cmp.Or(j.Scale, 1) * s.seconds * float64(time.Second))
}

// sending is what the source is told to send in a round of the job.
func (s *session) sending(j job) request {
	q := request{Op: "send", Bytes: s.bytes, Hash: j.verify}
	switch {
	case j.verify:
		q.Bytes = verifyBytes
	case s.bytes == 0:
		q.For, q.Bytes = s.span(j), int64(j.MaxGB*gb)
	}
	return q
}

// A meter is what was read before a round.
type meter struct {
	usage
	busy float64
	pid  int
}

func startMeter(pid int) (m meter, err error) {
	m = meter{pid: pid}
	m.usage, err = usageOf(pid)
	m.busy = busyTime()
	return m, err
}

// read adds what has been used since.
func (m meter) read(to *sample) error {
	busy := busyTime()
	u, err := usageOf(m.pid)
	to.CPU, to.Busy, to.Involuntary = u.cpu-m.cpu, busy-m.busy, u.involuntary-m.involuntary
	return err
}

// settleTime is how long what a contender still does after it was set up (the idle
// connections' last copies, a garbage collection) may take before the meter starts.
const settleTime = 20 * time.Millisecond

// idle opens the idle tunnels of a job.
func (s *session) idle(ctx context.Context, j job, r *running) error {
	if j.Idle == 0 {
		return nil
	}
	if _, err := s.source.call(ctx, request{Op: "idle", Addr: r.addr, Streams: j.Idle, Bytes: j.Warm}); err != nil {
		return err
	}
	_, err := s.sink.call(ctx, request{Op: "accepted", Streams: j.Idle})
	return err
}

// holdingsOf looks what a process holds, some time from now; the function it returns
// adds that to a sample, at the latest as it is then.
func holdingsOf(pid int, after time.Duration) func(*sample) {
	var x sample
	look := func() {
		x.RSS = residentOf(pid)
		x.Descriptors, x.Pipes = descriptorsOf(pid)
	}
	looked := make(chan struct{})
	t := time.AfterFunc(after, func() { defer close(looked); look() })
	return func(to *sample) {
		if t.Stop() {
			look()
		} else {
			<-looked
		}
		to.RSS, to.Descriptors, to.Pipes = x.RSS, x.Descriptors, x.Pipes
	}
}

// bulk sends on all streams at once and waits until all has arrived.
func (s *session) bulk(ctx context.Context, j job, r *running, q request) (out sample, err error) {
	streams := max(j.Streams, 1)
	if err := s.idle(ctx, j, r); err != nil {
		return out, err
	}
	dialled, err := s.source.call(ctx, request{Op: "dial", Addr: r.addr, Streams: streams})
	if err != nil {
		return out, err
	}
	if j.Kind == kindFar {
		out.Trip = dialled.Elapsed.Seconds()
	}
	toFile := q.Mode == modeFile
	if !toFile {
		if _, err := s.sink.call(ctx, request{Op: "accepted", Streams: j.Idle + streams}); err != nil {
			return out, err
		}
	}
	time.Sleep(settleTime)

	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	if j.Watch && !j.verify {
		if _, err := r.call(ctx, request{Op: "watch"}); err != nil {
			return out, err
		}
	}
	held := holdingsOf(r.pid(), min(s.span(j)/2, 100*time.Millisecond))
	sent, err := s.source.call(ctx, s.sending(j))
	held(&out)
	if err != nil {
		return out, err
	}
	if err := m.read(&out); err != nil {
		return out, err
	}
	if j.Watch && !j.verify {
		a, err := r.call(ctx, request{Op: "watched"})
		if err != nil {
			return out, err
		}
		out.Observed = a.Watched
	}
	out.Bytes, out.Seconds, out.Aim = sent.Bytes, sent.Elapsed.Seconds(), j.Rate

	var got response
	if toFile {
		got, err = hashOf(q.Path, j.verify)
	} else {
		got, err = s.sink.call(ctx, request{Op: "collect", Streams: streams})
	}
	switch {
	case err != nil:
		return out, err
	case got.Bytes != sent.Bytes:
		return out, fmt.Errorf("%d of %d bytes arrived", got.Bytes, sent.Bytes)
	case j.verify && streams == 1 && got.Sum != sent.Sum:
		return out, errors.New("other bytes arrived than were sent")
	}
	if streams > 1 {
		slices.Sort(got.Streams)
		slowest := float64(got.Streams[0]) / float64(max(got.Streams[len(got.Streams)/2], 1))
		out.Slowest = &slowest
	}
	return out, nil
}

// trips sends one message after the other.
func (s *session) trips(ctx context.Context, j job, r *running) (out sample, err error) {
	if _, err := s.source.call(ctx, request{Op: "dial", Addr: r.addr, Streams: 1}); err != nil {
		return out, err
	}
	q := request{Op: "trips", Size: j.Size, Reply: j.Size, For: settleTime}
	if j.Kind == kindServe {
		q.Size = 1
	}
	if _, err := s.source.call(ctx, q); err != nil { // to warm up
		return out, err
	}
	var before, after response
	if r.rpc != nil {
		if before, err = r.call(ctx, request{Op: "mallocs"}); err != nil {
			return out, err
		}
	}
	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	q.For = s.span(j)
	a, err := s.source.call(ctx, q)
	if err != nil {
		return out, err
	}
	if err := m.read(&out); err != nil {
		return out, err
	}
	out.Ops, out.Seconds = a.Ops, a.Elapsed.Seconds()
	out.P50, out.P99, out.P999 = a.P50.Seconds(), a.P99.Seconds(), a.P999.Seconds()
	if r.rpc != nil && j.spec.Mode == modeExchange {
		if after, err = r.call(ctx, request{Op: "mallocs"}); err != nil {
			return out, err
		}
		allocs := float64(after.Mallocs-before.Mallocs) / float64(2*a.Ops) // two copies a trip
		out.Allocs = &allocs
	}
	return out, nil
}

// tunnels measures what a tunnel costs at rest: after a garbage collection where
// there is one, so that what is counted is what the tunnels hold and not what
// setting them up has left behind.
func (s *session) tunnels(ctx context.Context, j job, r *running) (out sample, err error) {
	settle := func() error {
		time.Sleep(settleTime)
		if r.rpc == nil {
			return nil
		}
		_, err := r.call(ctx, request{Op: "settle"})
		return err
	}
	for deadline := time.Now().Add(time.Second); r.rpc == nil && time.Now().Before(deadline); {
		before := residentOf(r.pid())
		if time.Sleep(5 * settleTime); residentOf(r.pid()) == before { // it has started
			break
		}
	}
	if err := settle(); err != nil {
		return out, err
	}
	rss := residentOf(r.pid())
	fds, pipes := descriptorsOf(r.pid())
	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	if err := s.idle(ctx, j, r); err != nil {
		return out, err
	}
	if err := settle(); err != nil {
		return out, err
	}
	if err := m.read(&out); err != nil {
		return out, err
	}
	out.RSS = residentOf(r.pid())
	out.Descriptors, out.Pipes = descriptorsOf(r.pid())
	n := float64(j.Idle)
	out.Tunnels, out.TunnelFDs = j.Idle, float64(out.Descriptors-fds)/n
	out.TunnelPipe, out.TunnelRSS = float64(out.Pipes-pipes)/n, float64(out.RSS-rss)/n
	return out, nil
}

// micro has the contender copy within itself.
func (s *session) micro(ctx context.Context, j job, q request) (out sample, err error) {
	c, err := startRole(roleRelay)
	if err != nil {
		return out, err
	}
	defer c.stop()
	if _, err := c.call(ctx, request{Op: "setup", Variant: j.Variant}); err != nil {
		return out, err
	}
	q.Op, q.For = "micro", s.span(j)
	a, err := c.call(ctx, q)
	if err != nil {
		return out, err
	}
	out.Ops, out.Seconds, out.CPU = a.Ops, a.Elapsed.Seconds(), a.CPU.Seconds()
	allocs := float64(a.Mallocs) / float64(a.Ops)
	out.Allocs = &allocs
	return out, nil
}
