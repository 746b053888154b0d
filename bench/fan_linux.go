package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// stopAfter is how far in a round a sink stops reading, in the middle of the stream
// and early enough to lag for most of it.
const stopAfter = 50 * time.Millisecond

// fan sends one stream, which the contender sends to all sinks, and waits until all
// has arrived at those that read.
func (s *session) fan(ctx context.Context, j job, r *running, q request) (out sample, err error) {
	if _, err := s.source.call(ctx, request{Op: "dial", Addr: r.addr, Streams: 1}); err != nil {
		return out, err
	}
	if _, err := s.sink.call(ctx, request{Op: "accepted", Streams: q.Sinks}); err != nil {
		return out, err
	}
	time.Sleep(settleTime)
	if j.verify && j.Stopped > 0 { // all that is sent may be under way after a moment
		if err := s.stopSink(ctx, r); err != nil {
			return out, err
		}
	}
	m, err := startMeter(r.pid())
	if err != nil {
		return out, err
	}
	held := holdingsOf(r.pid(), min(s.span(j)/2, 100*time.Millisecond))
	memory := watchMemory(r.pid())
	stopped := make(chan error, 1)
	if !j.verify && j.Stopped > 0 {
		time.AfterFunc(min(stopAfter, s.span(j)/10), func() { stopped <- s.stopSink(ctx, r) })
	} else {
		stopped <- nil
	}
	sent, err := s.source.call(ctx, s.sending(j))
	held(&out)
	memory(&out)
	if err := errors.Join(err, <-stopped, m.read(&out)); err != nil {
		return out, err
	}
	out.Seconds = sent.Elapsed.Seconds()
	if j.Stopped > 0 {
		a, err := r.call(ctx, request{Op: "behind"})
		if err != nil {
			return out, err
		}
		out.Behind = &a.Ops
	}
	return out, s.delivered(ctx, j, q, sent, &out)
}

// stopSink stops the sink that is the contender's first.
func (s *session) stopSink(ctx context.Context, r *running) error {
	a, err := r.call(ctx, request{Op: "dialled"})
	if err == nil {
		_, err = s.sink.call(ctx, request{Op: "hold", Addr: a.Addr})
	}
	return err
}

// delivered compares what the sinks got with what was sent, and counts it. What was
// sent with a hash is to arrive at those too that had stopped, which now go on, or
// a part of it if they were detached.
func (s *session) delivered(ctx context.Context, j job, q request, sent response, out *sample) error {
	want := q.Sinks - q.Stopped
	all := want
	if j.verify && q.Stopped > 0 {
		if _, err := s.sink.call(ctx, request{Op: "release"}); err != nil {
			return err
		}
		all = q.Sinks
		if q.Policy == policyDemote {
			want = all
		}
	}
	got, err := s.sink.call(ctx, request{Op: "collect", Streams: all})
	if err != nil {
		return err
	}
	if q.Path != "" && (q.Mode == modeFanFile || j.verify) {
		file, err := hashOf(q.Path, j.verify)
		if err != nil {
			return err
		}
		got.Streams, got.Sums = append(got.Streams, file.Bytes), append(got.Sums, file.Sum)
		want++
	}
	whole := 0
	for i, n := range got.Streams {
		if n == sent.Bytes && got.Sums[i] == sent.Sum {
			whole++
			out.Bytes += n
		}
	}
	if whole < want {
		slices.Sort(got.Streams)
		return fmt.Errorf("%d sinks of %d got all %d bytes as they were sent; they got %d", whole, want, sent.Bytes, got.Streams)
	}
	out.Sinks = whole
	return nil
}
