package main

import "fmt"

// How a case is run.
type kind int

const (
	kindBulk     kind = iota // streams for a time, beside idle tunnels perhaps
	kindTrips                // one message and its answer, again and again
	kindServe                // one byte, answered with a file
	kindTunnels              // connections that are left idle
	kindMicro                // copies within the contender's process
	kindBlocking             // a stream of which one end becomes blocking and stalls
	kindFar                  // a stream from a source that is far away
	kindFan                  // one stream to many sinks
	kindPages                // a stream that the contender makes itself
	kindHTTP                 // requests and responses, or a contender that is a client
)

// A spec is a case: what is measured, of whom, and what is to be reached.
type spec struct {
	Name  string
	About string
	Note  string // what to keep in mind when reading the figures
	// Group and X place the case in a plot, and in one table with the others.
	Group string
	X     float64

	Kind       kind
	Contenders []contender
	Bounds     []bound
	Show       []string // metrics of the table; the first is the one of a group's

	Mode    string // of the contenders, unless they have their own; of micro, which copy
	Streams int    // 1 if not set
	Idle    int    // tunnels that are left idle, beside the streams if any
	Warm    int64  // bytes that each of these has carried before, each way
	Size    int    // of a message, a file or a copy, in bytes
	UID     int    // whom the contender becomes
	Discard bool   // the sink drops the bytes in the kernel
	Dir     string // where files are: dirDisk or dirMemory
	MaxGB   float64
	Scale   float64 // part of -seconds that a round takes; 1 if not set
	Watch   bool    // the contender watches itself meanwhile
	Limit   string  // of the contender's control group: limitMemory, limitCPU or none
	End     string  // the end that becomes blocking: endSource or endDestination
	Sinks   int     // sockets that a stream goes to
	Policy  string  // towards those of them that stop: policyDetach or policyDemote
	Pipe    int     // capacity of the pipe that a stream is made for
	Rate    float64 // bytes a second that the contender shall keep
	Behind  bool    // the contender is a proxy, with a server behind it
}

// A contender is a variant in a case.
type contender struct {
	Name    string // what it is called in the case; the variant's name if not set
	Variant string
	Mode    string // instead of the case's
	Stopped int    // sinks that stop reading in the course of a round
	Fewer   int    // sinks that the case has and this one has not
	Way     string // how pages are lent: a pages.Lending, or a word of limit/pages.c
	Huge    bool   // they are huge pages
}

func contenders(variants ...string) []contender {
	cs := make([]contender, len(variants))
	for i, v := range variants {
		cs[i] = contender{Name: v, Variant: v}
	}
	return cs
}

const (
	dirDisk   = "disk"
	dirMemory = "memory"
	nobody    = 65534
)

var (
	showBulk   = []string{mCPU, mRate, mBusy, mFDs, mPipes, mRSS, mSwitches}
	showTrips  = []string{mP50, mP99, mP999, mCPUOp, mSwitchesN}
	sweepIdle  = []int{0, 10, 20, 40, 100, 200, 400}
	sweepLoad  = []int{4, 16, 64, 256, 1000}
	tripSizes  = []int{64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10}
	groupIdle  = "idle"
	groupLoad  = "streams"
	groupTrips = "trip"
	groupFan   = "fan"
)

