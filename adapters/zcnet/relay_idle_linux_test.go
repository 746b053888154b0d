package zcnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/adapters/zcnet"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// TestRelayIdle: silence is cut, after the timeout and not much later.
func TestRelayIdle(t *testing.T) {
	t.Parallel()
	const timeout = 1200 * time.Millisecond // a step takes its time on a busy machine
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			d := dig(t, "tcp", true)
			var live zcnet.RelayMeters
			d.run(t, nil, &zcnet.RelayOptions{IdleTimeout: timeout, Live: &live})
			if !step.stall {
				step.come(t, d)
			} else { // its way there takes longer than the timeout
				go d.atA.Write(make([]byte, 32<<20))
			}
			d.Wait()
			quiet := time.Since(later(live.AToB.Moved(), live.BToA.Moved()))
			if d.err != zcnet.ErrIdle || d.stats.Ending != zcnet.EndedByIdle {
				t.Error(d.stats, d.err)
			}
			if d.stats.Elapsed < timeout || quiet < timeout && live.AToB.Bytes() > 0 {
				t.Errorf("cut after %v, %v after the last byte", d.stats.Elapsed, quiet)
			}
			d.atA.Close()
		})
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// TestRelayIdleAtTheEnd: a timeout that passes while the relay ends anyway: for the race
// detector, and no error where nothing was cut.
func TestRelayIdleAtTheEnd(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		d := dig(t, "unix", true).run(t, nil, &zcnet.RelayOptions{IdleTimeout: time.Millisecond, HalfClosedTimeout: time.Millisecond})
		time.Sleep(time.Millisecond - time.Duration(i)*5*time.Microsecond)
		closeWrite(t, d.atA)
		closeWrite(t, d.atB)
		d.Wait()
		s := d.stats
		if cut := s.AToB.Err != nil || s.BToA.Err != nil; cut != (d.err == zcnet.ErrIdle) || cut != (s.Ending == zcnet.EndedByIdle) {
			t.Error(s, s.AToB.Err, s.BToA.Err, d.err)
		}
		for _, c := range []net.Conn{d.atA, d.a, d.b, d.atB} {
			c.Close()
		}
	}
}

// TestErrIdle: it is a timeout in every way that one can be asked for.
func TestErrIdle(t *testing.T) {
	t.Parallel()
	var e net.Error
	if !errors.As(zcnet.ErrIdle, &e) || !e.Timeout() || !errors.Is(zcnet.ErrIdle, os.ErrDeadlineExceeded) || e.Error() == "" {
		t.Error(zcnet.ErrIdle)
	}
}

// TestRelayNotIdle: a transfer that moves is never cut, however slowly, in either direction.
func TestRelayNotIdle(t *testing.T) {
	t.Parallel()
	for _, half := range []string{"", "a", "b"} {
		t.Run("ended:"+half, func(t *testing.T) {
			t.Parallel()
			d := dig(t, "tcp", true)
			// A byte each eighth of the timeout: on a busy machine some come late.
			const timeout = 2400 * time.Millisecond
			d.run(t, nil, &zcnet.RelayOptions{IdleTimeout: timeout, HalfClosedTimeout: timeout})
			from, to := d.atA, d.atB
			switch half {
			case "a":
				closeWrite(t, d.atA)
				from, to = to, from
			case "b":
				closeWrite(t, d.atB)
			}
			for range 20 {
				pass(t, from, to, []byte("x"))
				time.Sleep(timeout / 8)
			}
			closeWrite(t, from)
			if half == "" {
				closeWrite(t, to)
			}
			d.Wait()
			if d.err != nil || d.stats.Elapsed < 2*timeout {
				t.Error(d.stats, d.err)
			}
		})
	}
}

// TestRelayHalfClosedTimeout: it counts from the end of one side, in the place of the other
// timeout, whichever is longer.
func TestRelayHalfClosedTimeout(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		idle, half time.Duration
		pause      time.Duration // before the end of b
		atLeast    time.Duration
	}{
		{"alone", 0, 50 * time.Millisecond, 0, 50 * time.Millisecond},
		{"shorter", time.Hour, 50 * time.Millisecond, 0, 50 * time.Millisecond},
		// The end has to be noticed before the IdleTimeout is over.
		{"longer", time.Second, 1500 * time.Millisecond, 0, 1500 * time.Millisecond},
		{"not set", time.Second, 0, 0, time.Second},
		{"after silence", time.Hour, 100 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := dig(t, "tcp", false)
			if tt.pause == 0 {
				closeWrite(t, d.atB)
			}
			start := time.Now()
			d.run(t, nil, &zcnet.RelayOptions{IdleTimeout: tt.idle, HalfClosedTimeout: tt.half})
			if tt.pause > 0 {
				time.Sleep(tt.pause)
				closeWrite(t, d.atB)
			}
			d.Wait()
			if d.err != zcnet.ErrIdle || time.Since(start) < tt.atLeast || d.stats.First != zcnet.SideB {
				t.Error(d.stats, d.err, time.Since(start))
			}
		})
	}
}

