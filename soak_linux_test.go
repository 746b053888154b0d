package zerocopy_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/internal/kpipe"
	"github.com/zerocopy-go/zerocopy/internal/ztest"
)

var (
	soakTime    = flag.Duration("soak.time", 10*time.Second, "for how long TestSoak opens tunnels")
	soakTunnels = flag.Int("soak.tunnels", 200, "how many tunnels TestSoak has open at a time")
	soakSeed    = flag.Uint64("soak.seed", 0, "the seed of TestSoak; 0 is one of its own choice")
)

// A soak is many tunnels at the same time, for some time.
type soak struct {
	t       *testing.T
	seed    uint64
	stop    chan struct{} // closed when time is over: tunnels come to their end
	copiers []*zerocopy.Copier
	buffers soakPool
	listen  []*soakListener

	next   atomic.Uint64 // of the tunnels
	failed atomic.Int64

	ended, bytes               atomic.Int64
	resets, closes, stalls     atomic.Int64
	timeouts, cancels, resumed atomic.Int64
	handedBack                 atomic.Int64 // bytes in PartialErrors
}

// fail reports what went wrong in a tunnel, unless there is more than enough of it.
func (s *soak) fail(format string, args ...any) {
	if s.failed.Add(1) <= 20 {
		s.t.Errorf("-soak.seed %d: "+format, append([]any{s.seed}, args...)...)
	}
}

// A soakPool is a BufferPool that knows how many buffers are out.
type soakPool struct {
	sync.Pool
	out atomic.Int64
}

func (p *soakPool) Get() []byte {
	p.out.Add(1)
	if b, ok := p.Pool.Get().(*[5000]byte); ok {
		return b[:]
	}
	return make([]byte, 5000)
}

func (p *soakPool) Put(b []byte) {
	p.out.Add(-1)
	p.Pool.Put((*[5000]byte)(b))
}

// TestSoak copies both directions of many tunnels, as a proxy does: over TCP and unix
// sockets, behind transparent wrappers, in bulk, as question and answer, in trickles
// and idle. Peers vanish, stall and close one direction; deadlines pass and contexts
// are cancelled, and the copy is taken up again where it was or given up. Each byte
// is accounted for: received, handed back, or still in the source. In the end no
// descriptor, pipe, goroutine or buffer is left, and the memory is what it was.
//
// As an ordinary test it is short. The long form is
//
//	go test -v -run '^TestSoak$' -soak.time 10m -soak.tunnels 2000 -timeout 30m .
func TestSoak(t *testing.T) {
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || strings.HasPrefix(f.Name, "soak.") })
	duration, tunnels := *soakTime, *soakTunnels
	if !asked { // beside other tests it has a process of its own, since it counts
		t.Parallel()
		if !ztest.Isolated(t) {
			return
		}
		if testing.Short() {
			duration /= 5
		}
	}
	tunnels = min(tunnels, soakDescriptors(t)/5)
	ztest.CheckLeaks(t, zerocopy.CloseIdlePipes)

	s := &soak{t: t, seed: *soakSeed, stop: make(chan struct{})}
	if s.seed == 0 {
		s.seed = rand.Uint64() | 1
	}
	once, turns, pooled, tight := new(zerocopy.Copier), new(zerocopy.Copier), &zerocopy.Copier{BufferPool: &s.buffers}, new(zerocopy.Copier)
	once.Force(zerocopy.AtOnce)
	turns.Force(zerocopy.Alternate())
	scarce := tight.SetCalls(nil) // pipes of its own, too few of them
	scarce.Limits = func() kpipe.Limits { return kpipe.Limits{Budget: 128 << 10, MaxSize: 1 << 20} }
	defer scarce.CloseIdle()
	s.copiers = []*zerocopy.Copier{
		new(zerocopy.Copier), new(zerocopy.Copier), new(zerocopy.Copier), once, turns, pooled, tight,
		{Disable: zerocopy.AllMechanisms}, {RawCalls: true}, {LowWater: true}, {RawCalls: true, LowWater: true, BufferPool: &s.buffers},
	}
	for range 4 {
		l, err := newSoakListener()
		must(t, err)
		defer l.Close()
		s.listen = append(s.listen, l)
	}
	before := zerocopy.ReadStats()
	heap := soakHeap()

	var wg sync.WaitGroup
	for range tunnels {
		wg.Go(func() {
			for {
				select {
				case <-s.stop:
					return
				default:
					s.tunnel(s.next.Add(1))
				}
			}
		})
	}
	quarters := s.watch(duration)
	close(s.stop)
	// What is on its way is as much as the kernel's buffers hold, on any machine.
	ztest.Within(t, 2*time.Minute, "the end of the tunnels, by -soak.seed "+strconv.FormatUint(s.seed, 10), wg.Wait)

	s.say(duration)
	stats := zerocopy.ReadStats()
	if stats.Bytes(zerocopy.Splice) == before.Bytes(zerocopy.Splice) || stats.Bytes(zerocopy.Buffered) == before.Bytes(zerocopy.Buffered) {
		t.Errorf("not all ways were taken: %+v", stats.Mechanisms)
	}
	if p := stats.Pipes; p.Open != p.Idle || p.Bytes > p.Budget {
		t.Errorf("pipes: %+v", p)
	}
	if p := scarce.Stats(); p.Open != p.Idle || p.Bytes > p.Budget {
		t.Errorf("pipes of a small budget: %+v", p)
	}
	if stats.Active != before.Active {
		t.Errorf("%d copies are under way", stats.Active-before.Active)
	}
	if n := s.buffers.out.Load(); n != 0 {
		t.Errorf("%d buffers were not given back", n)
	}
	if now := soakHeap(); now > heap+16<<20 {
		t.Errorf("the heap holds %d KiB, it was %d KiB", now>>10, heap>>10)
	}
	// The second quarter and not the first: that is warming up. The collector lets the
	// heap double before it looks, and the race detector's shadow grows for long.
	if second, last := quarters[1], quarters[3]; !raceEnabled && last > second*13/10+32<<20 {
		t.Errorf("resident memory grew from %d to %d KiB: by quarters %v", second>>10, last>>10, quarters)
	}
}

