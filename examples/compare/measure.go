package main

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/stat"
)

// A contender is one of the two that are compared.
type contender int

const (
	ioCopy contender = iota
	ours
)

// String returns the function's name.
func (c contender) String() string { return [...]string{"io.Copy", "zerocopy.Copy"}[c] }

// A job is one copy to be made by the processes of a stage.
type job struct {
	Who    contender
	N      int64 // bytes
	Verify bool  // bytes that no two blocks have in common, hashed at the sink
	Report bool  // through a Copier with Report, where Who is ours
	Trace  bool  // by a worker of its own, whose system calls are traced
}

// An outcome is what came of a job.
type outcome struct {
	CPU, Wall time.Duration // of the worker; until the sink had the last byte
	Steps     []step        // with job.Report
	Seen      *tally        // with job.Trace, nil if tracing is not permitted
	Sum       string        // with job.Verify, the hash of what arrived
}

// A stage has the processes that a row needs, and the ends between them.
type stage interface {
	// run does one job. It ends early, with an error, if the stage's context
	// is done; the stage is then good for nothing but close.
	run(job) (outcome, error)
	// close ends the processes and returns once they are gone.
	close()
}

// A step is a step of a [zerocopy.Report], fit to be sent and printed.
type step struct {
	Mechanism zerocopy.Mechanism `json:"mechanism"`
	Route     string             `json:"route,omitempty"`
	Bytes     int64              `json:"bytes"`
	Calls     int64              `json:"calls,omitempty"`
	Reason    zerocopy.Reason    `json:"reason,omitempty"`
	Text      string             `json:"text"`
}

func stepsOf(r zerocopy.Report) []step {
	var steps []step
	for _, s := range r.Steps {
		steps = append(steps, step{s.Mechanism, s.Route, s.Bytes, s.Calls, s.Reason, s.String()})
	}
	return steps
}

// results are all that a run found out.
type results struct {
	Machine     machine `json:"machine"`
	Command     string  `json:"command"`
	Took        float64 `json:"took_seconds"`
	Planned     int     `json:"rows_planned"`
	Interrupted bool    `json:"interrupted,omitempty"`
	Rows        []row   `json:"rows"`
}

// A row is what was found out about one pair.
type row struct {
	Pair   string `json:"pair"`
	Group  group  `json:"group"`
	Src    kind   `json:"src"`
	Dst    kind   `json:"dst"`
	Bytes  int64  `json:"bytes_per_copy"`
	Rounds int    `json:"rounds"`
	// Verified says that both delivered the source's bytes, all and unchanged.
	Verified bool `json:"verified"`
	IOCopy   side `json:"io_copy"`
	Copy     side `json:"zerocopy_copy"`
	// CPURatio is Copy's CPU time a byte by io.Copy's, SpeedRatio its throughput by io.Copy's.
	CPURatio     float64 `json:"cpu_ratio"`
	CPUVerdict   verdict `json:"cpu_verdict"`
	SpeedRatio   float64 `json:"throughput_ratio"`
	SpeedVerdict verdict `json:"throughput_verdict"`
	// Contradiction says how Copy's Report differs from the system calls seen.
	Contradiction string `json:"contradiction,omitempty"`
	Failed        string `json:"failed,omitempty"`
}

// A side is one contender's part of a row.
type side struct {
	// Route is the way most bytes took, "?" if that is not known.
	Route string      `json:"route"`
	Seen  *tally      `json:"observed,omitempty"`
	Steps []step      `json:"steps,omitempty"` // of the Report
	CPU   stat.Spread `json:"cpu_s_per_gb"`
	GBps  stat.Spread `json:"gb_per_s"`

	cpu, wall []float64 // seconds a GB, one a copy
}

// add takes in one timed copy of n bytes.
func (s *side) add(o outcome, n int64) {
	gb := float64(n) / 1e9
	s.cpu = append(s.cpu, o.CPU.Seconds()/gb)
	s.wall = append(s.wall, o.Wall.Seconds()/gb)
}

// sum fills in the spreads.
func (s *side) sum() {
	s.CPU = stat.SpreadOf(s.cpu)
	rates := make([]float64, len(s.wall))
	for i, w := range s.wall {
		rates[i] = ratio(1, w)
	}
	s.GBps = stat.SpreadOf(rates)
}

const (
	minRounds = 6  // with fewer, verdicts come by chance too often, see agreement
	maxRounds = 24 // more would only use up time that other rows can have
	// plannedRounds is how many a row gets if its size was chosen well.
	plannedRounds = 16

	minSize = 8 << 20
	maxSize = 256 << 20
	// maxFileSize bounds what the directory for files must hold.
	maxFileSize = 128 << 20
	// warmSize is past TCP's slow start and the first growth of its buffers.
	warmSize = 16 << 20
	// verifySize is no multiple of a page, a pipe or a buffer.
	verifySize = 8<<20 + 4321
	// leastCPU and leastSpeed are the differences of medians that count.
	// Throughput depends on how three processes share the cores, so it needs more.
	leastCPU, leastSpeed = 0.03, 0.05
)

// sizeFor returns the power of two within bounds nearest to what takes each at
// the given rate.
func sizeFor(bytesPerSecond float64, each time.Duration, most int64) int64 {
	want := min(max(int64(bytesPerSecond*each.Seconds()), minSize), most)
	size := int64(1) << (bits.Len64(uint64(want)) - 1)
	if want-size > size/2 {
		size *= 2
	}
	return size
}

