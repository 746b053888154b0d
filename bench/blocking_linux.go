package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ticks records the longest time between two ticks.
type ticks struct {
	stop chan struct{}
	all  sync.WaitGroup
	gap  time.Duration
}

// tickEvery is how often it ticks: what a process does at its leisure.
const tickEvery = 10 * time.Millisecond

func startTicks() *ticks {
	t := &ticks{stop: make(chan struct{})}
	t.all.Go(func() {
		ticker := time.NewTicker(tickEvery)
		defer ticker.Stop()
		for last := time.Now(); ; {
			select {
			case <-t.stop:
				return
			case <-ticker.C:
			}
			now := time.Now()
			t.gap = max(t.gap, now.Sub(last))
			last = now
		}
	})
	return t
}

func (t *ticks) end() time.Duration {
	close(t.stop)
	t.all.Wait()
	return t.gap
}

// block makes one end of the copy under way blocking, as a program does that hands
// the descriptor of a connection to somebody who wants it so: O_NONBLOCK belongs to
// the open file description, which the duplicate shares. From then on it ticks.
func (r *relay) block(end string) error {
	pair := r.pair.Load()
	if pair == nil {
		return errors.New("no stream")
	}
	conn := pair[0] // the bytes come from who was accepted
	if end == endDestination {
		conn = pair[1]
	}
	f, err := conn.File()
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	r.ticks = startTicks()
	ce := raw.Control(func(fd uintptr) { err = syscall.SetNonblock(int(fd), false) })
	return errors.Join(err, ce)
}

// The course of a blocking round: bytes flow, one end becomes blocking in the
// middle of it, the flow ends, and collections are forced. What blocks then with
// the whole process is let go after some time, so that it can tell how long it stood.
const (
	flowTime     = 300 * time.Millisecond
	collectTime  = 400 * time.Millisecond
	releaseAfter = 1200 * time.Millisecond
)

// blocking runs such a round.
func (s *session) blocking(ctx context.Context, j job, r *running) (out sample, err error) {
	if _, err := s.source.call(ctx, request{Op: "dial", Addr: r.addr, Streams: 1}); err != nil {
		return out, err
	}
	if _, err := s.sink.call(ctx, request{Op: "accepted", Streams: 1}); err != nil {
		return out, err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := s.source.call(ctx, request{Op: "send", For: flowTime, Keep: true})
		sent <- err
	}()
	time.Sleep(flowTime / 2)
	_, err = r.call(ctx, request{Op: "block", End: j.End})
	if err == nil && j.End == endDestination {
		_, err = s.sink.call(ctx, request{Op: "hold"})
	}
	if err = errors.Join(err, <-sent); err != nil {
		return out, err
	}
	time.Sleep(2 * settleTime)
	if n, err := waitingIn(r.pid()); err == nil {
		out.Blocked = &n
	}
	let := time.AfterFunc(releaseAfter, func() {
		s.source.call(ctx, request{Op: "close"})
		s.sink.call(ctx, request{Op: "close"})
	})
	defer let.Stop()
	if _, err := r.call(ctx, request{Op: "collect", For: collectTime}); err != nil {
		return out, err
	}
	a, err := r.call(ctx, request{Op: "gap"})
	out.Gap = a.Gap.Seconds()
	return out, err
}

// moving are the system calls in which a copy may wait.
var moving = map[int]bool{
	syscall.SYS_READ: true, syscall.SYS_WRITE: true, syscall.SYS_SPLICE: true, syscall.SYS_SENDFILE: true,
}

// waitingIn counts the threads of a process that wait in one of them: the proof
// that an end which should be blocking is.
func waitingIn(pid int) (n int, err error) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if len(tasks) == 0 {
		return 0, fmt.Errorf("nothing is known of the system calls of process %d", pid)
	}
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if err != nil {
			return 0, err
		}
		if call, ok := waitsIn(string(text)); ok && moving[call] {
			n++
		}
	}
	return n, nil
}

// waitsIn reads a line of /proc/PID/task/TID/syscall: the number of the call in
// which the thread sleeps, -1 for none. A thread that runs says so instead.
func waitsIn(line string) (call int, ok bool) {
	word, _, _ := strings.Cut(line, " ")
	call, err := strconv.Atoi(strings.TrimSpace(word))
	return call, err == nil && call >= 0
}