// cases returns all cases in the order in which they run. The bounds are the
// project's figures to reach.
func cases() []spec {
	all := []spec{{
		Name: "bulk", About: "one stream, TCP → TCP, both ends bare", Show: showBulk, Mode: modeBare,
		Note:       "HAProxy's splice-auto reads and writes until its first timeout, 50 s with Debian's; the column “splice at once” has 1 MiB pipes, too",
		Contenders: contenders(byIO, byLoop32, byLoop256, byZerocopy, byAllOn, byHAProxy, byHATuned, byHASplice, byLimit, byProxy),
		Bounds: []bound{
			atMost(byZerocopy, mCPU, 0.90, byIO), atLeast(byZerocopy, mRate, 1.0, byIO),
			atMost(byAllOn, mCPU, 0.65, byIO), atLeast(byAllOn, mRate, 1.1, byIO),
			atMost(byAllOn, mCPU, 1.25, byLimit),
			atMost(byProxy, mCPU, 0.30, byHAProxy), atMost(byProxy, mCPU, 0.60, byHATuned),
		},
	}, {
		Name: "bulk-discarded", About: "one stream, TCP → TCP, dropped in the sink's kernel (MSG_TRUNC)",
		Note: "upper bound: no receiver reads at this rate", Show: showBulk, Mode: modeBare, Discard: true,
		Contenders: contenders(byIO, byLoop256, byZerocopy, byAllOn, byLimit),
	}, {
		Name: "bulk-limits", About: "one stream, TCP → TCP, both ends bare, by other ways of the kernel",
		Note: "sockmap: its CPU is spent in softirq of whoever delivers and in threads of the kernel, and not charged to its process; the column to read is busy-s/GB",
		Show: []string{mBusy, mCPU, mRate, mFDs, mPipes, mRSS, mSwitches}, Mode: modeBare,
		MaxGB:      4, // sockmap holds no sender up: the kernel's memory may come to hold all of it
		Contenders: contenders(byIO, byZerocopy, byLimit, byUring, bySockmap),
	}, {
		Name: "bulk-transparent", About: "one stream, both ends behind wrappers that opt in", Show: showBulk, Mode: modeTransparent,
		Contenders: contenders(byIO, byZerocopy, byAllOn),
		Bounds:     []bound{atMost(byZerocopy, mCPU, 0.45, byIO)},
	}, {
		Name: "bulk-unknown", About: "one stream, both ends of types that nobody knows", Show: showBulk, Mode: modeUnknown,
		Contenders: contenders(byIO, byLoop256, byZerocopy),
		Bounds:     []bound{atMost(byZerocopy, mCPU, 0.75, byIO)},
	}, {
		Name: "idle-unknown", About: "100 tunnels between types that nobody knows, idle after 1 MiB each way", Kind: kindTunnels, Idle: 100, Warm: 1 << 20,
		Note: "a copy between unknown types waits inside of their Read, with its buffer",
		Mode: modeUnknown, Show: []string{mTunnelRSS, mTunnelFD, mTunnelPip, mRSS}, Contenders: contenders(byIO, byZerocopy),
		Bounds: []bound{atMost(byZerocopy, mTunnelRSS, 1.05, byIO)},
	}}
	for _, dir := range []string{dirDisk, dirMemory} {
		all = append(all, spec{
			Name: "file-" + dir, About: "one stream, TCP → new file, " + dir, Show: showBulk, Mode: modeFile, Dir: dir, MaxGB: 0.5,
			Contenders: contenders(byIO, byLoop32, byLoop256, byZerocopy, byAllOn, byLimit),
			Bounds:     []bound{atMost(byZerocopy, mCPU, 0.9, byIO), atMost(byZerocopy, mCPU, 0.6, byLoop32)},
		})
	}
	for _, n := range sweepIdle {
		c := spec{
			Name: fmt.Sprintf("idle-%d", n), About: fmt.Sprintf("one stream beside %d idle tunnels, as uid %d", n, nobody),
			Group: groupIdle, X: float64(n), Show: showBulk, Mode: modeBare, Idle: n, UID: nobody,
			Contenders: contenders(byIO, byLoop32, byZerocopy),
		}
		if n == 200 {
			c.Bounds = []bound{atLeast(byZerocopy, mRate, 2, byIO), atMost(byZerocopy, mCPU, 0.30, byIO)}
		}
		all = append(all, c)
	}
	const wrapped = byIO + ", unknown types"
	all = append(all, spec{
		Name: "tunnels-1000", About: "1,000 tunnels, idle after 32 KiB each way", Kind: kindTunnels, Idle: 1000, Warm: 32 << 10, Mode: modeBare,
		Show:       []string{mTunnelFD, mTunnelPip, mTunnelRSS, mFDs, mPipes, mRSS},
		Contenders: append(contenders(byIO, byLoop32, byZerocopy, byAllOn, byHAProxy), contender{Name: wrapped, Variant: byIO, Mode: modeUnknown}),
		Bounds: []bound{
			// What a pool keeps is not a tunnel's, but cannot be told apart: 16 pipes
			// would be 0.03 ends a tunnel.
			atMost(byZerocopy, mTunnelFD, 2.05), atMost(byZerocopy, mTunnelPip, 0.05),
			atMost(byZerocopy, mTunnelRSS, 1.0/3, wrapped),
			atMost(byZerocopy, mTunnelRSS, 32), // no buffer: with one it would be more
		},
	})
	for _, n := range tripSizes {
		c := spec{
			Name: fmt.Sprintf("trip-%d", n), About: "round trip of " + sizeName(float64(n)) + " through a proxy", Kind: kindTrips,
			Group: groupTrips, X: float64(n), Show: showTrips, Mode: modeBare, Size: n,
			Contenders: contenders(byIO, byLoop32, byZerocopy, byAllOn, byHAProxy, byLimit),
		}
		if n <= 64<<10 {
			c.Bounds = []bound{
				atMost(byZerocopy, mP50, 1.03, byIO, byLoop32), atMost(byZerocopy, mP99, 1.10, byIO, byLoop32),
				atMost(byZerocopy, mCPUOp, 1.05, byIO, byLoop32),
			}
		}
		all = append(all, c)
	}
	for _, n := range sweepLoad {
		c := spec{
			Name: fmt.Sprintf("streams-%d", n), About: fmt.Sprintf("%d streams at once", n), Group: groupLoad, X: float64(n),
			Show: append([]string{mCPU, mRate, mSlowest}, mBusy, mFDs, mPipes, mRSS, mSwitches), Mode: modeBare, Streams: n,
			Contenders: contenders(byIO, byLoop32, byZerocopy, byAllOn),
		}
		if n >= 256 {
			c.Scale = 3 // in a second a stream's share would be hardly more than its sockets hold
			c.Bounds = []bound{
				atLeast(byZerocopy, mRate, 1.0, byIO), atMost(byZerocopy, mCPU, 0.70, byIO), atLeast(byZerocopy, mSlowest, 0.5),
			}
		} else {
			c.Contenders = append(c.Contenders, contenders(byHAProxy, byLimit)...)
		}
		all = append(all, c)
	}
	all = append(all, spec{
		Name: "exchange-4096", About: "request and response of 4 KiB, a new copy for each", Kind: kindTrips, Mode: modeExchange, Size: 4096,
		Show: append([]string{mAllocs}, showTrips...), Contenders: contenders(byIO, byLoop32, byZerocopy),
		Bounds: []bound{
			atMost(byZerocopy, mP50, 1.0, byIO), atMost(byZerocopy, mCPUOp, 1.0, byIO),
			// One an end; what the loop has is the io.LimitReader that each copy is given.
			{Contender: byZerocopy, Against: []string{byLoop32}, Metric: mAllocs, Limit: 1, Plus: 2.01},
		},
	})
	all = append(all, wrappers()...)
	all = append(all, fans()...)
	all = append(all, relaying()...)
	all = append(all, lending()...)
	all = append(all, children()...)
	all = append(all, overHTTP()...)
	all = append(all, stalls()...)
	all = append(all, helpless()...)
	return append(all, crossovers()...)
}

