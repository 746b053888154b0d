package zerocopy_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/sys"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

// paceStates are the states in which a stream from a socket can come to wait.
var paceStates = []struct {
	name    string
	feed    []int // what it has been sent before
	off     zerocopy.MechanismSet
	refused bool // no pipe is to be had
	reason  zerocopy.Reason
}{
	{"nothing sent", nil, 0, false, zerocopy.ReasonNone},
	{"messages", []int{1, 5000, 40_000}, 0, false, zerocopy.ReasonStart},
	{"bulk", []int{1 << 20}, 0, false, zerocopy.ReasonStart},
	{"bulk, then messages", []int{1 << 20, 100, 100, 100, 100, 100, 100, 100}, 0, false, zerocopy.ReasonStart},
	{"no pipe", []int{1 << 20}, 0, true, zerocopy.ReasonNoPipe},
	{"no pipe, then messages", []int{1 << 20, 100, 100}, 0, true, zerocopy.ReasonNoPipe},
	{"switched off", []int{1 << 20}, zerocopy.AllMechanisms, false, zerocopy.ReasonDisabled},
}

// noPipes answers as a process with no descriptor left.
func noPipes(c *sys.Call, _ int) (int, error, bool) {
	return 0, syscall.EMFILE, c.Name == "pipe2"
}

// TestIdleHoldsNothing: a copy that waits has neither a pipe nor a buffer, in
// whichever state its stream is, and it makes no system call.
func TestIdleHoldsNothing(t *testing.T) {
	t.Parallel()
	for _, p := range socketPairs {
		for _, state := range paceStates {
			t.Run(fmt.Sprintf("%s→%s/%s", p.src, p.dst, state.name), func(t *testing.T) {
				t.Parallel()
				src, dst := newFast(t, p.src, nil), ztest.NewDest(t, p.dst)
				var next answer
				if state.refused {
					next = noPipes
				}
				c := adaptive(t, src.answer(t, next))
				pool := new(soakPool)
				c.BufferPool, c.Disable = pool, state.off
				r := c.begin(t, nil, dst.Writer, src.Reader)
				for i := 0; ; i++ {
					r.AwaitParked()
					if s := c.pipes.Stats(); s.Open != s.Idle {
						t.Errorf("after %d: pipes are held: %+v", i, s)
					}
					if n := pool.out.Load(); n != 0 {
						t.Errorf("after %d: %d buffers are held", i, n)
					}
					before := c.moves()
					r.AwaitParked()
					if k := c.moves() - before; k > 0 {
						t.Errorf("after %d: %d system calls while it waits", i, k)
					}
					if i == len(state.feed) {
						break
					}
					src.feed(make([]byte, state.feed[i]))
					dst.AwaitReceived(int64(len(src.Content)))
				}
				src.End()
				r.Wait()
				checkWhole(t, dst, r.n, r.err, src.Content)
				if _, ok := c.reason(state.reason); state.reason != zerocopy.ReasonNone && !ok {
					t.Errorf("%v", c.report)
				}
			})
		}
	}
}

// TestIdleCostsNoMemory: of many copies that wait, in each state, none has kept
// the buffer, small or large, that it has read with.
func TestIdleCostsNoMemory(t *testing.T) {
	t.Parallel()
	if !ztest.Isolated(t) { // measures the heap
		return
	}
	const copies = 40
	for _, state := range paceStates {
		type tunnel struct{ src, peer, dst, sink ztest.Stream }
		tunnels := make([]tunnel, copies)
		for i := range tunnels {
			tu := &tunnels[i]
			tu.src, tu.peer = ztest.Pair(t, ztest.TCP4)
			tu.dst, tu.sink = ztest.Pair(t, ztest.TCP4)
		}
		var f answer
		if state.refused {
			f = noPipes
		}
		c := adaptive(t, f)
		c.Disable = state.off
		before := soakHeap()
		var running []*copying
		for _, tu := range tunnels {
			running = append(running, c.begin(t, nil, tu.dst, tu.src))
			for _, n := range state.feed {
				sent := ztest.Go(t, "Write", func() { tu.peer.Write(make([]byte, n)) })
				if _, err := io.CopyN(io.Discard, struct{ io.Reader }{tu.sink}, int64(n)); err != nil {
					t.Error(err)
				}
				sent.Wait()
			}
			// Empty pools, or all copies could have kept the same buffer.
			running[len(running)-1].AwaitParked()
			runtime.GC()
			runtime.GC()
		}
		grown := soakHeap() - before
		t.Logf("%s: %d bytes a copy", state.name, grown/copies)
		if grown > copies*zerocopy.BufferSize/2 {
			t.Errorf("%s: %d copies that wait hold %d KiB", state.name, copies, grown>>10)
		}
		if s := c.pipes.Stats(); s.Open != s.Idle {
			t.Errorf("%s: pipes are held: %+v", state.name, s)
		}
		for i, tu := range tunnels {
			tu.src.Close()
			running[i].Wait()
			for _, end := range []ztest.Stream{tu.peer, tu.dst, tu.sink} {
				end.Close()
			}
		}
	}
}

