package main

import (
	"context"
	"fmt"
	"io"

	"github.com/zerocopy-go/zerocopy"
	"golang.org/x/time/rate"
)

// wrapVariants are copies under the wrappers that count and that keep a rate.
var wrapVariants = append([]variant{
	{byProgress, func() copyFunc {
		n := int64(0)
		return func(dst io.Writer, src io.Reader) (int64, error) {
			return zerocopy.Copy(dst, zerocopy.Progress(src, func(k int64) { n += k }))
		}
	}},
	{byProgressWriter, func() copyFunc {
		n := int64(0)
		return func(dst io.Writer, src io.Reader) (int64, error) {
			return zerocopy.Copy(zerocopy.ProgressWriter(dst, func(k int64) { n += k }), src)
		}
	}},
	{byPace, func() copyFunc { return paced(unreached, 1<<30) }},
	{byPaceWriter, func() copyFunc {
		l := rate.NewLimiter(unreached, 1<<30)
		return func(dst io.Writer, src io.Reader) (int64, error) {
			return zerocopy.Copy(zerocopy.PaceWriter(dst, l), src)
		}
	}},
}, pacedVariants()...)

// unreached is a rate that is no limit here, in bytes a second: the limiter counts, and
// nobody waits.
const unreached = 1e12

// paced returns a copy at a rate in bytes a second, with a limiter of its own.
func paced(r rate.Limit, burst int) copyFunc {
	l := rate.NewLimiter(r, burst)
	return func(dst io.Writer, src io.Reader) (int64, error) {
		return zerocopy.Copy(dst, zerocopy.Pace(src, l))
	}
}

// rates are what is to be kept, in bytes a second.
var rates = []struct {
	name string
	rate float64
}{{"100k", 100e3}, {"1M", 1e6}, {"50M", 50e6}, {"1G", 1e9}}

// pacedVariants are Pace and a loop of read, wait and write at each of the rates, with
// bursts of a tenth of a second.
func pacedVariants() (all []variant) {
	for _, row := range rates {
		r, burst := rate.Limit(row.rate), int(row.rate/10)
		all = append(all, variant{byPace + " " + row.name, func() copyFunc { return paced(r, burst) }})
		all = append(all, variant{byWaiting + " " + row.name, func() copyFunc { return waiting(r, burst) }})
	}
	return all
}

// byWaiting is how a rate is kept without a wrapper that keeps the fast path.
const byWaiting = "io.Copy, a Reader that waits"

// waiting returns an io.Copy from a Reader that waits, and is of no known type.
func waiting(r rate.Limit, burst int) copyFunc {
	l := rate.NewLimiter(r, burst)
	return func(dst io.Writer, src io.Reader) (int64, error) {
		return io.Copy(dst, &waitingReader{src, l})
	}
}

type waitingReader struct {
	r io.Reader
	l *rate.Limiter
}

func (w *waitingReader) Read(p []byte) (int, error) {
	n, err := w.r.Read(p[:min(len(p), w.l.Burst())])
	if e := w.l.WaitN(context.Background(), n); e != nil {
		err = e
	}
	return n, err
}

// wrappers are the cases of copies under Progress and Pace: what the wrappers cost, and how
// well a rate is kept.
func wrappers() (all []spec) {
	for _, c := range []spec{
		{Name: "wrap-progress", About: "under Progress", Contenders: contenders(byZerocopy, byProgress, byProgressWriter)},
		{Name: "wrap-pace", About: "under Pace with a limit that is not reached", Contenders: contenders(byZerocopy, byPace, byPaceWriter)},
	} {
		who := c.Contenders[1:]
		tcp, file := c, c
		tcp.About = "one stream, TCP → TCP, " + c.About
		tcp.Mode, tcp.Show = modeBare, showBulk
		// To io.Copy such a wrapper is as unknown as any other: what one pays without.
		tcp.Contenders = append(tcp.Contenders, contender{Name: byIO + ", a Reader that counts", Variant: byIO, Mode: modeTransparent})
		file.Name += "-file"
		file.About = "a file of 64 MiB → TCP, " + c.About
		file.Kind, file.Mode, file.Dir, file.Size = kindServe, modeServe, dirMemory, 64<<20
		file.Show = []string{mCPUOp, mP50, mSwitchesN}
		for _, w := range who {
			// Both are the same system calls, so the ratio is 1 and the spread around it.
			tcp.Bounds = append(tcp.Bounds, atMost(w.Name, mCPU, 1.03, byZerocopy).by(byQuartile))
			file.Bounds = append(file.Bounds, atMost(w.Name, mCPUOp, 1.03, byZerocopy).by(byQuartile))
		}
		all = append(all, tcp, file)
	}
	for _, row := range rates {
		who := byPace + " " + row.name
		all = append(all, spec{
			Name: "pace-rate-" + row.name, About: fmt.Sprintf("one stream, TCP → TCP, at %s bytes a second for 10 s, bursts of a tenth of a second", row.name),
			Note: "the bucket is full at the beginning, so by 1 % too fast is what a limiter with such a burst gives",
			Mode: modeBare, Show: []string{mOff, mGoodput, mCPU, mFDs, mPipes, mRSS, mSwitches}, Scale: 10,
			Rate: row.rate, MaxGB: 10 * row.rate / gb,
			Contenders: contenders(who, byWaiting+" "+row.name),
			Bounds:     []bound{atMost(who, mOff, 2).by(byWorst)},
		})
	}
	return all
}
