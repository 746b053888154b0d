package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/zerocopy-go/zerocopy"
	"github.com/zerocopy-go/zerocopy/broadcast"
)

// A fan is a contender that copies one stream to many sinks.
type fan struct {
	// run copies src to sinks. It returns when all have ended.
	run       func(f *fan) error
	src       io.Reader
	sinks     []io.Writer
	stopped   int // the first so many may stop, and have
	policy    broadcast.Policy
	recording *os.File // or nil
	// ended is called once for each sink when it has got all or has failed, by any
	// goroutine.
	ended func(i int, err error)
	// added are the sinks of a broadcast.
	added atomic.Pointer[[]*broadcast.Sink]
}

// fanVariants are the contenders that are a function in a process of this program.
var fanVariants = []struct {
	name string
	run  func(f *fan) error
}{
	{byMulti, inStep(io.MultiWriter, io.Copy)},
	{byLoop256, inStep(io.MultiWriter, loop(256<<10))},
	{byOurMulti, inStep(zerocopy.MultiWriter, zerocopy.Copy)},
	{byBroadcast, atLarge},
}

// newFan returns the fan of that name, without its ends. Its first sinks, so many of
// them, may stop, and have the policy.
func newFan(variant string, stopped int, policy string) (f *fan, ok bool) {
	for _, v := range fanVariants {
		if v.name == variant {
			f, ok = &fan{run: v.run, stopped: stopped, policy: broadcast.Detach}, true
			if policy == policyDemote {
				f.policy = broadcast.Demote
			}
		}
	}
	return f, ok
}

// inStep is a fan by one copy to all sinks as one Writer.
func inStep(join func(...io.Writer) io.Writer, do copyFunc) func(*fan) error {
	return func(f *fan) error {
		_, err := do(join(f.sinks...), f.src)
		for i := range f.sinks {
			f.ended(i, err)
		}
		return err
	}
}

// atLarge is a fan by a broadcast. The stream waits for the sinks that read: the
// source sends as fast as it can, and they would all be left behind.
func atLarge(f *fan) error {
	b, err := broadcast.New(f.src, &broadcast.Options{Recording: f.recording})
	if err != nil {
		return err
	}
	added := make([]*broadcast.Sink, len(f.sinks))
	for i, w := range f.sinks {
		o := broadcast.SinkOptions{Name: fmt.Sprint("sink ", i)}
		if i < f.stopped {
			o.Policy = f.policy
		}
		if added[i], err = b.Add(w, &o); err != nil {
			return err
		}
	}
	f.added.Store(&added)
	for i, s := range added {
		go func() { f.ended(i, s.Wait()) }()
	}
	return b.Run(context.Background())
}

// behind counts the sinks that have been detached or demoted by now.
func (f *fan) behind() (n int) {
	added := f.added.Load()
	if added == nil {
		return 0
	}
	for _, s := range *added {
		st := s.Stats()
		if st.Demotions > 0 || leftBehind(st.Err) {
			n++
		}
	}
	return n
}

// leftBehind reports whether a sink has ended because it did not keep up.
func leftBehind(err error) bool {
	var lag *broadcast.LagError
	return errors.As(err, &lag)
}
