package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"sync/atomic"
	"time"

	"github.com/zerocopy-go/zerocopy/pages"
)

// A destination is an *os.File or a *net.TCPConn.
type destination interface {
	io.WriteCloser
	SetWriteDeadline(time.Time) error
}

// A stream is what one receiver is sent.
type stream struct {
	opt     options
	began   atomic.Pointer[time.Time]
	took    atomic.Int64                 // nanoseconds, once it has ended
	w       atomic.Pointer[pages.Writer] // nil if it is a Constant that is sent
	sent    atomic.Int64                 // bytes of it
	records atomic.Int64                 // whole ones
}

// send sends the stream to dst until it ends or, behind a whole record, ctx is done. It
// returns once nothing is lent any more.
func (s *stream) send(ctx context.Context, dst destination) error {
	now := time.Now()
	s.began.Store(&now)
	defer func() { s.took.Store(int64(time.Since(now))) }()
	if s.opt.duration > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, s.opt.duration)
		defer stop()
	}
	if s.opt.constant() {
		return s.repeat(ctx, dst)
	}
	w, err := pages.NewWriter(dst, &s.opt.pages)
	if err != nil {
		return err
	}
	defer w.Close()
	s.w.Store(w)
	if err := s.fill(ctx, w); err != nil {
		return err
	}
	return w.Wait()
}

// fill makes the stream in the buffers of w.
func (s *stream) fill(ctx context.Context, w *pages.Writer) error {
	c := newContent(&s.opt)
	pace := newPace(s.opt.rate)
	left, whole := s.opt.limit, true
	for {
		q := quota{0, left.bytes}
		if whole {
			q.records = min(left.records, pace.due(ctx))
			if ctx.Err() != nil {
				return nil
			}
		}
		due := q.records
		buf, err := w.Next()
		if err != nil {
			return err
		}
		n, records, end := c.fill(buf, &q)
		if err := w.Commit(n); err != nil {
			return err
		}
		pace.begun += due - q.records
		left.records -= due - q.records
		left.bytes = q.bytes
		s.records.Add(records)
		if whole = end; n == 0 && left.spent() {
			return nil
		}
	}
}

// bytes returns how many were sent.
func (s *stream) bytes() int64 {
	if w := s.w.Load(); w != nil {
		return w.Stats().Bytes
	}
	return s.sent.Load()
}

// status says how much was sent, and how. It is empty before the beginning.
func (s *stream) status() string {
	began := s.began.Load()
	if began == nil {
		return ""
	}
	took := time.Duration(s.took.Load())
	if took == 0 {
		took = time.Since(*began)
	}
	line := fmt.Sprintf("%d %s, %s", s.records.Load(), unitOf[s.opt.format], rate(s.bytes(), took))
	if w := s.w.Load(); w != nil {
		line += "; " + w.Stats().String()
	} else if s.opt.constant() {
		line += "; from a pages.Constant"
	}
	return line
}

// rate prints n bytes, the seconds that they took, and how many they are a second.
func rate(n int64, took time.Duration) string {
	return fmt.Sprintf("%s in %.2f s, %.2f GB/s", size(n), took.Seconds(), float64(n)/1e9/max(took.Seconds(), 1e-9))
}

// A pace has records begin at a rate.
type pace struct {
	rate  float64 // a second, 0: as fast as possible
	start time.Time
	begun int64
}

func newPace(rate float64) *pace { return &pace{rate: rate, start: time.Now()} }

// tick is how long a pace waits at least, so that fast ones send many records at once.
const tick = 10 * time.Millisecond

// due returns how many more records may begin by now. It waits for the first of them,
// and returns 0 if ctx is done before.
func (p *pace) due(ctx context.Context) int64 {
	if p.rate == 0 {
		return math.MaxInt64
	}
	for {
		if n := int64(time.Since(p.start).Seconds()*p.rate) + 1 - p.begun; n > 0 {
			return n
		}
		next := time.Duration(min(float64(p.begun)/p.rate, 1e9) * float64(time.Second))
		select {
		case <-time.After(max(tick, time.Until(p.start.Add(next)))):
		case <-ctx.Done():
			return 0
		}
	}
}