// A slowLimiter waits for so long, each time.
type slowLimiter struct{ wait time.Duration }

func (l slowLimiter) Burst() int { return 1000 }

func (l slowLimiter) WaitN(ctx context.Context, n int) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(l.wait):
		return nil
	}
}

// TestRelayLimiterIsNoSilence: a relay that waits for a limiter is not idle, and is after it.
func TestRelayLimiterIsNoSilence(t *testing.T) {
	t.Parallel()
	d := dig(t, "tcp", true)
	const timeout = time.Second
	d.atA.Write(make([]byte, 2000)) // all there from the beginning
	d.run(t, nil, &zcnet.RelayOptions{IdleTimeout: timeout, PaceAToB: slowLimiter{timeout * 3 / 2}})
	d.atB.SetReadDeadline(time.Now().Add(ztest.Patience))
	_, err := io.ReadFull(d.atB, make([]byte, 2000))
	must(t, err)
	d.Wait()
	if d.err != zcnet.ErrIdle || d.stats.Elapsed < 4*timeout {
		t.Error(d.stats, d.err)
	}
}

// TestRelayIdleCosts: an idle relay holds two goroutines, no pipe and no descriptor besides
// its connections', and makes no system call, and neither does one that has ended one way.
// Not in parallel: goroutines and descriptors of others would be counted.
func TestRelayIdleCosts(t *testing.T) {
	ztest.CheckLeaks(t, func() { kpipe.Shared.CloseIdle() })
	const many = 200
	tunnels := make([]*tunnel, many)
	for i := range tunnels {
		tunnels[i] = dig(t, "tcp", i%2 == 0)
	}
	kpipe.Shared.CloseIdle()
	descriptors := open(t)
	busy := tunnels[0]
	tasks := make([]*ztest.Task, many)
	for i, d := range tunnels {
		d.run(t, nil, &zcnet.RelayOptions{IdleTimeout: time.Hour})
		tasks[i] = d.Task
	}
	ztest.AwaitAllParked(t, "relays", tasks)
	for i, d := range tunnels {
		if i%4 == 1 {
			pass(t, d.atA, d.atB, []byte("x")) // been busy once
		}
	}
	ztest.AwaitAllParked(t, "relays", tasks)
	settle(t, 2*many, "zcnet.(*direction)")
	if got := zerocopy.ReadStats(); got.Relays != many || got.Active != 2*many || got.Pipes.Open != got.Pipes.Idle {
		t.Errorf("%+v", got)
	}
	kpipe.Shared.CloseIdle()
	if got := open(t); got != descriptors {
		t.Errorf("%d descriptors, %d before", got, descriptors)
	}

	before, calls := switches(t), zerocopy.ReadStats().Mechanisms
	const bytes = 20
	for range bytes {
		pass(t, busy.atA, busy.atB, []byte("x"))
		time.Sleep(5 * time.Millisecond)
	}
	after := zerocopy.ReadStats().Mechanisms
	var n int64
	for i := range after {
		n += after[i].Calls
	}
	for i := range calls {
		n -= calls[i].Calls
	}
	if n > 6*bytes {
		t.Errorf("%d system calls for %d bytes", n, bytes)
	}
	if n := switches(t) - before; n > 60*bytes {
		t.Errorf("%d waits for %d bytes beside %d idle relays", n, bytes, many-1)
	}

	for _, d := range tunnels {
		closeWrite(t, d.atA)
	}
	for _, d := range tunnels {
		awaitEnd(t, d.atB)
	}
	settle(t, 2*many, "zcnet.(*direction)") // half-closed: one copies, one watches
	for _, d := range tunnels {
		closeWrite(t, d.atB)
		d.Wait()
		if d.err != nil {
			t.Error(d.err)
		}
		for _, c := range []net.Conn{d.atA, d.a, d.b, d.atB} {
			c.Close()
		}
	}
	if got := zerocopy.ReadStats(); got.Relays != 0 {
		t.Error(got.Relays)
	}
}

// settle waits until exactly so many goroutines have a function in their stacks.
func settle(t testing.TB, want int, function string) {
	t.Helper()
	got := 0
	p := make([]byte, 16<<20)
	ztest.Eventually(t, ztest.Patience, "goroutines", func() bool {
		got = 0
		for g := range strings.SplitSeq(string(p[:runtime.Stack(p, true)]), "\n\n") {
			if strings.Contains(g, function) {
				got++
			}
		}
		return got == want
	})
}

// open returns the number of open descriptors.
func open(t testing.TB) int {
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// switches returns how often a thread of the process has gone to sleep.
func switches(t testing.TB) int64 {
	var u syscall.Rusage
	must(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return int64(u.Nvcsw)
}
