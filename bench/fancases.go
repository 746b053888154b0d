package main

import "fmt"

// What a fan does with a sink that does not keep up.
const (
	policyDetach = "detach"
	policyDemote = "demote"
)

// fans are the cases of one stream that goes to many sinks. Their bytes are those
// that were delivered, of all sinks together.
func fans() (all []spec) {
	show := []string{mCPU, mRate, mEach, mBusy, mFDs, mPipes, mPipeMem, mRSS, mSwitches}
	for _, row := range []struct {
		spec
		limit float64 // of the CPU by that of io.MultiWriter
	}{
		{spec{Name: "fan-2", About: "one stream to 2 sockets", Sinks: 2, Group: groupFan}, 0.5},
		{spec{Name: "fan-file", About: "one stream to a socket and a new file", Sinks: 1, Mode: modeFanFile, Dir: dirDisk, MaxGB: 0.5}, 0.5},
		{spec{Name: "fan-8", About: "one stream to 8 sockets", Sinks: 8, Group: groupFan}, 0.65},
		// In a second a sink's share would be hardly more than its sockets hold.
		{spec{Name: "fan-64", About: "one stream to 64 sockets", Sinks: 64, Group: groupFan, Scale: 3}, 0.65},
	} {
		c := row.spec
		c.Kind, c.Show, c.X = kindFan, show, float64(c.Sinks)
		if c.Mode == "" {
			c.Mode = modeFan
		}
		c.Contenders = contenders(byMulti, byLoop256, byOurMulti, byBroadcast, byFanLimit)
		for _, who := range []string{byOurMulti, byBroadcast} {
			c.Bounds = append(c.Bounds, atMost(who, mCPU, row.limit, byMulti), atMost(who, mCPU, 1.35, byFanLimit))
		}
		all = append(all, c)
	}
	return append(all, stopped()...)
}

// stopped are the cases of a sink that stops reading.
func stopped() (all []spec) {
	const (
		one     = byBroadcast + ", one stopped"
		read    = byBroadcast + ", all read"
		without = byBroadcast + ", without it"
		eight   = 8
	)
	note := fmt.Sprintf("the rates are those of the others; the first row has %d of them, the second %d, the third again %d", eight-1, eight, eight-1)
	for _, c := range []spec{
		{Name: "fan-stopped-detach", About: "and is detached", Policy: policyDetach},
		{Name: "fan-stopped-demote", About: "and falls back to the recording", Policy: policyDemote, Dir: dirDisk, MaxGB: 0.5},
	} {
		c.Contenders = []contender{
			{Name: one, Variant: byBroadcast, Stopped: 1}, {Name: read, Variant: byBroadcast}, {Name: without, Variant: byBroadcast, Fewer: 1},
		}
		c.Note, c.Scale = note, 2
		c.Bounds = []bound{
			atLeast(one, mEach, 0.95, read, without),
			{Contender: one, Against: []string{without}, Metric: mRSS, Limit: 1, Plus: 8.4}, // 8 MiB
		}
		all = append(all, c)
	}
	all = append(all, spec{
		Name: "fan-stopped-long", About: "for long, and falls back to the recording", Policy: policyDemote, Dir: dirDisk, MaxGB: 2, Scale: 8,
		Note:       "its lag grows until the end, the memory of the process shall not",
		Contenders: []contender{{Name: one, Variant: byBroadcast, Stopped: 1}},
		// A heap that is collected goes up and down by about its least size, 4 MB.
		Bounds: []bound{atMost(one, mGrowth, 4)},
	})
	for i := range all {
		c := &all[i]
		c.About = fmt.Sprintf("one stream to %d sockets, of which one stops reading ", eight) + c.About
		c.Kind, c.Mode, c.Sinks = kindFan, modeFan, eight
		c.Show = []string{mEach, mCPU, mRate, mRSS, mGrowth, mPipeMem, mPipes, mBehind}
		// Else it did not stop.
		c.Bounds = append(c.Bounds, atLeast(one, mBehind, 1).by(byWorst))
	}
	return all
}