// measureAll measures the pairs one by one and returns the rows, also those
// that failed. If ctx ends it, the rows until then are returned with ctx's error;
// the unfinished row counts if it has a round.
func measureAll(ctx context.Context, ps []pair, opt options, d *depot, pr *progress) ([]row, error) {
	var rows []row
	deadline := time.Now().Add(opt.time)
	late := deadline.Add(opt.time / 4)
	for i, p := range ps {
		if ctx.Err() != nil {
			break
		}
		pr.begin(p.name)
		share := time.Until(deadline) / time.Duration(len(ps)-i)
		r, err := measure(ctx, p, opt, d, time.Now().Add(share), late, pr)
		if errors.Is(err, errUnsupported) {
			return nil, err
		}
		if err != nil && ctx.Err() == nil {
			r.Failed = err.Error()
		}
		if r.Failed != "" || r.Rounds > 0 {
			rows = append(rows, r)
			pr.end(r)
		}
	}
	pr.clear()
	return rows, ctx.Err()
}

// measure measures one pair, until the deadline unless opt says how often. With
// an error the row holds what was measured before it.
func measure(ctx context.Context, p pair, opt options, d *depot, deadline, late time.Time, pr *progress) (row, error) {
	r := row{Pair: p.name, Group: p.group, Src: p.src, Dst: p.dst, IOCopy: side{Route: "?"}, Copy: side{Route: "?"}}
	st, err := newStage(ctx, p, d)
	if err != nil {
		return r, err
	}
	defer st.close()
	sides := [...]*side{ioCopy: &r.IOCopy, ours: &r.Copy}

	pr.status("verifying and tracing")
	n := int64(verifySize)
	if opt.size > 0 {
		n = min(n, opt.size+4321)
	}
	for who, s := range sides {
		if err := verify(st, p, contender(who), n, s, &r); err != nil {
			return r, err
		}
	}
	r.Verified = true

	pr.status("warming up")
	rate := 0.0
	for who, s := range sides {
		n := int64(warmSize)
		if opt.size > 0 {
			n = min(n, opt.size)
		}
		o, err := st.run(job{Who: contender(who), N: n, Report: true})
		if err != nil {
			return r, fmt.Errorf("%v: %w", contender(who), err)
		}
		s.Steps = o.Steps
		if rate == 0 || float64(n)/o.Wall.Seconds() < rate {
			rate = float64(n) / o.Wall.Seconds()
		}
	}
	r.Copy.Route = routeOf(r.Copy.Steps, r.Copy.Route) // until here it is what was seen

	r.Bytes = opt.size
	if r.Bytes == 0 {
		most := int64(maxSize)
		if p.src == aFile || p.src == aGzip || p.dst == aFile {
			most = maxFileSize
		}
		r.Bytes = sizeFor(rate, time.Until(deadline)/(2*plannedRounds), most)
	}
	return r, rounds(st, &r, opt.rounds, deadline, late, pr)
}

// verify has who copy once, traced where that is permitted, and compares what
// arrives. It fills in what was seen.
func verify(st stage, p pair, who contender, n int64, s *side, r *row) error {
	want, err := p.expected(n)
	if err != nil {
		return err
	}
	o, err := st.run(job{Who: who, N: n, Verify: true, Report: true, Trace: true})
	if err != nil {
		return fmt.Errorf("%v: %w", who, err)
	}
	if o.Sum != want {
		return fmt.Errorf("%v: what arrived is not what was sent", who)
	}
	if s.Seen = o.Seen; s.Seen != nil {
		s.Route = s.Seen.route(p.src, p.dst)
	}
	if who == ours {
		r.Contradiction = contradiction(o.Steps, o.Seen)
	}
	return nil
}

// rounds has the contenders take turns and fills in the figures of r, also if
// it returns an error. From late on a row gets two rounds only, so that a slow
// machine ends, too.
func rounds(st stage, r *row, fixed int, deadline, late time.Time, pr *progress) (err error) {
	start := time.Now()
	for i := 0; err == nil; i++ {
		if fixed > 0 && i >= fixed {
			break
		}
		// One more pair of rounds must fit, so that each goes first as often.
		if fixed == 0 && i >= minRounds && i%2 == 0 &&
			(i >= maxRounds || time.Now().Add(2*time.Since(start)/time.Duration(i)).After(deadline)) {
			break
		}
		if fixed == 0 && i >= 2 && time.Now().After(late) {
			break
		}
		order := []contender{ioCopy, ours}
		if i%2 == 1 {
			order[0], order[1] = ours, ioCopy
		}
		var got [2]outcome
		for _, who := range order {
			if got[who], err = st.run(job{Who: who, N: r.Bytes}); err != nil {
				err = fmt.Errorf("%v: %w", who, err)
				break
			}
		}
		if err == nil {
			r.IOCopy.add(got[ioCopy], r.Bytes)
			r.Copy.add(got[ours], r.Bytes)
			pr.status(fmt.Sprintf("round %d, %d MiB: %.3f and %.3f CPU-s/GB", i+1, r.Bytes>>20,
				r.IOCopy.cpu[i], r.Copy.cpu[i]))
		}
	}
	r.finish()
	return err
}

// finish works out the figures of r from its measurements.
func (r *row) finish() {
	r.Rounds = len(r.IOCopy.cpu)
	r.IOCopy.sum()
	r.Copy.sum()
	r.CPURatio = ratio(r.Copy.CPU.Median, r.IOCopy.CPU.Median)
	r.SpeedRatio = ratio(r.Copy.GBps.Median, r.IOCopy.GBps.Median)
	r.CPUVerdict = judge(r.IOCopy.cpu, r.Copy.cpu, leastCPU)
	r.SpeedVerdict = judge(r.IOCopy.wall, r.Copy.wall, leastSpeed)
}