// The copies that a contender makes within its own process.
const (
	microBytes    = "bytes.Reader"
	microGzip     = "gzip.Reader"
	microTLSRead  = "tls.Conn as source"
	microTLSWrite = "tls.Conn as destination"
	microFiles    = "files"
)

// helpless are copies that no kernel can make.
func helpless() (all []spec) {
	const size = 64
	for _, row := range [][2]string{
		{"bytes", microBytes}, {"gzip", microGzip}, {"tls-read", microTLSRead}, {"tls-write", microTLSWrite},
	} {
		name := row[1]
		all = append(all, spec{
			Name: "helpless-" + row[0], About: fmt.Sprintf("a Copy of %d bytes that cannot be helped: %s", size, name),
			Kind: kindMicro, Mode: name, Size: size, Scale: 0.2,
			Show: []string{mCPUNs, mTimeOp, mAllocs}, Contenders: contenders(byIO, byLoop32, byZerocopy),
			Bounds: []bound{
				{Contender: byZerocopy, Against: []string{byIO}, Metric: mCPUNs, Limit: 1.0, Plus: 100},
				{Contender: byZerocopy, Against: []string{byLoop32}, Metric: mAllocs, Limit: 1, Plus: 0.01},
			},
		})
	}
	return all
}

// The groups of the sizes at which one way becomes cheaper than another.
const (
	groupSockets = "socket-socket"
	groupServe   = "file-socket"
	groupFiles   = "file-file"
)

// crossovers are single copies by size.
func crossovers() (all []spec) {
	for _, g := range []spec{
		{Group: groupSockets, About: "one copy of %s, socket → socket, and back", Kind: kindTrips, Mode: modeExchange, Show: append([]string{mCPUOp}, showTrips[:3]...)},
		{Group: groupServe, About: "one copy of %s, file → socket", Kind: kindServe, Mode: modeServe, Dir: dirDisk, Show: append([]string{mCPUOp}, showTrips[:3]...)},
		{Group: groupFiles, About: "one copy of %s, file → file", Kind: kindMicro, Mode: microFiles, Dir: dirDisk, Show: []string{mCPUOp, mTimeOp}},
	} {
		for size := 512; size <= 4<<20; size *= 2 {
			c := g
			c.Name = fmt.Sprintf("%s-%d", g.Group, size)
			c.About = fmt.Sprintf(g.About, sizeName(float64(size)))
			c.X, c.Size, c.Scale = float64(size), size, 0.2
			c.Contenders = contenders(byIO, byLoop32, byLoop256, byZerocopy)
			all = append(all, c)
		}
	}
	return all
}
