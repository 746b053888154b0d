package main

// What a contender's control group may be short of: the names of the controllers.
const (
	limitMemory = "memory"
	limitCPU    = "cpu"
)

// The ends of a copy.
const (
	endSource      = "source"
	endDestination = "destination"
)

// stalls are the cases that show what a copy does to the rest of its process, and to
// its sender: what there is to lose by making system calls behind the scheduler's
// back, or by sleeping until more has come.
func stalls() (all []spec) {
	const about = "256 streams at once, garbage collections forced"
	for _, c := range []spec{
		{Name: "stall-256", About: about},
		{Name: "stall-256-memory", About: about + ", short of memory", Limit: limitMemory, Dir: dirDisk},
		{Name: "stall-256-cpu", About: about + ", with a quarter of a processor", Limit: limitCPU},
	} {
		c.Note = "the longest of each round; a GC stop is both of a cycle, a single stop and stopping are upper ends of the runtime's buckets, which are up to a quarter wide; timer and task belong to no copy"
		c.Mode, c.Streams, c.Scale, c.Watch = modeBare, 256, 3, true
		c.Show = []string{mStop, mStopOne, mStopping, mTimer, mTask, mGCs, mCollect, mCPU, mRate}
		// How far io.Copy is from itself shows what a ratio near 1 is worth.
		c.Contenders = append(contenders(byIO, byZerocopy, byAllOn), contender{Name: byIO + ", again", Variant: byIO})
		for _, who := range []string{byZerocopy, byAllOn} {
			for _, m := range []string{mStop, mStopping, mTimer, mTask} {
				c.Bounds = append(c.Bounds, atMost(who, m, 1.1, byIO))
			}
		}
		if c.Limit != "" {
			c.Show = append(c.Show, mHits)
			for _, who := range c.Contenders { // else it was not short of anything
				c.Bounds = append(c.Bounds, atLeast(who.Name, mHits, 1).by(byWorst))
			}
		}
		all = append(all, c)
	}
	for _, end := range []string{endSource, endDestination} {
		c := spec{
			Name: "blocking-ticker-" + end, About: "the " + end + " becomes blocking behind the copy's back and its peer stalls; a 10 ms ticker beside garbage collections",
			Note: "blocked threads wait in a system call of the copy; a gap of a second or more ended because the connections were closed",
			Kind: kindBlocking, Mode: modeBare, End: end, Show: []string{mGap, mBlocked}, Contenders: contenders(byIO, byZerocopy, byAllOn),
		}
		for _, who := range []string{byZerocopy, byAllOn} {
			c.Bounds = append(c.Bounds, atMost(who, mGap, 200).by(byWorst))
		}
		all = append(all, c)
	}
	far := spec{
		Name: "goodput-100ms", About: "one stream over a path with a round trip of 100 ms, from its second 3 on", Kind: kindFar, Mode: modeBare,
		Scale: 3, // a window arrives in a burst each round trip: one more or less of 30 is to be nothing
		Note:  "frames are held for 50 ms each way between two veth pairs; the receiver's largest buffer is the kernel's default of 6 MiB, and so the window the limit",
		Show:  []string{mGoodput, mCPU, mTrip, mResent}, Contenders: contenders(byIO, byZerocopy, byAllOn),
	}
	for _, who := range []string{byZerocopy, byAllOn} {
		far.Bounds = append(far.Bounds, atLeast(who, mGoodput, 1, byIO).by(byQuartile))
	}
	return append(all, far)
}