// TestBlockingModeIsSeenBeforeSplicing: O_NONBLOCK belongs to the open description
// (H35) and is asked for when a connection is about to be spliced, not before: then
// the copy is buffered and says why.
func TestBlockingModeIsSeenBeforeSplicing(t *testing.T) {
	t.Parallel()
	for _, p := range []struct{ src, dst ztest.Kind }{{ztest.TCP4, ztest.TCP4}, {ztest.Unix, ztest.Unix}, {ztest.TCP6, ztest.Unix}} {
		for _, side := range []string{"source", "destination"} {
			for _, when := range []string{"before", "among messages", "after bulk"} {
				t.Run(fmt.Sprintf("%s→%s/%s/%s", p.src, p.dst, side, when), func(t *testing.T) {
					t.Parallel()
					src, dst := newFast(t, p.src, nil), ztest.NewDest(t, p.dst)
					c := adaptive(t, src.answer(t, nil))
					clear := func() {
						end := src.Reader
						if side == "destination" {
							end = dst.Writer
						}
						must(t, ztest.SetNonblock(end, false))
					}
					if when == "before" {
						clear()
					}
					r := c.begin(t, nil, dst.Writer, src.Reader)
					send := func(n int) {
						src.feed(ztest.Pattern(uint64(n)).Bytes(n))
						dst.AwaitReceived(int64(len(src.Content)))
					}
					send(1000)
					if c.count("F_GETFL") > 0 {
						t.Errorf("asked for the mode of a connection with %d calls before it mattered", c.count("F_GETFL"))
					}
					if when == "after bulk" {
						send(1 << 20)
						for range zerocopy.ShortDrains + 3 {
							send(100)
						}
					}
					if when != "before" {
						r.AwaitParked()
						clear()
					}
					splices := c.count("splice")
					send(1 << 20)
					src.End()
					r.Wait()
					checkWhole(t, dst, r.n, r.err, src.Content)
					s, ok := c.reason(zerocopy.ReasonBlocking)
					if !ok || s.Bytes < 1<<20-2*start || s.End.String() != side {
						t.Errorf("%v", c.report)
					}
					if k := c.count("splice") - splices; k > 0 || when != "after bulk" && c.count("pipe2") > 0 {
						t.Errorf("%d splices that may sleep; %v", k, c.calls)
					}
				})
			}
		}
	}
}

// TestNoDescriptorLeft: the kernel's own EMFILE, and the counts of the process.
func TestNoDescriptorLeft(t *testing.T) {
	t.Parallel()
	if !ztest.Isolated(t) {
		return
	}
	zerocopy.CloseIdlePipes()
	content := ztest.Pattern(8).Bytes(8 << 20)
	src, dst := newFast(t, ztest.TCP4, nil), ztest.NewDest(t, ztest.TCP4)
	src.feed(content[:1000])
	var was syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	free, err := os.Open("/dev/null") // the lowest number that is free
	must(t, err)
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(free.Fd()), Max: was.Max}))
	free.Close()
	before := zerocopy.ReadStats()
	c := &zerocopy.Copier{}
	var report zerocopy.Report
	c.Report = func(r zerocopy.Report) { report = r }
	var n int64
	run := ztest.Go(t, "Copy", func() { n, err = c.Copy(t.Context(), dst.Writer, src.Reader) })
	src.feed(content)
	dst.AwaitReceived(int64(len(src.Content)))
	refused := zerocopy.ReadStats().Pipes
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	for range 3 {
		src.feed(content)
	}
	src.End()
	run.Wait()
	checkWhole(t, dst, n, err, src.Content)
	after := zerocopy.ReadStats()
	if refused.Refused <= before.Pipes.Refused || refused.Created > before.Pipes.Created || after.Pipes.Created == before.Pipes.Created {
		t.Errorf("pipes before %+v, without descriptors %+v, after %+v", before.Pipes, refused, after.Pipes)
	}
	found := false
	for _, s := range report.Steps {
		found = found || s.Reason == zerocopy.ReasonNoPipe && errors.Is(s.Err, syscall.EMFILE) && s.Bytes > 0
	}
	if !found || report.Bytes(zerocopy.Splice) < int64(len(content)) {
		t.Errorf("%v", report)
	}
	counted := false
	for _, row := range after.Reasons {
		counted = counted || row.Reason == zerocopy.ReasonNoPipe && row.Bytes > 0 && row.Type == "*net.TCPConn"
	}
	if !counted {
		t.Errorf("not among the reasons: %+v", after.Reasons)
	}
}