// watch waits for the duration, says every 30 seconds what was done, and returns the
// most memory that was resident in each quarter.
func (s *soak) watch(duration time.Duration) (quarters [4]int64) {
	began := time.Now()
	said := began
	for {
		time.Sleep(100 * time.Millisecond)
		now := time.Since(began)
		if now >= duration {
			return quarters
		}
		q := &quarters[now*4/duration]
		*q = max(*q, soakResident())
		if time.Since(said) >= 30*time.Second {
			said = said.Add(30 * time.Second)
			s.say(now)
		}
	}
}

// say prints what was done so far. It does not wait for the end of the test, which
// may be one by force.
func (s *soak) say(at time.Duration) {
	p := zerocopy.ReadStats().Pipes
	fds, _ := os.ReadDir("/proc/self/fd")
	fmt.Fprintf(os.Stderr, "soak %v: %d tunnels ended, %d MiB, %d resets, %d closes, %d stalls, %d deadlines, %d cancelled, %d resumed, %d KiB handed back; "+
		"%d MiB resident, %d descriptors, %d goroutines, %d pipes of %d MiB, %d made, %d refused; %d failures\n",
		at.Round(time.Second), s.ended.Load(), s.bytes.Load()>>20, s.resets.Load(), s.closes.Load(), s.stalls.Load(),
		s.timeouts.Load(), s.cancels.Load(), s.resumed.Load(), s.handedBack.Load()>>10, soakResident()>>20, len(fds),
		runtime.NumGoroutine(), p.Open, p.Bytes>>20, p.Created, p.Refused, s.failed.Load())
}

// soakResident is how much memory of the process is resident.
func soakResident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	n, _ := strconv.ParseInt(f[1], 10, 64)
	return n * int64(os.Getpagesize())
}

// soakHeap is how much memory is in use that nothing could free: pools of buffers
// live for two collections.
func soakHeap() int64 {
	for range 3 {
		runtime.GC()
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
