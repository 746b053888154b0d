package main

import (
	"fmt"

	"github.com/zerocopy-go/zerocopy/pages"
)

// Ways of the program limit/pages.c.
const (
	wayWrite    = "write"
	wayConstant = "constant"
	wayFresh    = "fresh"
	wayHalves   = "double"
	wayRing     = "ring"
	wayZerocopy = "zerocopy"
	waySame     = "same"
)

// groupPages are the streams to a connection, by bytes a send.
const groupPages = "pages-tcp"

// isMade reports whether a contender of that mode makes the stream itself.
func isMade(mode string) bool { return mode == modePipe || mode == modeTCP || mode == modeSmall }

// lent returns a Writer of package pages as a contender.
func lent(l pages.Lending, huge bool) contender {
	return hugely(contender{Name: byPages + ", " + l.String(), Variant: byPages, Way: l.String()}, huge)
}

// limitBy returns a way of limit/pages.c as a contender.
func limitBy(way string, huge bool) contender {
	return hugely(contender{Name: byPagesLimit + ", " + way, Variant: byPagesLimit, Way: way}, huge)
}

func hugely(c contender, huge bool) contender {
	if c.Huge = huge; huge {
		c.Name += ", huge"
	}
	return c
}

// lending are the cases of a stream that the contender itself makes, a piece at a
// time, in memory that the kernel may take by reference. No ratio is set as a bound:
// what does not pay has its row like what does. That nothing is allocated is one.
func lending() (all []spec) {
	show := []string{mCPU, mBoth, mRate, mFaults, mAllocs, mLent, mBusy, mRSS}
	for _, c := range []spec{
		// Pieces are as large as the buffers that a pages.Writer has for such a pipe.
		{Name: "pages-pipe-64k", Size: 64 << 10, Pipe: 64 << 10},
		{Name: "pages-pipe-1m", Size: 256 << 10, Pipe: 1 << 20},
	} {
		c.Mode = modePipe
		c.About = fmt.Sprintf("a stream made in pieces of %s → pipe of %s, which another process reads", sizeName(float64(c.Size)), sizeName(float64(c.Pipe)))
		c.Note = "C, double: each half of the memory is as large as the pipe and sent at once; what is constant costs nothing to make"
		c.Contenders = contenders(byWrite, byBlocking)
		for _, l := range []pages.Lending{pages.Never, pages.Fastest, pages.FreshPages, pages.ReaderCopies} {
			c.Contenders = append(c.Contenders, lent(l, false))
		}
		c.Contenders = append(c.Contenders, lent(pages.FreshPages, true), lent(pages.ReaderCopies, true))
		c.Contenders = append(c.Contenders, contender{Name: byConstant, Variant: byConstant}, limitBy(wayWrite, false))
		for _, way := range []string{wayFresh, wayRing, wayHalves, wayConstant} {
			c.Contenders = append(c.Contenders, limitBy(way, false), limitBy(way, true))
		}
		all = append(all, c)
	}
	small := spec{
		Name: "pages-pipe-small", Mode: modeSmall, Size: 4 << 10, Pipe: 64 << 10,
		About: "a stream made in pieces of 4 KiB, collected in buffers of 64 KiB → pipe of 64 KiB, which another process reads",
		Note:  "write and the rows in C collect nothing",
	}
	small.Contenders = contenders(byWrite, byBufio)
	for _, l := range []pages.Lending{pages.Never, pages.Fastest, pages.FreshPages, pages.ReaderCopies} {
		small.Contenders = append(small.Contenders, lent(l, false))
	}
	small.Contenders = append(small.Contenders, limitBy(wayWrite, false), limitBy(wayRing, false), limitBy(wayConstant, false))
	all = append(all, small)
	for _, size := range []int{4 << 10, 8 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20} {
		c := spec{
			Name: fmt.Sprintf("%s-%d", groupPages, size), Mode: modeTCP, Size: size, Group: groupPages, X: float64(size),
			About: fmt.Sprintf("a stream made in pieces of %s → TCP", sizeName(float64(size))),
			Note:  "over the loopback interface the kernel copies what it was lent by MSG_ZEROCOPY, always: what a network card makes of it is for -client to measure; pages.Constant goes by sendfile, 1 MiB at a time",
		}
		c.Contenders = append(contenders(byWrite), lent(pages.Never, false), lent(pages.Fastest, false))
		c.Contenders = append(c.Contenders, contender{Name: byConstant, Variant: byConstant})
		for _, way := range []string{wayWrite, wayZerocopy, waySame} {
			c.Contenders = append(c.Contenders, limitBy(way, false))
		}
		all = append(all, c)
	}
	for i := range all {
		c := &all[i]
		c.Kind, c.Show, c.Scale = kindPages, show, 0.4
		for _, who := range c.Contenders {
			if who.Variant == byPages {
				// None a commit. The runtime's own, some ten a round, show where
				// there are but a thousand commits.
				c.Bounds = append(c.Bounds, atMost(who.Name, mAllocs, 0.02))
			}
		}
	}
	return all
}
